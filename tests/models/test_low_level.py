import cv2
import numpy as np
import pytest
import tensorflow as tf

from movie_tags.models.backbones.low_level import SIZE, WIDTH, LowLevel
from movie_tags.models.backbones.registry import BACKBONES

PARTS = {"colours": 64, "brightness": 16, "saturation": 8, "hue": 12, "cells": 12, "edges": 6, "spread": 2}


def numbers(*pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Of pictures uint8 RGB, before their square roots: [N, n] by part."""
    said = LowLevel()(tf.constant(np.stack(pictures).astype(np.float32))).numpy() ** 2
    return dict(zip(PARTS, np.split(said, np.cumsum(list(PARTS.values()))[:-1], 1), strict=True))


def scene(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def test_the_numbers_are_numpys_and_opencvs():
    pictures = [scene(seed) for seed in range(3)]
    found = numbers(*pictures)
    for i, whole in enumerate(pictures):
        picture = whole[:111]  # the grid has three rows
        colours = np.histogramdd(picture.reshape(-1, 3), bins=[np.arange(0, 257, 64)] * 3)[0].ravel() / (111 * 152)
        assert found["colours"][i] == pytest.approx(colours, abs=1e-5)
        grey = picture.astype(np.float64) @ (0.299, 0.587, 0.114)
        assert found["brightness"][i] == pytest.approx(np.histogram(grey, 16, (0, 256))[0] / grey.size, abs=2e-4)
        chroma = (picture.max(2) - picture.min(2)).astype(float)
        saturation = np.histogram(chroma / np.maximum(picture.max(2), 1), 8, (0, 1))[0] / grey.size
        assert found["saturation"][i] == pytest.approx(saturation, abs=2e-4)
        hue = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[..., 0]  # degrees
        assert found["hue"][i] == pytest.approx(np.histogram(hue[chroma > 24], 12, (0, 360))[0] / grey.size, abs=6e-3)
        cells = cv2.resize(grey, (4, 3), interpolation=cv2.INTER_AREA).ravel() / 255
        assert found["cells"][i] == pytest.approx(cells, abs=1e-4)
        across, down = (np.abs(np.diff(grey, axis=axis)) for axis in (1, 0))
        edges = [value for d in (across, down) for value in (d.mean() / 255, (d > 8).mean(), (d > 32).mean())]
        assert found["edges"][i] == pytest.approx(edges, abs=2e-4)
        assert found["spread"][i] == pytest.approx([grey.std() / 255, chroma.mean() / 255], abs=1e-4)


def test_a_black_picture_has_its_numbers_too():
    black, white = np.zeros((*SIZE, 3), np.uint8), np.full((*SIZE, 3), 255, np.uint8)
    found = numbers(black, white)
    assert np.isfinite(np.hstack(list(found.values()))).all()
    assert found["brightness"][0, 0] == found["brightness"][1, -1] == 1 and not found["hue"].any()


def test_it_is_a_registered_backbone():
    backbone = BACKBONES["low_level"]
    assert backbone.width == WIDTH == sum(PARTS.values()) and len(backbone.digest()) == 64
    assert backbone.load()(tf.zeros((2, *SIZE, 3))).shape == (2, WIDTH)

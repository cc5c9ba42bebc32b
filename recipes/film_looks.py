"""Pictures as films show them: seeded crops, light, colour, bars, titles, blur and compression."""

from __future__ import annotations

import cv2
import numpy as np

from movie_tags.models.views import fit

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz      "))


def as_in_a_film(pixels: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A part of a picture as a film might show it.

    Args:
        pixels: uint8 RGB [H, W, 3].
        size: height and width of what comes out.
        random: all of it that is left to chance.

    Returns:
        uint8 RGB [*size, 3].
    """
    seen = _soft(fit(np.ascontiguousarray(_part(pixels, random)), size), random)
    seen = _titled(_barred(_lit(seen, random), random), random)
    if random.random() < 0.3:
        quality = int(random.integers(15, 60))
        return _compressed(seen, quality)
    return seen


def _part(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """45 to 100 % of the area, of another shape by up to a quarter, half of them mirrored."""
    height, width = pixels.shape[:2]
    side, shape = np.sqrt(random.uniform(0.45, 1.0)), np.exp(random.uniform(-0.22, 0.22))
    h, w = (max(16, int(full * min(1, part))) for full, part in ((height, side * shape), (width, side / shape)))
    top, left = random.integers(0, max(1, height - h + 1)), random.integers(0, max(1, width - w + 1))
    part = pixels[top : top + h, left : left + w]
    return part[:, ::-1] if random.random() < 0.5 else part


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    seen = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    assert seen is not None
    return seen


def _soft(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A quarter of the pictures at 35 to 70 % of the resolution."""
    if random.random() >= 0.25:
        return pixels
    height, width = pixels.shape[:2]
    share = random.uniform(0.35, 0.7)
    small = cv2.resize(pixels, (int(width * share), int(height * share)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _lit(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Gamma, contrast, saturation and colour cast; some dark, some without colour."""
    seen = (pixels.astype(np.float32) / 255) ** np.exp(random.uniform(-0.35, 0.35))
    if random.random() < 0.15:
        seen *= random.uniform(0.35, 0.8)
    mean = seen.mean()
    seen = (seen - mean) * random.uniform(0.75, 1.25) + mean
    grey = seen.mean(2, keepdims=True)
    saturation = 0 if random.random() < 0.08 else random.uniform(0.5, 1.4)
    seen = (grey + (seen - grey) * saturation) * (1 + random.uniform(-0.08, 0.08, 3).astype(np.float32))
    return np.clip(seen * 255, 0, 255).astype(np.uint8)


def _barred(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A tenth of the pictures with black bars above and below."""
    if random.random() < 0.1:
        bar = int(len(pixels) * random.uniform(0.05, 0.14))
        pixels[:bar] = pixels[-bar:] = 0
    return pixels


def _titled(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An eighth of the pictures with a line of white letters near the lower edge."""
    if random.random() < 0.12:
        text = "".join(random.choice(LETTERS, int(random.integers(8, 26))))
        place = int(random.integers(5, 60)), int(len(pixels) * random.uniform(0.8, 0.95))
        scale = random.uniform(0.3, 0.5)
        cv2.putText(pixels, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return pixels

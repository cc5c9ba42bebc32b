"""False alarms of the moderation model on pictures and key frames that are meant to be harmless.

    python benchmarks/moderation.py        (needs the shared data, MOVIE_TAGS_DATA, and movie-tags[moderation])

Says nothing of what it misses: there is no such material here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from measuring import FOOTAGE, need_footage

from movie_tags.models import MODERATION, resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model, predict
from movie_tags.training.data.frames import labelled_frames
from movie_tags.training.data.labels import LabelledVideo, read_labels

PICTURES = 1500


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    """Pictures drawn from the labelled ones: (name, uint8 RGB pixels)."""
    paths = sorted((FOOTAGE.parent / "images").glob("*/*.jpg"))
    for i in sorted(np.random.default_rng(0).choice(len(paths), PICTURES, replace=False)):
        found = cv2.imread(str(paths[i]))
        if found is not None:
            yield f"{paths[i].parent.name}/{paths[i].name}", cv2.cvtColor(found, cv2.COLOR_BGR2RGB)


def key_frames() -> Iterator[tuple[str, np.ndarray]]:
    """The labelled key frames of the shared videos."""
    for video in read_labels(str(FOOTAGE / "KEY_FRAMES.jsonl")):
        if isinstance(video, LabelledVideo):
            for frame, pixels in labelled_frames(video, 1):
                if pixels is not None:
                    yield f"{video.uri} at {frame.time_s:g} s", pixels


def main() -> None:
    need_footage()
    bundle = read_bundle(resolve(MODERATION))
    model, (threshold,) = load_model(bundle), bundle.thresholds
    sources: dict[str, Iterable[tuple[str, np.ndarray]]] = {"pictures": pictures(), "key frames": key_frames()}
    for what, shown in sources.items():
        number, alarms = 0, []
        for name, pixels in shown:
            number += 1
            (found,) = predict(model, [pixels], bundle.fitted)
            if found.probabilities is not None and found.probabilities[0] >= threshold:
                alarms.append(name)
                print(f"{name}: {found.probabilities[0]:.2f}", file=sys.stderr)
        print(f"{len(alarms)} alarms from {threshold:g} on, of {number} {what}")


if __name__ == "__main__":
    main()

"""Makes three short films of photographs that ship inside scikit-image and scikit-learn: nothing is downloaded.

    python demo/films.py FOLDER

Camera moves over each photograph, hard cuts, a fade through black, and a stretch of black frames. Films that are there
already stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import skimage
from sklearn.datasets import load_sample_image

FPS = 25
SIZE = (640, 360)
FILMS = ("cat_and_coffee.mp4", "space.mp4", "temple.mp4")
DATA = Path(skimage.__file__).parent / "data"


def photograph(name: str) -> np.ndarray:
    """uint8 RGB [H, W, 3] of scikit-image, or scikit-learn's `china`."""
    if name == "china":
        return load_sample_image(f"{name}.jpg")
    picture = cv2.imread(str(DATA / name), cv2.IMREAD_COLOR)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def camera_move(
    picture: np.ndarray, seconds: float, zoom: float, pan: tuple[float, float], near: float = 1.0
) -> list[np.ndarray]:
    """Frames of a slow zoom and pan over a picture, of which at first a share of `near` of each side is seen."""
    width, height = SIZE
    frames = []
    for t in np.linspace(0, 1, round(seconds * FPS)):
        share = near * (1 - zoom * t)
        side_x = min(picture.shape[1], picture.shape[0] * width / height) * share
        side_y = side_x * height / width
        x = (picture.shape[1] - side_x) * (0.5 + pan[0] * (t - 0.5))
        y = (picture.shape[0] - side_y) * (0.5 + pan[1] * (t - 0.5))
        cut = picture[round(y) : round(y + side_y), round(x) : round(x + side_x)]
        frames.append(cv2.resize(cut, SIZE, interpolation=cv2.INTER_AREA))
    return frames


def fade(frames: list[np.ndarray]) -> list[np.ndarray]:
    """The same frames, going to black in their last second."""
    levels = np.concatenate([np.ones(len(frames) - FPS), np.linspace(1, 0, FPS)])
    return [(frame * level).astype(np.uint8) for frame, level in zip(frames, levels, strict=True)]


def black(seconds: float) -> list[np.ndarray]:
    return [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * round(seconds * FPS)


def write_film(path: Path, frames: list[np.ndarray]) -> None:
    """Encode frames as H.264; the film is there when it is whole."""
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    part.replace(path)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / name).exists() for name in FILMS):
        return
    cat, china, coffee, rocket, woman, stars = (
        photograph(name)
        for name in (
            "chelsea.png", "china", "coffee.png", "rocket.jpg", "astronaut.png", "hubble_deep_field.jpg",
        )
    )  # fmt: skip
    films = [
        [
            *camera_move(cat, 5, 0.1, (0.1, 0), near=0.52),
            *camera_move(coffee, 4, 0.1, (0, 0.5)),
            *fade(camera_move(cat, 4, 0.1, (-0.1, 0.1), near=0.55)),
        ],
        [
            *black(2),
            *camera_move(rocket, 5, 0.3, (0, 1)),
            *camera_move(woman, 5, 0.05, (0, 0), near=0.5),
            *camera_move(stars, 4, 0.1, (0.2, 0), near=0.5),
        ],
        [
            *camera_move(china, 6, 0.2, (0.8, 0)),
            *black(2),
            *camera_move(china, 4, 0.4, (-0.8, -0.5)),
        ],
    ]
    for name, frames in zip(FILMS, films, strict=True):
        write_film(folder / name, frames)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

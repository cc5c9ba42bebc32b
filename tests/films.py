"""Films made by the tests, whose every picture is known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SHARED = Path(os.environ.get("MOVIE_TAGS_DATA", Path(__file__).parents[2] / "shared" / "data"))
VIDEOS = SHARED / "videos"
needs_footage = pytest.mark.skipif(
    not VIDEOS.is_dir(), reason=f"no footage at {VIDEOS}; set MOVIE_TAGS_DATA to a folder that has it"
)


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A picture of few coarse blocks of colour: pictures of two seeds differ in nearly every histogram bin."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (3, 4, 3), np.uint8)
    return np.kron(blocks, np.ones((height // 3, width // 4, 1), np.uint8))


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    times: Sequence[Fraction | float] | None = None,
    codec: str = "libx264",
    options: dict | None = None,
) -> Path:
    """Encode pictures, shown at the given times in seconds (25 a second if none are given)."""
    times = [Fraction(k, 25) for k in range(len(pictures))] if times is None else [Fraction(t) for t in times]
    tick = Fraction(1, 25) if codec == "mpeg2video" else Fraction(1, 12800)  # MPEG-2 knows few rates
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "25", **(options or {})})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = tick
        for pixels, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.time_base = tick
            frame.pts = round(time / tick)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

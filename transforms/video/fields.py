"""Fields: an interlaced frame is two pictures of different instants, line by line; where that shows, one is taken.

Each frame is judged and mended alone, so that a sample does not hang on which frames were decoded before it.
"""

from __future__ import annotations

import av
import numpy as np

COMB_THRESHOLD = 9
"""How far, in steps of 8 bits, a line differs from both its neighbours where the fields do not fit together."""

BLOCK = 16
COMBED_PIXELS = 80
"""More out-of-line pixels in a block of BLOCK x BLOCK make the frame a combed one; FFmpeg's fieldmatch has these."""


def is_combed(frame: av.VideoFrame) -> bool:
    """Whether the two fields of a frame show different instants, by the measure of FFmpeg's `fieldmatch` filter.

    Much that is flagged as interlaced is progressive film, or stands still; it stays as it is.
    """
    luma = _luma(frame)
    before, above, line, below, after = luma[:-4], luma[1:-3], luma[2:-2], luma[3:-1], luma[4:]
    up, down = line - above, line - below
    threshold = COMB_THRESHOLD << _extra_bits(frame)
    out_of_line = ((up > threshold) & (down > threshold)) | ((up < -threshold) & (down < -threshold))
    fine = np.abs(before + 4 * line + after - 3 * (above + below)) > 6 * threshold
    rows, columns = line.shape[0] // BLOCK, line.shape[1] // BLOCK
    combed = (out_of_line & fine)[: rows * BLOCK, : columns * BLOCK]
    counts = combed.reshape(rows, BLOCK, columns, BLOCK).sum(axis=(1, 3))
    return bool((counts > COMBED_PIXELS).any())


def one_field(frame: av.VideoFrame) -> av.VideoFrame:
    """The first of a frame's two fields, the lines between filled in along edges (FFmpeg's `estdif` filter).

    Where that filter does not know the frame's format, the frame as it is.
    """
    graph = av.filter.Graph()
    try:
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base
        )
        graph.link_nodes(source, graph.add("estdif", "mode=frame"), graph.add("buffersink")).configure()
        graph.push(frame)
        graph.push(None)
        return graph.pull()
    except (av.error.FFmpegError, ValueError):
        return frame


def _luma(frame: av.VideoFrame) -> np.ndarray:
    """int16 (int32 of more than 12 bits) [H, W] of a frame's first plane."""
    plane, extra = frame.planes[0], _extra_bits(frame)
    lines = np.frombuffer(plane, np.uint16 if extra else np.uint8).reshape(plane.height, -1)
    return lines[:, : plane.width].astype(np.int16 if extra <= 4 else np.int32)


def _extra_bits(frame: av.VideoFrame) -> int:
    """Bits of a sample of the first plane beyond 8."""
    return frame.format.components[0].bits - 8

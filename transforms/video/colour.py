"""Colour: high dynamic range (PQ and HLG) to the standard range of BT.709, as a display of standard range shows it.

Linear light in nits (cd/m²) is the common ground: ITU-R BT.2100 gives it for both systems; BT.2390's curve rolls off
what is brighter than a standard display's white; BT.2407 changes the primaries; BT.1886 encodes for that display.
"""

from __future__ import annotations

import functools

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc

SOURCE_PEAK = 1000.0
"""Nits of the brightest highlight that keeps its detail: what most films are graded for, and HLG's nominal display."""

WHITE = 203.0
"""Nits of diffuse white in a film of high dynamic range (ITU-R BT.2408), shown as the standard display's white."""

GAMMA = 2.4
"""Of a standard display (ITU-R BT.1886)."""

TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
"""Linear RGB of BT.2020's primaries to those of BT.709 (ITU-R BT.2407, equation 3)."""

BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)

M1, M2 = 2610 / 16384, 2523 / 4096 * 128
C1, C2, C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def is_high_range(frame: av.VideoFrame) -> bool:
    """Whether a frame is coded by PQ or HLG."""
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def to_standard_range(frame: av.VideoFrame, pixels: np.ndarray) -> np.ndarray:
    """A frame's pixels on a display of standard range.

    Args:
        frame: of high dynamic range; says by what system it is coded.
        pixels: its coded values, uint16 RGB [H, W, 3] of the full range.

    Returns:
        uint8 RGB [H, W, 3], BT.709.
    """
    nits = pq_nits(pixels) if frame.color_trc == ColorTrc.SMPTE2084 else hlg_nits(pixels)
    brightest = nits.max(axis=-1, keepdims=True)
    light = nits * (roll_off(brightest) / np.maximum(brightest, 1e-6))
    if frame.color_primaries != ColorPrimaries.BT709:
        light = light @ TO_BT709.T
    return np.rint(255 * (np.clip(light, 0, WHITE) / WHITE) ** (1 / GAMMA)).astype(np.uint8)


def pq_nits(codes: np.ndarray) -> np.ndarray:
    """Light in nits, float32, of PQ values, uint16 of the full range (SMPTE ST 2084's EOTF)."""
    return _pq_table()[codes]


def hlg_nits(codes: np.ndarray) -> np.ndarray:
    """Light in nits, float32 [H, W, 3], of HLG RGB, uint16 of the full range, on a display of SOURCE_PEAK nits.

    ITU-R BT.2100-2, table 5: the inverse of the OETF, then the OOTF with a gamma of 1.2.
    """
    scene = _hlg_table()[codes]
    luminance = np.maximum(scene @ BT2020_LUMINANCE, 1e-6)[..., None]
    return SOURCE_PEAK * luminance**0.2 * scene


def roll_off(nits: np.ndarray) -> np.ndarray:
    """Brightness up to SOURCE_PEAK brought to that of a display of WHITE nits; what is dark stays as it is.

    ITU-R BT.2390-10, section 5.4.1, in PQ values; without the lifting of black, which both displays share.
    """
    peak = pq_value(SOURCE_PEAK)
    value = np.minimum(pq_value(nits) / peak, 1)
    most = pq_value(WHITE) / peak
    knee = 1.5 * most - 0.5
    t = np.maximum(value - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_light(np.where(value < knee, value, spline) * peak)


def pq_value(nits: np.ndarray | float) -> np.ndarray:
    """PQ values, 0 to 1, of light in nits (SMPTE ST 2084's inverse EOTF)."""
    power = (np.maximum(nits, 0) / 10_000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def pq_light(values: np.ndarray) -> np.ndarray:
    """Light in nits of PQ values, 0 to 1 (SMPTE ST 2084's EOTF)."""
    power = values ** (1 / M2)
    return 10_000 * (np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1)


@functools.cache
def _pq_table() -> np.ndarray:
    return pq_light(np.arange(65536) / 65535).astype(np.float32)


@functools.cache
def _hlg_table() -> np.ndarray:
    """Scene light, 0 to 1, of each HLG value (ARIB STD-B67)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    value = np.arange(65536) / 65535
    return np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12).astype(np.float32)

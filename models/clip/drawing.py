"""Drawn pictures, and the words for them: what a pair of models can be tried on without a photograph."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 256


def drawn_pictures() -> dict[str, np.ndarray]:
    """Pictures uint8 RGB [SIDE, SIDE, 3] by the words that they show."""
    middle, quarter = (SIDE // 2, SIDE // 2), SIDE // 4
    square, circle, triangle, stripes = (np.full((SIDE, SIDE, 3), 255, np.uint8) for _ in range(4))
    cv2.rectangle(square, (quarter, quarter), (3 * quarter, 3 * quarter), (220, 30, 30), -1)
    cv2.circle(circle, middle, quarter, (30, 60, 220), -1)
    corners = np.array([[middle[0], quarter], [quarter, 3 * quarter], [3 * quarter, 3 * quarter]], np.int32)
    cv2.fillPoly(triangle, [corners], (20, 160, 60))
    stripes[(np.arange(SIDE) // 16 % 2).astype(bool)] = 0
    return {
        "a red square on a white background": square,
        "a blue circle on a white background": circle,
        "a green triangle on a white background": triangle,
        "black and white stripes": stripes,
    }

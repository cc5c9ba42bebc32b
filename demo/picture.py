"""Makes the picture that README.md opens with: the page of one of the demo's films, in Debian's Chromium.

    python demo/picture.py REPORT PICTURE.png

REPORT is the folder of the report that `make demo` makes.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import cv2
import numpy as np
from browser import opened, why_not

FILM = "cat-and-coffee-mp4"
WIDTH, HEIGHT = 1140, 1180


def main(report: Path, picture: Path) -> None:
    if why_not():
        sys.exit(f"demo/picture.py: no picture was made: {why_not()}")
    pages = list((report / "films").glob(f"{FILM}-*.html"))
    if not pages:
        sys.exit(f"demo/picture.py: {report}: no page of {FILM}; run `make demo` first")
    with opened(WIDTH, HEIGHT, "--hide-scrollbars") as browser:
        browser.get(pages[0].resolve().as_uri())
        write_picture(browser, picture, WIDTH, HEIGHT)


def write_picture(browser: Any, picture: Path, width: int, height: int) -> None:
    """Write what a browser shows as a PNG file, so many pixels wide and high."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    data = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    picture.parent.mkdir(parents=True, exist_ok=True)
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(picture), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])  # smaller than the browser's own
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

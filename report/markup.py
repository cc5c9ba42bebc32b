"""What all pages are made of: templates, style sheets, the script that may run, pictures as text."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

import cv2
import jinja2
import numpy as np
from markupsafe import Markup, escape

PICTURES_BYTES = 6_000_000
"""Pictures of a page that are larger in all are made smaller before they go into it."""
SMALLER = ((240, 70), (160, 60), (112, 50))
"""Long sides in pixels and JPEG qualities, tried one after the other."""


@cache
def text_of(*names: str) -> str:
    """Files of this room, one after the other."""
    return "\n".join((files(__package__) / name).read_text("utf-8") for name in names)


@cache
def template(name: str) -> jinja2.Template:
    """A template of this room; everything that goes into it is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False)
    return environment.from_string(text_of(name))


def script_hash(script: str) -> str:
    """What a Content-Security-Policy calls the one script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def inline(text: str) -> Markup:
    """A style sheet or script of this room, to stand in a page as it is."""
    return Markup(text)


def breakable(title: str) -> Markup:
    """A title, escaped, that may be broken after the signs that part words in names of files."""
    return Markup(re.sub(r"([_./\\-]+)(?=[^_./\\-])", r"\1<wbr>", str(escape(title))))


def data_uri(jpeg: bytes) -> str:
    """A JPEG file as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def fitted(pictures: dict[float, bytes], most_bytes: int = PICTURES_BYTES) -> dict[float, bytes]:
    """JPEG files that take no more than so many bytes in all, made smaller where they must be; or the smallest."""
    small = pictures
    for side, quality in SMALLER:
        if sum(map(len, small.values())) <= most_bytes:
            break
        small = {time_s: smaller(data, side, quality) for time_s, data in pictures.items()}
    return small


def smaller(jpeg: bytes, side: int, quality: int) -> bytes:
    """A JPEG file with this long side in pixels; as it is where it is no larger, or cannot be read."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or max(picture.shape[:2]) <= side:
        return jpeg
    scale = side / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def shape_of(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None where it cannot be read."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else (picture.shape[1], picture.shape[0])

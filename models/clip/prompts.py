"""Prompts: what a tag is called in front of a text model. A vocabulary file has a line `TAG: prompt, prompt` a tag."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from movie_tags.errors import UserError

Prompts = Mapping[str, tuple[str, ...]]
"""By tag, its prompts, one or more."""

TEMPLATE = "a film frame that shows {}"
"""The prompt of a tag that has none."""

NEUTRAL = (
    "a frame of a film",
    "a film still",
    "a photo",
    "a picture of people",
    "a person's face",
    "an indoor scene",
    "an outdoor scene",
    "a dark picture",
    "a blurred picture",
    "a title card with text",
)
"""What nothing is said by: the contrast of CLIP's tags."""


def own_prompts() -> dict[str, tuple[str, ...]]:
    """Our prompts of the paper's fifty tags."""
    return _parsed((files(__package__) / "prompts.txt").read_text("utf-8"), {}, "prompts.txt")


def read_prompts(text: str, name: str) -> dict[str, tuple[str, ...]]:
    """The tags and prompts of a vocabulary file.

    A line `TAG: prompt, prompt` gives a tag its prompts; `TAG` alone takes ours, or TEMPLATE. Lines that begin with `#`
    and empty ones are comments.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        UserError: a line has no tag, or a tag stands there twice, or there is none.
    """
    return _parsed(text, own_prompts(), name)


def _parsed(text: str, known: Prompts, name: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        tag, _, said = (part.strip() for part in line.partition(":"))
        prompts = tuple(prompt.strip() for prompt in said.split(",") if prompt.strip())
        if not tag or tag in found:
            raise UserError(f"{name}, line {number}: {'has no tag' if not tag else f'names {tag} a second time'}")
        found[tag] = prompts or known.get(tag) or (TEMPLATE.format(tag.lower()),)
    if not found:
        raise UserError(f"{name}: has no tags; a line is TAG, or TAG: prompt, prompt")
    return found

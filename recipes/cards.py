"""Cards: what is said of a model in Markdown, from templates of this room."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import jinja2


def write_text(path: Path, template: str, **what: object) -> None:
    """Write a text from a template of this room; every name in it must be given."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = (files(__package__) / template).read_text("utf-8")
    path.write_text(environment.from_string(text).render(**what), "utf-8")

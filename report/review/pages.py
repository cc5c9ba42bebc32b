"""What the pages of this room are made of that are no pages of the report."""

from __future__ import annotations

from typing import Any

from starlette.responses import HTMLResponse, Response

from movie_tags.report.about import LIMITS
from movie_tags.report.markup import inline, template, text_of


def page_of(name: str, **given: Any) -> Response:
    """A page. Args: the name of its template; what the template takes besides what all take."""
    css = inline(text_of("base.css", "review/pages.css"))
    page = template(f"review/{name}.html.j2").render(limits=LIMITS, css=css, **given)
    return HTMLResponse(page.encode(errors="replace"))

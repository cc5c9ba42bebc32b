"""The arrows between the rooms: what each may import, and that none runs back up."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOOR = {"errors", "machine", "progress", "records", "stopping"}
MAY = {
    "storage": set(),
    "models": {"storage"},
    "results": {"storage"},
    "transforms": {"models", "storage"},
    "pipeline": {"models", "results", "storage", "transforms"},
    "training": {"models", "results", "storage", "transforms"},
    "report": {"models", "results", "storage", "transforms"},
}
"""Besides itself and FLOOR; `pipeline/commands` may import everything."""


def imported(path):
    """The rooms and modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "movie_tags":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("movie_tags."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("movie_tags."))


@pytest.mark.parametrize("room", MAY)
def test_no_arrow_runs_back_up(room):
    paths = [path for path in (ROOT / room).rglob("*.py") if "commands" not in path.relative_to(ROOT).parts]
    found = {(str(path.relative_to(ROOT)), name) for path in paths for name in imported(path)}
    assert paths and not [(path, name) for path, name in found if name not in MAY[room] | FLOOR | {room}]


def test_nothing_is_below_the_floor():
    for name in FLOOR:
        assert set(imported(ROOT / "movie_tags" / f"{name}.py")) <= FLOOR

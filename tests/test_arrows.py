"""No arrow runs back up: which room may import which, read off the import statements."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {
    "storage": set(),
    "models": {"storage"},
    "transforms": {"storage", "models"},
    "results": {"storage"},
    "report": {"storage", "models", "transforms", "results"},
    "training": {"storage", "models", "transforms", "results"},
    "pipeline": {"storage", "models", "transforms", "results"},
    "pipeline/commands": {"storage", "models", "transforms", "results", "report", "training", "pipeline"},
    "recipes": {"storage", "models", "transforms", "results", "training", "pipeline"},
}
FACE = {"errors", "progress", "machine", "records", "stopping", "wording"}
"""Modules of `movie_tags/` that every room may import; they import nothing of ours but each other and storage."""


def imported(path: Path) -> Iterator[str]:
    """What a module imports of `movie_tags` and `recipes`, anywhere in it, but for types alone."""
    tree = ast.parse(path.read_text())
    typing = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in ("movie_tags", "recipes"))


def room_of(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "recipes":
        return "recipes"
    return "pipeline/commands" if parts[1:3] == ["pipeline", "commands"] else parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_rooms_below_it(room):
    own = [path for path in (ROOT / room).rglob("*.py") if room != "pipeline" or "commands" not in path.parts]
    assert own
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in own
        for name in imported(path)
        if room_of(name) not in {room, *BELOW[room], *FACE, ""}
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    """Nor by imports inside functions."""
    paths = {module_name(path): path for room in BELOW for path in (ROOT / room).rglob("*.py")}
    paths |= {module_name(path): path for path in (ROOT / "movie_tags").glob("*.py")}

    def module_of(name):
        return name if name in paths or not name else module_of(name.rpartition(".")[0])

    arrows = {module: {module_of(name) for name in imported(path)} - {module, ""} for module, path in paths.items()}
    assert arrows["movie_tags.results.lock"] >= {"movie_tags.storage", "movie_tags.results.lease"}
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def module_name(path: Path) -> str:
    """How a module is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] in ("movie_tags", "recipes") else ("movie_tags", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", sorted(FACE))
def test_the_face_imports_storage_alone(name):
    path = ROOT / "movie_tags" / f"{name}.py"
    assert {room_of(found) for found in imported(path)} <= {"storage", *FACE}


def test_no_two_modules_share_a_name():
    """Of modules that hold more than a registry: `views`, `catalogue`, `films` and the like mean one thing each."""
    names: dict[str, list[Path]] = {}
    for room in BELOW:
        for path in (ROOT / room).rglob("*.py"):
            if path.stem not in ("__init__", "errors") and "commands" not in path.parts:
                names.setdefault(path.stem, []).append(path.relative_to(ROOT))
    twice = {name: sorted(set(paths)) for name, paths in names.items() if len(set(paths)) > 1}
    assert not twice


def test_modules_and_functions_are_short():
    paths = {path for room in BELOW for path in (ROOT / room).rglob("*.py")}
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert not {path: length for path, length in lengths.items() if length > 450}
    functions = [
        node.end_lineno - node.lineno + 1
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert sum(functions) / len(functions) <= 11.7

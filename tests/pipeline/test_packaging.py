import ast
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NOT_INSTALLED = {"benchmarks", "demo", "deploy", "docs", "examples", "movie_tags", "recipes", "tests", "build"}


def test_every_room_is_installed():
    tree = ast.parse((REPOSITORY / "setup.py").read_text())
    (rooms,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS"
    ]
    found = {path.parent.relative_to(REPOSITORY) for path in REPOSITORY.glob("*/**/__init__.py")}
    inside = {path for path in found if not path.parts[0].startswith(".") and path.parts[0] not in NOT_INSTALLED}
    assert sorted(rooms) == sorted(".".join(path.parts) for path in inside)

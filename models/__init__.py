from pathlib import Path

BUNDLED = str(Path(__file__).parent / "compact")
"""The model bundle that ships with the package."""

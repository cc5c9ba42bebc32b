"""Pages that are generated at build time: the command reference from the parsers, the tables from the records."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mkdocs.structure.files import File, Files

os.environ["COLUMNS"] = "100"  # of argparse's help


def on_files(files: Files, config: dict) -> Files:
    """Add the generated pages to those of the folder."""
    for path, lines in {"reference/commands.md": commands(), "reference/tables.md": tables()}.items():
        files.append(File.generated(config, path, content="\n".join(lines) + "\n"))
    return files


def commands() -> Iterator[str]:
    """The command reference: what `--help` says of each command."""
    from movie_tags.pipeline.commands import COMMANDS, build_parser, commands_of

    yield "# Commands\n"
    yield "Generated from the parsers: what `movie-tags COMMAND --help` says.\n"
    parsers = commands_of(build_parser())
    for name, purpose in COMMANDS.items():
        yield f"## movie-tags {name}\n\n{purpose[0].upper()}{purpose[1:]}.\n"
        yield f"```text\n{parsers[name].format_help().strip()}\n```\n"


def tables() -> Iterator[str]:
    """The reference of the tables: every column with its type, unit and meaning, as the records declare them."""
    from movie_tags.results.schema import RECORDS, describe

    yield "# Tables\n"
    yield "Generated from the records in `movie_tags/records.py`, each of which is declared once.\n"
    for name, record in RECORDS.items():
        yield f"## {name}\n\n{(record.__doc__ or '').strip().splitlines()[0]}\n"
        yield "| column | type | unit | meaning |\n|---|---|---|---|"
        for column, kind, unit, meaning in describe(record):
            yield f"| `{column}` | {kind} | {unit} | {meaning} |"
        yield ""

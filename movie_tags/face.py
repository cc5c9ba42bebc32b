"""The package's face for programs: a film's tags in one call, and the tables of results as records and data frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from movie_tags.errors import UserError
from movie_tags.models import DEFAULT
from movie_tags.pipeline.method import Method, Work
from movie_tags.quiet import quiet
from movie_tags.records import Film
from movie_tags.results import film_tables
from movie_tags.results.schema import RECORDS, columns, to_row

if TYPE_CHECKING:
    import pandas


class TagError(UserError):
    """A film that could not be tagged; the message says why."""


class Results(film_tables.Results):
    """A folder of results: its tables as records, film by film, or as data frames. A context."""

    def records(self, table: str = "tags") -> Iterator[Any]:
        """All records of a table, with people's corrections, film by film.

        Args:
            table: tags, key_frames, spans or errors.

        Raises:
            UserError: there is no such table.
            OutputError: the table cannot be read.
        """
        if table not in RECORDS:
            raise UserError(f"there is no table {table!r}: there are {', '.join(RECORDS)}")
        if table == "tags":
            yield from self.films()
        elif table == "errors":
            yield from self.failures
        else:
            of_film = self.key_frames if table == "key_frames" else self.spans
            for film in self.films():
                yield from of_film(film.id)

    def to_pandas(self, table: str = "tags") -> pandas.DataFrame:
        """A table as a data frame: a row each, lists of tags as lists of dicts.

        Raises:
            UserError: there is no such table, or pandas is not installed.
            OutputError: the table cannot be read.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise UserError("data frames need pandas: pip install pandas") from error
        rows = list(map(to_row, self.records(table)))
        return pandas.DataFrame(rows, columns=[column.name for column in columns(RECORDS[table])])


def tag(film: str, model: str | Sequence[str] = DEFAULT, method: Method = Method(), work: Work = Work()) -> Film:
    """The tags of one film; libraries' remarks that are no errors are kept from the terminal meanwhile.

    Args:
        film: a video's address, local or gs://.
        model: a model's name or the folder of a bundle, or several.
        method: the numbers on which results depend.
        work: the numbers on which they do not.

    Returns:
        The film with its `short_list`, and with all its `tags`.

    Raises:
        TagError: the film could not be tagged.
        UserError: something that was asked for cannot be used.
    """
    from movie_tags.pipeline.inputs import Inputs
    from movie_tags.pipeline.run import TaggingRun  # which brings Beam
    from movie_tags.results.folder import scratch_results

    with quiet(), scratch_results() as folder:
        alone = ["--direct_num_workers=1"]
        TaggingRun(Inputs((film,)), folder, model, method, work, beam_words=alone, thumbnails=False).run()
        with Results(folder.address) as results:
            found = list(results.films())
            if len(found) == 1:
                return found[0]
            raise TagError(results.failures[0].reason if results.failures else f"{film}: {len(found)} films, not one")

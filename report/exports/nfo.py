"""NFO of Kodi, Jellyfin and Emby: <tag> elements, put into the files beside the films, of which all else stays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import Film
from movie_tags.report.exports import (
    FilmError,
    LeftOut,
    Options,
    Written,
    film_address,
    in_folder,
    is_named_by_file,
    listed_tags,
)
from movie_tags.report.exports.nfo_beside import Place, place_of
from movie_tags.report.exports.nfo_text import NfoError, merge, new_nfo
from movie_tags.report.phrases import number
from movie_tags.results.film_tables import Results
from movie_tags.storage import in_place

TAKES = frozenset({"create", "retract", "dry_run"})
MOST_FOLDERS = 1000
"""Of which listings are cached at a time."""


def is_beside(options: Options) -> bool:
    """Whether the files are written beside the films."""
    return True


@dataclass(frozen=True)
class Edit:
    """A change of an NFO: its content before (None: it does not exist) and after."""

    path: str
    old: bytes | None
    new: bytes


@dataclass(frozen=True)
class Wanted:
    """The tags that a film's NFO shall have, and those that it shall not have unless it is among these."""

    tags: Sequence[str]
    retracted: Sequence[str] = ()


class Folders:
    """A cache of folder listings."""

    def __init__(self) -> None:
        self._names: dict[str, Set[str]] = {}

    def __call__(self, folder: str) -> Set[str]:
        """
        Raises:
            OSError: the folder may not be listed.
        """
        if folder not in self._names:
            if len(self._names) >= MOST_FOLDERS:
                self._names.clear()
            remote = storage.is_remote(folder)
            names = map(storage.base_name, storage.list_folder(folder)) if remote else os.listdir(folder)
            self._names[folder] = set(names)
        return self._names[folder]

    def forget(self, path: str) -> None:
        """Drop the listing of a file's folder, since the file was created."""
        self._names.pop(os.path.dirname(path), None)


def write(results: Results, out: str | None, options: Options) -> Written:
    """Put each film's tags into every NFO of it, or, where `out` is given, an NFO a film into that folder.

    Tags are added, and removed only where `retract` asks for it: who wrote one cannot be told. Idempotent. `files`
    are those that have changed; of a dry run those that would.

    Raises:
        OSError: the folder may not be written to.
        OutputError: a table cannot be read.
        UserError: tags shall be retracted, and the results do not say which the model knows.
    """
    written, folders = Written(), Folders()
    retracted = vocabulary_of(results) if options.retract else ()
    untagged = without = extras = unchanged = 0
    for film, name in in_folder(results):
        wanted = Wanted([tag.tag for tag in listed_tags(film, options)], retracted)
        untagged += not wanted.tags
        if not wanted.tags and not retracted:
            continue
        if out is None:
            edits = list(_beside(film, wanted, options.create, folders))
        else:
            edits = list(_elsewhere(film, wanted, storage.join(out, f"{name}.nfo"), folders))
        if wanted.tags and not edits:
            without, extras = without + (not options.create), extras + options.create
        for edit in edits:
            if isinstance(edit, Edit) and edit.old == edit.new:
                unchanged += 1
            else:
                _do(edit, film, options.dry_run, written, folders)
    written.notes += _notes(without, extras, unchanged, untagged)
    return written


def _notes(without: int, extras: int, unchanged: int, untagged: int) -> Iterator[str]:
    if unchanged:
        yield f"{number(unchanged, 'NFO has', 'NFO have')} all that is to be written"
    if extras:
        yield f"{number(extras, 'trailer or the like', 'trailers and the like')} without an NFO, and none is made"
    if without:
        yield (
            f"{number(without, 'film')} without an NFO, and none was made, since a new one can stop a media server "
            "from looking the film up; --create makes them"
        )
    if untagged:
        yield f"{number(untagged, 'film')} without a tag that is sure enough: nothing to write"


def _do(edit: Edit | LeftOut, film: Film, dry_run: bool, written: Written, folders: Folders) -> None:
    if isinstance(edit, LeftOut):
        written.left_out.append((film.title, edit.reason))
        return
    try:
        (check if dry_run else apply)(edit)
    except OSError as error:
        written.left_out.append((film.title, _left(edit.path, error)))
        return
    if edit.old is None:
        folders.forget(edit.path)
    written.files.append(edit.path)


def check(edit: Edit) -> None:
    """Whether a change could be written, as far as that can be told without writing; of remote files it is not asked.

    Raises:
        OSError: it could not.
    """
    if not storage.is_remote(edit.path):
        in_place.check_create(edit.path) if edit.old is None else in_place.check_rewrite(edit.path)


def apply(edit: Edit) -> None:
    """Write a change to the file.

    Raises:
        OSError: it may not be written, and is as it was.
    """
    if storage.is_remote(edit.path):
        storage.write_bytes(edit.path, edit.new)
    elif edit.old is None:
        in_place.create(edit.path, edit.new)
    else:
        in_place.rewrite(edit.path, edit.old, edit.new)


def _beside(film: Film, wanted: Wanted, create: bool, folders: Folders) -> Iterator[Edit | LeftOut]:
    """Changes of every NFO of the film; none where it has none, unless `create`, and never of a trailer."""
    try:
        place = _place(film, folders)
    except (FilmError, OSError) as error:
        yield LeftOut(f"{storage.plainly(error)}; nothing was written for it")
        return
    for path in place.files:
        try:
            old = read(path)
            yield Edit(path, old, merge(old, wanted.tags, wanted.retracted))
        except (FilmError, OSError) as error:
            yield LeftOut(_left(path, error))
    if create and wanted.tags and not place.files and not place.is_extra:
        yield Edit(place.new, None, new_nfo(wanted.tags, place.root, _title(film)))


def _elsewhere(film: Film, wanted: Wanted, path: str, folders: Folders) -> Iterator[Edit | LeftOut]:
    """A change of the file at `path`: it is merged into, or starts as a copy of the film's own NFO, or is new."""
    try:
        place = _place(film, folders)
    except (FilmError, OSError):  # the film may be gone
        place = Place((), path)
    there = storage.exists(path)
    source = path if there else next(iter(place.files), None)
    if source is None and not wanted.tags:
        return
    try:
        old = read(source) if source else new_nfo((), place.root, _title(film))
        yield Edit(path, old if there else None, merge(old, wanted.tags, wanted.retracted))
    except (FilmError, OSError) as error:
        yield LeftOut(_left(source or path, error))


def _place(film: Film, folders: Folders) -> Place:
    uri = film_address(film)
    gone = f"{uri} is not there any more; --output DIR2 writes its NFO elsewhere"
    try:
        if storage.base_name(uri) not in folders(os.path.dirname(uri)):
            raise NfoError(gone)
    except FileNotFoundError as error:
        raise NfoError(gone) from error
    return place_of(uri, folders)


def vocabulary_of(results: Results) -> Sequence[str]:
    """Every tag that the model of the last run knows.

    Raises:
        UserError: the results do not say.
    """
    known = ((results.run or {}).get("model") or {}).get("vocabulary")
    if not known:
        raise UserError(f"{results.folder}: run.json does not say which tags its model knows, as --retract must know")
    return list(known)


def read(path: str) -> bytes:
    """An NFO.

    Raises:
        OSError: it may not be read, or is no regular file.
    """
    return storage.read_bytes(path) if storage.is_remote(path) else in_place.read(path)


def _left(path: str, error: Exception) -> str:
    return f"{path}: {storage.plainly(error)}; left as it is"


def _title(film: Film) -> str:
    """The title for a new NFO: what a catalogue gave; empty where that is but the file's name."""
    return "" if is_named_by_file(film) else film.title

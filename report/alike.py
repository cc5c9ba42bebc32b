"""Search by features: the key frames of a catalogue that are nearest to one of them, to a picture, or to a `Query`.

Up to EXACT key frames all are compared by their features; beyond, the CANDIDATES whose sketches are nearest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.records import Film
from movie_tags.report import sketches
from movie_tags.report.nearest import largest, products, unit
from movie_tags.report.sketches import Columns, Part
from movie_tags.results.expressions import SearchError
from movie_tags.results.film_tables import Results
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import id_of
from movie_tags.results.reading import OutputError
from movie_tags.results.schema import MANIFEST, from_row
from movie_tags.results.sort import lines_of

EXACT = 200_000
"""Key frames of a catalogue in which nothing but the features themselves decides."""
CANDIDATES = 500
"""Key frames whose features are compared in a larger one, or ten times as many as are wanted."""
MORE = 20
"""Key frames beyond those wanted that are compared once more, in double precision: copies score alike then."""


@dataclass(frozen=True)
class FoundShot:
    """A shot that was found by its key frame.

    Attributes:
        id, uri, title: of the film.
        duration_s: of the film, seconds.
        time_s: when the key frame is on screen, seconds after the film's first frame.
        start_s, end_s: of the shot.
    """

    id: str
    uri: str
    title: str
    duration_s: float
    time_s: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Alike(FoundShot):
    """A shot whose key frame is like another. Attributes: similarity: the cosine of the features, at most 1."""

    similarity: float


@dataclass(frozen=True)
class Looks:
    """What a picture looks like.

    Attributes:
        features: float32 [F].
        seen_key: how they were seen: those of another key are not to be compared with them.
        itself: the key frame that they are of, a film's id and seconds; None of a picture.
    """

    features: np.ndarray
    seen_key: str
    itself: tuple[str, float] | None = None


@dataclass(frozen=True)
class Query:
    """What key frames are looked through for.

    Attributes:
        directions: float32 [F, K], with which their features, brought to length 1, are multiplied.
        scores: makes of these products, float32 [N, K], scores float [N]; of what is left out -inf.
        seen_key: only features of this key count.
        columns: of the features that count; None: all.
        itself: a key frame that is left out, a film's id and seconds.
    """

    directions: np.ndarray
    scores: Callable[[np.ndarray], np.ndarray]
    seen_key: str
    columns: Columns | None = None
    itself: tuple[str, float] | None = None


@dataclass
class _Opened:
    """A part with those of its rows that count."""

    kept: Part
    counts: np.ndarray = field(repr=False)


class Features:
    """The features of the key frames of the latest snapshot, ready to be compared. Thread-safe."""

    def __init__(self, folder: str, told: Callable[[str], None] = lambda text: None):
        """
        Args:
            folder: of results.
            told: is told what takes its time.

        Raises:
            SearchError: no features are kept in it.
            OutputError: it cannot be read.
        """
        self.results, self.told = ResultsFolder(folder), told
        self._said = False
        self._parts: dict[str, Part] = {}
        self._films: dict[str, tuple[str, str]] = {}
        self._view = self.results.latest
        try:
            for line in lines_of([storage.join(self._view, f"{MANIFEST}.jsonl")] if self._view else []):
                row = json.loads(line)
                if row.get("features"):
                    self._films[row["id"]] = row["features"], row.get("seen_key", "")
        except OSError as error:
            raise OutputError(f"{folder}: the manifest cannot be read: {storage.plainly(error)}") from error
        if not self._films:
            raise SearchError(
                f"{folder}: no features of key frames are kept there, by which pictures are compared; tag anew with "
                "`movie-tags tag … --features --force` and a model that tells its features, such as the default one"
            )

    def seen_otherwise(self, seen_key: str) -> int:
        """Films whose features are not to be compared with those of this key."""
        return sum(key != seen_key for _, key in self._films.values())

    def looks_at(self, film: str, time_s: float) -> Looks:
        """What the key frame looks like of the shot in which a time is, or else the nearest in time.

        Args:
            film: its id or any name that `Results.film` knows.
            time_s: seconds after its first frame.

        Raises:
            UserError: there is no such film, it is not so long, or none of its features is kept.
            OutputError: they cannot be read.
        """
        id = film if film in self._films else self._named(film)
        if id not in self._films:
            raise SearchError(f"{film}: its features are not kept; tag it anew with --features --force")
        part, seen_key = self._films[id]
        kept = self._open([part])[part]
        places = np.flatnonzero(kept.rows["film"] == _number(kept, id))
        if not len(places):
            raise SearchError(f"{film}: it has no key frame that was tagged")
        rows = kept.rows[places]
        if time_s > rows["shot_end_s"].max() + 1:
            raise SearchError(f"{film}: ends at {rows['shot_end_s'].max():.0f} s, before {time_s:.0f} s")
        inside = (rows["shot_start_s"] <= time_s) & (time_s < rows["shot_end_s"])
        k = int(np.argmin(np.where(inside, -1.0, np.abs(rows["time_s"] - time_s))))
        with self._reading():
            ((_, vectors),) = kept.vectors(places[k : k + 1])
        return Looks(vectors[0], seen_key, (id, float(rows["time_s"][k])))

    def seen_key_of(self, id: str) -> str:
        """How a film was seen; "" where its features are not kept."""
        return self._films.get(id, ("", ""))[1]

    def films_of(self, seen_key: str) -> set[str]:
        """The ids of the films that were seen so."""
        return {id for id, (_, key) in self._films.items() if key == seen_key}

    def times_of(self, ids: Iterable[str]) -> dict[str, list[float]]:
        """The times of the key frames of films whose features are kept, in seconds, by id, in order.

        Raises:
            OutputError: they cannot be read.
        """
        times = {}
        for part, of_part in self._by_part(ids):
            for id in of_part:
                rows = part.rows[part.rows["film"] == _number(part, id)]
                times[id] = sorted(rows["time_s"].tolist())
        return times

    def vectors_of(self, frames: Collection[tuple[str, float]]) -> dict[tuple[str, float], np.ndarray]:
        """The features, float32 [F], of key frames: ids and seconds; of those that are kept.

        Raises:
            OutputError: they cannot be read.
        """
        found: dict[tuple[str, float], np.ndarray] = {}
        for part, of_part in self._by_part({id for id, _ in frames}):
            numbers = [_number(part, id) for id in of_part]
            places = np.flatnonzero(np.isin(part.rows["film"], numbers))
            keys = [(part.films[row["film"]], float(row["time_s"])) for row in part.rows[places]]
            of_place = {place: key for place, key in zip(places.tolist(), keys, strict=True) if key in frames}
            with self._reading():
                for here, vectors in part.vectors(np.array(list(of_place), int)):
                    found.update(zip((of_place[place] for place in here.tolist()), vectors, strict=True))
        return found

    def _by_part(self, ids: Iterable[str]) -> list[tuple[Part, list[str]]]:
        """The parts of some films, each with those that are in it."""
        wanted: dict[str, list[str]] = {}
        for id in ids:
            if id in self._films:
                wanted.setdefault(self._films[id][0], []).append(id)
        opened = self._open(wanted)
        return [(opened[part], of_part) for part, of_part in wanted.items()]

    def _named(self, film: str) -> str:
        with Results(self.results.address) as results:
            return results.film(film).id

    def nearest(self, looks: Looks, limit: int) -> list[Alike]:
        """The key frames that look most like it, the nearest first; itself is left out.

        Raises:
            OutputError: features cannot be read.
        """
        direction = unit(looks.features[None]).T
        query = Query(direction, lambda cosines: cosines[:, 0], looks.seen_key, itself=looks.itself)
        return [Alike(**vars(shot), similarity=score) for score, shot in self.best(query, limit)]

    def best(self, query: Query, limit: int) -> list[tuple[float, FoundShot]]:
        """The key frames with the highest scores, the highest first, with their scores.

        Raises:
            OutputError: features cannot be read.
        """
        opened = self._opened(query)
        exact = sum(int(one.counts.sum()) for one in opened) <= EXACT
        count = limit + MORE if exact else max(CANDIDATES, 10 * limit)
        with self._reading(), ThreadPoolExecutor(cores()) as threads:
            chosen = self._candidates(opened, query, count, exact, threads)
            pieces = list(threads.map(_compared, opened, chosen, repeat(query)))
        found = sorted((row for part in pieces for row in part), key=lambda row: (-row[0], row[1:3]))[:limit]
        films = self._rows({row[1] for row in found})
        return [
            (score, FoundShot(id, film.uri, film.title or id, film.duration_s, time_s, start_s, end_s))
            for score, id, time_s, start_s, end_s in found
            if (film := films.get(id)) is not None
        ]

    def _opened(self, query: Query) -> list[_Opened]:
        """The parts that may be looked through, with their rows that count."""
        wanted: dict[str, set[str]] = {}
        for id, (part, seen_key) in self._films.items():
            if seen_key == query.seen_key:
                wanted.setdefault(part, set()).add(id)
        opened = []
        for part, kept in self._open(wanted).items():
            counts = np.array([id in wanted[part] for id in kept.films], bool)[kept.rows["film"]]
            if query.itself and query.itself[0] in wanted[part]:
                own = kept.rows["film"] == _number(kept, query.itself[0])
                counts &= ~(own & (kept.rows["time_s"] == query.itself[1]))
            opened.append(_Opened(kept, counts))
        return opened

    def _open(self, parts: Iterable[str]) -> Mapping[str, Part]:
        """Some parts."""
        address = self.results.address
        parts = sorted(parts)
        missing = [part for part in parts if part not in self._parts]
        if any(not sketches.is_kept(address, part) for part in missing):
            self._say()
            sketches.forget(address, {part for part, _ in self._films.values()})
        with self._reading(), ThreadPoolExecutor(cores()) as makers:
            made = makers.map(lambda part: sketches.open_part(address, part), missing)
            self._parts.update(zip(missing, made, strict=True))
        return {part: self._parts[part] for part in parts}

    def _candidates(
        self, opened: list[_Opened], query: Query, count: int, exact: bool, threads: ThreadPoolExecutor
    ) -> list[np.ndarray]:
        """Of each part the rows to compare: all that count, or the so many in all parts that score highest.

        Args:
            exact: by their features, and not by sketches.
        """
        if sum(int(one.counts.sum()) for one in opened) <= count:
            return [np.flatnonzero(one.counts) for one in opened]
        if any(one.kept.lacks(exact, query.columns) for one in opened):
            self._say()
        scores = list(threads.map(_scores, opened, repeat(query), repeat(exact)))
        places = largest(np.concatenate(scores), count)
        ends = np.cumsum([len(one) for one in scores])
        return [
            places[(places >= end - len(one)) & (places < end)] - (end - len(one))
            for end, one in zip(ends, scores, strict=True)
        ]

    def _say(self) -> None:
        if not self._said:
            self.told("key frames that are new are prepared to be found by their looks; the next search is faster")
        self._said = True

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise OutputError(f"{self.results.address}: features cannot be read: {storage.plainly(error)}") from error

    def _rows(self, ids: set[str]) -> dict[str, Film]:
        """The rows of some films: of the others no more than the id is read."""
        lines = lines_of([storage.join(self._view or "", "tags.jsonl")])
        return {id: from_row(Film, json.loads(line)) for line in lines if (id := id_of(line)) in ids}


def _scores(one: _Opened, query: Query, exact: bool) -> np.ndarray:
    """Of a part's rows, float32 [N]; of those that do not count -inf."""
    if not len(one.counts):
        return np.empty(0, np.float32)
    made = one.kept.products(query.directions, query.columns, exact)
    return np.where(one.counts, query.scores(made), np.float32(-np.inf)).astype(np.float32)


def _compared(one: _Opened, places: np.ndarray, query: Query) -> list[tuple]:
    """(score, film, time_s, shot_start_s, shot_end_s) of rows of a part, less those that are left out."""
    found, columns = [], slice(*query.columns or (None,))
    for here, vectors in one.kept.vectors(places):
        # Rounded, so that copies score the same whatever is multiplied beside them.
        scores = query.scores(products(vectors[:, columns], query.directions)).round(9)
        for row, score in zip(one.kept.rows[here], scores, strict=True):
            film, *times = row.item()
            if score > -np.inf:
                found.append((float(score), one.kept.films[film], *times))
    return found


def _number(kept: Part, id: str) -> int:
    """Of a film in its part; -1 where it has no key frame there."""
    return kept.films.index(id) if id in kept.films else -1

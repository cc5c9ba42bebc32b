"""Examples from corrections: what people have said of films, as labels of key frames whose features are kept.

A tag that the model does not know yet has no labels but those people give; key frames of films of which nobody says it
are weak negatives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models.heads import LinearHead
from movie_tags.models.quantised import restore
from movie_tags.records import TITLE_CARD, Entry
from movie_tags.results import features
from movie_tags.results.corrections import APPLIES, Corrections, Held, Verdicts, said_at
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import entry_of
from movie_tags.results.sort import lines_of
from movie_tags.training.heads.adapt import Examples

LEAST_MARKED = 3
"""Key frames that a tag of one's own needs."""
REJECTED_FILM = 0.5
"""What it weighs, over all of a film's key frames that are looked at, that a tag is rejected of the film: as much as so
many key frames, for the film was looked at for its tags and not picture by picture (measured: docs/guide/learn.md)."""
WEAK = 0.3
"""What a key frame weighs as a negative of a tag that nobody says of its film."""
DRAWN_FILMS = 200
"""Films without corrections that are looked at, too: such negatives come from them, and what holds a head."""
OF_FILM, OF_CORRECTED, CORRECTED = 10, 40, 6000
"""Key frames of a film that are taken whatever is said of them: of one without corrections, of one with, and of all
with together; 2 of each at least."""
SUREST = 3
"""Key frames that are taken for what is said of a film as a whole: those on which the tag is the most probable."""
NO_FILM = "it is said of whole films alone; mark key frames that show it"


class LearningError(UserError):
    """There is nothing to learn from, or nothing that can be learned further; the message says what to do."""


@dataclass(frozen=True)
class Corrected:
    """What people have said of key frames.

    Attributes:
        tags: of the model, then those that it does not know yet.
        examples: the key frames; labels as wide as `tags`.
        passed_over: by tag that cannot be learned, why.
        known: how many of `tags` the model knows.
        drawn: bool [N], the key frames that are taken whatever is said of them, evenly spread over their films: by them
            it can be told how often tags are believed. All others are there for what is said of them.
    """

    tags: tuple[str, ...]
    examples: Examples
    passed_over: Mapping[str, str]
    known: int
    drawn: np.ndarray

    def counts(self, tag: int) -> tuple[int, int]:
        """On how many key frames a tag applies, and does not: a film of which it is rejected as a whole is one."""
        labels, weights = self.examples.labels[:, tag], self.examples.weights[:, tag]
        no = (labels == 0) & (weights > 0)
        of_film = no & (weights < 1) & (weights != WEAK)
        return int((labels == 1).sum()), int((no & ~of_film).sum()) + len(np.unique(self.examples.films[of_film]))


def labels_of(
    times: Sequence[float], verdicts: Verdicts, tags: Sequence[str], found: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What people say of a film's key frames.

    As `said_at`; that a tag applies to a film as a whole is taken for said of the most probable key frame of which
    nothing is said, unless others are marked.

    Args:
        times: of the key frames, in seconds.
        verdicts: what holds of the film.
        tags: the labels' order; what is said of others is passed over.
        found: the model's probabilities of the tags that it knows, the first of `tags`: float [key frames, known].
            Without them nothing is taken for said of what is said of the whole film alone.

    Returns:
        Labels and weights, float [key frames, tags] each, as `Examples` has them.
    """
    labels, weights = np.full((len(times), len(tags)), np.nan), np.zeros((len(times), len(tags)))
    place_of = {tag: i for i, tag in enumerate(tags)}
    for row, time in enumerate(times):
        for tag, one in said_at(time, verdicts).items():
            if tag in place_of:
                labels[row, place_of[tag]] = one.verdict == APPLIES
                weights[row, place_of[tag]] = min(1.0, REJECTED_FILM / len(times)) if one.place.of_film else 1.0
    for tag in whole_films(verdicts):
        column = place_of.get(tag, len(tags))
        if found is not None and column < found.shape[1] and not (labels[:, column] == 1).any():
            open_to_it = np.flatnonzero(np.isnan(labels[:, column]))
            row = open_to_it[found[open_to_it, column].argmax()] if len(open_to_it) else []
            labels[row, column], weights[row, column] = 1, 1
    return labels, weights


def whole_films(verdicts: Verdicts) -> list[str]:
    """The tags of which people say that they apply to a film as a whole."""
    return [tag for (tag, place), one in verdicts.items() if place.of_film and one.verdict == APPLIES]


def gather(results: ResultsFolder, vocabulary: Sequence[str], seen_key: str, head: LinearHead) -> Corrected:
    """The examples of a folder of results.

    Args:
        results: the folder.
        vocabulary: the tags of the model.
        seen_key: of what was seen by the model's backbone (`Entry.seen_key`).
        head: of the model.

    Raises:
        LearningError: nobody has said anything that can be learned; the message says why.
        OSError, OutputError: the results cannot be read.
    """
    said = _said(results)
    parts = _parts_of(results, seen_key)
    if not set(said) & set(parts):
        raise LearningError(_nothing_seen(results))
    own = sorted({tag for verdicts in said.values() for tag, _ in verdicts} - {*vocabulary, TITLE_CARD})
    tags = (*vocabulary, *own)
    wanted = [id for id in said if id in parts]
    more = min(OF_CORRECTED, max(2, CORRECTED // len(wanted)))
    number = {**dict.fromkeys(draw(parts, wanted), OF_FILM), **dict.fromkeys(wanted, more)}
    rows = [
        row
        for frames in _frames_of(results, parts, number)
        for id, of_film in frames.items()
        for row in rows_of(id, of_film, said.get(id, {}), tags, head, number[id])
    ]
    if not rows:
        raise LearningError("the films that people have corrected have no key frames to learn from")
    films, vectors, labels, weights, drawn = map(np.array, zip(*rows, strict=True))
    return _learnable(tags, Examples(vectors, labels, weights, films), drawn, said, len(vocabulary))


def _said(results: ResultsFolder) -> dict[str, Verdicts]:
    """By id of a film, what holds of it, where anybody has said anything."""
    held = Held(Corrections(results.address))
    if not held:
        raise LearningError(
            f"{results}: nobody has corrected anything yet; movie-tags review {results} shows a page to do it on"
        )
    said = {film.id: verdicts for film in results.read("tags") if (verdicts := held.of(film.id, film.content))}
    if not said:
        raise LearningError(f"{results}: what people have said there is of films that are no longer among the results")
    return said


def _parts_of(results: ResultsFolder, seen_key: str) -> dict[str, str]:
    """By id, the part that has a film's features, where they are those of the model."""
    entries: Iterable[Entry] = map(entry_of, lines_of([results.manifest] if results.manifest else []))
    return {one.id: one.features for one in entries if one.features and one.seen_key == seen_key}


def _nothing_seen(results: ResultsFolder) -> str:
    if results.parts_with_features():
        return f"{results}: the films that people have corrected were seen by another model; name it by --model"
    return (
        f"{results}: no features of key frames are kept there (movie-tags tag --no-features, or a model that gives "
        "none); tag the films again with --features --force"
    )


def draw(parts: Mapping[str, str], corrected: Collection[str], films: int = DRAWN_FILMS) -> list[str]:
    """Films of which nobody has said anything, drawn by the hash of their ids from as few parts as will do.

    Args:
        parts: by id, the part that has a film's features; a part has films of all kinds.
        corrected: films that are not to be drawn; their parts come first, for they are read anyhow.
        films: how many.
    """
    read = {parts[id] for id in corrected}
    of_part: dict[str, list[str]] = {}
    for id in parts.keys() - set(corrected):
        of_part.setdefault(parts[id], []).append(id)
    order = sorted(of_part, key=lambda part: (part not in read, _hash(part)))
    return [id for part in order for id in sorted(of_part[part], key=_hash)][:films]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


FilmFrames = dict[str, list[tuple[float, bytes]]]
"""By id, a film's key frames: seconds and quantised features."""


def _frames_of(results: ResultsFolder, parts: Mapping[str, str], ids: Collection[str]) -> Iterator[FilmFrames]:
    """A part at a time, for they may be many."""
    of_part: dict[str, set[str]] = {}
    for id in ids:
        of_part.setdefault(parts[id], set()).add(id)
    for part, wanted in sorted(of_part.items()):
        frames: FilmFrames = {}
        for one in features.read(storage.join(results.address, part), wanted):
            frames.setdefault(one.id, []).append((one.time_s, one.features))
        yield {id: sorted(frames[id]) for id in sorted(frames)}


Row = tuple[str, np.ndarray, np.ndarray, np.ndarray, bool]
"""A key frame: its film, features, labels, their weights, and whether it is taken whatever is said of it."""


def rows_of(
    id: str,
    frames: Sequence[tuple[float, bytes]],
    verdicts: Verdicts,
    tags: Sequence[str],
    head: LinearHead,
    number: int,
) -> list[Row]:
    """The key frames of a film that are learned from, with what is said of them.

    Args:
        id: of the film.
        frames: seconds and quantised features of all its key frames, in order.
        verdicts: what people say of it.
        tags: the labels' order, those of the head first.
        head: of the model.
        number: how many are taken whatever is said of them.
    """
    times = [time for time, _ in frames]
    drawn = np.unique(np.linspace(0, len(frames) - 1, min(number, len(frames))).round().astype(int))
    chosen, probable = set(drawn.tolist()), None
    placed = {key: one for key, one in verdicts.items() if not one.place.of_film}
    chosen |= {row for row, time in enumerate(times) if said_at(time, placed)}
    if len(placed) < len(verdicts):
        probable = head(np.stack([restore(data) for _, data in frames]))
        for column in {tags.index(tag) for (tag, place) in verdicts if place.of_film and tag in tags}:
            if column < probable.shape[1]:
                chosen |= set(np.argsort(-probable[:, column], kind="stable")[:SUREST].tolist())
    rows = sorted(chosen)
    labels, weights = labels_of(
        [times[row] for row in rows], verdicts, tags, probable[rows] if probable is not None else None
    )
    taken = np.isin(rows, drawn).tolist()
    return [
        (id, restore(frames[row][1]), *said, by_chance)
        for row, *said, by_chance in zip(rows, labels, weights, taken, strict=True)
    ]


def with_weak_negatives(examples: Examples, tags: Iterable[int], marked: Mapping[int, Collection[str]]) -> Examples:
    """The same, with key frames of other films as weak negatives of tags.

    Args:
        examples: the key frames.
        tags: places of tags that the model does not know yet.
        marked: by place, the films of which the tag is said; nothing is taken for granted of their other key frames.
    """
    labels, weights = examples.labels.copy(), examples.weights.copy()
    for tag in tags:
        rows = np.isnan(labels[:, tag]) & ~np.isin(examples.films, list(marked.get(tag, ())))
        labels[rows, tag], weights[rows, tag] = 0, WEAK
    return replace(examples, labels=labels, weights=weights)


def _learnable(
    tags: tuple[str, ...], examples: Examples, drawn: np.ndarray, said: Mapping[str, Verdicts], known: int
) -> Corrected:
    """What can be learned of what was gathered."""
    place = {tag: i for i, tag in enumerate(tags)}
    marked: dict[int, set[str]] = {}
    for id, verdicts in said.items():
        for (tag, _), one in verdicts.items():
            if one.verdict == APPLIES and tag in place:
                marked.setdefault(place[tag], set()).add(id)
    passed_over = {tags[tag]: why for tag in range(known, len(tags)) if (why := _why_not(tag, examples, marked))}
    passed_over |= {tags[tag]: NO_FILM for tag in marked if tag < known and _only_whole(tag, examples)}
    kept = [tag for tag in range(len(tags)) if tag < known or tags[tag] not in passed_over]
    examples = with_weak_negatives(examples, [tag for tag in kept if tag >= known], marked)
    examples = replace(examples, labels=examples.labels[:, kept], weights=examples.weights[:, kept])
    if not np.isfinite(examples.labels).any():
        reasons = "; ".join(f"{tag}: {why}" for tag, why in passed_over.items())
        raise LearningError(f"nothing that people have said can be learned yet ({reasons})")
    return Corrected(tuple(tags[tag] for tag in kept), examples, passed_over, known, drawn)


def _only_whole(tag: int, examples: Examples) -> bool:
    return not np.isfinite(examples.labels[:, tag]).any()


def _why_not(tag: int, examples: Examples, marked: Mapping[int, Collection[str]]) -> str:
    """Why a tag that the model does not know yet cannot be learned; "" where it can."""
    films = marked.get(tag, ())
    frames = int((examples.labels[:, tag] == 1).sum())
    if not films:
        return "the model does not know it, and nobody says that it applies"
    if not frames:
        return NO_FILM
    if frames < LEAST_MARKED:
        return f"too few key frames are marked with it ({frames} of {LEAST_MARKED})"
    if np.isin(examples.films, list(films)).all() and not (examples.labels[:, tag] == 0).any():
        return "no other film is there to tell it from; reject it on a key frame that does not show it"
    return ""

"""The paper's experiments (section 5): opinions, volunteers' tags against predicted ones, how far volunteers agree."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import krippendorff
import numpy as np
from scipy import stats

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.results.reading import PARQUET, read_parquet, read_row

Suggestions = Mapping[tuple[str, str], frozenset[str]]
"""(trailer, volunteer) -> the tags that the volunteer found in the trailer."""


class TableError(UserError):
    """A table that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Scores:
    """Equations 7a to 7c.

    Attributes:
        precision, recall, f1: in 0 to 1.
        pairs: pairs of a trailer and a volunteer.
    """

    precision: float
    recall: float
    f1: float
    pairs: int


@dataclass(frozen=True)
class Opinion:
    """A mean opinion score: its confidence interval (NaN for a single rating) and the number of ratings."""

    mean: float
    low: float
    high: float
    ratings: int


def against_volunteers(predicted: Mapping[str, frozenset[str]], suggested: Suggestions) -> Scores:
    """Mean precision and recall of the predicted tags over all pairs of trailer and volunteer (equations 7a to 7c).

    The paper divides the sum over its M · N pairs by (MN)², by which 76 % could not come out; a mean divides by MN, and
    that is done here. Where nothing was predicted precision is 0, unless the volunteer found nothing either: then both
    are 1.

    Args:
        predicted: the tags of each trailer.
        suggested: the tags each volunteer found in each trailer they watched.

    Raises:
        KeyError: a trailer has no prediction.
    """
    precisions, recalls = [], []
    for (trailer, _), truth in suggested.items():
        found = predicted[trailer]
        right = len(found & truth)
        empty = float(not found and not truth)
        precisions.append(right / len(found) if found else empty)
        recalls.append(right / len(truth) if truth else float(not found))
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Scores(precision, recall, f1, len(precisions))


def opinion(scores: Sequence[float], confidence: float = 0.95) -> Opinion:
    """Mean opinion score with Student's confidence interval.

    Args:
        scores: ratings, each in the scale's own unit.
        confidence: of the interval, 0 to 1.
    """
    values = np.asarray(scores, float)
    mean = float(values.mean())
    if len(values) < 2:
        return Opinion(mean, float("nan"), float("nan"), len(values))
    error = stats.sem(values)
    low, high = stats.t.interval(confidence, len(values) - 1, mean, error) if error else (mean, mean)
    return Opinion(mean, float(low), float(high), len(values))


def agreement(suggested: Suggestions, vocabulary: Sequence[str]) -> dict[str, float]:
    """How far the volunteers agree.

    Args:
        suggested: the tags each volunteer found in each trailer they watched.
        vocabulary: the tags they could choose from.

    Returns:
        "alpha": Krippendorff's alpha of the decisions "this tag is in this trailer" (1 agreement, 0 chance), NaN where
        nothing varies; "pairwise_f1": the mean F1 of two volunteers' tags over all pairs who watched the same trailer.
    """
    volunteers = sorted({volunteer for _, volunteer in suggested})
    trailers = sorted({trailer for trailer, _ in suggested})
    table = np.full((len(volunteers), len(trailers) * len(vocabulary)), np.nan)
    for (trailer, volunteer), tags in suggested.items():
        at = trailers.index(trailer) * len(vocabulary)
        table[volunteers.index(volunteer), at : at + len(vocabulary)] = [tag in tags for tag in vocabulary]
    by_trailer: dict[str, list[frozenset[str]]] = defaultdict(list)
    for (trailer, _), tags in suggested.items():
        by_trailer[trailer].append(tags)
    f1 = [
        2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0
        for tags in by_trailer.values()
        for a, b in combinations(tags, 2)
    ]
    varied = len(np.unique(table[~np.isnan(table)])) > 1 and f1
    alpha = krippendorff.alpha(table, level_of_measurement="nominal") if varied else float("nan")
    return {
        "alpha": float(alpha),
        "pairwise_f1": float(np.mean(f1)) if f1 else float("nan"),
        "volunteers": len(volunteers),
        "trailers": len(trailers),
    }


def read_suggestions(uri: str) -> dict[tuple[str, str], frozenset[str]]:
    """A CSV `trailer,volunteer,tag`, one tag a line; an empty tag says that the volunteer watched and found nothing.

    Raises:
        TableError: a column or a name is missing.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line, row in _read(uri, ("trailer", "volunteer", "tag")):
        if not row["trailer"] or not row["volunteer"]:
            raise TableError(f"{uri}, line {line}: trailer or volunteer is empty")
        found[row["trailer"], row["volunteer"]].update([row["tag"]] if row["tag"] else [])
    return {pair: frozenset(tags) for pair, tags in found.items()}


def read_ratings(uri: str, scale: float) -> dict[str, list[float]]:
    """A CSV `trailer,volunteer,score`: the scores of each trailer.

    Args:
        uri: the file.
        scale: the best score; the worst is 0.

    Raises:
        TableError: a column is missing, or a score is no number from 0 to `scale`.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for line, row in _read(uri, ("trailer", "volunteer", "score")):
        try:
            score = float(row["score"])
        except ValueError:
            score = float("nan")
        if not 0 <= score <= scale:
            raise TableError(f"{uri}, line {line}: the score {row['score']!r} is no number from 0 to {scale:g}")
        found[row["trailer"]].append(score)
    return dict(found)


def read_predictions(uri: str) -> dict[str, frozenset[str]]:
    """The short lists of a tagging run's tags.jsonl or tags.parquet, by id, title and file name.

    By title and file name only where no other film has them.

    Raises:
        TableError, OutputError: it cannot be read, or holds what is no row.
    """
    found: dict[str, frozenset[str]] = {}
    names: dict[str, list[frozenset[str]]] = defaultdict(list)
    for number, row in enumerate(_rows(uri), 1):
        try:
            tags = frozenset(tag["tag"] for tag in row["short_list"])
            found[row["id"]] = tags
            for name in {row.get("title") or row["id"], row["uri"].rpartition("/")[2]}:
                names[name].append(tags)
        except (KeyError, TypeError, AttributeError) as error:
            raise TableError(f"{uri}, row {number}: not a row of tags.jsonl ({error})") from error
    return {**{name: tags[0] for name, tags in names.items() if len(tags) == 1}, **found}


def _rows(uri: str) -> Iterator[dict]:
    try:
        if uri.endswith(PARQUET):
            yield from read_parquet(uri)
            return
        with storage.plain_errors(), storage.open_stream(uri) as stream:
            for number, line in enumerate(stream, 1):
                yield read_row(line, uri, number)
    except OSError as error:
        raise TableError(f"{uri}: cannot be read: {error}") from error


def _read(uri: str, columns: Sequence[str]):
    try:
        text = storage.read_text(uri)
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{uri}: cannot be read: {error}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise TableError(f"{uri}: has no column {missing[0]!r}; it needs {','.join(columns)}")
    empty = True
    for row in reader:
        empty = False
        yield reader.line_num, {name: (row[name] or "").strip() for name in columns}
    if empty:
        raise TableError(f"{uri}: has no rows")

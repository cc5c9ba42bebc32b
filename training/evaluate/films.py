"""Films judged: the tags that runs kept against those that a person gives, and the confidence learned from it."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from movie_tags import storage
from movie_tags.records import KeyFrame, TagStrength
from movie_tags.results.schema import from_row
from movie_tags.training.evaluate.experiments import TableError
from movie_tags.transforms.strength import (
    CombineStrengths,
    FilmConfidence,
    statistics,
    strengths,
    with_confidence,
)
from movie_tags.transforms.tagging import believed, top_tags

PLAIN, MAY = "tags_that_plainly_apply", "tags_that_may_apply"


@dataclass(frozen=True)
class Truth:
    """The tags that plainly apply to a film, and those that may."""

    plain: frozenset[str]
    may: frozenset[str] = frozenset()


def read_truth(uri: str) -> dict[str, Truth]:
    """The films of a table with the columns file, tags_that_plainly_apply and, if known, tags_that_may_apply.

    Columns are separated by tabs, tags by `;`. Where there is no column of tags that may apply, nothing may.

    Raises:
        TableError: it cannot be read, or lacks a column.
    """
    try:
        reader = csv.DictReader(io.StringIO(storage.read_text(uri)), delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = {"file", PLAIN}.difference(reader.fieldnames or ())
        if missing:
            raise TableError(f"{uri}: has no column {sorted(missing)[0]!r}; it needs file, {PLAIN} (and {MAY})")
        films = {row["file"]: Truth(_tags(row[PLAIN]), _tags(row.get(MAY))) for row in reader if row["file"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{uri}: cannot be read: {error}") from error
    if not films:
        raise TableError(f"{uri}: has no rows")
    return films


def _tags(text: str | None) -> frozenset[str]:
    return frozenset(tag.strip() for tag in (text or "").split(";") if tag.strip())


def match_films(names: Iterable[str], addresses: Iterable[str]) -> dict[str, str]:
    """{name in a table of truth: address in results}: the address that ends in the name, or in its last part.

    Raises:
        TableError: two addresses answer to one name.
    """
    ends: dict[str, list[str]] = defaultdict(list)
    for address in addresses:
        parts = address.replace("\\", "/").split("/")
        for i in range(len(parts)):
            ends["/".join(parts[i:])].append(address)
    found = {}
    for name in names:
        hits = ends.get(name, [])
        if len(hits) > 1:
            raise TableError(f"{name}: is the name of {len(hits)} films of the results, {hits[0]} among them")
        if hits:
            found[name] = hits[0]
    return found


def agreement_with(kept: Mapping[str, frozenset[str]], truth: Mapping[str, Truth]) -> dict[str, float | int | None]:
    """Strict and lenient precision of kept tags, and recall of those that plainly apply, over all films together.

    Args:
        kept: by film.
        truth: of the same films.
    """
    number = sum(map(len, kept.values()))
    right = sum(len(tags & truth[film].plain) for film, tags in kept.items())
    allowed = sum(len(tags & (truth[film].plain | truth[film].may)) for film, tags in kept.items())
    plain = sum(len(truth[film].plain) for film in kept)
    return {
        "films": len(kept),
        "kept": number,
        "strict": right / number if number else None,
        "lenient": allowed / number if number else None,
        "recall": right / plain if plain else None,
        "without_a_tag": sum(not tags for tags in kept.values()),
    }


def judge_films(
    kept: Mapping[str, frozenset[str]], truth: Mapping[str, Truth], draws: int = 1000, seed: int = 0
) -> dict:
    """`agreement_with`, its 90 % bootstrap intervals over films, and each tag's counts."""
    films = sorted(kept)
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(draws if films else 0):
        chosen = [films[i] for i in random.integers(0, len(films), len(films))]
        sample = {f"{n}": kept[film] for n, film in enumerate(chosen)}
        said = agreement_with(sample, {f"{n}": truth[film] for n, film in enumerate(chosen)})
        for name in ("strict", "lenient", "recall"):
            if said[name] is not None:
                drawn[name].append(said[name])
    tags = sorted({tag for film in films for tag in kept[film] | truth[film].plain})
    return {
        **agreement_with(kept, truth),
        "interval_90": {name: [float(v) for v in np.percentile(values, [5, 95])] for name, values in drawn.items()},
        "per_tag": {
            tag: {
                "kept": sum(tag in kept[film] for film in films),
                "right": sum(tag in kept[film] & truth[film].plain for film in films),
                "may": sum(tag in kept[film] & truth[film].may for film in films),
                "plain": sum(tag in truth[film].plain for film in films),
            }
            for tag in tags
        },
    }


def judge_frames(
    probabilities: np.ndarray, applies: np.ndarray, maybe: np.ndarray, vocabulary: Sequence[str], least: int = 5
) -> dict:
    """Average precision of each tag over frames, maybes left out, and how far probabilities can be taken at their word.

    Args:
        probabilities: float [N, tags].
        applies: 1 where a tag plainly applies, [N, tags].
        maybe: bool [N, tags].
        vocabulary: the tags.
        least: the mean is over the tags with so many positive frames.
    """
    average, number = {}, {}
    for i, tag in enumerate(vocabulary):
        known = ~maybe[:, i]
        number[tag] = int(applies[known, i].sum())
        if number[tag]:
            average[tag] = float(average_precision_score(applies[known, i], probabilities[known, i]))
    counted = [tag for tag, n in number.items() if n >= least]
    known = ~maybe
    return {
        "frames": len(probabilities),
        "mean_average_precision": float(np.mean([average[tag] for tag in counted])) if counted else None,
        "tags_counted": len(counted),
        "least_positives": least,
        "per_tag": {tag: {"frames": number[tag], "average_precision": average.get(tag)} for tag in vocabulary},
        "reliability": reliability(probabilities[known], applies[known]),
    }


def reliability(said: np.ndarray, right: np.ndarray, bins: int = 10) -> list[dict[str, float | int]]:
    """How often what was said with some probability is so, by equally wide bins of it: {"said", "right", "number"}.

    Args:
        said: probabilities, float [n].
        right: 1 where it is so, [n].
    """
    which = np.minimum((np.asarray(said) * bins).astype(int), bins - 1)
    return [
        {
            "said": round(float(said[which == b].mean()), 4),
            "right": round(float(right[which == b].mean()), 4),
            "number": int((which == b).sum()),
        }
        for b in sorted(set(which.tolist()))
    ]


def film_tags(
    probabilities: np.ndarray, vocabulary: Sequence[str], thresholds: Sequence[float], top_k: int = 3
) -> tuple[TagStrength, ...]:
    """What the pipeline would say of a film: its key frames' probabilities, float [n, tags] -> tags that count."""
    by_tag = dict(zip(vocabulary, thresholds, strict=True))
    combine = CombineStrengths()
    totals = combine.create_accumulator()
    for row in probabilities:
        seen = top_tags(row, vocabulary, top_k)
        totals = combine.add_input(totals, KeyFrame(0, 0, 1, 0, believed(seen, by_tag), seen))
    return combine.extract_output(totals)


def film_truth(applies: np.ndarray, maybe: np.ndarray, vocabulary: Sequence[str]) -> Truth:
    """The truth of a film of which only frames are labelled: what plainly applies to two of them, or to every fifth.

    Args:
        applies, maybe: of the film's frames, [n, tags].
        vocabulary: the tags.
    """
    plain = applies.sum(0) >= min(2, max(1, 0.2 * len(applies)))
    may = (applies.sum(0) + maybe.sum(0) > 0) & ~plain
    return Truth(*(frozenset(vocabulary[i] for i in np.flatnonzero(part).tolist()) for part in (plain, may)))


Films = Mapping[str, tuple[tuple[TagStrength, ...], int]]
"""By film, all tags that count in it, and its number of key frames."""

OWN_STATEMENTS = 10
"""A tag that counts in so many films has a habit of its own: one that is nearly always said, say, and seldom meant."""


def fit_film_confidence(films: Films, truth: Mapping[str, Truth], least: int = 20) -> FilmConfidence | None:
    """Learn how sure to be of a film's tags; None where fewer than `least` can teach it, or all are right or wrong.

    Args:
        films: what counts by a model that saw nothing of them.
        truth: of the same films.
    """
    said = [(tag.tag, statistics(tag, _top(tags), n), film) for film, (tags, n) in films.items() for tag in tags]
    right = [tag in truth[film].plain for tag, _, film in said]
    if len(said) < least or len(set(right)) < 2:
        return None
    rows = np.array([values for _, values, _ in said])
    counts = Counter(tag for tag, _, _ in said)
    own = sorted(tag for tag, n in counts.items() if n >= OWN_STATEMENTS and n < len(said))
    whose = np.array([[tag == one for one in own] for tag, _, _ in said], float).reshape(len(said), len(own))
    mean, deviation = rows.mean(0), rows.std(0) + 1e-6
    fitted = LogisticRegression(C=0.3, max_iter=2000).fit(np.hstack([(rows - mean) / deviation, whose]), right)
    weights, added = np.split(fitted.coef_[0], [len(mean)])
    weights = weights / deviation
    intercept = float(fitted.intercept_[0] - mean @ weights)
    by_tag = {tag: round(float(number), 5) for tag, number in zip(own, added, strict=True)}
    return FilmConfidence(round(intercept, 5), tuple(round(float(weight), 5) for weight in weights), by_tag)


def sure_by_others(films: Films, truth: Mapping[str, Truth], fold: Mapping[str, int]) -> Films:
    """The films' tags with their confidences, by models that saw nothing of a film's fold."""
    found: dict[str, tuple[tuple[TagStrength, ...], int]] = {}
    for part in sorted(set(fold.values())):
        model = fit_film_confidence({film: v for film, v in films.items() if fold[film] != part}, truth)
        for film in films:
            if fold[film] == part:
                tags, n = films[film]
                found[film] = with_confidence(tags, n, {t.tag: model for t in tags} if model else {}), n
    return {film: found[film] for film in films}


def _top(tags: Iterable[TagStrength]) -> float:
    return max((tag.strength for tag in tags), default=0.0)


def recompute(rows: Iterable[dict]) -> dict[str, dict[str, tuple[float, float]]]:
    """W and R from the rows of key_frames.jsonl alone: {id: {tag: (strength, relative strength)}}."""
    combine = CombineStrengths()
    totals: dict[str, dict] = {}
    for row in rows:
        frame = from_row(KeyFrame, row)
        totals[row["id"]] = combine.add_input(totals.get(row["id"], combine.create_accumulator()), frame)
    return {
        id: {tag.tag: (tag.strength, tag.relative_strength) for tag in strengths(total)} for id, total in totals.items()
    }


def strengths_that_differ(tags: Iterable[dict], key_frames: Iterable[dict], tolerance: float = 1e-6) -> list[str]:
    """The ids of films whose W or R in tags.jsonl is not what key_frames.jsonl gives.

    Args:
        tags, key_frames: the rows of these tables.
        tolerance: the tables keep nine decimals.
    """
    found = recompute(key_frames)
    differ = []
    for row in tags:
        said = {tag["tag"]: (tag["strength"], tag["relative_strength"]) for tag in row["tags"]}
        again = found.get(row["id"], {})
        same = said.keys() == again.keys() and all(
            abs(a - b) <= tolerance for tag in said for a, b in zip(said[tag], again[tag], strict=True)
        )
        if not same:
            differ.append(row["id"])
    return differ

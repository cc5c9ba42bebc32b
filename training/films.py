"""Films judged: the tags that runs kept against those that a person gives, and the confidence learned from it."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from movie_tags import storage
from movie_tags.training.evaluation import TableError
from movie_tags.transforms.strength import (
    STATISTICS,
    CombineStrengths,
    FilmConfidence,
    TagStrength,
    statistics,
    strengths,
)
from movie_tags.transforms.tagging import UNIT, KeyFrameTags, believed, top_tags

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
        totals = combine.add_input(totals, KeyFrameTags(0, 0, 1, 0, believed(seen, by_tag), seen))
    return combine.extract_output(totals)


def film_truth(applies: np.ndarray, maybe: np.ndarray, vocabulary: Sequence[str]) -> Truth:
    """The truth of a film of which only frames are labelled: what plainly applies to two of them, or to every fifth.

    Args:
        applies, maybe: of the film's frames, [n, tags].
        vocabulary: the tags.
    """
    plain = applies.sum(0) >= min(2, max(1, 0.2 * len(applies)))
    may = (applies.sum(0) + maybe.sum(0) > 0) & ~plain
    return Truth(*(frozenset(vocabulary[i] for i in np.flatnonzero(part)) for part in (plain, may)))


def fit_film_confidence(
    films: Mapping[str, tuple[tuple[TagStrength, ...], int]], truth: Mapping[str, Truth], least: int = 20
) -> FilmConfidence | None:
    """Learn how sure to be of a film's tags; None where fewer than `least` can teach it, or all are right or wrong.

    Args:
        films: by film, all tags that count in it (by a model that saw nothing of it) and its number of key frames.
        truth: of the same films.
    """
    rows, right, _ = _statements(films, truth)
    if len(rows) < least or len(set(right.tolist())) < 2:
        return None
    mean, deviation = rows.mean(0), rows.std(0) + 1e-6
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit((rows - mean) / deviation, right)
    weights = fitted.coef_[0] / deviation
    intercept = float(fitted.intercept_[0] - mean @ weights)
    return FilmConfidence(round(intercept, 5), tuple(round(float(weight), 5) for weight in weights))


def confidences_by_fold(
    films: Mapping[str, tuple[tuple[TagStrength, ...], int]], truth: Mapping[str, Truth], fold: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(confidence, whether plainly right, whether it may be) of each tag of each film, by a model without its fold."""
    said, right, may = [], [], []
    for part in sorted(set(fold.values())):
        model = fit_film_confidence({f: v for f, v in films.items() if fold[f] != part}, truth)
        rows, plain, allowed = _statements({f: v for f, v in films.items() if fold[f] == part}, truth)
        if model and len(rows):
            said.append(1 / (1 + np.exp(-(rows @ np.array(model.weights) + model.intercept))))
            right.append(plain)
            may.append(allowed)
    return tuple(np.concatenate(part) if part else np.zeros(0) for part in (said, right, may))


def _statements(films, truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, right, may = [], [], []
    for film, (tags, key_frames) in films.items():
        strongest = max((tag.strength for tag in tags), default=0.0)
        for tag in tags:
            rows.append(statistics(tag, strongest, key_frames))
            right.append(tag.tag in truth[film].plain)
            may.append(tag.tag in truth[film].plain | truth[film].may)
    return np.array(rows).reshape(-1, len(STATISTICS)), np.array(right, float), np.array(may, float)


def recompute(rows: Iterable[dict]) -> dict[str, dict[str, tuple[float, float]]]:
    """W and R from the rows of key_frames.jsonl alone: {id: {tag: (strength, relative strength)}}."""
    combine = CombineStrengths()
    totals: dict[str, dict] = {}
    for row in rows:
        top = tuple((item["tag"], round(item["probability"] * UNIT)) for item in row["top"])
        frame = KeyFrameTags(row["time_s"], row["shot_start_s"], row["shot_end_s"], row["entropy"], top, top)
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
        said = {tag["tag"]: (tag["strength"], tag["relative_strength"]) for tag in row["all_tags"]}
        again = found.get(row["id"], {})
        same = said.keys() == again.keys() and all(
            abs(a - b) <= tolerance for tag in said for a, b in zip(said[tag], again[tag], strict=True)
        )
        if not same:
            differ.append(row["id"])
    return differ

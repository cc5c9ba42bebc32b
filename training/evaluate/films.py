"""Films judged: the tags that runs kept against those that a person gives, and the confidence learned from it."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from movie_tags import storage
from movie_tags.records import KeyFrame, TagStrength
from movie_tags.results.schema import from_row
from movie_tags.training.evaluate.accuracy import share_interval
from movie_tags.training.evaluate.experiments import TableError
from movie_tags.transforms.evidence import BELIEVED, Evidence, FilmConfidence, FilmRule
from movie_tags.transforms.frame_rule import FrameRule, in_millionths
from movie_tags.transforms.strength import strengths, totals_of, with_confidence

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
    """`agreement_with`, its 90 % bootstrap intervals over films, and each tag's counts.

    A tag's "interval" is that of its share of right ones (`share_interval`); None where no film keeps it.
    """
    films = sorted(kept)
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(draws if films else 0):
        chosen = [films[i] for i in random.integers(0, len(films), len(films))]
        sample = {f"{n}": kept[film] for n, film in enumerate(chosen)}
        said = agreement_with(sample, {f"{n}": truth[film] for n, film in enumerate(chosen)})
        for name in ("strict", "lenient", "recall"):
            if (share := said[name]) is not None:
                drawn[name].append(share)
    tags = sorted({tag for film in films for tag in kept[film] | truth[film].plain})
    return {
        **agreement_with(kept, truth),
        "interval_90": {name: [float(v) for v in np.percentile(values, [5, 95])] for name, values in drawn.items()},
        "per_tag": {tag: _counts(tag, kept, truth) for tag in tags},
    }


def _counts(tag: str, kept: Mapping[str, frozenset[str]], truth: Mapping[str, Truth]) -> dict:
    films = [film for film in kept if tag in kept[film]]
    right = sum(tag in truth[film].plain for film in films)
    return {
        "kept": len(films),
        "right": right,
        "interval": list(share_interval(right, len(films))) if films else None,
        "may": sum(tag in truth[film].may for film in films),
        "plain": sum(tag in truth[film].plain for film in kept),
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


def film_tags(probabilities: np.ndarray, rule: FilmRule, top_k: int = 3) -> tuple[TagStrength, ...]:
    """What the pipeline would say of a film: its key frames' probabilities, float [n, tags] -> tags that count."""
    frame_rule = FrameRule(rule.vocabulary, rule.thresholds, top_k)
    key_frames, confidence = rule.judge([frame_rule.tagged(KeyFrame(0, 0, 1), row) for row in probabilities])
    return with_confidence(strengths(totals_of(key_frames)), confidence)


def film_truth(applies: np.ndarray, maybe: np.ndarray, vocabulary: Sequence[str]) -> Truth:
    """The truth of a film of which only frames are labelled: what plainly applies to two of them, or to every fifth.

    Args:
        applies, maybe: of the film's frames, [n, tags].
        vocabulary: the tags.
    """
    plain = applies.sum(0) >= min(2, max(1, 0.2 * len(applies)))
    may = (applies.sum(0) + maybe.sum(0) > 0) & ~plain
    return Truth(*(frozenset(vocabulary[i] for i in np.flatnonzero(part).tolist()) for part in (plain, may)))


TAG_SCALE = 0.3
"""A tag's own offset is learned as a feature so large: the smaller, the more the tags have in common."""

LEAST_PRECISION = 0.4
"""A tag that is not so often right at any confidence has a ceiling …"""

UNLISTED = 0.2
"""… of at most this, with which it is not on the short list unless asked for."""


def evidence_of(probabilities: np.ndarray) -> Evidence:
    """A film's key frames' probabilities, float [n, tags], as evidence."""
    return Evidence.of(in_millionths(probabilities))


def fit_film_confidence(
    films: Mapping[str, Evidence], truth: Mapping[str, Truth], vocabulary: Sequence[str], least: int = 20
) -> FilmConfidence | None:
    """Learn how sure to be of films' tags, by logistic regression on `evidence.STATISTICS` and an offset a tag.

    A maybe counts as not given: what is fitted is how often a person gives a tag.

    Args:
        films: by a model that saw nothing of them.
        truth: of the same films.
        vocabulary: the tags, in the evidence's order.
        least: with fewer films, or all tags right or wrong, the answer is None.
    """
    if len(films) < least:
        return None
    right = np.array([[tag in truth[film].plain for tag in vocabulary] for film in films]).ravel()
    if right.all() or not right.any():
        return None
    rows = np.vstack([evidence.statistics() for evidence in films.values()])
    whose = np.tile(TAG_SCALE * np.eye(len(vocabulary)), (len(films), 1))
    fitted = LogisticRegression(max_iter=3000).fit(np.hstack([rows, whose]), right)
    weights, own = np.split(fitted.coef_[0], [rows.shape[1]])
    by_tag = {tag: round(TAG_SCALE * float(number), 5) for tag, number in zip(vocabulary, own, strict=True)}
    return FilmConfidence(round(float(fitted.intercept_[0]), 5), tuple(round(float(w), 5) for w in weights), by_tag)


def confidence_by_others(
    films: Mapping[str, Evidence], truth: Mapping[str, Truth], fold: Mapping[str, int], vocabulary: Sequence[str]
) -> dict[int, FilmConfidence | None]:
    """By fold, a model that saw no film of it; `fold` may name more films than teach."""
    models = {}
    for part in sorted(set(fold.values())):
        others = {film: evidence for film, evidence in films.items() if fold[film] != part}
        models[part] = fit_film_confidence(others, truth, vocabulary)
    return models


def best_precision(confidence: np.ndarray, right: np.ndarray) -> float:
    """The best share of right ones among the surest so many, as seen through two imagined ones, 0.8 of them right.

    Args:
        confidence: of a tag in films left out, float [films].
        right: whether a person gives it, bool [films].
    """
    if not len(confidence):
        return LEAST_PRECISION
    found = np.cumsum(right[np.argsort(-confidence, kind="stable")])
    return float(((found + 2 * LEAST_PRECISION) / (np.arange(1, len(found) + 1) + 2)).max())


def with_ceilings(
    model: FilmConfidence, said: Mapping[str, Mapping[str, float]], truth: Mapping[str, Truth]
) -> FilmConfidence:
    """The model with the ceilings of tags whose precision reaches LEAST_PRECISION nowhere.

    Args:
        model: of films' tags.
        said: by film, the confidence in each tag, by models that saw nothing of the film.
        truth: of the same films.
    """
    ceilings = {}
    for tag in model.tags:
        films = [film for film in said if said[film].get(tag, 0.0) >= BELIEVED]
        right = np.array([tag in truth[film].plain for film in films], bool)
        best = best_precision(np.array([said[film][tag] for film in films]), right)
        if best < LEAST_PRECISION:
            ceilings[tag] = round(min(UNLISTED, float(right.mean())), 4)
    return replace(model, ceilings=ceilings)


def recompute(rows: Iterable[dict]) -> dict[str, dict[str, tuple[float, float]]]:
    """W and R from the rows of key_frames.jsonl alone: {id: {tag: (strength, relative strength)}}."""
    frames: dict[str, list[KeyFrame]] = defaultdict(list)
    for row in rows:
        frames[row["id"]].append(from_row(KeyFrame, row))
    return {
        id: {tag.tag: (tag.strength, tag.relative_strength) for tag in strengths(totals_of(found))}
        for id, found in frames.items()
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

"""All that is known of a film -> its row, key frames and spans, or its one failure: pure functions on records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from movie_tags.models.bundle import BundleError
from movie_tags.models.ensemble import Ensemble, film_vocabulary
from movie_tags.pipeline.method import Method
from movie_tags.records import Failure, Film, KeyFrameFeatures, TagStrength
from movie_tags.results.features import FEATURES
from movie_tags.results.reading import TABLES
from movie_tags.transforms.evidence import FilmConfidence, FilmRule
from movie_tags.transforms.spans import find_spans
from movie_tags.transforms.strength import short_list, strengths, totals_of, with_confidence

TAGS, KEY_FRAMES, SPANS, ERRORS = TABLES


def film_rule(models: Ensemble, method: Method) -> FilmRule:
    """How films are judged by what bundles say of it.

    Where a probability is given from which tags count (as under the paper's preset), key frames decide alone.

    Raises:
        BundleError: what one says is malformed.
    """
    found: dict[str, FilmConfidence] = {}
    for bundle in models.bundles:
        try:
            model = FilmConfidence.of_card(bundle.card)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{bundle.uri}: 'film_confidence' in model.json is malformed ({error!r})") from error
        if model:
            found |= dict.fromkeys(bundle.vocabulary, model)
    thresholds = dict(zip(models.vocabulary, models.thresholds, strict=True))
    return FilmRule(film_vocabulary(models), thresholds, found, method.min_probability is not None)


Known = Mapping[str, Sequence[Any]]
"""What is known of a film, lists: "films", the Film less its tags; "key_frames", its TaggedFrames; "rejected", counts
of key frames without information; "bad_frames" and "failures", Failures; "warnings", texts."""


def summed_up(known: Known, rule: FilmRule, method: Method) -> dict[str, Sequence[Any]]:
    """A film's records by table, features among them; or its one failure alone, and no row.

    Args:
        known: of the film.
        rule: how it is decided which tags count.
        method: the numbers.
    """
    failure = failure_among(known)
    if failure is not None:
        return {TAGS: [], ERRORS: [failure]}
    tagged = sorted(known["key_frames"], key=lambda one: one.frame.time_s)
    key_frames, confidence = rule.judge(tagged)
    tags = with_confidence(strengths(totals_of(key_frames)), confidence)
    return {
        TAGS: [_film(known, tags, method)],
        ERRORS: sorted(known["bad_frames"]),
        KEY_FRAMES: key_frames,
        SPANS: find_spans(key_frames, method.span_gap, method.min_span),
        FEATURES: [KeyFrameFeatures(one.frame.time_s, one.features) for one in tagged if one.features],
    }


def _film(known: Known, tags: Iterable[TagStrength], method: Method) -> Film:
    """The film with its tags and counts."""
    (film,) = known["films"]
    tags = with_share(tags, film.duration_s)
    return replace(
        film,
        key_frames=len(known["key_frames"]),
        key_frames_rejected=sum(known["rejected"]),
        key_frames_failed=len(known["bad_frames"]),
        short_list=short_list(tags, method.min_relative_strength, method.min_confidence),
        tags=tags,
        warnings=(*film.warnings, *sorted(known["warnings"])),
    )


def with_share(tags: Iterable[TagStrength], duration_s: float) -> tuple[TagStrength, ...]:
    """A film's tags, each with the share of the film in shots that carry it."""
    return tuple(replace(tag, share=min(1.0, tag.seconds / duration_s) if duration_s else 1.0) for tag in tags)


def failure_among(known: Known) -> Failure | None:
    """Why a video has no result, if it has none: the first of its failures, or that something of it was lost.

    Args:
        known: of the film.
    """
    if known["failures"]:
        # What a step said itself explains more than that something is missing.
        return min(known["failures"], key=lambda failure: (failure.stage == "accounting", failure))
    if len(known["films"]) != 1:
        return Failure(
            "accounting", f"{len(known['films'])} results came back where one is due; run again", retryable=True
        )
    counts = [len(known["key_frames"]), sum(known["rejected"]), len(known["bad_frames"])]
    if sum(counts) != known["films"][0].shots:
        reason = "of its {} shots {} were tagged, {} carry too little information and {} failed; run again"
        return Failure("accounting", reason.format(known["films"][0].shots, *counts), retryable=True)
    return None

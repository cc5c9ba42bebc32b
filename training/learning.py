"""Learning from corrections: a bundle's head is refitted and takes new tags on, its backbone stays.

No film and no picture is opened: the examples are kept features (`movie_tags.training.corrected`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import (
    FILES,
    HEAD,
    HEAD_CARD,
    LEARNED,
    MADE_FROM,
    ONNX,
    OUTSIDE,
    TFLITE,
    THRESHOLDS,
    ModelBundle,
    write_card,
    write_vocabulary,
)
from movie_tags.models.clip.text_encoder import copy_models
from movie_tags.models.heads import LinearHead, read_head, sigmoid, write_head
from movie_tags.progress import report_progress
from movie_tags.records import TITLE_CARD
from movie_tags.results.listing import THRESHOLD
from movie_tags.training.corrected import Corrected, LearningError
from movie_tags.training.evaluate.films import LEAST_PRECISION, best_precision
from movie_tags.training.heads.adapt import (
    NEW_PENALTY,
    PENALTY,
    Examples,
    TagChange,
    adapt,
    best_threshold,
    changes,
    extended,
    holding,
    left_out,
    steps_of,
)
from movie_tags.training.heads.multilabel import logit
from movie_tags.training.never_worse import (
    LEAST_FILMS,
    JudgedFilms,
    confidences,
    in_any,
    order_is_worse,
    rows_of_films,
    said_of_films,
)
from movie_tags.training.operating_point import offsets, shares
from movie_tags.transforms.evidence import BELIEVED, Evidence, FilmConfidence
from movie_tags.transforms.frame_rule import in_millionths

FLOOR = 0.1
"""No threshold is set below it."""
CONFIDENCE = "film_confidence"
OF_TRAINING = ("accuracy", "calibration", MADE_FROM, FILES)
"""What of `model.json` is said of the model that was, and does not hold of one that has learned further."""


@dataclass(frozen=True)
class Learned:
    """A head that has learned further.

    Attributes:
        head: as wide as `tags`.
        tags: the vocabulary.
        thresholds: float [tags], from which each is believed on a key frame.
        confidence: how sure the model is of a film's tags; None where it does not say.
        judged: tag by tag, how well films left out are ordered before and after.
        touched: places of the tags of which anything was said.
        known: how many of `tags` the model knew before.
        films: the tags that the model knew of films left out, before and after.
    """

    head: LinearHead
    tags: tuple[str, ...]
    thresholds: np.ndarray
    confidence: FilmConfidence | None
    judged: tuple[TagChange, ...]
    touched: tuple[int, ...]
    known: int
    films: JudgedFilms

    @property
    def mean_average_precision(self) -> tuple[float, float] | None:
        """Before and after, over the judged tags that the model knew; None where none can be judged."""
        pairs = [(one.before, one.after) for one in self.judged if one.tag < self.known]
        return (float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs]))) if pairs else None

    @property
    def worse(self) -> bool:
        """Whether films left out say that the model was better before."""
        return bool(self.worse_at)

    @property
    def worse_at(self) -> tuple[str, ...]:
        """What of "average precision", "precision" and "recall" films left out say to have been better before."""
        known = [one for one in self.judged if one.tag < self.known]
        return (*(("average precision",) if order_is_worse(known) else ()), *self.films.worse)


def head_of(bundle: ModelBundle) -> LinearHead:
    """The head of a bundle that can learn further.

    Raises:
        LearningError: it cannot; the message says why.
        BundleError: it cannot be read.
    """
    if LEARNED in bundle.card:
        origin = bundle.card[LEARNED]["from"]["model"]
        raise LearningError(
            f"{bundle.uri}: has learned from corrections already; name the model that it came from, which learns all "
            f"of them anew: --model {origin}"
        )
    head = read_head(bundle)
    if head is None or bundle.features_fingerprint is None:
        raise LearningError(f"{bundle.uri}: gives no features and has no {HEAD}, so that it cannot learn further")
    if head.activation != "sigmoid" or head.relu:
        raise LearningError(
            f"{bundle.uri}: its head chooses one tag of all ({head.activation}) and cannot learn single tags; "
            "movie-tags train --backbone BUNDLE makes one that can"
        )
    return head


def learn(head: LinearHead, thresholds: Sequence[float], film: FilmConfidence | None, said: Corrected) -> Learned:
    """Refit a head, and decide by it.

    Thresholds of tags that the model knew stay: the head, and what is added to the confidence in a film's tags, are set
    so that they mean what they meant (`operating_point`).

    Args:
        head: of the model.
        thresholds: of its tags.
        film: how sure it is of a film's tags; None where it does not say.
        said: what people say.
    """
    films, of_one = said.examples.films, _of_one_film(said)
    by_frames = steps_of(len(films)) if of_one else 0
    apart = steps_of(len(np.unique(films)))
    report_progress(steps_due=2 + apart + by_frames)
    wide, known = extended(head, len(said.tags)), said.tags[: said.known]
    touched = np.flatnonzero((np.isfinite(said.examples.labels) & (said.examples.weights > 0)).any(0)).tolist()
    of_model = [tag for tag in touched if tag < said.known]
    held = replace(said, examples=holding(wide, said.examples, of_model))
    found = probabilities_left_out(wide, held, of_one)
    own = range(said.known, len(said.tags))
    adapted = adapt(wide, held.examples, penalties(said))
    report_progress(steps=1)
    before, cuts = head(said.examples.features), np.asarray(thresholds, float)
    judged = tuple(changes(wide, said.examples, found, of_one))
    logits, drawn_films = logit(found[:, : said.known]), films[said.drawn]
    spoken = said_of_films(said.examples, known)
    share = _shares(spoken, in_any(drawn_films, (before >= cuts)[said.drawn]))
    of_model = of_model if apart else []  # of a single film none could be left out
    added = offsets(logit(before)[said.drawn], logits[said.drawn], logit(cuts), share, of_model)
    found[:, of_model] = sigmoid(logits + added)[:, of_model]
    bias = adapted.bias + np.append(added, np.zeros(len(own))).astype(np.float32)
    by_tag = dict(zip(known, thresholds, strict=True))
    now = film and _film_again(film, said, spoken, before, found, by_tag, of_model)
    both = ((before, film), (found[:, : said.known], now))
    sure = [confidences(drawn_films, p[said.drawn], known, by_tag, model) for p, model in both]
    report_progress(steps=1)
    return Learned(
        replace(adapted, bias=bias),
        said.tags,
        np.array([*thresholds, *(_own_threshold(tag, said, found) for tag in own)]),
        now,
        judged,
        tuple(touched),
        said.known,
        JudgedFilms(*spoken, *(part >= THRESHOLD for part in sure)),
    )


Spoken = tuple[np.ndarray, np.ndarray]
"""What `said_of_films` gives."""


def _shares(spoken: Spoken, has: np.ndarray) -> np.ndarray:
    """How often each tag is to be believed, of how often it was (`operating_point.shares`).

    Args:
        spoken: which films have it as people say.
        has: which have it by the model, bool [films, tags].
    """
    applies, rejected = spoken
    return shares((applies & has).sum(0), (rejected & has).sum(0))


def _film_again(
    film: FilmConfidence,
    said: Corrected,
    spoken: Spoken,
    before: np.ndarray,
    found: np.ndarray,
    thresholds: Mapping[str, float],
    learned: Sequence[int],
) -> FilmConfidence:
    """How sure to be of a film's tags by what the head says that has learned.

    Args:
        film: by what it said before.
        said, spoken: what people say.
        before, found: probabilities of the examples, before and after.
        thresholds: of the tags that the model knew.
        learned: places of those of them that have learned.
    """
    known, plain = said.tags[: said.known], replace(film, ceilings={})
    films = said.examples.films[said.drawn]
    was, now = (
        confidences(films, part[said.drawn, : said.known], known, thresholds, plain) for part in (before, found)
    )
    of_films = [tag for tag in learned if known[tag] != TITLE_CARD]
    cuts = np.full(len(known), logit(THRESHOLD))
    added = offsets(logit(was), logit(now), cuts, _shares(spoken, was >= THRESHOLD), of_films)
    again = {known[tag]: round(film.tags.get(known[tag], 0.0) + float(added[tag]), 5) for tag in of_films}
    own = {said.tags[tag]: film_offset(film, said.examples, found, tag) for tag in range(said.known, len(said.tags))}
    sure = sigmoid(logit(now) + added)
    shown = {
        known[t] for t in of_films if known[t] in film.ceilings and _is_right(sure[:, t], *(p[:, t] for p in spoken))
    }
    ceilings = {tag: most for tag, most in film.ceilings.items() if tag not in shown}
    return replace(film, tags={**film.tags, **again, **own}, ceilings=ceilings, alone=film.alone | own.keys())


def _is_right(sure: np.ndarray, applies: np.ndarray, rejected: np.ndarray) -> bool:
    """Whether a tag that was kept off the short list, for it was seldom right, is right in films left out now.

    Args:
        sure: how sure the model is of it, float [films].
        applies, rejected: what people say, bool [films].
    """
    judged = (applies | rejected) & (sure >= BELIEVED)
    right = applies[judged]
    return right.sum() >= LEAST_FILMS and best_precision(sure[judged], right) >= LEAST_PRECISION


def penalties(said: Corrected) -> np.ndarray:
    """How strongly each tag is held to its prior, float [tags]."""
    return np.where(np.arange(len(said.tags)) < said.known, PENALTY, NEW_PENALTY)


def probabilities_left_out(head: LinearHead, said: Corrected, of_one: Sequence[int]) -> np.ndarray:
    """Probabilities of examples by heads that did not see them, float32 [N, tags].

    Films are left out whole; of the tags `of_one`, which are marked in one film alone, single key frames.
    """
    examples = said.examples
    found = left_out(head, examples, penalties(said))
    if of_one:
        alone = np.full_like(examples.labels, np.nan)
        alone[:, of_one] = examples.labels[:, of_one]
        apart = replace(examples, labels=alone, films=np.arange(len(examples.films)))
        found[:, of_one] = left_out(head, apart, penalties(said))[:, of_one]
    return found


def _of_one_film(said: Corrected) -> list[int]:
    """The tags of one's own that are marked in one film alone."""
    films, labels = said.examples.films, said.examples.labels
    return [tag for tag in range(said.known, len(said.tags)) if len(np.unique(films[labels[:, tag] == 1])) < 2]


def _own_threshold(tag: int, said: Corrected, found: np.ndarray) -> float:
    """From which probability on a tag is believed that the model did not know."""
    labels = said.examples.labels[:, tag]
    rows = np.isfinite(labels) & (said.examples.weights[:, tag] > 0)
    return max(FLOOR, cut(labels[rows], found[rows, tag]))


def cut(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Where examples are best parted (`best_threshold`), in the middle of the gap below, by log-odds; four decimals."""
    best = best_threshold(labels.tolist(), probabilities)
    below = probabilities[probabilities < best]
    edge = float(below.max()) if len(below) else best / 2
    return round(float(sigmoid((logit(best) + logit(edge)) / 2)), 4)


def film_offset(film: FilmConfidence, examples: Examples, found: np.ndarray, tag: int) -> float:
    """What is added to a new tag's confidence, so that films are best parted at THRESHOLD, that of the short list.

    Of calibrated probabilities, half the F1 that is reached is where F1 is best.

    Args:
        film: the model of films.
        examples, found: key frames, and their probabilities by heads that did not see them.
        tag: its place.
    """
    plain = replace(film, tags={}, ceilings={}, alone=frozenset({""}))
    labels, sure = [], []
    for rows in rows_of_films(examples.films):
        statistics = Evidence.of(in_millionths(found[rows][:, [tag]])).statistics()[0]
        labels.append(float((examples.labels[rows, tag] == 1).any()))
        sure.append(plain.confidence("", statistics))
    return round(float(logit(THRESHOLD) - logit(cut(np.array(labels), np.array(sure)))), 5)


def write_learned(bundle: ModelBundle, model: str, learned: Learned, output: str) -> None:
    """Write a bundle of the same backbone with the head that has learned.

    Its SavedModel is left out, for the head inside it is the former one; a text model comes along.

    Args:
        bundle: the model that was.
        model: what names it to `movie-tags --model`.
        learned: what it has learned.
        output: a folder, local or remote.

    Raises:
        LearningError: the bundle has only a SavedModel.
        OSError: it cannot be written.
    """
    parts = [part for part in (TFLITE, ONNX) if part in bundle.parts]
    if not parts:
        raise LearningError(f"{bundle.uri}: has no {TFLITE}, which a bundle that has learned runs by")
    storage.make_folder(output)
    copy_models(bundle, parts, output)
    write_head(storage.join(output, HEAD), learned.head)
    write_vocabulary(output, learned.tags)
    write_card(output, card_of(bundle, model, learned))


def card_of(bundle: ModelBundle, model: str, learned: Learned) -> dict:
    """What `model.json` says of a bundle that has learned, less its fingerprint."""
    card = {name: value for name, value in bundle.card.items() if name not in OF_TRAINING}
    touched = {learned.tags[tag] for tag in learned.touched}
    if learned.confidence:
        card[CONFIDENCE] = learned.confidence.card()
    if "watch" in card:  # measured with the former head
        card["watch"] = {tag: said for tag, said in card["watch"].items() if tag not in touched}
    judged = {
        learned.tags[one.tag]: {
            "examples": list(one.examples),
            "before": round(one.before, 4),
            "after": round(one.after, 4),
        }
        for one in learned.judged
    }
    return {
        **card,
        "name": f"{bundle.name}, learned further",
        THRESHOLDS: dict(zip(learned.tags, learned.thresholds.tolist(), strict=True)),
        HEAD_CARD: {**learned.head.to_card(), OUTSIDE: True},
        LEARNED: {
            "from": {"model": model, "name": bundle.name, "fingerprint": bundle.fingerprint},
            "touched": sorted(touched),
            "average_precision": judged,
            "left_out": "saved_model: the head inside it is the former one",
        },
    }

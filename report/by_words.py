"""Search by words: the shots whose key frames fit a text, by the embeddings that a run with a CLIP or SigLIP kept.

Words are combined as in a search by tags: what `and` joins is as probable as its least probable part, what `or` joins
as its most probable one; `not` leaves out the key frames of which the words are believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.models.bundle import MODEL_JSON, BundleError
from movie_tags.models.clip.words import Words, load_words
from movie_tags.models.heads import sigmoid
from movie_tags.report.alike import Features, FoundShot, Query
from movie_tags.report.sketches import Columns
from movie_tags.results.expressions import And, Expression, Not, Or, SearchError, Term, parse, terms_of
from movie_tags.results.folder import ResultsFolder


@dataclass(frozen=True)
class Described(FoundShot):
    """A shot whose key frame fits words. Attributes: probability: that it does, as of a tag that these words make."""

    probability: float


@dataclass(frozen=True)
class Embeddings:
    """Which of the features that are kept can be compared with words, and by what model.

    Attributes:
        uri: the bundle's folder.
        card: its `model.json`.
        seen_key: of the features.
        columns: of the features, if those of other models are beside them; None: all.
    """

    uri: str
    card: Mapping
    seen_key: str
    columns: Columns | None

    @property
    def fingerprint(self) -> str:
        """That of the bundle."""
        return str(self.card["fingerprint"])

    def load(self) -> Words:
        """Load the text model. Raises: BundleError: it cannot be used."""
        return load_words(self.uri, self.card, cores())


def embeddings_of(results: ResultsFolder) -> Embeddings:
    """What of a folder of results can be searched by words; no model is loaded for it.

    Raises:
        UserError: nothing can; the message says why, and what to do.
    """
    run = results.last_run
    bundles = run.model.get("bundles", []) if run else []
    knowing = next((place for place, bundle in enumerate(bundles) if bundle.get("knows_words")), None)
    if run is None or knowing is None:
        names = " and ".join(str(bundle["name"]) for bundle in bundles) or "no model"
        raise SearchError(
            f"{results}: was tagged by {names}, to whose features words cannot be compared; import a CLIP or SigLIP "
            "(movie-tags model import --clip FOLDER --output BUNDLE) and tag by it (--model BUNDLE)"
        )
    if not run.seen_key:
        raise SearchError(f"{results}: the last run kept no features, to which words are compared; tag with --features")
    first = sum(bundle["width"] for bundle in bundles[:knowing])
    columns = None if len(bundles) == 1 else (first, first + bundles[knowing]["width"])
    return Embeddings(bundles[knowing]["uri"], _card_of(bundles[knowing]), run.seen_key, columns)


def _card_of(bundle: Mapping) -> dict:
    """The card of a bundle that a run has recorded, which must still be there, and the same."""
    uri = bundle["uri"]
    try:
        card = json.loads(storage.read_text(storage.join(uri, MODEL_JSON)))
        same = card["fingerprint"] == bundle["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{uri}: the model that tagged these results is not there any more, and its words are needed; bring it "
            "back, or import the same pair anew and tag by it, which opens no film"
        ) from error
    if not same:
        raise BundleError(f"{uri}: is not the model that it was at the last run; tag anew by it, then search")
    return card


def find_words(
    features: Features, of: Embeddings, words: Words, text: str, limit: int, least: float | None = None
) -> list[Described]:
    """The shots whose key frames fit words, the most probable first.

    Args:
        features: of the folder of results.
        of: what of them can be compared.
        words: the text model.
        text: words with `and`, `or`, `not` and parentheses, as `expressions.parse` takes them.
        limit: so many at most.
        least: the probability from which words are believed: less probable shots are not found, and `not` leaves out
            from it on; None: all are found, and `not` goes by `Words.threshold`.

    Raises:
        SearchError: the text cannot be understood, or says only what is not wanted.
        UserError: features or words cannot be read.
    """
    expression = parse(text)
    texts = texts_of(expression)
    head = words.head({one: (one,) for one in texts})
    threshold = words.threshold if least is None else least
    with np.errstate(divide="ignore"):
        believed = float(np.log(threshold) - np.log1p(-threshold))

    def scores(products: np.ndarray) -> np.ndarray:
        logits = dict(zip(texts, (products + head.bias).T, strict=True))
        found = np.where(allowed(expression, logits, believed), amount(expression, logits, believed), -np.inf)
        return np.fmax(found, -np.inf)  # what holds by a `not` alone is not found

    found = features.best(Query(head.kernel, scores, of.seen_key, of.columns), limit)
    kept = [(score, shot) for score, shot in found if least is None or score >= believed]
    probabilities = sigmoid(np.array([score for score, _ in kept])).tolist()
    return [Described(**vars(shot), probability=p) for (_, shot), p in zip(kept, probabilities, strict=True)]


def texts_of(expression: Expression) -> list[str]:
    """The texts in an expression, each once.

    Raises:
        SearchError: one is empty, or nothing is wanted but that something is not there.
    """
    texts = list(dict.fromkeys(term.text for term in terms_of(expression)))
    if not all(texts):
        raise SearchError("there is nothing between two quotes; write words there")
    if not _wanted(expression):
        raise SearchError("only what is not wanted is said; name something to look for, too, such as 'street -night'")
    return texts


def _wanted(expression: Expression) -> bool:
    match expression:
        case Term():
            return True
        case Not():
            return False
        case And(parts) | Or(parts):
            return any(map(_wanted, parts))


Logits = Mapping[str, np.ndarray]
"""By text, of each picture the logit of its probability, float [N]."""


def believes(expression: Expression, logits: Logits, threshold: float) -> np.ndarray:
    """Of which pictures an expression is believed, bool [N]: each of its texts from the threshold, a logit, on."""
    match expression:
        case Term(text):
            return logits[text] >= threshold
        case Not(of):
            return ~believes(of, logits, threshold)
        case And(parts):
            return np.all([believes(part, logits, threshold) for part in parts], 0)
        case Or(parts):
            return np.any([believes(part, logits, threshold) for part in parts], 0)


def allowed(expression: Expression, logits: Logits, threshold: float) -> np.ndarray:
    """Which pictures `not` leaves in, bool [N]; what is wanted leaves out none."""
    match expression:
        case Term(text):
            return np.ones(len(logits[text]), bool)
        case Not(of):
            return ~believes(of, logits, threshold)
        case And(parts):
            return np.all([allowed(part, logits, threshold) for part in parts], 0)
        case Or(parts):
            return np.any([allowed(part, logits, threshold) for part in parts], 0)


def amount(expression: Expression, logits: Logits, threshold: float) -> np.ndarray:
    """How much an expression holds of each picture, a logit, float [N]; nan where nothing but `not` makes it hold."""
    match expression:
        case Term(text):
            return logits[text]
        case Not():
            return np.full(len(next(iter(logits.values()))), np.nan)
        case And(parts):  # fmin and fmax pass over nan
            return np.fmin.reduce([amount(part, logits, threshold) for part in parts])
        case Or(parts):
            held = [
                np.where(allowed(part, logits, threshold), amount(part, logits, threshold), np.nan) for part in parts
            ]
            return np.fmax.reduce(held)

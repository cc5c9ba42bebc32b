"""A bundle of a pair of models and a vocabulary of prompts: any word as a tag (`movie_tags.models.clip.words`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import (
    FEATURES_FINGERPRINT,
    HEAD,
    HEAD_CARD,
    ONNX,
    TEXT_CARD,
    THRESHOLDS,
    VIEWS,
    BundleError,
    views_card,
    write_card,
    write_vocabulary,
)
from movie_tags.models.clip.drawing import drawn_pictures
from movie_tags.models.clip.hub_folder import CLIP, SIGLIP, HubFolder, read_hub_folder
from movie_tags.models.clip.prompts import Prompts
from movie_tags.models.clip.text_encoder import (
    AGREEMENT,
    TEXT_MODEL,
    TOKENIZER,
    TextEncoder,
    embedding_output,
)
from movie_tags.models.clip.thresholds import best_thresholds
from movie_tags.models.clip.words import DEFAULT_THRESHOLDS, words_of
from movie_tags.models.heads import LinearHead, write_head
from movie_tags.models.runtimes.onnx_model import (
    CARD_KEY,
    Preprocessing,
    check_takes_pictures,
    embed,
    open_session,
    open_session_at,
    preprocess,
)
from movie_tags.models.views import lay_out

VISION_OUTPUTS = ("image_embeds", "embedding", "pooler_output")
CLIP_SCALE = 100.0
"""Of CLIP where no file says it: what its training is limited to, and what published ones reached."""


@dataclass(frozen=True)
class Agreement:
    """How the two models of a pair go together.

    Attributes:
        scale, bias: of the cosine of a picture and a text.
        nearest: of the drawn pictures, how many are nearest to their own words.
        drawn: how many there are.
    """

    scale: float
    bias: float
    nearest: int
    drawn: int


def import_pair(
    folder: str,
    prompts: Prompts,
    output: str,
    name: str,
    thresholds: Mapping[str, float] | None = None,
    scale: float | None = None,
    bias: float | None = None,
    examples: Sequence[tuple[str, np.ndarray]] = (),
) -> Agreement:
    """Make a bundle of a pair of models, once both have answered and fit together.

    Args:
        folder: the pair as the hubs lay it out, local or remote.
        prompts: of the tags, in the order of the vocabulary.
        output: the bundle, local or remote.
        name: what it calls itself.
        thresholds: by tag; DEFAULT_THRESHOLDS where there are none.
        scale, bias: of the cosine, where no file of the folder says them.
        examples: (tag, picture uint8 RGB [H, W, 3]), from which thresholds are chosen where none are given.

    Raises:
        BundleError: the folder is not such a pair.
        OSError: the bundle cannot be written.
    """
    hub = read_hub_folder(folder)
    vision, text, tokenizer = (_read(path) for path in (hub.vision, hub.text, hub.tokenizer))
    session = open_session(vision, hub.vision)
    preprocessing = _checked_preprocessing(session, hub)
    encoder = TextEncoder(tokenizer, open_session(text, hub.text), hub.settings, hub.text)
    agreement = agree(session, preprocessing, encoder, hub, scale, bias)
    words = words_of(encoder, hub.family, agreement.scale, agreement.bias)
    head = words.head(prompts)
    storage.make_folder(output)
    for file, data in ((ONNX, vision), (TEXT_MODEL, text), (TOKENIZER, tokenizer)):
        storage.write_bytes(storage.join(output, file), data)
    write_head(storage.join(output, HEAD), head)
    write_vocabulary(output, prompts)
    given = thresholds or _thresholds(session, preprocessing, head, hub, list(prompts), examples)
    said = {AGREEMENT: {**asdict(agreement), **words.to_card()}, THRESHOLDS: dict(given)}
    write_card(output, _card(hub, preprocessing, head, prompts, vision, name) | said)
    return agreement


def _thresholds(
    session: Any,
    preprocessing: Preprocessing,
    head: LinearHead,
    hub: HubFolder,
    vocabulary: Sequence[str],
    examples: Sequence[tuple[str, np.ndarray]],
) -> dict[str, float]:
    default = DEFAULT_THRESHOLDS[hub.family]
    if not examples:
        return dict.fromkeys(vocabulary, default)
    rows = [embed(session, lay_out(pixels, [hub.view]), preprocessing) for _, pixels in examples]
    return best_thresholds(head(np.concatenate(rows)), [tag for tag, _ in examples], vocabulary, default)


def _card(
    hub: HubFolder,
    preprocessing: Preprocessing,
    head: LinearHead,
    prompts: Prompts,
    vision: bytes,
    name: str,
) -> dict:
    seen = {"weights": hashlib.sha256(vision).hexdigest(), CARD_KEY: preprocessing.to_card(), "view": repr(hub.view)}
    return {
        "name": name,
        "backbone": {CLIP: "CLIP", SIGLIP: "SigLIP"}[hub.family],
        "input_size": list(hub.view.size),
        VIEWS: views_card([hub.view]),
        CARD_KEY: preprocessing.to_card(),
        HEAD_CARD: head.to_card(),
        FEATURES_FINGERPRINT: hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest(),
        TEXT_CARD: asdict(hub.settings),
        "prompts": {tag: list(texts) for tag, texts in prompts.items()},
    }


def _checked_preprocessing(session: Any, hub: HubFolder) -> Preprocessing:
    """The preprocessing with the name of the embedding, once the image model takes pictures of that size."""
    check_takes_pictures(session, hub.vision)
    side = hub.preprocessing.crop
    size = (side, side) if side else hub.view.size
    taken = tuple(session.get_inputs()[0].shape[2:])
    if any(isinstance(its, int) and its != ours for its, ours in zip(taken, size, strict=True)):
        raise BundleError(
            f"{hub.vision}: takes pictures of {taken[1]} x {taken[0]}, but the preprocessor's configuration makes them "
            f"{size[1]} x {size[0]}; they do not belong together"
        )
    return replace(hub.preprocessing, embedding=embedding_output(session, VISION_OUTPUTS, hub.vision))


def agree(
    session: Any,
    preprocessing: Preprocessing,
    encoder: TextEncoder,
    hub: HubFolder,
    scale: float | None = None,
    bias: float | None = None,
) -> Agreement:
    """Try the pair on drawn pictures and their words, and find the scale of its agreement.

    Raises:
        BundleError: the two do not fit together, or nothing says the scale.
    """
    words, pictures = zip(*drawn_pictures().items(), strict=True)
    canvases = [lay_out(pixels, [hub.view]) for pixels in pictures]
    try:
        seen = np.concatenate([embed(session, canvas, preprocessing) for canvas in canvases])
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise BundleError(f"{hub.vision}: does not run ({str(error).splitlines()[0][:200]})") from error
    read = encoder(words)
    if seen.shape[1] != read.shape[1]:
        raise BundleError(
            f"{hub.vision} gives {seen.shape[1]} numbers and {hub.text} {read.shape[1]}: they are no pair, or were "
            "exported without the projection"
        )
    cosines = seen @ read.T
    nearest = int((cosines.argmax(1) == np.arange(len(words))).sum())
    known = hub.scale if scale is None else scale, hub.bias if bias is None else bias
    found = _scale_of(hub, known, cosines, canvases, preprocessing, encoder, words)
    return Agreement(*found, nearest, len(words))


def _scale_of(
    hub: HubFolder,
    known: tuple[float | None, float | None],
    cosines: np.ndarray,
    canvases: Sequence[np.ndarray],
    preprocessing: Preprocessing,
    encoder: TextEncoder,
    words: Sequence[str],
) -> tuple[float, float]:
    """Scale and bias: as given, or as the joint model has them, or CLIP's usual ones."""
    scale, bias = known
    if scale is not None and (bias is not None or hub.family == CLIP):
        return scale, bias or 0.0
    if hub.joint:
        return _scale_of_joint(hub, cosines, canvases, preprocessing, encoder, words)
    if hub.family == CLIP:
        return CLIP_SCALE, 0.0
    raise BundleError(
        f"{hub.text}: nothing says SigLIP's scale and bias; give --logit-scale and --logit-bias, as the model's "
        "parameters have them (the scale as exp(logit_scale)), or bring the joint export onnx/model.onnx"
    )


def _scale_of_joint(
    hub: HubFolder,
    cosines: np.ndarray,
    canvases: Sequence[np.ndarray],
    preprocessing: Preprocessing,
    encoder: TextEncoder,
    words: Sequence[str],
) -> tuple[float, float]:
    joint = str(hub.joint)
    try:
        session = open_session_at(joint, joint)
    except OSError as error:
        raise BundleError(f"{joint}: cannot be read ({storage.plainly(error)})") from error
    tokens, mask = encoder.tokens(words)
    pixels = np.concatenate([preprocess(canvas, preprocessing) for canvas in canvases])
    given = {"input_ids": tokens, "attention_mask": mask, "pixel_values": pixels}
    taken = {part.name for part in session.get_inputs()}
    try:
        (logits,) = session.run(["logits_per_image"], {name: given[name] for name in taken})
    except Exception as error:  # ONNX Runtime's errors have no class in common; KeyError of an unknown input
        raise BundleError(f"{hub.joint}: does not run ({str(error).splitlines()[0][:200]})") from error
    scale, bias = np.polyfit(cosines.ravel().astype(float), logits.ravel().astype(float), 1)
    if np.abs(cosines * scale + bias - logits).max() > 0.01 * max(1.0, abs(scale)):
        raise BundleError(f"{hub.joint}: says other than {hub.vision} and {hub.text} do; they do not belong together")
    return float(scale), float(bias) if hub.family == SIGLIP else 0.0


def _read(path: str) -> bytes:
    try:
        return storage.read_bytes(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({storage.plainly(error)})") from error

"""A pair of models as the model hubs lay it out: what its texts say, read and checked before anything is run.

Known layouts: of transformers and transformers.js (`config.json`, `preprocessor_config.json`, `tokenizer.json`,
`onnx/vision_model.onnx`, `onnx/text_model.onnx`), and of OpenCLIP's exports (`visual/model.onnx`, `textual/model.onnx`,
`visual/preprocess_cfg.json`, `textual/tokenizer.json`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from movie_tags import storage
from movie_tags.models.bundle import BundleError
from movie_tags.models.runtimes.onnx_model import Preprocessing
from movie_tags.models.views import View

CLIP, SIGLIP = "clip", "siglip"
CONTEXT = {CLIP: 77, SIGLIP: 64}
"""Tokens of a text, where the configuration does not say."""

VISION_MODELS = ("onnx/vision_model.onnx", "vision_model.onnx", "visual/model.onnx", "image/model.onnx")
TEXT_MODELS = ("onnx/text_model.onnx", "text_model.onnx", "textual/model.onnx", "text/model.onnx")
JOINT_MODELS = ("onnx/model.onnx", "model.onnx")
TOKENIZERS = ("tokenizer.json", "textual/tokenizer.json", "text/tokenizer.json")
TOKENIZER_CONFIGS = ("tokenizer_config.json", "textual/tokenizer_config.json", "text/tokenizer_config.json")
PREPROCESSORS = ("preprocessor_config.json", "visual/preprocess_cfg.json")
META = ("export_meta.json",)


@dataclass(frozen=True)
class TextSettings:
    """How texts become tokens.

    Attributes:
        context: tokens of a text, padded or cut to it.
        pad_token: what is behind a shorter text; SigLIP reads it.
        lower: whether texts are brought to small letters first.
    """

    context: int
    pad_token: str
    lower: bool


@dataclass(frozen=True)
class HubFolder:
    """What a folder holds.

    Attributes:
        family: CLIP or SIGLIP.
        vision, text, tokenizer: the addresses of these files.
        joint: that of the two models as one, which knows the scale of their agreement; None where it is not there.
        settings: of texts.
        preprocessing: of pictures; its `embedding` is still to be found.
        view: what of a picture is looked at.
        scale, bias: of the cosine, where a file says them.
    """

    family: str
    vision: str
    text: str
    tokenizer: str
    joint: str | None
    settings: TextSettings
    preprocessing: Preprocessing
    view: View
    scale: float | None
    bias: float | None


def read_hub_folder(folder: str) -> HubFolder:
    """Read and check a folder's texts.

    Raises:
        BundleError: a file is missing, or says nothing usable.
    """
    config = _json(folder, ("config.json", "open_clip_config.json"))
    config = config.get("model_cfg", config)
    family = family_of(config, folder)
    tokenizer = _needed(folder, TOKENIZERS, "the tokenizer")
    preprocessor = _json(folder, PREPROCESSORS)
    try:
        view, preprocessing = preprocessing_of_hub(preprocessor)
        settings = text_settings(config, _json(folder, TOKENIZER_CONFIGS, {}), _json(folder, TOKENIZERS), family)
        meta = {**config, **_json(folder, META, {})}
        scale, bias = (float(meta[name]) if name in meta else None for name in ("logit_scale", "logit_bias"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleError(f"{folder}: its configuration cannot be used ({type(error).__name__}: {error})") from error
    return HubFolder(
        family,
        _needed(folder, VISION_MODELS, "the image model"),
        _needed(folder, TEXT_MODELS, "the text model"),
        tokenizer,
        _first(folder, JOINT_MODELS),
        settings,
        preprocessing,
        view,
        scale,
        bias,
    )


def family_of(config: dict, folder: str) -> str:
    """CLIP or SIGLIP, by the model's configuration.

    Raises:
        BundleError: it is neither.
    """
    kind = str(config.get("model_type", "")).lower()
    if "siglip" in kind or "init_logit_bias" in config:
        return SIGLIP
    if "clip" in kind or {"embed_dim", "text_cfg"} <= config.keys():
        return CLIP
    raise BundleError(f"{folder}: config.json is of a {kind or 'model without model_type'}, neither CLIP nor SigLIP")


def preprocessing_of_hub(said: dict) -> tuple[View, Preprocessing]:
    """What is looked at of a picture, and how its pixels are preprocessed.

    Pictures are squeezed by averaging areas, not by the bicubic filter that the file may name.

    Args:
        said: preprocessor_config.json of transformers, or preprocess_cfg.json of OpenCLIP.

    Raises:
        KeyError, TypeError, ValueError: it says too little.
    """
    mean, deviation = said.get("image_mean", said.get("mean")), said.get("image_std", said.get("std"))
    if not said.get("do_normalize", True) or mean is None or deviation is None:
        mean, deviation = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    scale = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
    if not all(deviation):
        raise ValueError("a standard deviation of a channel is 0")
    view, crop = _view(said)
    return view, Preprocessing("nchw", "rgb", scale, _three(mean), _three(deviation), crop)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _view(said: dict) -> tuple[View, int | None]:
    """The view, and the side of the square in its middle that is shown, if that is smaller."""
    size = said["size"]
    if isinstance(size, dict) and "height" in size and not said.get("do_center_crop", False):
        return View("whole", (int(size["height"]), int(size["width"]))), None
    if isinstance(size, Sequence):
        height, width = (int(side) for side in size)
        squashed = said.get("resize_mode") == "squash"
        return View("whole" if squashed else "middle", (height, width)), None
    side = (
        int(size["shortest_edge"] if "shortest_edge" in size else size["height"])
        if isinstance(size, dict)
        else int(size)
    )
    crop = said.get("crop_size", side)
    crop = int(crop["height"] if isinstance(crop, dict) else crop) if said.get("do_center_crop", True) else side
    return View("middle", (side, side)), crop if crop < side else None


def text_settings(config: dict, tokenizer_config: dict, tokenizer: dict, family: str) -> TextSettings:
    """How texts become tokens.

    Args:
        config: config.json; tokenizer_config: tokenizer_config.json; tokenizer: tokenizer.json.
        family: CLIP or SIGLIP.

    Raises:
        KeyError, ValueError: nothing says what texts are padded with.
    """
    padding = tokenizer.get("padding") or {}
    pad = padding.get("pad_token") or tokenizer_config.get("pad_token")
    pad = pad["content"] if isinstance(pad, dict) else pad
    if not pad:
        raise ValueError("neither tokenizer.json nor tokenizer_config.json says the token that pads texts")
    text = config.get("text_config", config.get("text_cfg", {}))
    context = text.get("max_position_embeddings", text.get("context_length", CONTEXT[family]))
    return TextSettings(int(context), str(pad), bool(tokenizer_config.get("do_lower_case", False)))


def _first(folder: str, names: Sequence[str]) -> str | None:
    paths = (storage.join(folder, *name.split("/")) for name in names)
    return next((path for path in paths if storage.exists(path)), None)


def _needed(folder: str, names: Sequence[str], what: str) -> str:
    path = _first(folder, names)
    if path is None:
        raise BundleError(f"{folder}: {what} is missing; it is looked for as {' or '.join(names)}")
    return path


def _json(folder: str, names: Sequence[str], default: dict | None = None) -> dict:
    path = _first(folder, names)
    if path is None and default is not None:
        return default
    path = path or _needed(folder, names, "a configuration")
    try:
        said = json.loads(storage.read_text(path))
        if not isinstance(said, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as JSON ({error})") from error
    return said

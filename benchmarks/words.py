"""A CLIP of ViT-B/32's size, and `movie-tags search --words` over 2 million key frames: time, memory, what is found.

    python benchmarks/words.py [--films N] [--parts N] [--keep DIR] [--recall N] [--model-only]

The pair's weights are random numbers, in the sizes of OpenAI's ViT-B/32 (its tokenizer alone is smaller): they cost
what trained ones do. Key frames are embeddings in a cone, as CLIP's are; those of the first parts are generated, others
are copies of them under other names, which cost a search as much. Each command is a process of its own, as a user
starts it; of all the best time and the highest memory are told. Recall: of the ten most probable of all by their
features, how many are among the first ten that sketches find, in the mean of N texts (--films 1000 --parts 10: no
copies).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from like import KEY_FRAMES, best_of, generate, search_again_and_again
from search import measure
from tiny_pairs import Graph, write_pair

from movie_tags.models.bundle import read_bundle
from movie_tags.report import alike
from movie_tags.report.alike import Features
from movie_tags.report.by_words import embeddings_of, find_words
from movie_tags.results.folder import ResultsFolder

LAYERS, SIDE, PATCH, CONTEXT, TOKENS, EMBEDDED = 12, 224, 32, 77, 49408, 512
IMAGE, TEXT = (768, 12), (512, 8)
"""Width and heads of the two transformers."""
PLAIN = 50_000
QUERY = "a lighthouse at dusk and not fog"
TEXTS = (
    "sea",
    "night",
    "a red dress",
    "a crowded street",
    "snow",
    "a dog",
    "fire",
    "a man with a hat",
    "rain",
    "horses",
)


class Tower:
    """A transformer of random weights as nodes of a graph."""

    def __init__(self, width: int, heads: int, seed: int):
        self.graph, self.width, self.heads = Graph(), width, heads
        self.random = np.random.default_rng(seed)

    def weights(self, *shape: int) -> str:
        return self.graph.constant(self.random.standard_normal(shape, np.float32) * np.float32(shape[0] ** -0.5))

    def norm(self, x: str) -> str:
        one, nought = (self.graph.constant(made(self.width)) for made in (np.ones, np.zeros))
        return self.graph.op("LayerNormalization", x, one, nought, axis=-1, epsilon=1e-5)

    def split(self, x: str, perm: list[int]) -> str:
        shape = self.graph.constant([0, -1, self.heads, self.width // self.heads], np.int64)
        return self.graph.op("Transpose", self.graph.op("Reshape", x, shape), perm=perm)

    def block(self, x: str, mask: str | None) -> str:
        op, width = self.graph.op, self.width
        h = self.norm(x)
        q, k, v = (op("MatMul", h, self.weights(width, width)) for _ in range(3))
        scores = op("MatMul", self.split(q, [0, 2, 1, 3]), self.split(k, [0, 2, 3, 1]))
        scores = op("Div", scores, self.graph.constant(np.sqrt(width / self.heads)))
        scores = op("Add", scores, mask) if mask else scores
        seen = op("MatMul", op("Softmax", scores, axis=-1), self.split(v, [0, 2, 1, 3]))
        seen = op("Reshape", op("Transpose", seen, perm=[0, 2, 1, 3]), self.graph.constant([0, -1, width], np.int64))
        x = op("Add", x, op("MatMul", seen, self.weights(width, width)))
        hidden = op("MatMul", self.norm(x), self.weights(width, 4 * width))
        gate = op("Sigmoid", op("Mul", hidden, self.graph.constant(1.702)))
        return op("Add", x, op("MatMul", op("Mul", hidden, gate), self.weights(4 * width, width)))

    def blocks(self, x: str, mask: str | None = None) -> str:
        for _ in range(LAYERS):
            x = self.block(x, mask)
        return self.norm(x)


def write_image_model(path: Path) -> None:
    tower = Tower(*IMAGE, 1)
    graph, (width, _), places = tower.graph, IMAGE, (SIDE // PATCH) ** 2
    kernel = graph.constant(tower.random.standard_normal((width, 3, PATCH, PATCH), np.float32) / (3 * PATCH * PATCH))
    x = graph.op("Conv", "pixel_values", kernel, strides=[PATCH, PATCH])
    x = graph.op("Reshape", x, graph.constant([0, width, places], np.int64))
    x = graph.op("Pad", graph.op("Transpose", x, perm=[0, 2, 1]), graph.constant([0, 1, 0, 0, 0, 0], np.int64))
    x = tower.blocks(tower.norm(graph.op("Add", x, tower.weights(places + 1, width))))
    pooled = graph.op("Gather", x, graph.constant(0, np.int64), axis=1)
    graph.op("MatMul", pooled, tower.weights(width, EMBEDDED), to="image_embeds")
    pixels = ("pixel_values", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    graph.save(path, [pixels], [("image_embeds", TensorProto.FLOAT, ["n", EMBEDDED])])


def write_text_model(path: Path) -> None:
    tower = Tower(*TEXT, 2)
    graph, (width, _) = tower.graph, TEXT
    x = graph.op("Gather", tower.weights(TOKENS, width), "input_ids")
    mask = graph.constant(np.triu(np.full((CONTEXT, CONTEXT), -1e4), 1))
    x = tower.blocks(graph.op("Add", x, tower.weights(CONTEXT, width)), mask)
    hot = graph.op("ArgMax", "input_ids", axis=1, keepdims=0)  # the end has the highest number
    hot = graph.op("OneHot", hot, graph.constant(CONTEXT, np.int64), graph.constant([0, 1]))
    pooled = graph.op("MatMul", graph.op("Unsqueeze", hot, graph.constant([1], np.int64)), x)
    pooled = graph.op("Squeeze", pooled, graph.constant([1], np.int64))
    graph.op("MatMul", pooled, tower.weights(width, EMBEDDED), to="text_embeds")
    tokens = ("input_ids", TensorProto.INT64, ["n", CONTEXT])
    graph.save(path, [tokens], [("text_embeds", TensorProto.FLOAT, ["n", EMBEDDED])])


def write_hub(folder: Path) -> None:
    """A folder as the hubs lay it out."""
    write_pair(folder, "clip")
    write_image_model(folder / "onnx/vision_model.onnx")
    write_text_model(folder / "onnx/text_model.onnx")
    for name, change in {
        "config.json": {"text_config": {"max_position_embeddings": CONTEXT}},
        "preprocessor_config.json": {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}},
    }.items():
        said = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**said, **change}))


IN_A_WORKER = """
import sys, time
import numpy as np
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model
from movie_tags.models.clip.words import load_words

def held(line="VmRSS"):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(one.split()[1]) / 1e3 for one in lines if one.startswith(line))

bundle = read_bundle(sys.argv[2])
before, begun = held(), time.process_time()
if sys.argv[1] == "image":
    model = load_model(bundle)
    pictures = [bundle.fitted(np.full((360, 640, 3), 40 * k, np.uint8))[None] for k in range(6)]
    ask = lambda k: model(pictures[k])
else:
    words = load_words(bundle.uri, bundle.card)
    ask = lambda k: words.encoder([f"a lighthouse at dusk {k}"])
loaded = time.process_time() - begun
ask(0)
begun = time.process_time()
for k in range(1, 6):
    ask(k)
each = (time.process_time() - begun) / 5
print(f"{held() - before:.0f} MB more, at most {held('VmHWM') - before:.0f} MB more while it is loaded; "
      f"{loaded:.2f} s of CPU to load, {1000 * each:.0f} ms of CPU each")
"""


def cone(count: int) -> np.ndarray:
    """Embeddings in a narrow cone with numbers that outweigh others, float32 [count, EMBEDDED], as CLIP's are."""
    random = np.random.default_rng(1)
    middle, spread = random.standard_normal(EMBEDDED), np.exp(random.standard_normal(EMBEDDED) / 2)
    middle[:2] *= 9
    rows = 0.7 * middle + spread * random.standard_normal((count, EMBEDDED))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def say_who_tagged(folder: Path, bundle: str) -> None:
    """Write the run's record into a folder of results."""
    read = read_bundle(bundle)
    names = ("uri", "name", "fingerprint", "width", "knows_words")
    said = {"name": read.name, "fingerprint": read.fingerprint, "bundles": [{n: getattr(read, n) for n in names}]}
    record = {"run_id": "generated", "seen_key": "k", "model": said}
    (folder / "views/1/run.json").write_text(json.dumps(record))


def plain_products(count: int) -> None:
    """The products of as many vectors of floats with two directions: from memory, where all of them would take 4 GB."""
    rows, directions = np.ones((PLAIN, EMBEDDED), np.float32), np.ones((EMBEDDED, 2), np.float32)
    for _ in range(count // PLAIN):
        rows @ directions


def measure_model(bundle: str) -> None:
    for kind in ("image", "text"):
        found = subprocess.run([sys.executable, "-c", IN_A_WORKER, kind, bundle], check=True, capture_output=True)
        print(f"the {kind} model in a process of its own: {found.stdout.decode().strip()}", flush=True)


def measure_search(folder: Path, total: int) -> None:
    command = [sys.executable, "-m", "movie_tags", "search", str(folder), "--words", QUERY, "--json"]
    search_again_and_again(command)
    of, kept = embeddings_of(ResultsFolder(str(folder))), Features(str(folder))
    words = of.load()
    wall, cpu = best_of(lambda: find_words(kept, of, words, QUERY, 50))
    text = best_of(lambda: words.encoder([QUERY, "fog"]))[1]
    plain = best_of(lambda: plain_products(total))[1]
    print(
        f"another in the same process: {wall:.2f} s ({cpu:.2f} s of CPU, of which {text:.2f} s the two texts); "
        f"{(cpu - text) / plain:.2f} times the plain products of as many float vectors"
    )


def recall(folder: Path, texts: int) -> float:
    """Of the ten most probable of all the share that is found by sketches, in the mean of some texts."""
    of, kept, found = embeddings_of(ResultsFolder(str(folder))), Features(str(folder)), []
    words = of.load()
    asked = [f"{TEXTS[k % len(TEXTS)]} {k}" for k in range(texts)]
    for exact in (0, 10**9):
        alike.EXACT = exact
        found.append([{(one.id, one.time_s) for one in find_words(kept, of, words, text, 10)} for text in asked])
    return float(np.mean([len(near & nearest) / 10 for near, nearest in zip(*found, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--parts", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="where all is made once, and found again")
    parser.add_argument("--recall", type=int, default=0, metavar="N", help="texts to judge by [0: none]")
    parser.add_argument("--model-only", action="store_true", help="no catalogue is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = args.keep or Path(scratch)
        hub, bundle, folder = place / "hub", str(place / "bundle"), place / f"words-{args.films}"
        os.environ["MOVIE_TAGS_CACHE"] = str(folder / "cache")
        if not (hub / "onnx/text_model.onnx").exists():
            write_hub(hub)
        if not Path(bundle, "model.json").exists():
            words = ["model", "import", "--clip", str(hub), "--output", bundle]
            wall, cpu, memory, _ = measure([sys.executable, "-m", "movie_tags", *words])
            print(f"import of fifty tags: {wall:.0f} s ({cpu:.0f} s of CPU), {memory:.0f} MB", flush=True)
        for name in ("model.onnx", "text_model.onnx"):
            print(f"{name}: {Path(bundle, name).stat().st_size / 1e6:.0f} MB")
        measure_model(bundle)
        if args.model_only:
            return
        if not (folder / "latest.json").exists():
            generate(folder, args.films, args.parts, cone(4000))
            say_who_tagged(folder, bundle)
        total = KEY_FRAMES * args.films
        print(f"{args.films} films, {total} key frames in {args.parts} parts", flush=True)
        measure_search(folder, total)
        if args.recall:
            print(
                f"recall of the ten most probable by sketches: {recall(folder, args.recall):.3f} of {args.recall} texts"
            )


if __name__ == "__main__":
    main()

"""Search by words: against numpy, with `and`, `or` and `not`, and what cannot be searched."""

import json
import re
import shutil

import numpy as np
import pytest
from feature_folders import write_tagged
from films import picture, write_video
from hypothesis import given
from hypothesis import strategies as st
from tiny_pairs import reference_tokens, unit, write_pair

from movie_tags.errors import UserError
from movie_tags.models.bundle import read_bundle
from movie_tags.models.clip.clip_bundle import import_pair
from movie_tags.models.clip.prompts import NEUTRAL
from movie_tags.models.clip.words import load_words
from movie_tags.models.heads import read_head
from movie_tags.models.quantised import quantise, restore
from movie_tags.pipeline.commands import main
from movie_tags.report import alike
from movie_tags.report.alike import Features
from movie_tags.report.by_words import allowed, amount, embeddings_of, find_words, texts_of
from movie_tags.results import features
from movie_tags.results.expressions import And, Not, Or, SearchError, Term, parse
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import SAID_ANEW

pytest.importorskip("tokenizers")
SCALES = {"clip": (100.0, 0.0), "siglip": (20.0, -3.0)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module", params=["clip", "siglip"])
def pair(request, tmp_path_factory):
    """(the networks in numpy, the bundle made of them)"""
    folder = tmp_path_factory.mktemp(request.param)
    networks, (scale, bias) = write_pair(folder / "hub", request.param), SCALES[request.param]
    import_pair(str(folder / "hub"), {"dress": ("a dress",)}, str(folder / "bundle"), "tiny", scale=scale, bias=bias)
    return networks, read_bundle(str(folder / "bundle"))


def embeddings(seed, films=3, frames=7):
    random = np.random.default_rng(seed)
    return {f"f{n}": unit(random.standard_normal((frames, 8))).astype(np.float32) for n in range(films)}


def logits_of(networks, texts, rows):
    """What the pair says of texts and embeddings, in float64: [rows, texts]."""
    scale, bias = SCALES[networks.family]
    words = [
        networks.word(np.array([reference_tokens(text) for text in some])).mean(0) for some in ([t] for t in texts)
    ]
    logits = scale * rows @ np.stack(words).T + bias
    if networks.family == "clip":
        neutral = unit(networks.word(np.array([reference_tokens(text) for text in NEUTRAL])).mean(0))
        logits -= scale * (rows @ neutral)[:, None]
    return logits


def probabilities(networks, texts, rows):
    return 1 / (1 + np.exp(-logits_of(networks, texts, rows)))


def search(folder, text, limit=99, least=None):
    of = embeddings_of(ResultsFolder(folder))
    return find_words(Features(folder), of, of.load(), text, limit, least)


@pytest.mark.parametrize("exact", [True, False])
def test_probabilities_and_their_order_are_those_of_numpy(pair, tmp_path, monkeypatch, exact):
    networks, bundle = pair
    vectors = embeddings(1)
    if not exact:  # of which as many are candidates as there are
        monkeypatch.setattr(alike, "EXACT", 0)
    found = search(write_tagged(tmp_path, [bundle], vectors), "A lighthouse at dusk")
    rows = unit(np.concatenate([[restore(quantise(row)) for row in part] for part in vectors.values()]).astype(float))
    logits = logits_of(networks, ["a lighthouse at dusk"], rows)[:, 0]
    expected = 1 / (1 + np.exp(-logits))
    places = [(id, 4.0 * k + 1) for id, part in vectors.items() for k in range(len(part))]
    assert [(one.id, one.time_s) for one in found] == [
        places[k] for k in np.argsort(-logits)
    ]  # also where probabilities are all but 1
    assert [one.probability for one in found] == pytest.approx(sorted(expected, reverse=True), abs=1e-5)
    assert np.ptp(expected) > 0.1 and found[0].start_s == found[0].time_s - 1 and found[0].title == found[0].id.upper()


def test_several_words_with_and_or_not(pair, tmp_path):
    networks, bundle = pair
    vectors = embeddings(2, 4, 9)
    folder = write_tagged(tmp_path, [bundle], vectors)
    rows = unit(np.concatenate([[restore(quantise(row)) for row in part] for part in vectors.values()]).astype(float))
    sea, dress, night = probabilities(networks, ["the sea", "a red dress", "night"], rows).T
    threshold = {"clip": 0.5, "siglip": 0.1}[networks.family]
    for text, expected in {
        "the sea and a red dress": np.minimum(sea, dress),
        "the sea, a red dress": np.minimum(sea, dress),
        "the sea or a red dress": np.maximum(sea, dress),
        "the sea -night": np.where(night >= threshold, np.nan, sea),
        "the sea and not (night or a red dress)": np.where((night >= threshold) | (dress >= threshold), np.nan, sea),
        "the sea or (a red dress and not night)": np.where(night >= threshold, sea, np.maximum(sea, dress)),
    }.items():
        found = search(folder, text)
        wanted = sorted(expected[~np.isnan(expected)], reverse=True)
        assert [one.probability for one in found] == pytest.approx(wanted, abs=1e-5), text
    assert 0 < np.isnan(np.where(night >= threshold, np.nan, sea)).sum() < len(sea)
    least = float(np.median(sea))
    assert len(search(folder, "the sea", least=least)) == (sea >= least).sum()
    left = len(search(folder, "a red dress -the sea", least=least))
    assert left == ((sea < least) & (dress >= least)).sum()
    assert len(search(folder, '"the sea and a red dress"', 3)) == 3  # in quotes: words as they stand


expressions = st.recursive(
    st.sampled_from("abc").map(Term),
    lambda inner: (
        inner.map(Not)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts)))
    ),
    max_leaves=6,
)


@given(expressions, st.lists(st.floats(-9, 9), min_size=3, max_size=3))
def test_expressions_of_one_picture_are_as_they_are_defined(expression, values):
    logits = dict(zip("abc", values, strict=True))

    def held(e):
        match e:
            case Term(text):
                return logits[text] >= 1
            case Not(of):
                return not held(of)
            case And(parts):
                return all(map(held, parts))
            case Or(parts):
                return any(map(held, parts))

    def wanted(e):
        """How much it holds: None where it does not, nan where a `not` alone makes it hold."""
        match e:
            case Term(text):
                return logits[text]
            case Not(of):
                return None if held(of) else np.nan
            case And(parts) | Or(parts):
                found = [wanted(part) for part in parts]
                if (None in found) if isinstance(e, And) else all(one is None for one in found):
                    return None
                numbers = [one for one in found if one is not None and not np.isnan(one)]
                return (min if isinstance(e, And) else max)(numbers, default=np.nan)

    arrays = {name: np.array([value]) for name, value in logits.items()}
    expected = wanted(expression)
    assert allowed(expression, arrays, 1)[0] == (expected is not None)
    if expected is not None:
        assert amount(expression, arrays, 1)[0] == pytest.approx(expected, nan_ok=True)


def test_what_says_nothing_to_look_for_is_refused():
    assert texts_of(parse("a man and a dog -a man")) == ["a man", "a dog"]
    assert texts_of(parse("(red sea) -night street")) == ["red sea", "night street"]
    for text, said in {
        "-night": "only what is not wanted",
        "not (a or b)": "only what is not wanted",
        "": "it is empty",
        '""': "between two quotes",
        "a and": "cannot be understood",
    }.items():
        with pytest.raises(SearchError, match=re.escape(said)):
            texts_of(parse(text))


def test_features_of_other_models_may_lie_beside(pair, small_bundle, tmp_path):
    """Of two bundles that tagged together, the columns of the one that knows words are compared."""
    networks, bundle = pair
    other, random = read_bundle(small_bundle), np.random.default_rng(5)
    width = sum(other.card["head"]["widths"])
    bare = embeddings(3)
    beside = {id: 50 * random.random((len(rows), width)).astype(np.float32) for id, rows in bare.items()}
    for name, order in (("first", (other, bundle)), ("second", (bundle, other))):
        rows = {id: np.hstack([bare[id], beside[id]][:: -1 if order[0] is other else 1]) for id in bare}
        folder = write_tagged(tmp_path / name, order, rows)
        of = embeddings_of(ResultsFolder(folder))
        assert of.columns == ((width, width + 8) if order[0] is other else (0, 8)) and of.uri == bundle.uri
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(alike, "EXACT", 0)
            found = search(folder, "a red dress")
        assert len(found) == sum(map(len, bare.values()))
        alone = {  # quantised with the others' scale, they are a little off
            (id, 4.0 * k + 1): p
            for id, part in bare.items()
            for k, p in enumerate(probabilities(networks, ["a red dress"], part.astype(float))[:, 0])
        }
        errors = [abs(one.probability - alone[one.id, one.time_s]) for one in found]
        assert np.median(errors) < 0.2


def test_what_cannot_be_searched_by_words_is_said(pair, small_bundle, tmp_path):
    _, bundle = pair
    mine = shutil.copytree(bundle.uri, tmp_path / "mine")
    vectors = embeddings(4)
    write_tagged(tmp_path / "other", [read_bundle(small_bundle)], vectors)
    write_tagged(tmp_path / "unkept", [bundle], vectors, "")
    folder = write_tagged(tmp_path / "results", [read_bundle(str(mine))], vectors)
    assert embeddings_of(ResultsFolder(folder)).columns is None
    for name, said in {
        "other": "to whose features words cannot be compared; import a CLIP or SigLIP",
        "unkept": "the last run kept no features",
        "nothing": "was tagged by no model",
    }.items():
        with pytest.raises(UserError, match=said):
            embeddings_of(ResultsFolder(str(tmp_path / name)))
    card = json.loads((mine / "model.json").read_text())
    (mine / "model.json").write_text(json.dumps({**card, "fingerprint": "0" * 64}))
    with pytest.raises(UserError, match="is not the model that it was at the last run"):
        embeddings_of(ResultsFolder(folder))
    (mine / "model.json").write_text(json.dumps({name: part for name, part in card.items() if name != "agreement"}))
    with pytest.raises(UserError, match="import the pair anew"):
        embeddings_of(ResultsFolder(folder)).load()
    (mine / "text_model.onnx").unlink()
    with pytest.raises(UserError, match="its text model cannot be read"):
        embeddings_of(ResultsFolder(folder)).load()
    shutil.rmtree(mine)
    with pytest.raises(UserError, match=r"is not there any more.*bring it back, or import the same pair anew"):
        embeddings_of(ResultsFolder(folder))


def test_words_are_those_that_made_the_tags(pair):
    _, bundle = pair
    words = load_words(bundle.uri, bundle.card)
    made = words.head({"dress": ("a dress",)})
    assert np.abs(made.kernel - read_head(bundle).kernel).max() < 1e-4 and (made.bias == read_head(bundle).bias).all()
    long = "a lighthouse " * 99
    assert words.encoder.too_long(["a lighthouse", long]) == [long]


def test_a_run_is_searched_by_words_and_by_another_bundle_of_the_same_pair(pair, tmp_path, monkeypatch, capsys):
    """The whole way: tag, search as text, JSON and an editor's list; then with other tags of the same pair."""
    networks, bundle = pair
    films = tmp_path / "films"
    films.mkdir()
    for name, seeds in {"a": (1, 2), "b": (3, 4)}.items():
        write_video(films / f"{name}.mp4", [picture(seed) for seed in seeds for _ in range(50)])
    results = str(tmp_path / "results")
    tag = ["tag", str(films), "--output", results, "--direct_num_workers", "1", "--model"]
    monkeypatch.chdir(bundle.uri)
    assert main([*tag, "../bundle/"]) == 0
    monkeypatch.chdir(tmp_path)  # from anywhere
    capsys.readouterr()
    assert main(["search", results, "--words", "a red dress or the sea", "--limit", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    parts = [f"{results}/{part}" for part in ResultsFolder(results).parts_with_features()]
    seen = unit(np.stack([restore(one.features) for part in parts for one in features.read(part)]).astype(float))
    expected = sorted(probabilities(networks, ["a red dress", "the sea"], seen).max(1), reverse=True)[:3]
    assert [row["probability"] for row in rows] == pytest.approx(expected, abs=1e-5) and len(seen) == 4
    assert rows[0]["end"] in ("00:00:02.000", "00:00:04.000") and "similarity" not in rows[0]
    assert main(["search", results, "--words", "a red dress"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].startswith("probability ") and lines[0].endswith(".mp4")
    assert main(["search", results, "--words", "sea", "--min", "1"]) == 0
    assert "nothing was found" in capsys.readouterr().out
    assert main(["search", results, "--words", "a dress", "--to", "edl", "--output", str(tmp_path / "edl")]) == 0
    assert list((tmp_path / "edl").iterdir())
    capsys.readouterr()
    for words, said in {
        ("war", "--words", "sea"): "give either an expression of tags",
        ("--words", ""): "it is empty",
        ("--words", "sea", "--scenes"): "leave them out with --words",
    }.items():
        assert main(["search", results, *words]) == 2
        assert said in capsys.readouterr().err
    assert main(["search", results, "--words", "lighthouse " * 99]) == 0
    assert "is longer than the model reads (16 tokens)" in capsys.readouterr().err
    hub, (scale, bias) = bundle.uri.replace("bundle", "hub"), SCALES[networks.family]
    import_pair(hub, {"street": ("a street",)}, str(tmp_path / "other"), "other", scale=scale, bias=bias)
    before = search(results, "a red dress")
    assert main([*tag, str(tmp_path / "other")]) == 0
    assert ResultsFolder(results).last_run.due == {SAID_ANEW: 2}
    assert [one.probability for one in search(results, "a red dress")] == [one.probability for one in before]

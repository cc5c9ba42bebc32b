"""The review page's search by words: what it finds, who may ask, and what it says where there are no words."""

import json
from urllib.parse import quote

import numpy as np
import pytest
from feature_folders import write_tagged
from result_folders import small_results
from review_server import Asker, served
from tiny_pairs import unit, write_pair

from movie_tags.models.bundle import BundleError, read_bundle
from movie_tags.models.clip.clip_bundle import import_pair
from movie_tags.report import by_words
from movie_tags.report.alike import Features
from movie_tags.report.by_words import embeddings_of, find_words
from movie_tags.results.folder import ResultsFolder

pytest.importorskip("tokenizers")
ASKED = f"/api/words?q={quote('a red dress -night')}"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of a small CLIP: (the bundle, their folder)"""
    folder = tmp_path_factory.mktemp("words")
    write_pair(folder / "hub", "clip")
    import_pair(str(folder / "hub"), {"dress": ("a dress",)}, str(folder / "bundle"), "tiny")
    random = np.random.default_rng(1)
    vectors = {f"/films/{name}.mp4": unit(random.standard_normal((5, 8))).astype(np.float32) for name in "ab"}
    bundle = read_bundle(str(folder / "bundle"))
    return bundle, write_tagged(folder / "results", [bundle], vectors)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))


def test_words_find_what_the_command_finds_and_their_model_is_loaded_once(results, monkeypatch):
    _, folder = results
    of = embeddings_of(ResultsFolder(folder))
    expected = find_words(Features(folder), of, of.load(), "a red dress -night", 100)
    loaded, load = [], by_words.load_words
    monkeypatch.setattr(by_words, "load_words", lambda *given: loaded.append(given[0]) or load(*given))
    with served(folder) as page:
        asker = Asker(page)
        for _ in range(3):
            status, data, _ = asker.ask(ASKED)
            found = json.loads(data)["scenes"]
            assert status == 200 and 0 < len(found) < 10
        assert [(one["id"], one["start_s"], one["probability"]) for one in found] == [
            (one.id, one.start_s, one.probability) for one in expected
        ]
        assert asker.ask(f"/films/{found[0]['name']}.html")[0] == 200
        status, data, _ = asker.ask("/api/words?q=-night")
        assert status == 400 and "only what is not wanted" in json.loads(data)["error"]
        assert b'value="words"' in asker.ask("/scenes")[1]
    assert len(loaded) == 1


def test_pictures_that_may_show_a_tag_of_ones_own_are_found_by_its_words(results):
    """Before any is marked, whatever signs the tag has; in the order of the search by these words."""
    _, folder = results
    of = embeddings_of(ResultsFolder(folder))
    expected = find_words(Features(folder), of, of.load(), '"a red or dress -night)"', 100)
    with served(folder) as page:
        status, data, _ = Asker(page).ask(f"/api/candidates?tag={quote('a red or dress -night)')}")
    pictures = json.loads(data)["pictures"]
    assert status == 200 and all(one["why"].startswith("fits the words a red or dress -night), ") for one in pictures)
    films = [one.id for one in expected]
    first = [one for i, one in enumerate(expected) if films[:i].count(one.id) < 3]  # few of one film, at first
    assert [(one["title"].lower(), one["time_s"]) for one in pictures[: len(first)]] == [
        (one.id, one.time_s) for one in first
    ]


def test_other_pictures_are_offered_where_words_cannot_be_used(results, monkeypatch):
    monkeypatch.setattr(by_words, "load_words", lambda *given: (_ for _ in ()).throw(BundleError("it is gone")))
    with served(results[1]) as page:
        for tag in ("a dress", '"'):
            status, data, _ = Asker(page).ask(f"/api/candidates?tag={quote(tag)}")
            assert status == 200 and json.loads(data)["pictures"] == []


@pytest.mark.parametrize(
    "headers", [{"Cookie": None}, {"Cookie": "movie-tags-review-1=x"}, {"Host": "evil.example"}, {"Host": None}]
)
def test_no_token_no_words_and_no_other_name(results, headers):
    with served(results[1]) as page:
        asker = Asker(page)
        assert asker.ask(ASKED)[0] == 200
        assert asker.ask(ASKED, **headers)[0] in (400, 403)
        assert asker.ask(ASKED + "&token=wrong", **{**headers, "Cookie": None})[0] in (400, 403)
        assert asker.ask("/api/words", "POST", {"q": "sea"})[0] in (403, 405)


def test_where_there_are_no_words_the_page_has_no_choice_and_where_they_are_gone_says_so(results, tmp_path):
    with served(small_results(tmp_path / "small")) as page:
        asker = Asker(page)
        assert b'value="words"' not in asker.ask("/scenes")[1]
        status, data, _ = asker.ask(ASKED)
        assert status == 400 and "import a CLIP or SigLIP" in json.loads(data)["error"]
    gone = write_tagged(tmp_path / "gone", [results[0]], {"/films/a.mp4": np.eye(8, dtype=np.float32)[:2]})
    said = tmp_path / "gone/views/1/run.json"
    said.write_text(said.read_text().replace(results[0].uri, str(tmp_path / "nowhere")))
    with served(gone) as page:
        asker = Asker(page)
        assert b'value="words"' in asker.ask("/scenes")[1]
        status, data, _ = asker.ask(ASKED)
        assert status == 400 and "is not there any more" in json.loads(data)["error"]

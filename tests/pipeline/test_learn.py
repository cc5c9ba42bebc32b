"""Learning from corrections: what people say is seen in what the model says next, and no film is opened."""

import json
import shutil

import numpy as np
import pytest
from films import picture, write_video
from tiny_pairs import write_pair
from untrained import with_sigmoids

from movie_tags.models.bundle import SAVED_MODEL, read_bundle
from movie_tags.models.clip.clip_bundle import import_pair
from movie_tags.models.loading import load_model
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.method import Method, Work
from movie_tags.pipeline.run import TaggingRun
from movie_tags.results.corrections import Correction, Corrections, Place
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import SAID_ANEW

SHOWN = {"a": (1, 2, 3), "b": (1, 4, 5), "c": (1, 6, 7), "d": (2, 8, 9), "e": (3, 4, 8), "f": (6, 9, 5)}
"""The pictures of each film, by their seeds, two seconds each: the first is what people call Temple."""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for name, seeds in SHOWN.items():
        write_video(folder / f"{name}.mp4", [picture(seed) for seed in seeds for _ in range(50)])
    return folder


@pytest.fixture(scope="module")
def bundle(small_bundle, tmp_path_factory):
    """A backbone with a head that finds Animal on every picture, and nothing else on any."""
    return with_sigmoids(small_bundle, tmp_path_factory.mktemp("sigmoid") / "bundle")


@pytest.fixture(scope="module")
def tagged(films, bundle, tmp_path_factory):
    """Results of the films, to be copied."""
    folder = tmp_path_factory.mktemp("tagged") / "results"
    tag(films, folder, bundle)
    return folder


@pytest.fixture
def results(tagged, tmp_path):
    return shutil.copytree(tagged, tmp_path / "results", symlinks=True)


def tag(films, folder, model, features=True):
    run = TaggingRun(Inputs.of([str(films)]), ResultsFolder(str(folder)), model, Method(), Work(features=features))
    return run.run()


def said_by_model(folder):
    """By film, the tags that the model says of it, without what people say."""
    return {film.title.removesuffix(".mp4"): {tag.tag for tag in film.short_list} for film in ids(folder)}


def sure_of(folder, tag):
    """By film, how sure the model is of a tag, without what people say."""
    return {
        film.title.removesuffix(".mp4"): next(one.confidence for one in film.tags if one.tag == tag)
        for film in ids(folder)
    }


def ids(folder, table="tags"):
    return list(ResultsFolder(str(folder)).read(table))


def correct(folder, *said):
    """Say something: (film, tag, verdict, seconds of a key frame or None of the whole film)."""
    of = {film.title.removesuffix(".mp4"): film.id for film in ids(folder)}
    places = [Place() if time is None else Place(time, time + 2) for *_, time in said]
    rows = zip(said, places, strict=True)
    Corrections(str(folder)).append(Correction(of[f], tag, verdict, place) for (f, tag, verdict, _), place in rows)


def learn(folder, output, *words):
    return main(["learn", str(folder), "--output", str(output), *words])


def test_what_people_say_is_seen_in_what_the_model_says_next(films, bundle, results, tmp_path, capsys):
    before = sure_of(results, "Animal")
    correct(results, *[(film, "Animal", "rejected", time) for film in "abd" for time in (0, 2, 4)])
    correct(results, *[(film, "Temple", "applies", 0) for film in "abc"])
    shutil.move(films / "a.mp4", tmp_path / "a.mp4")  # no film is opened
    assert learn(results, tmp_path / "mine") == 0
    shutil.move(tmp_path / "a.mp4", films / "a.mp4")
    out, err = capsys.readouterr()
    assert "do not trust: fewer than 5 key frames that show Temple" in err
    assert "Temple" in out and "new" in out and f"--model {tmp_path / 'mine'}" in out
    learned = read_bundle(str(tmp_path / "mine"))
    assert learned.vocabulary == (*read_bundle(bundle).vocabulary, "Temple") and SAVED_MODEL not in learned.parts
    assert learned.features_fingerprint == read_bundle(bundle).features_fingerprint
    run = tag(films, results, learned.uri)
    assert run.due == {SAID_ANEW: 6} and not run.counters.get("key_frames_tagged")
    said = said_by_model(results)
    after = sure_of(results, "Animal")
    assert max(after[film] for film in "abd") < min(after[film] for film in "cef") < min(before.values())
    assert {film for film, tags in said.items() if "Temple" in tags} == {"a", "b", "c"}
    shown = np.stack([learned.fitted(picture(1)), learned.fitted(picture(2))])
    temple, other = load_model(learned).describe(shown).probabilities[:, -1]
    assert temple > learned.thresholds[-1] > other


def test_a_worse_model_is_refused(results, tmp_path, capsys):
    # Of the first picture other films teach that it shows the tag; in "a" it does not, and what follows does.
    for tag in ("Food", "War", "Music"):
        correct(results, *((film, tag, "applies", 0) for film in "bc"))
        correct(results, ("a", tag, "rejected", 0), ("a", tag, "applies", 2), ("a", tag, "applies", 4))
    status = learn(results, tmp_path / "mine")
    out = capsys.readouterr().out
    assert status == 1 and "nothing was written" in out and not (tmp_path / "mine").exists(), out
    assert learn(results, tmp_path / "mine", "--json") == 1 and not (tmp_path / "mine").exists()
    refused = json.loads(capsys.readouterr().out)
    assert refused["worse"] and not refused["model"]
    assert learn(results, tmp_path / "mine", "--force", "--json") == 0 and read_bundle(str(tmp_path / "mine"))
    found = json.loads(capsys.readouterr().out)
    assert found == {**refused, "model": str(tmp_path / "mine")}
    for one, tag in zip(found["tags"], ("Food", "War", "Music"), strict=True):
        assert (one["tag"], one["yes"], one["no"], one["word"]) == (tag, 4, 1, "worse")
        assert one["before"] > one["after"]
    assert found["mean"] == pytest.approx(
        [np.mean([one[when] for one in found["tags"]]) for when in ("before", "after")]
    )


def test_there_must_be_something_to_learn_from(films, bundle, small_bundle, results, tmp_path, capsys):
    def complaint(*words):
        assert learn(results, *words) == 2
        return capsys.readouterr().err

    assert "nobody has corrected anything yet" in complaint(tmp_path / "mine")
    correct(results, ("a", "Temple", "applies", 0))
    assert "too few key frames are marked with it (1 of 3)" in complaint(tmp_path / "mine")
    correct(results, ("a", "War", "applies", 4), ("b", "Animal", "rejected", 0))
    assert "chooses one tag of all" in complaint(tmp_path / "mine", "--model", small_bundle)
    assert "holds a model already" in complaint(bundle)
    assert "is the model that learns" in complaint(bundle, "--overwrite")
    for path in (results / "runs").rglob("*.parquet"):
        path.unlink()
    assert "no key frames to learn from" in complaint(tmp_path / "mine")
    assert learn(tmp_path / "nowhere", tmp_path / "mine") == 2


def test_results_without_features_cannot_be_learned_from(films, bundle, tmp_path, capsys):
    tag(films, tmp_path / "results", bundle, features=False)
    correct(tmp_path / "results", ("a", "Animal", "rejected", 0))
    assert learn(tmp_path / "results", tmp_path / "mine") == 2
    assert "no features of key frames are kept there" in capsys.readouterr().err


def test_a_clip_learns_further_and_still_knows_words(films, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tokenizers")
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))
    write_pair(tmp_path / "hub", "clip")
    prompts = {"Animal": ("an animal",), "Food": ("food",)}
    clip = str(tmp_path / "clip")
    import_pair(str(tmp_path / "hub"), prompts, clip, "tiny")
    results = tmp_path / "results"
    tag(films, results, clip)
    correct(results, *[(film, "Temple", "applies", 0) for film in "abc"])
    correct(results, *[(film, "Animal", "rejected", time) for film in "abd" for time in (0, 2, 4)])
    words = ["search", str(results), "--words", "a red dress", "--json"]
    assert main(words) == 0
    before = capsys.readouterr().out
    assert learn(results, tmp_path / "mine", "--force") == 0
    learned = read_bundle(str(tmp_path / "mine"))
    assert learned.vocabulary == (*prompts, "Temple") and learned.knows_words
    run = tag(films, results, learned.uri)
    assert run.due == {SAID_ANEW: 6}
    carried = {(one.id, one.time_s) for one in ids(results, "key_frames") if "Temple" in {tag.tag for tag in one.tags}}
    of = {film.id: film.title for film in ids(results)}
    assert {of[id] for id, _ in carried} == {"a.mp4", "b.mp4", "c.mp4"} and all(time < 2 for _, time in carried)
    capsys.readouterr()
    assert main(words) == 0 and capsys.readouterr().out == before != ""

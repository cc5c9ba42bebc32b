"""The queue of stills to watch for: nothing above its threshold is left out, and what is not known is said."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_folders import RUN, failure, film, frame, jpeg, tag, with_thumbnails, write_tables

from movie_tags.errors import UserError
from movie_tags.pipeline.commands import main
from movie_tags.records import Film, KeyFrame, TagProbability
from movie_tags.report import watch
from movie_tags.report.watch import Queue, Watched, caught, watched
from movie_tags.report.write import write_report

CARD = {"threshold": 0.02, "recall": 0.91, "interval": [0.84, 0.95], "stills_per_hour": 120.0}
MODEL = {"name": "m", "fingerprint": "0", "vocabulary": ["Violence", "War", "Weapon"], "watch": {"Violence": CARD}}
SEEN = {**RUN, "model": MODEL}


def test_words_and_synonyms_name_what_is_watched_for_and_what_the_model_lacks_is_said():
    found = watched(["violence", " gun ", "nudity"], SEEN)
    assert found[0] == Watched("Violence", True, 0.02, 0.91, (0.84, 0.95), 120.0)
    assert found[0].measured == (
        "finds 91 % of such stills of films that it never saw (between 84 % and 95 %), with 120 stills an hour"
    )
    assert found[1] == Watched("Weapon") and "is not known" in found[1].measured
    assert found[2] == Watched("Nudity", False) and "not looked for" in found[2].measured


@pytest.mark.parametrize("words", [["xyzzy"], [""], ["violence", "no such thing"]])
def test_a_word_that_names_nothing_is_refused_with_a_remedy(words):
    with pytest.raises(UserError, match="--watch"):
        watched(words, SEEN)


probabilities = st.dictionaries(st.sampled_from(MODEL["vocabulary"]), st.integers(0, 100).map(lambda n: n / 100))


@given(probabilities, probabilities, st.sampled_from(["picture", "black", "card"]))
def test_a_still_is_caught_from_the_threshold_on(top_k, counting, kind):
    both = counting | top_k
    pairs = [tuple(TagProbability(*item) for item in found.items()) for found in (counting, top_k)]
    frame = KeyFrame(time_s=1.0, shot_start_s=0.0, shot_end_s=2.0, tags=pairs[0], top_k=pairs[1], kind=kind)
    tags = watched(["violence", "weapon"], SEEN)
    right = {
        i: both[one.tag] for i, one in enumerate(tags) if both.get(one.tag, 0) > 0 and both[one.tag] >= one.threshold
    }
    assert dict(caught(tags, frame)) == right


@pytest.mark.parametrize("stills", [0, 1, 4, 5, 8, 9])
def test_pages_hold_every_still_once_and_lead_to_each_other(monkeypatch, stills):
    monkeypatch.setattr(watch, "STILLS", 4)
    queue = Queue(watched(["violence"], SEEN), SEEN)
    frames = [KeyFrame(float(i), float(i), i + 1.0, top_k=(TagProbability("Violence", 0.5),)) for i in range(stills)]
    pages = dict([*queue.add(Film(id="a", duration_s=1800.0), "films/a.html", frames, {1.0: jpeg(1)}), *queue.finish()])
    assert list(pages)[-1] == "watch.html" and len(pages) == max(1, -(-stills // 4))
    found = [time for text in pages.values() for time in re.findall(r"films/a.html#t=([0-9.]+)", text)]
    assert sorted(map(float, found)) == [frame.time_s for frame in frames]
    at, seen = "watch.html", []
    while at:
        seen.append(at)
        at = (re.findall(r'href="(watch[-0-9]*.html)">Next', pages[at]) or [""])[0]
    assert sorted(seen) == sorted(pages)
    assert f"{2 * stills} an hour of film" in pages["watch.html"]


def test_the_command_writes_the_queue_and_takes_an_old_one_away(tmp_path, capsys):
    seen = with_thumbnails(tmp_path, [frame("a", 1.0, {"War": 0.9}), frame("a", 3.0, {"Violence": 0.04})], range(2))
    films = [film("a", [tag("War", 1.0)], key_frames_rejected=2)]
    write_tables(tmp_path, SEEN, tags=films, key_frames=seen, errors=[failure("b", "no video")])
    assert main(["report", str(tmp_path), "--watch", "violence,smoking"]) == 0
    index, watch_page = map(Path, capsys.readouterr().out.splitlines())
    page = watch_page.read_text()
    assert page.count("data:image/jpeg") == 1 and "#t=3.0" in page and "#t=1.0" not in page
    assert "Stills to look at: Violence, Smoking (1)" in index.read_text()
    for unseen in ("sound", "text", "less than a second", "1 film that failed", "2 key frames without information"):
        assert unseen in page
    assert main(["report", str(tmp_path), "--watch", "violense"]) == 2
    assert "did you mean Violence" in capsys.readouterr().err
    write_report(str(tmp_path))
    assert not watch_page.exists() and "Stills to look at" not in index.read_text()

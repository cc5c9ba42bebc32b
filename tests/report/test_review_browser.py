"""The review page in a real browser: a person looks, corrects, undoes, adds, by mouse and by keyboard."""

import json

import numpy as np
import pytest
from browser import all_of, one, opened, said, until, why_not
from feature_folders import write_tagged
from films import picture, write_video
from result_folders import RUN, film, frame, small_results, tag, with_thumbnails, write_tables
from review_server import Asker, name_of, served
from tiny_pairs import write_pair

from movie_tags.models.bundle import read_bundle
from movie_tags.models.clip.clip_bundle import import_pair
from movie_tags.report.review import app, work
from movie_tags.report.review.candidates import Candidate
from movie_tags.results.corrections import Corrections
from movie_tags.results.film_tables import Results

pytestmark = pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
EVIL = '<script>document.title="caught"</script><img src=x onerror=\'document.title="caught"\'>'


@pytest.fixture(scope="module")
def chromium():
    with opened() as driver:
        yield driver


@pytest.fixture
def browser(chromium):
    """The browser; a page that breaks its own policy, or asks anything but itself, fails the test."""
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    yield chromium
    told = [entry["message"] for entry in chromium.get_log("browser")]
    assert [text for text in told if "404" not in text] == []
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("http://127.0.0.1:", "data:", "about:")) for url in asked)


def rows(browser) -> dict[str, str]:
    """Of each tag that is spoken of, what is said of it: applies, rejected, or nothing."""
    pressed = "button[aria-pressed=true]:not(.stretch *)"
    found = {}
    for item in all_of(browser, "#verdicts li"):
        on = item.find_elements("css selector", pressed)
        found[item.get_attribute("data-tag")] = on[0].get_attribute("data-v") if on else ""
    return found


def press(browser, keys: str):
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(keys).perform()


def test_a_person_rejects_adds_and_undoes(browser, tmp_path):
    playable = write_video(tmp_path / "a.mp4", [picture(k // 50) for k in range(200)])
    folder = small_results(tmp_path / "results", str(playable))
    with served(folder) as page:
        browser.get(page.link)
        assert "token" not in browser.current_url
        one(browser, "#films a").click()
        until(browser, lambda: rows(browser) == {"Animal": "", "Food": "", "War": ""})
        said(browser, one(browser, "#verdicts li .verdict[data-v=rejected]").click)
        assert rows(browser)["Animal"] == "rejected" and one(browser, ".lead").text.startswith("Food")
        said(browser, lambda: one(browser, "#add").send_keys("Temple\n"))
        assert one(browser, ".lead").text.startswith("Temple, said by a person")
        said(browser, one(browser, "#undo").click)
        assert one(browser, ".lead").text.startswith("Food")
        one(browser, "#by").clear()
        one(browser, "#by").send_keys("Grace")
        one(browser, "#frames li:nth-child(3) .correct").click()
        assert "0:05" in one(browser, "#review .target").text and rows(browser) == {}
        said(browser, lambda: one(browser, "#add").send_keys("Temple\n"))
        assert rows(browser) == {"Temple": "applies"}
        assert one(browser, "#by").get_attribute("value") == "Grace"
        kept = [(c.tag, c.verdict, c.by, c.place.start_s) for c in Corrections(str(folder))]
        assert kept == [
            ("Animal", "rejected", "Ada", None),
            ("Temple", "applies", "Ada", None),
            ("Temple", "withdrawn", "Ada", None),
            ("Temple", "applies", "Grace", 5.0),
        ]
        browser.get(page.link.partition("?")[0])
        cards = [item.get_attribute("data-tags").split("\n") for item in all_of(browser, "#films li")]
        assert cards[0] == ["Temple", "Food"]
        one(browser, "#frames button, #films a").click()
        one(browser, "#frames li:nth-child(2) .shot").click()
        state = "const v = document.querySelector('video'); return v.currentTime"
        until(browser, lambda: browser.execute_script(state) > 3)
    with Results(str(folder)) as results:
        assert [t.tag for t in results.film(str(playable)).short_list] == ["Temple", "Food"]


def test_the_keyboard_alone_will_do(browser, tmp_path):
    folder = small_results(tmp_path)
    with served(folder) as page:
        browser.get(page.link)
        one(browser, "#films a").click()
        until(browser, lambda: all_of(browser, "#verdicts li"))
        for keys, right in (("jy", "applies"), ("n", "rejected"), ("u", "applies"), ("jy", "")):
            said(browser, lambda keys=keys: press(browser, keys))
            assert rows(browser)["Animal"] == right
        press(browser, "a")
        said(browser, lambda: press(browser, "My own\n"))
        assert rows(browser)["My own"] == "applies"


def test_the_queue_asks_and_goes_on(browser, tmp_path):
    seen = with_thumbnails(tmp_path, [frame(f"/{i}.mp4", 1.0, {"War": 0.5}) for i in range(3)], range(3))
    films = [film(f"/{i}.mp4", [], [tag("War", 0.5, confidence=c)]) for i, c in enumerate((0.05, 0.24, 0.15))]
    write_tables(tmp_path, {**RUN, "method": {"min_confidence": 0.25}}, tags=films, key_frames=seen)
    with served(tmp_path) as page:
        browser.get(page.link)
        browser.get(page.link.partition("?")[0] + "queue")
        asked = [item.get_attribute("data-name")[0] for item in all_of(browser, "#questions li")]
        assert asked == ["1", "2", "0"]
        until(browser, lambda: all(browser.execute_script("return [...document.images].map((i) => i.naturalWidth)")))
        for keys, done in (("y", 1), ("n", 2), ("u", 1)):
            press(browser, keys)
            until(browser, lambda done=done: len(all_of(browser, "#questions .done")) == done)
        assert [(c.film, c.verdict) for c in Corrections(str(tmp_path))] == [
            ("/1.mp4", "applies"),
            ("/2.mp4", "rejected"),
            ("/2.mp4", "withdrawn"),
        ]
        browser.get(page.link.partition("?")[0] + "queue")
        assert [item.get_attribute("data-name")[0] for item in all_of(browser, "#questions li")] == ["2", "0"]


def test_undo_is_of_the_last_thing_said_on_whatever_page(browser, tmp_path):
    folder = small_results(tmp_path)
    with served(folder) as page:
        browser.get(page.link)
        asker, name = Asker(page), name_of(folder)
        browser.get(page.link.partition("?")[0] + "queue")
        item = one(browser, "#questions li")
        tag = item.get_attribute("data-tag")
        pressed = "#questions li [aria-pressed=true]"
        for keys, holds in (("y", "applies"), ("n", "rejected"), ("u", "applies"), ("u", "")):
            browser.execute_script("arguments[0].focus()", item)
            press(browser, keys)
            until(
                browser,
                lambda holds=holds: (
                    [b.get_attribute("data-v") for b in all_of(browser, pressed)] == [holds][: bool(holds)]
                ),
            )
        assert tag and "done" not in item.get_attribute("class")
        press(browser, "u")
        until(browser, lambda: one(browser, "#said").text == "there is nothing to undo")
        browser.get_log("browser")  # that a request was refused
        asker.say({"name": name, "tag": "Temple", "verdict": "applies", "start_s": 5.0, "end_s": 5.0})
        press(browser, "u")
        until(browser, lambda: one(browser, "#said").text == "undone: Temple in a.mp4 at 0:05")
        asker.say({"name": name, "tag": "Temple", "verdict": "applies"})
        browser.get(page.link.partition("?")[0] + f"films/{name_of(folder, 'c.mp4')}.html")
        until(browser, lambda: all_of(browser, "#verdicts li"))
        press(browser, "u")
        until(browser, lambda: one(browser, "#said").text == "undone: Temple in a.mp4")


def prints(tmp_path, monkeypatch, found, status=0, then="true"):
    """What the page starts prints an object, does something, and ends."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat << 'END'\n{json.dumps(found)}\nEND\n{then}\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setattr(work.sys, "executable", str(program))


@pytest.fixture
def learning(browser, tmp_path):
    """The page Learn, of a folder of results with a model that has learned."""
    folder = small_results(tmp_path / "results")
    (folder / "models" / "mine").mkdir(parents=True)
    (folder / "models" / "mine" / "model.json").write_text("{}")
    with served(folder) as page:
        browser.get(page.link)
        browser.get(page.link.partition("?")[0] + "learn")
        until(browser, lambda: all_of(browser, "#models button"))
        yield folder


def test_pictures_are_undone_on_learn(browser, learning, monkeypatch):
    offered = [Candidate("/films/a.mp4", time_s, "why") for time_s in (1.0, 3.0)]
    monkeypatch.setattr(app, "candidates", lambda *_: offered.copy())
    monkeypatch.setattr(app.Review, "_features_of", lambda *_: None)
    one(browser, "#tag").send_keys("Temple\n")
    until(browser, lambda: len(all_of(browser, "#pictures li")) == 2)

    def holds():
        return [
            [b.get_attribute("data-v") for b in item.find_elements("css selector", "[aria-pressed=true]")]
            for item in all_of(browser, "#pictures li")
        ]

    for keys, pressed in (("y", [["applies"], []]), ("kn", [["rejected"], []]), ("u", [["applies"], []])):
        press(browser, keys)
        until(browser, lambda pressed=pressed: holds() == pressed)
    offered.pop(0)
    one(browser, "#more").click()
    until(browser, lambda: len(all_of(browser, "#pictures li")) == 1)
    one(browser, "#undo").click()
    until(browser, lambda: one(browser, "#said").text == "undone: Temple in a.mp4 at 0:01")
    assert [c.verdict for c in Corrections(str(learning))] == ["applies", "rejected", "applies", "withdrawn"]


def test_scenes_are_found_as_one_types(browser, tmp_path):
    folder = small_results(tmp_path)
    with served(folder) as page:
        browser.get(page.link)
        browser.get(page.link.partition("?")[0] + "scenes")
        one(browser, "#q").send_keys("animal food")
        until(browser, lambda: [e.text for e in all_of(browser, "#scenes td:nth-child(2)")] == ["0:00 to 0:02"])
        assert one(browser, "#scenes a").get_attribute("href").endswith(".html#t=0")
        one(browser, "#q").send_keys("zzz")
        until(browser, lambda: "did you mean" in one(browser, "#told").text)
        browser.get_log("browser")  # that a request was refused


def test_shots_are_found_by_words(browser, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))
    write_pair(tmp_path / "hub", "clip")
    import_pair(str(tmp_path / "hub"), {"dress": ("a dress",)}, str(tmp_path / "bundle"), "tiny")
    vectors = {"/films/a.mp4": np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)}
    folder = write_tagged(tmp_path / "results", [read_bundle(str(tmp_path / "bundle"))], vectors)
    with served(folder) as page:
        browser.get(page.link)
        browser.get(page.link.partition("?")[0] + "scenes")
        assert one(browser, "#q").accessible_name == "Tags that meet in a scene"
        assert one(browser, "#by").accessible_name == "Search by" and one(browser, "#by legend").size["width"] < 9
        one(browser, "#by [value=words]").click()
        assert one(browser, "#q").accessible_name == "Any words that a shot fits"
        one(browser, "#q").send_keys("a red dress")
        until(browser, lambda: one(browser, "#told").text == "5 scenes")
        times = [cell.text for cell in all_of(browser, "#scenes td:nth-child(2)")]
        assert sorted(times)[:2] == ["0:00 to 0:02", "0:04 to 0:06"]
        assert all(cell.text.endswith("% probable") for cell in all_of(browser, "#scenes td:nth-child(3)"))
        browser.get("about:blank")
        browser.get(page.link.partition("?")[0] + "scenes#words=a%20red%20dress")  # as it stands in the address
        until(browser, lambda: [cell.text for cell in all_of(browser, "#scenes td:nth-child(2)")] == times)
        assert one(browser, "#q").accessible_name == "Any words that a shot fits"
        one(browser, "#by [value=tags]").click()
        assert one(browser, "#q").accessible_name == "Tags that meet in a scene"
        until(browser, lambda: "no tag" in one(browser, "#told").text)
        browser.get_log("browser")  # that a request was refused


def test_why_a_model_is_refused_is_said_and_a_press_writes_it(browser, learning, tmp_path, monkeypatch):
    films = {"right": [8, 5], "wrong": [2, 3], "missed": [1, 1]}
    war = {"tag": "War", "yes": 9, "no": 7, "before": 0.5, "after": 0.625, "word": "better", "films": films}
    own = {"tag": "Temple", "yes": 4, "no": 0, "before": None, "after": None, "word": "new", "films": None}
    found = {"tags": [war, own], "mean": [0.5, 0.625], "precision": [0.75, 0.625], "recall": [0.5, 0.25], "worse": True}
    found |= {"worse_at": ["precision", "recall"], "passed_over": {}, "cautions": [], "model": ""}
    prints(tmp_path, monkeypatch, found, 1)
    one(browser, "#learn").click()
    until(browser, lambda: len(all_of(browser, "#cautions li")) == 3)
    assert [item.text for item in all_of(browser, "#cautions li")] == [
        "Worse: films' precision of the tags that the model knew, 0.750 before, 0.625 after.",
        "Worse: films' recall of the tags that the model knew, 0.500 before, 0.250 after.",
        "Mean average precision of the tags that the model knew: 0.500 before, 0.625 after.",
    ]
    cells = [[cell.text for cell in all_of(row, "td")] for row in all_of(browser, "#rows tr")]
    assert cells[0] == ["9", "7", "0.500", "0.625", "better", "8 → 5", "2 → 3", "1"]
    assert cells[1][4:] == ["new", "", "", ""]
    assert not one(browser, "#retag").is_displayed()
    prints(tmp_path, monkeypatch, {**found, "model": "mine"}, then='echo "$@" > ' + str(tmp_path / "words"))
    one(browser, "#force").click()
    until(browser, lambda: one(browser, "#retag").is_displayed())
    assert not one(browser, "#force").is_displayed() and " --force" in (tmp_path / "words").read_text()


@pytest.mark.parametrize(
    ("left", "failed", "told"),
    [
        (0, 0, "All films are tagged by it. 4 films: said."),
        (2, 0, "Not all films are tagged by it. 4 films: said. 2 films stay as before, seen by another backbone"),
        (1, 1, "Not all films are tagged by it. 4 films: said. 1 film stays as before, seen by another backbone"),
    ],
)
def test_what_is_not_tagged_again_is_said(browser, learning, tmp_path, monkeypatch, left, failed, told):
    found = {"tagged": 4, "failed": failed, "left": left, "outcome": "4 films: said", "nightly": "movie-tags tag a"}
    prints(tmp_path, monkeypatch, found, 3 if failed else 0)
    one(browser, "#models button").click()
    until(browser, lambda: one(browser, "body").get_attribute("data-state") == "retag done")
    text = one(browser, "#state").text
    assert text.startswith(told) and ("1 film has failed." in text) == bool(failed)
    assert one(browser, "#nightly code").text == "movie-tags tag a"


def test_titles_and_tags_that_are_scripts_are_text(browser, tmp_path):
    write_tables(
        tmp_path, tags=[film("/e.mp4", [tag(EVIL, 1.0)], title=EVIL)], key_frames=[frame("/e.mp4", 1.0, {EVIL: 0.9})]
    )
    with served(tmp_path, by=EVIL) as page:
        browser.get(page.link)
        one(browser, "#films a").click()
        until(browser, lambda: rows(browser) == {EVIL: ""})
        said(browser, one(browser, "#verdicts .verdict").click)
        assert rows(browser) == {EVIL: "applies"}
        assert EVIL in one(browser, "#verdicts small").text and browser.title.startswith("<script>")
        browser.get(page.link.partition("?")[0] + "queue")
        assert browser.title == "Most worth a look · movie-tags" and not all_of(browser, "img[src=x]")

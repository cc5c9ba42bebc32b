"""The pages in a real browser: they do what they say, without errors and without a network."""

import itertools
import json
import random

import pytest
from browser import all_of, one, opened, until, why_not
from films import picture, write_video
from result_folders import RUN, film, frame, small_results, span, tag, with_thumbnails, write_tables

from movie_tags.records import Failure, Film, TagStrength
from movie_tags.report.index import Entry, catalogue_page
from movie_tags.report.write import write_report

pytestmark = pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
EVIL = '<script>document.title="caught"</script><img src=x onerror=\'document.title="caught"\'>'
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture(scope="module")
def chromium():
    with opened() as driver:
        yield driver


@pytest.fixture
def browser(chromium):
    """The browser, emptied; a page that writes to its console or asks the network for anything fails the test."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    yield chromium
    said = [entry["message"] for entry in chromium.get_log("browser")]
    assert [text for text in said if "film-that-cannot-be-played" not in text] == []
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:", "data:", "about:")) for url in asked)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with a film that can be played, one that is broken, and one with a title that is a script."""
    folder = tmp_path_factory.mktemp("report")
    playable = write_video(folder / "a.mp4", [picture(k // 50) for k in range(200)])
    results = small_results(folder / "results", str(playable))
    broken = folder / "film-that-cannot-be-played.mp4"
    broken.write_bytes(b"nothing of the kind" * 100)
    rows = [json.loads(line) for line in (results / "tags.jsonl").read_text().splitlines()]
    frames = [json.loads(line) for line in (results / "key_frames.jsonl").read_text().splitlines()]
    spans = [json.loads(line) for line in (results / "spans.jsonl").read_text().splitlines()]
    errors = [json.loads(line) for line in (results / "errors.jsonl").read_text().splitlines()]
    write_tables(
        results,
        tags=[
            *rows,
            film(str(broken), [tag("War", 1.0)]),
            film("/e.mp4", [tag(EVIL, 1.0)], title=EVIL, warnings=[EVIL]),
        ],
        key_frames=[*frames, frame(str(broken), 3.0, {"War": 0.5}), frame("/e.mp4", 1.0, {EVIL: 0.9})],
        spans=[*spans, span(str(broken), "War", 2, 4), span("/e.mp4", EVIL, 0, 2)],
        errors=[*errors, {"id": "/f.mp4", "uri": "/f.mp4", "stage": "opening", "reason": EVIL, "retryable": True}],
    )
    write_report(str(results))
    return results / "report"


def page_of(report, beginning: str) -> str:
    (found,) = (report / "films").glob(f"{beginning}-??????????.html")
    return found.as_uri()


def seen(browser, selector: str):
    return [e for e in all_of(browser, selector) if e.is_displayed()]


def test_filter_by_tag_shows_the_key_frames_that_have_it(browser, report):
    browser.get(page_of(report, "a-mp4"))
    assert len(seen(browser, "#frames li")) == 4
    animal, food = seen(browser, "#filter .tag")
    animal.click()
    assert [e.get_attribute("data-tags") for e in seen(browser, "#frames li")] == ["0 1 ", "0 "]
    assert one(browser, "#shown").text == "2 of 4 key frames" and animal.get_attribute("aria-pressed") == "true"
    food.click()
    assert len(seen(browser, "#frames li")) == 3
    animal.click()
    assert [e.get_attribute("data-tags") for e in seen(browser, "#frames li")] == ["0 1 ", "1 "]
    one(browser, "#clear").click()
    assert len(seen(browser, "#frames li")) == 4 and one(browser, "#shown").text == ""
    assert not one(browser, "#clear").is_displayed()


def shown_rows(browser):
    return [e.text for e in seen(browser, "#chart .tag")]


def test_less_likely_tags_are_shown_when_asked_for(browser, report):
    browser.get(page_of(report, "a-mp4"))
    assert shown_rows(browser) == ["Animal", "Food"] and one(browser, "#least").text == "10 %"
    one(browser, "#weaker").click()
    assert shown_rows(browser) == ["Animal", "Food", "War"] and one(browser, "#least").text == "0 %"
    assert one(browser, "#weaker").text == "Show the likely tags alone"
    one(browser, "#weaker").click()
    assert shown_rows(browser) == ["Animal", "Food"]
    setting = "const e = document.querySelector('#min'); e.value = 50; e.dispatchEvent(new Event('input'))"
    browser.execute_script(setting)
    assert shown_rows(browser) == ["Animal"] and browser.current_url.endswith("#min=0.5")
    assert [e.text for e in seen(browser, ".lane > .tag")] == ["Animal"] and len(seen(browser, "#filter .tag")) == 1
    browser.execute_script(setting.replace("50", "100"))
    assert shown_rows(browser) == ["Animal"]


def test_a_film_of_which_nothing_is_likely_says_so_and_shows_no_table(browser, tmp_path):
    write_tables(
        tmp_path, tags=[film("/a.mp4", [], [tag("War", 0.02)])], key_frames=[frame("/a.mp4", 1.0, {"War": 0.1})]
    )
    browser.get(page_of_only(write_report(str(tmp_path)).index))
    assert not seen(browser, "#chart") and one(browser, "#none").text == "No tag of this film is that likely."
    one(browser, "#weaker").click()
    assert shown_rows(browser) == ["War"] and not one(browser, "#none").is_displayed()


def test_no_strength_on_a_card_is_a_bare_nought(browser, tmp_path):
    write_tables(tmp_path, tags=[film("a", [tag("Food", 1.0), tag("Animal", 0.004), tag("War", 0.0)])])
    write_report(str(tmp_path))
    browser.get((tmp_path / "report" / "index.html").as_uri())
    said = one(browser, "#films").text
    assert "strength 1.00" in said and "strength < 0.01" in said and "strength 0 (weakest)" in said
    assert "0.00" not in said


def test_a_film_that_begins_later_than_its_file_plays_at_its_own_times(browser, tmp_path):
    playable = write_video(tmp_path / "a.mp4", [picture(k // 50) for k in range(200)])
    rows = [film(str(playable), [tag("War", 1.0)], start_s=2.5)]
    write_tables(tmp_path, tags=rows, key_frames=[frame(str(playable), 1.0, {"War": 0.5})])
    browser.get(page_of_only(write_report(str(tmp_path)).index))
    one(browser, "#frames button").click()
    now = "return document.querySelector('video').currentTime"
    until(browser, lambda: browser.execute_script(now) >= 3.5)
    assert browser.execute_script(now) < 5
    playhead = "return parseFloat(document.querySelector('#playhead').style.left)"
    until(browser, lambda: one(browser, "#playhead").is_displayed())
    assert browser.execute_script(playhead) == pytest.approx(100 * (browser.execute_script(now) - 2.5) / 8, abs=8)


def top_element(browser, element):
    """What lies on top in the middle of an element."""
    return browser.execute_script(
        "const b = arguments[0].getBoundingClientRect();"
        "return document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2)",
        element,
    )


def test_the_player_covers_no_button_that_is_scrolled_to(browser, report):
    browser.get(page_of(report, "a-mp4"))
    one(browser, "#frames li:last-child button").click()
    until(browser, lambda: one(browser, "#player").is_displayed())
    for button in (*all_of(browser, ".zoom button"), *all_of(browser, "#frames button"), one(browser, "#weaker")):
        browser.execute_script("arguments[0].scrollIntoView({block: 'nearest', behavior: 'instant'})", button)
        top = top_element(browser, button)
        assert browser.execute_script("return arguments[0].contains(arguments[1])", button, top)


def test_the_zoomed_strip_does_not_show_behind_the_names_of_lanes(browser, report):
    browser.get(page_of(report, "a-mp4"))
    one(browser, "#in").click()
    browser.execute_script("document.querySelector('.scroll').scrollLeft = 300")
    for lane in seen(browser, ".lane:not(.axis)"):
        name = lane.find_element("css selector", ".tag, .name")
        box, row = name.rect, lane.find_element("css selector", ".row").rect
        assert box["y"] <= row["y"] and box["y"] + box["height"] >= row["y"] + row["height"]
        assert top_element(browser, name) == name


def test_a_still_to_look_at_leads_to_its_key_frame(browser, report, tmp_path):
    index = write_report(str(report.parent), str(tmp_path / "www"), watch=["food"]).index
    browser.get("file://" + index.replace("index.html", "watch.html"))
    stills = seen(browser, "#stills .picture")
    assert [e.find_element("xpath", "..//time").text for e in stills] == ["0:01", "0:03"]
    stills[1].click()
    until(browser, lambda: browser.title.startswith("a.mp4"))
    assert one(browser, "#frames .found time").text == "0:03"


@pytest.mark.parametrize(
    ("selector", "at"),
    [(".spans button:nth-child(2)", 6), (".shots button:nth-child(3)", 4), ("#frames li:nth-child(2) button", 3)],
)
def test_a_click_plays_the_film_from_there(browser, report, selector, at):
    browser.get(page_of(report, "a-mp4"))
    assert not one(browser, "#player").is_displayed()
    one(browser, selector).click()
    state = "const v = document.querySelector('video'); return [v.paused, v.currentTime, v.videoWidth]"
    until(browser, lambda: browser.execute_script(state)[1] > at)
    paused, now, width = browser.execute_script(state)
    assert not paused and at < now < at + 2 and width == 128
    assert one(browser, "#player").is_displayed() and one(browser, "#said").text == ""
    until(browser, lambda: one(browser, "#playhead").is_displayed())
    one(browser, "body").send_keys("\ue00c")  # escape
    assert browser.execute_script(state)[0] and not one(browser, "#player").is_displayed()


def test_a_film_on_the_web_is_not_asked_for_before_a_click(browser, tmp_path):
    uri = "http://localhost:9/a.mp4"
    write_tables(tmp_path, tags=[film(uri, [tag("War", 1.0)])], key_frames=[frame(uri, 1.0, {"War": 0.5})])
    browser.get(page_of_only(write_report(str(tmp_path)).index))
    assert one(browser, "video source").get_attribute("src") == uri and not one(browser, "#player").is_displayed()


def test_a_film_that_has_moved_leaves_the_timecode_to_copy(browser, report):
    browser.get(page_of(report, "c-mp4"))
    one(browser, "#frames button").click()
    until(browser, lambda: one(browser, "#said").text == "timecode 0:01 copied")
    pasted = "const f = document.body.appendChild(document.createElement('textarea')); f.id = 'pasted'; f.focus()"
    browser.execute_script(pasted)
    field = one(browser, "#pasted")
    field.send_keys("\ue009v")
    assert field.get_attribute("value") == "0:01"


def test_a_film_that_the_browser_cannot_play_is_said_and_the_timecode_copied(browser, report):
    browser.get(page_of(report, "film-that-cannot-be-played-mp4"))
    one(browser, "#frames button").click()
    until(browser, lambda: "cannot play the film" in one(browser, "#said").text)
    assert one(browser, "#said").text.endswith("timecode 0:03 copied") and not one(browser, "#player").is_displayed()


def test_hovering_tells_the_time_and_shows_the_shot(browser, report):
    from selenium.webdriver import ActionChains

    browser.get(page_of(report, "a-mp4"))
    ActionChains(browser).move_to_element(one(browser, ".spans button:nth-child(2)")).perform()
    until(browser, lambda: one(browser, "#tip").is_displayed())
    assert one(browser, "#tip b").text in ("0:06", "0:07")
    assert "Animal, 0:06" in one(browser, "#tip").text and "0:08, 70 % on average" in one(browser, "#tip").text
    assert one(browser, "#tip img").get_attribute("src").startswith("data:image/jpeg")


def test_the_keyboard_goes_along_a_lane(browser, report):
    browser.get(page_of(report, "a-mp4"))
    first, second = all_of(browser, "[data-lane='0'] .row button")
    browser.execute_script("arguments[0].focus()", first)
    first.send_keys("\ue014")  # arrow right
    assert browser.switch_to.active_element == second and first.get_attribute("tabindex") == "-1"
    second.send_keys("\ue014")
    assert browser.switch_to.active_element == second
    second.send_keys("\ue011")  # home
    assert browser.switch_to.active_element == first


def test_zoom_makes_the_timeline_wider_and_narrower_again(browser, report):
    browser.get(page_of(report, "a-mp4"))
    width = one(browser, "#inner").size["width"]
    one(browser, "#in").click()
    assert one(browser, "#inner").size["width"] == pytest.approx(2 * width, abs=2)
    one(browser, "#out").click()
    assert one(browser, "#inner").size["width"] == pytest.approx(width, abs=1)


def test_a_title_that_is_a_script_is_a_title(browser, report):
    (page,) = (report / "films").glob("script-*.html")
    browser.get(page.as_uri())
    assert one(browser, "h1").text == EVIL and EVIL in browser.title
    assert one(browser, "#chart .tag").text == EVIL and one(browser, ".notice").text == f"Warning: {EVIL}"
    browser.get((report / "index.html").as_uri())
    assert EVIL in [e.text for e in all_of(browser, "#films h3")] and EVIL in one(browser, "#reasons").text
    assert EVIL in [e.text for e in all_of(browser, "#tags span")]
    assert browser.title == "Films and their tags · movie-tags" and not all_of(browser, "img[src=x]")


@pytest.mark.parametrize("name", ["a-mp4", "b-mp4", "index"])
def test_a_phone_needs_no_sideways_scrolling_and_every_control_has_a_name(browser, report, name):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    browser.get((report / "index.html").as_uri() if name == "index" else page_of(report, name))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [
        n
        for n in nodes
        if n.get("role", {}).get("value") in ("button", "link", "slider", "searchbox", "combobox", "radio")
    ]
    assert [n["nodeId"] for n in controls if not n.get("name", {}).get("value")] == []
    assert all(e.get_attribute("alt") is not None for e in all_of(browser, "img"))


def test_dark_and_print(browser, report):
    browser.get(page_of(report, "a-mp4"))
    background = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(background)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert browser.execute_script(background) != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not seen(browser, ".screen") and len(seen(browser, "#frames li img")) == 4


def test_the_catalogue_leads_to_the_page_and_back(browser, report):
    browser.get((report / "index.html").as_uri() + "#all=Animal")
    (link,) = all_of(browser, "#films a")
    until(browser, lambda: browser.execute_script("return document.querySelector('#films img').naturalWidth") == 128)
    link.click()
    assert one(browser, "h1").text == "a.mp4"
    one(browser, "nav a").click()
    assert one(browser, "h1").text == "Films and their tags"
    assert "nothing that the model is sure of" in one(browser, "#films").text
    assert (
        "/films/d.mp4" in one(browser, "#reasons").text and "another run may succeed" in one(browser, "#reasons").text
    )


NAMES = ("Action", "Beach/Sea", "College/Univ.", "Drama", "Food", "War")
SEEN = {**RUN, "method": {"min_confidence": 0.1}, "model": {"vocabulary": [*NAMES, "Weapon"]}}


def entries(number: int) -> list[Entry]:
    dice = random.Random(number)
    made = []
    for i in range(number):
        chosen = dice.sample(NAMES, dice.randint(0, 5))
        tags = tuple(TagStrength(name, confidence=dice.choice((1, 0.7, 0.4, 0.12, 0.04, 0))) for name in chosen)
        listed = tuple(one for one in tags if one.confidence >= 0.1)
        title = f"{dice.choice(('Été', 'The night', 'A day'))} of {dice.choice(('wolves', 'glass'))} {i}"
        length, shots = float(dice.randint(1, 9000)), dice.randint(1, 99)
        film = Film(id=str(i), title=title, duration_s=length, shots=shots, tags=tags, short_list=listed)
        made.append(Entry(film, f"film-{i}"))
    return made


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    path = tmp_path_factory.mktemp("catalogue") / "index.html"
    path.write_text(
        catalogue_page(entries(10_000), [Failure("opening", "no", id=str(i), uri=str(i)) for i in range(250)], SEEN)
    )
    return path.as_uri()


def fits(entry: Entry, least: float, all=(), any_=(), none=(), words=()) -> bool:
    has = {t.tag for t in entry.film.tags if t.confidence >= least}
    plain = entry.film.title.lower().replace("é", "e")
    return set(all) <= has and (not any_ or bool(has & set(any_))) and not has & set(none) and all_in(words, plain)


def all_in(words, text: str) -> bool:
    return all(word in text for word in words)


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        (dict(least=0.1), ""),
        (dict(least=0.1, all=["Drama", "War"]), "all=Drama&all=War"),
        (dict(least=0.5, all=["Beach/Sea"], none=["Food"]), "all=Beach%2FSea&none=Food&min=0.5"),
        (dict(least=0.0, any_=["Food", "Action"], none=["War"]), "any=Food&any=Action&none=War&min=0"),
        (dict(least=0.1, words=["ete", "7"]), "words=ÉTE+7"),
        (dict(least=1.0, all=["Drama"], any_=["War"], words=["glass"]), "all=Drama&any=War&min=1&words=glass"),
    ],
)
def test_the_catalogue_finds_what_is_asked_for(browser, catalogue, asked, query):
    right = [e for e in entries(10_000) if fits(e, **asked)]
    assert right
    browser.get(f"{catalogue}#{query}")
    said = one(browser, "#count").text
    assert said == ("10,000 films" if len(right) == 10_000 else f"{len(right):,} of 10,000 films")
    counts = {e.text.split("\n")[0]: e.text.split("\n")[1] for e in all_of(browser, "#tags button")}
    for name in NAMES:
        assert counts[name] == f"{sum(fits(e, asked['least'], all=[name]) for e in right):,}"
    shown = []
    for _ in range(2):
        shown += [e.text for e in all_of(browser, "#films h3")]
        if len(right) <= 60:
            break
        if len(shown) < 61:
            one(browser, "#next").click()
    assert set(shown) <= {e.film.title for e in right} and len(set(shown)) == min(len(right), 120)


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("seaside", dict(all=["Beach/Sea"])),
        ("drama -food", dict(all=["Drama"], none=["Food"])),
        ("Strand krieg", dict(all=["Beach/Sea", "War"])),
        ("fac -drama glass", dict(all=["College/Univ."], none=["Drama"], words=["glass"])),
        ("युद्ध -खाना", dict(all=["War"], none=["Food"])),
        ("HÖRSAAL", dict(all=["College/Univ."])),
        ("dram", dict(all=["Drama"])),
        ("gun", None),
    ],
)
def test_the_box_searches_titles_and_tags_alike(browser, catalogue, typed, asked):
    browser.get("about:blank")
    browser.get(catalogue)
    one(browser, "#words").send_keys(typed)
    right = [e for e in entries(10_000) if asked and fits(e, 0.1, **asked)]
    assert one(browser, "#count").text == f"{len(right):,} of 10,000 films"
    assert bool(right) != one(browser, "#nothing").is_displayed()
    meant = {"seaside": "Beach/Sea", "gun": "Weapon", "dram": "Drama"}.get(typed)
    if meant:
        assert one(browser, "#meant").text.splitlines()[0] == f"“{typed}” finds titles, and the tag {meant}"


def test_the_page_stays_small_however_many_films_there_are(browser, catalogue):
    browser.get(catalogue)
    assert len(all_of(browser, "#films li")) == 60 and len(all_of(browser, "#reasons tr")) == 100
    assert browser.execute_script("return document.querySelectorAll('*').length") < 3000
    one(browser, "#next").click()
    assert one(browser, "#page").text == "page 2 of 167" and len(all_of(browser, "#films li")) == 60
    one(browser, "#more").click()
    one(browser, "#more").click()
    assert len(all_of(browser, "#reasons tr")) == 250 and not one(browser, "#more").is_displayed()


def test_clicks_ask_what_the_address_says(browser, catalogue):
    browser.get(catalogue)
    tags = {e.text.split("\n")[0]: e for e in all_of(browser, "#tags button")}
    tags["Drama"].click()
    one(browser, "[value=none]").click()
    tags["War"].click()
    one(browser, "#words").send_keys("glass")
    one(browser, "#sort option[value=longest]").click()
    right = [e for e in entries(10_000) if fits(e, 0.1, all=["Drama"], none=["War"], words=["glass"])]
    assert one(browser, "#count").text == f"{len(right):,} of 10,000 films"
    assert [e.text for e in all_of(browser, "#picked button")] == ["Drama ✕", "not War ✕", "Start again"]
    longest = sorted((e.film.duration_s for e in right), reverse=True)[:60]
    lengths = [e.text for e in all_of(browser, "#films .length")]
    seconds = [sum(int(part) * 60**i for i, part in enumerate(reversed(text.split(":")))) for text in lengths]
    assert seconds == longest
    asked = browser.current_url.partition("#")[2]
    assert asked == "words=glass&all=Drama&none=War&sort=longest"
    before = [e.text for e in all_of(browser, "#films h3")]
    browser.get("about:blank")
    browser.get(f"{catalogue}#{asked}")
    assert [e.text for e in all_of(browser, "#films h3")] == before
    all_of(browser, "#picked button")[-1].click()
    assert one(browser, "#count").text == "10,000 films" and one(browser, "#words").get_attribute("value") == ""


def in_drama_and_war(entry: Entry) -> float:
    return sum(t.confidence for t in entry.film.tags if t.tag in ("Drama", "War"))


ORDERS = {
    "title": lambda e: (e.film.title.lower().replace("é", "e").rsplit(" ", 1)[0], int(e.film.title.rsplit(" ", 1)[1])),
    "surest": lambda e: -in_drama_and_war(e),
    "shortest": lambda e: e.film.duration_s,
    "shots": lambda e: -e.film.shots,
    "tags": lambda e: -sum(t.confidence >= 0.4 for t in e.film.tags),
}


@pytest.mark.parametrize("order", ORDERS)
def test_films_come_in_the_order_that_is_asked_for(browser, catalogue, order):
    browser.get(f"{catalogue}#any=Drama&any=War&min=0.4&sort={order}")
    by_title = {e.film.title: e for e in entries(10_000)}
    shown = [by_title[e.text] for e in all_of(browser, "#films h3")]
    key = ORDERS[order]
    right = sorted((e for e in by_title.values() if fits(e, 0.4, any_=["Drama", "War"])), key=key)
    assert [key(e) for e in shown] == [key(e) for e in right[:60]]


def test_a_cut_that_is_exact_is_marked_and_no_other(browser, tmp_path):
    rows = [frame("a", 1.0, {"War": 0.5}), *(frame("a", t, {"War": 0.5}, cut=how) for t, how in HOW.items())]
    rows[1]["shot_start_s"] = 2.48
    write_tables(tmp_path, tags=[film("a", [tag("War", 1.0)])], key_frames=rows)
    browser.get(page_of_only(write_report(str(tmp_path)).index))
    assert [e.text for e in seen(browser, "#frames .cut")] == [
        "shot from 00:00:02.480, exact to the frame",
        "shot from about 0:04, no exact cut",
    ]
    assert [e.find_element("css selector", "time").text for e in seen(browser, "#frames li:has(.cut)")] == [
        "0:03",
        "0:05",
    ]
    marked = all_of(browser, ".shots button.exact")
    assert [e.get_attribute("data-t") for e in marked] == ["2.48"]
    assert marked[0].get_attribute("aria-label").endswith("; shot from 00:00:02.480, exact to the frame")
    width = "return getComputedStyle(arguments[0]).borderLeftWidth"
    widths = [browser.execute_script(width, e) for e in all_of(browser, ".shots button")]
    assert widths == ["0px", "2px", "0px", "0px"] and "exact to the frame" in one(browser, "#h-time + .hint").text


HOW = {3.0: "exact", 5.0: "approximate", 7.0: "sampled"}


def test_a_film_of_two_hours_opens(browser, tmp_path):
    frames = with_thumbnails(
        tmp_path,
        [frame("/l.mp4", 3.0 + 6 * i, {NAMES[i % 6]: 0.6}, 6.0) for i in range(1200)],
        itertools.cycle(range(20)),
    )
    spans = [span("/l.mp4", NAMES[i % 6], 6.0 * i, 6.0 * i + 6) for i in range(1200)]
    write_tables(
        tmp_path, tags=[film("/l.mp4", [tag(n, 1.0) for n in NAMES], duration_s=7200.0)], key_frames=frames, spans=spans
    )
    browser.get(page_of_only(write_report(str(tmp_path)).index))
    assert len(all_of(browser, "#frames li")) == 1200 and len(all_of(browser, ".spans button")) == 1200
    assert one(browser, "#h-sum").text == "The film in twelve pictures" and len(all_of(browser, ".pictures li")) == 12
    all_of(browser, "#filter .tag")[1].click()
    assert one(browser, "#shown").text == "200 of 1,200 key frames"


def page_of_only(index: str) -> str:
    from pathlib import Path

    (page,) = Path(index).parent.glob("films/*.html")
    return page.as_uri()

"""The whole loop in a real browser: a person rejects a tag, adds their own, a model learns, all is tagged again."""

import csv
import json
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser import all_of, one, opened, said, until, why_not
from review_server import served

from movie_tags.models.bundle import read_bundle
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.commands.review import guess_of
from movie_tags.results.folder import ResultsFolder

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=str(why_not())),
    pytest.mark.skipif(not find_spec("sklearn"), reason="the extra 'train' is not installed"),
]
ROOT = Path(__file__).parents[2]
OWN = "Close-up"
SHOWN = {"cat_and_coffee": (1, 2, 3), "space": (2,)}
"""The four pictures that are marked by hand, by their places on the films' pages: the cat, a cup, the cat, a woman."""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The demo's three films, tagged by the default model."""
    folder = tmp_path_factory.mktemp("loop")
    subprocess.run([sys.executable, ROOT / "demo" / "films.py", folder / "films"], check=True)
    assert main(["tag", str(folder / "films"), "--output", str(folder / "results")]) == 0
    return folder / "results"


class Page:
    """What a person does in the browser."""

    def __init__(self, browser, link):
        self.browser, self.root = browser, link.partition("?")[0]
        browser.get(link)
        self.one, self.all = partial(one, browser), partial(all_of, browser)
        self.until, self.said = partial(until, browser, seconds=20), partial(said, browser, seconds=20)

    def film(self, title):
        self.browser.get(self.root)
        self.until(lambda: self.all("#films a"))
        (card,) = [card for card in self.all("#films a") if title in card.text]
        self.browser.get(card.get_attribute("href"))
        self.until(lambda: self.all("#verdicts li"))

    def state(self):
        return self.one("body").get_attribute("data-state")


def test_a_person_teaches_and_sees_it_everywhere(results, capsys):
    before = {film.title: {tag.tag for tag in film.tags} for film in ResultsFolder(str(results)).read("tags")}
    assert "Beach/Sea" in before["temple.mp4"] and not any(OWN in tags for tags in before.values())
    with opened() as browser, served(results, guess=guess_of(str(results))) as served_page:
        page = Page(browser, served_page.link)

        # The temple with its water is no beach.
        page.film("temple")
        page.said(page.one("#verdicts li[data-tag='Beach/Sea'] .verdict[data-v=rejected]").click)

        # A tag of their own, from four pictures.
        for title, places in SHOWN.items():
            page.film(title)
            for place in places:
                page.one(f"#frames li:nth-child({place}) .correct").click()
                page.said(lambda: page.one("#add").send_keys(f"{OWN}\n"))

        # The page offers others to look at; none of them shows it, and that is learned as well.
        page.one("#review a[href='/learn']").click()
        page.until(lambda: page.all("#own button"))
        assert page.one("#own button").text == f"{OWN} 4 ✓ 0 ✗"
        page.one("#own button").click()
        page.until(lambda: page.all("#pictures li"), seconds=120)
        pictures = page.all("#pictures li")
        offered = {
            (item.get_attribute("data-name").split("-mp4")[0], item.get_attribute("data-time")) for item in pictures
        }
        assert offered == {("space", "4"), ("space", "13"), ("temple", "2"), ("temple", "9")}
        assert all(item.find_element("css selector", "small").text for item in pictures)
        rejections = [item for item in pictures if item.get_attribute("data-name").startswith("space")]
        rejections[0].find_element("css selector", "[data-v=rejected]").click()
        page.until(lambda: "done" in rejections[0].get_attribute("class"))
        browser.execute_script("arguments[0].focus()", rejections[1])
        browser.switch_to.active_element.send_keys("n")
        page.until(lambda: "done" in rejections[1].get_attribute("class"))
        page.until(lambda: page.all("#own button") and page.one("#own button").text == f"{OWN} 4 ✓ 2 ✗")

        # Learn; the page may be loaded again meanwhile.
        page.one("#learn").click()
        page.until(lambda: page.state() == "learn running")
        browser.refresh()
        page.until(lambda: page.state() in ("learn running", "learn done"))
        page.until(lambda: page.state() != "learn running", seconds=300)
        assert page.state() == "learn done", page.one("#state").text
        rows = {row.text.split(" ")[0]: row.text for row in page.all("#rows tr")}
        assert set(rows) == {"Beach/Sea", OWN} and "new" in rows[OWN]
        assert "Do not trust" in page.one("#cautions").text
        assert {
            film.title: {tag.tag for tag in film.tags} for film in ResultsFolder(str(results)).read("tags")
        } == before

        # Tag all films again by it.
        page.one("#retag").click()
        page.until(lambda: page.state() == "retag running")
        page.until(lambda: page.state() != "retag running", seconds=300)
        assert page.state() == "retag done", page.one("#state").text
        assert "no film was opened" in page.one("#state").text
        nightly = page.one("#nightly code").text
        assert (
            nightly == f"movie-tags tag {results.parent / 'films'} --output {results} --model {results}/models/latest"
        )
        assert "tagged last" in page.one("#models li").text

        # On the pages of the films.
        page.film("cat_and_coffee")
        assert page.one(".lead").text.startswith(OWN)
        page.film("temple")
        (beach,) = page.all("#verdicts li[data-tag='Beach/Sea']")
        assert "rejected" in beach.text and "Beach/Sea" not in page.one(".lead").text

    # It is the model that says it, of pictures, and not only the person.
    model = read_bundle(str(results / "models" / "latest"))
    own = model.vocabulary.index(OWN)
    threshold = model.thresholds[own]
    said = {
        (Path(frame["id"]).stem, frame["time_s"]): {one["tag"]: one["probability"] for one in frame["top_k"]}
        for frame in map(json.loads, (results / "key_frames.jsonl").read_text("utf-8").splitlines())
    }
    shows = {key for key, tags in said.items() if tags.get(OWN, 0) >= threshold}
    assert shows == {("cat_and_coffee", 2.0), ("cat_and_coffee", 6.0), ("cat_and_coffee", 10.0), ("space", 9.0)}

    # In search and in an export.
    capsys.readouterr()
    assert main(["search", str(results), OWN]) == 0
    found = capsys.readouterr().out
    assert "cat_and_coffee" in found and "space" in found and "temple" not in found
    assert main(["search", str(results), "Beach/Sea", "--min", "0"]) == 0
    assert "temple" not in capsys.readouterr().out
    assert main(["export", str(results), "--to", "csv", "--output", str(results.parent / "csv")]) == 0
    rows = [row for path in (results.parent / "csv").rglob("*.csv") for row in csv.DictReader(path.open())]
    assert any(row.get("tag") == OWN for row in rows)
    beach = [row for row in rows if "temple" in str(row) and row.get("tag") == "Beach/Sea"]
    assert all((row["kept"], row["by"]) == ("0", "person") for row in beach)

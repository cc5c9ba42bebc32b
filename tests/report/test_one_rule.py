"""Index, card, page, search, exports and terminal say the same tags of every film, at every setting."""

import csv
import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from browser import opened, why_not
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from result_folders import RUN, film, frame, span, tag, write_tables
from rich.console import Console

from movie_tags.pipeline.commands.printing import print_tags
from movie_tags.records import Film
from movie_tags.report.exports import Options, load
from movie_tags.report.index import Entry, compact
from movie_tags.report.page import shown_tags
from movie_tags.report.write import write_report
from movie_tags.results.expressions import Term
from movie_tags.results.film_tables import Results
from movie_tags.results.search import Search

NAMES = ("Action", "Beach/Sea", "Car chase", "Drama", "Weapon")
MODEL = {"name": "a model", "fingerprint": "0123456789abcdef", "vocabulary": NAMES}
THRESHOLD = 0.25
SETTINGS = (0.0, 0.1, THRESHOLD, 0.35, 0.5, 0.85, 1.0)
METHODS = (
    {"min_confidence": THRESHOLD, "min_relative_strength": None},
    {"min_confidence": THRESHOLD, "min_relative_strength": 0.3},
    {"min_confidence": None, "min_relative_strength": THRESHOLD},
)


def catalogue(dice: random.Random, number: int, method: dict) -> list[dict]:
    """Rows of films, listed as a run of that method lists them."""
    rows = []
    for i in range(number):
        found = [
            tag(
                name,
                dice.choice((0.0, 0.1, 0.3, 1.0)),
                confidence=dice.choice((None, 0.05, 0.1, 0.25, 0.349, 0.5, 0.93)),
            )
            for name in dice.sample(NAMES, dice.randint(0, len(NAMES)))
        ]
        kept = [row for row in found if kept_by(row, method)]
        rows.append(film(f"/films/{i}.mp4", kept, [row for row in found if row not in kept]))
    return rows


def kept_by(row: dict, method: dict) -> bool:
    sure, strong = method["min_confidence"], method["min_relative_strength"]
    if sure is not None and row["confidence"] is not None:
        return row["confidence"] >= sure and row["relative_strength"] >= (strong or 0)
    return row["relative_strength"] >= (0.1 if strong is None else strong)


def right(row: dict, setting: float) -> set[str]:
    """The rule, said once more: the short list, and beside it what is surer than a lower setting."""
    said = {t["tag"] for t in row["short_list"]}
    sure = {t["tag"]: t["relative_strength"] if t["confidence"] is None else t["confidence"] for t in row["tags"]}
    enough = {name for name, rating in sure.items() if rating >= setting}
    return said if setting == THRESHOLD else said | enough if setting < THRESHOLD else said & enough


def results_of(folder: Path, rows: list[dict], method: dict) -> Path:
    spans = [span(row["id"], t["tag"], 0, 2) for row in rows for t in row["tags"]]
    frames = [frame(row["id"], 1.0, {t["tag"]: 0.5 for t in row["tags"]}) for row in rows]
    run = {**RUN, "method": {**RUN["method"], **method}, "model": MODEL}
    return write_tables(folder, run, tags=rows, key_frames=frames, spans=spans)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(METHODS), st.sampled_from(SETTINGS))
def test_everything_made_of_the_tables_says_the_same(tmp_path_factory, seed, method, setting):
    rows = catalogue(random.Random(seed), 6, method)
    folder = results_of(tmp_path_factory.mktemp("results"), rows, method)
    with Results(str(folder)) as results, Search(str(folder)) as search:
        films = {film.id: film for film in results.films()}
        index = compact([Entry(film, "name") for film in films.values()], (), results.run)
        answers = [
            in_index(index, setting),
            on_pages(films.values(), setting),
            by_search(search.films, films, setting),
            by_search(search.scenes, films, setting),
            in_csv(results, setting, folder / "csv"),
            in_nfo(results, setting, folder / "nfo"),
        ]
        assert answers == [[right(row, setting) for row in rows]] * len(answers)
        assert on_a_line(films.values()) == [right(row, THRESHOLD) for row in rows]


def in_index(index: dict, setting: float) -> list[set[str]]:
    """As the page's script does it."""
    least = round(setting * 10**6)
    flat = [film[-1] for film in index["films"]]
    return [{index["tags"][tags[i]] for i in range(0, len(tags), 5) if tags[i + 1] >= least} for tags in flat]


def on_pages(films: Iterable[Film], setting: float) -> list[set[str]]:
    least = round(setting * 10**6)
    return [{one.tag.tag for one in shown_tags(film, THRESHOLD) if one.level >= least} for film in films]


def by_search(find: Callable, films: Iterable[str], setting: float) -> list[set[str]]:
    found = {name: {one.id for one in find(Term(name, (name,)), setting)} for name in NAMES}
    return [{name for name in NAMES if id in found[name]} for id in films]


def in_csv(results: Results, setting: float, out: Path) -> list[set[str]]:
    out.mkdir()
    load("csv").write(results, str(out), Options(setting, threshold=THRESHOLD))
    names = [line["tags"].split("; ") for line in csv.DictReader((out / "films.csv").open(encoding="utf-8-sig"))]
    kept = {
        (row["id"], row["tag"])
        for row in csv.DictReader((out / "tags.csv").open(encoding="utf-8-sig"))
        if row["kept"] == "1"
    }
    assert {(film.id, name) for film, tags in zip(results.films(), names, strict=True) for name in tags if name} == kept
    return [set(filter(None, tags)) for tags in names]


def in_nfo(results: Results, setting: float, out: Path) -> list[set[str]]:
    out.mkdir()
    load("nfo").write(results, str(out), Options(setting, threshold=THRESHOLD))
    found = {path.stem: {e.text for e in etree.parse(path).iter("tag")} for path in out.glob("*.nfo")}
    return [found.get(Path(film.uri).stem, set()) for film in results.films()]


def on_a_line(films: Iterable[Film]) -> list[set[str]]:
    """In a pipe."""
    printed = io.StringIO()
    print_tags(Console(file=printed, width=10_000), films)
    return [{name for name in NAMES if f" {name}, " in line} for line in printed.getvalue().splitlines()]


def cards_of(browser) -> dict[str, tuple[set[str], str]]:
    """Of each film on the catalogue's page: the tags that its card counts, and the address of its page."""
    found = {}
    for card in browser.find_elements("css selector", "#films li"):
        tags = set(filter(None, card.get_attribute("data-tags").split("\n")))
        address = card.find_element("css selector", "a").get_attribute("href")
        found["/films/" + card.find_element("css selector", "h3").text] = tags, address
    return found


@pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
def test_in_a_browser_index_card_and_page_say_the_same(tmp_path):
    rows = catalogue(random.Random(19), 10, METHODS[1])
    report = Path(write_report(str(results_of(tmp_path, rows, METHODS[1]))).index)
    with opened() as browser:
        for setting in SETTINGS:
            browser.get("about:blank")
            browser.get(f"{report.as_uri()}#min={setting}")
            cards = cards_of(browser)
            buttons = dict(b.text.split("\n") for b in browser.find_elements("css selector", "#tags button"))
            assert {id: tags for id, (tags, _) in cards.items()} == {row["id"]: right(row, setting) for row in rows}
            assert buttons == {name: str(sum(name in right(row, setting) for row in rows)) for name in buttons}
            for row in rows:
                browser.get(cards[row["id"]][1])
                seen = [e.text for e in browser.find_elements("css selector", "#chart tbody th") if e.is_displayed()]
                lanes = [e.text for e in browser.find_elements("css selector", ".lane > .tag") if e.is_displayed()]
                assert set(seen) == set(lanes) == right(row, setting) and len(seen) == len(set(seen))

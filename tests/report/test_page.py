"""The pages as texts: what they say, what they pass over in silence (nothing), and that nothing in them is trusted."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_folders import RUN, failure, film, frame, jpeg, small_results, span, tag, with_thumbnails, write_tables

from movie_tags.pipeline.commands import main
from movie_tags.records import Film
from movie_tags.report import phrases
from movie_tags.report.about import about
from movie_tags.report.markup import breakable, fitted
from movie_tags.report.page import placed, ticks
from movie_tags.report.write import sources_of, write_report
from movie_tags.results.film_tables import ReportError
from movie_tags.results.schema import from_row

EVIL = '</script><script>alert("1")</script><img src=x onerror=alert(2)>'


class Page(HTMLParser):
    """A page's texts, and its elements with their attributes."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self._inside: list[str] = []
        self.raw = path.read_text("utf-8")
        self.feed(self.raw)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name in ("script", "style"):
            self._inside.append(name)

    def handle_endtag(self, name):
        if self._inside[-1:] == [name]:
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.text += data

    def all(self, name: str) -> list[dict]:
        return [attributes for found, attributes in self.elements if found == name]


def pages_of(folder: Path) -> dict[str, Page]:
    """The pages of a report by the beginnings of their names."""
    return {path.name[:-16]: Page(path) for path in (folder / "report" / "films").glob("*.html")}


def test_a_draft_is_said_to_be_one():
    method = {"fps": 1.0, "sampling": "codec-key-frames", "max_key_frame_gap": 7.5, "min_draft_length": 180.0}
    said = dict(about({**RUN, "method": method}))
    assert "7.5 s apart" in said["Draft"] and "shorter than 180 s" in said["Draft"]
    assert "Draft" not in dict(about({**RUN, "method": {**method, "sampling": "exact"}})) | dict(about(RUN))


def test_every_film_has_its_page_and_says_what_is_known_of_it(tmp_path):
    results = small_results(tmp_path)
    report = write_report(str(results))
    assert (report.index, report.films, report.failures) == (str(results / "report" / "index.html"), 3, 1)
    pages = pages_of(results)
    assert sorted(pages) == ["a-mp4", "b-mp4", "c-mp4"]
    a, b, c = pages["a-mp4"], pages["b-mp4"], pages["c-mp4"]
    assert (
        "Animal, relative strength 1.00, 4 s of 8 s" in a.text
        and "a model (0123456789ab)" in a.text
        and "2026-01-02 03:05 UTC" in a.text
    )
    assert "The film is no longer at /films/a.mp4" in a.text
    assert len([i for i in a.all("img")]) == 4
    assert "Nothing that the model is sure of." in b.text and "3 damaged packets were passed over" in b.text
    assert "1 key frame could not be tagged: the model gave no numbers" in c.text
    assert "no picture" in c.text and "--thumbnails" in c.text


def test_a_page_needs_no_other_file(tmp_path):
    write_report(str(small_results(tmp_path)))
    for page in pages_of(tmp_path).values():
        addresses = [e[key] for _, e in page.elements for key in ("src", "href") if key in e]
        assert all(re.match(r"data:|#|\.\./index\.html$", address) for address in addresses)
        assert not page.all("link")[1:] and "@import" not in page.raw and "url(http" not in page.raw


def test_titles_tags_and_reasons_are_shown_as_they_are(tmp_path):
    evil = film(EVIL, [tag(EVIL, 1.0)], [tag(EVIL + "2", 0.05)], title=EVIL, warnings=[EVIL])
    write_tables(
        tmp_path,
        run={**RUN, "model": {"name": EVIL}},
        tags=[evil],
        key_frames=[frame(EVIL, 1.0, {EVIL: 0.9})],
        spans=[span(EVIL, EVIL, 0, 2)],
        errors=[failure(EVIL, EVIL), failure("x", EVIL)],
    )
    report = write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    assert page.text.count(EVIL) >= 8
    for each in (page, Page(Path(report.index))):
        assert [script.get("type") for script in each.all("script")] == ["application/json", None]
        assert not [e for _, e in each.elements if any(key.startswith("on") for key in e)]
        assert "img-src" in each.all("meta")[2]["content"] and "script-src 'sha256-" in each.all("meta")[2]["content"]
    data = re.search(r'id="data">(.*?)</script>', Path(report.index).read_text(), re.S).group(1)
    data = json.loads(data)
    assert data["films"][0][0] == EVIL and data["tags"] == [EVIL, EVIL + "2"]
    assert sorted(data["failures"]) == sorted([uri, "opening", EVIL, 0] for uri in (EVIL, "x"))


def test_missing_pictures_are_said_and_the_rest_is_shown(tmp_path):
    rows = with_thumbnails(tmp_path, (frame("a", 1.0 + 2 * i, {"War": 0.5}) for i in range(3)), range(3))
    (tmp_path / rows[1]["thumbnail"]).unlink()
    write_tables(tmp_path, tags=[film("a", [tag("War", 1.0)])], key_frames=rows)
    write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    assert "1 picture of 3 cannot be read from the results." in page.text
    assert len(page.all("img")) >= 2 and "no picture" in page.text


def test_key_frames_that_are_missing_are_said(tmp_path):
    write_tables(tmp_path, run=None, tags=[film("a", [tag("War", 1.0)])], key_frames=None, spans=None)
    write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    assert "key_frames.jsonl lacks them" in page.text and "run.json is missing" in page.text


def test_pages_of_films_that_are_gone_go_and_nothing_else_does(tmp_path):
    results = small_results(tmp_path)
    write_report(str(results))
    mine = results / "report" / "films" / "notes.html"
    mine.write_text("mine")
    write_tables(results, tags=[film("/films/b.mp4")])
    write_report(str(results))
    names = [path.name for path in (results / "report" / "films").iterdir()]
    assert len(names) == 2 and "notes.html" in names
    assert mine.read_text() == "mine" and not list((results / "report" / "pictures").iterdir())


def test_where_a_film_is_played_from(tmp_path):
    path = tmp_path / "films" / "a b#1?.mp4"
    path.parent.mkdir()
    path.write_bytes(b"")
    pages = str(tmp_path / "out" / "films")
    sources, notice = sources_of(from_row(Film, film(str(path))), pages)
    assert sources == ["../../films/a%20b%231%3F.mp4", path.as_uri()] and notice is None
    assert sources_of(from_row(Film, film("https://x.org/a.mp4")), pages) == (["https://x.org/a.mp4"], None)
    for uri in ("gs://bucket/a.mp4", "/gone/a.mp4", "javascript:alert(1)", "data://text/html,x"):
        sources, notice = sources_of(from_row(Film, film(uri)), pages)
        assert sources == [] and uri in notice.text and "copies the timecode" in notice.text
    _, notice = sources_of(from_row(Film, film("films/gone.mp4")), pages)
    assert f"at films/gone.mp4, seen from {Path.cwd()}" in notice.text
    assert sources_of(from_row(Film, film(str(path))), "gs://bucket/out/films")[0] == [path.as_uri()]


def test_a_report_that_cannot_be_written_is_said(tmp_path):
    results = small_results(tmp_path / "results")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="the report cannot be written"):
        write_report(str(results), str(tmp_path / "file" / "out"))


def test_the_command_says_where_the_report_is(tmp_path, capsys):
    assert main(["report", str(small_results(tmp_path / "r")), "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "index.html")
    assert main(["report", str(tmp_path / "out")]) == 2
    assert "holds no results" in capsys.readouterr().err


@pytest.mark.parametrize(("opens", "status"), [(True, 0), (False, 2)])
def test_the_command_opens_the_catalogue_where_there_is_a_browser(tmp_path, capsys, monkeypatch, opens, status):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda uri: asked.append(uri) or opens)
    results = small_results(tmp_path / "re sults")
    assert main(["report", str(results), "--open"]) == status
    assert asked == [(results / "report" / "index.html").as_uri()]
    assert ("no browser was found" in capsys.readouterr().err) == (not opens)


def test_tag_with_report_wants_a_folder(capsys):
    assert main(["tag", "film.mp4", "--report"]) == 2
    assert "--output DIR" in capsys.readouterr().err


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5))
def test_stretches_stay_on_the_line(start, lasts, length):
    at = placed(start, start + lasts, length)
    assert 0 <= at["left"] <= 100 and at["width"] >= 0 and at["left"] + at["width"] <= 100.0002


@given(st.floats(0, 1e5))
def test_the_axis_has_few_times_that_ascend(length):
    shares = [at for at, _ in ticks(length)]
    assert shares[0] == 0 and shares == sorted(set(shares)) and 1 <= len(shares) <= 11 and shares[-1] <= 1


def test_pictures_are_made_to_fit():
    big = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    pictures = {float(i): cv2.imencode(".jpg", big)[1].tobytes() for i in range(8)}
    total = sum(map(len, pictures.values()))
    assert fitted(pictures, total) == pictures
    small = fitted(pictures, total // 2)
    assert small.keys() == pictures.keys() and sum(map(len, small.values())) <= total // 2
    for data in small.values():
        height, width = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert (width, height) == (240, 180)
    assert max(cv2.imdecode(np.frombuffer(d, np.uint8), 1).shape[1] for d in fitted(pictures, 0).values()) == 112
    assert fitted({0.0: jpeg(1)}, 0) != {} and fitted({}, 0) == {}


@pytest.mark.parametrize(
    ("seconds", "code", "length"),
    [(0, "0:00", "0 s"), (0.4, "0:00", "0.4 s"), (59.99, "0:59", "1 min 00 s"), (61, "1:01", "1 min 01 s"),
     (3600, "1:00:00", "1 h 00 min"), (86399.5, "23:59:59", "24 h 00 min")],
)  # fmt: skip
def test_times_in_words(seconds, code, length):
    assert (phrases.timecode(seconds), phrases.length(seconds)) == (code, length)


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0 %"), (0.001, "< 1 %"), (0.5, "50 %"), (0.996, "> 99 %"), (1, "100 %")]
)
def test_shares_in_words(share, said):
    assert phrases.percent(share) == said


@given(st.text())
def test_a_broken_title_says_the_same(title):
    class Text(HTMLParser):
        said = ""

        def handle_data(self, data):
            self.said += data

    parser = Text()
    parser.feed(str(breakable(title)).replace("\r", "\n"))
    parser.close()
    assert parser.said == title.replace("\r", "\n")


def test_a_film_of_which_nothing_was_looked_at_says_so(tmp_path):
    write_tables(tmp_path, tags=[film("a", key_frames=0, key_frames_rejected=4)])
    write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    assert "No picture of the film carried enough information" in page.text
    assert "4 without information left out" in page.text


def test_what_is_seen_lasts_no_longer_than_the_film(tmp_path):
    write_tables(tmp_path, tags=[film("a", [tag("War", 1.0, seconds=3.0)], duration_s=2.2)])
    write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    assert "3 s" not in page.text and "2 s of 2 s" in page.text


def test_a_name_that_is_no_text_has_its_page_and_its_summary(tmp_path, capsys):
    odd = "/films/od\udcffd.mp4"
    rows = with_thumbnails(tmp_path, [frame(odd, 1.0, {"War": 0.5}), frame(odd, 3.0, {})], range(2))
    write_tables(tmp_path, tags=[film(odd, [tag("War", 1.0)])], key_frames=rows, errors=[failure(odd + "2", "none")])
    write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    assert "od?d.mp4" in page.text
    assert main(["summary", str(tmp_path), odd, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == odd


def test_every_page_says_what_the_tags_are_not_for(tmp_path):
    report = Path(write_report(str(small_results(tmp_path)), watch=["war"]).index).parent
    pages = [*report.glob("*.html"), *report.glob("films/*.html")]
    assert len(pages) == 5
    for path in pages:
        text = Page(path).text
        assert "do not rely on them alone to protect children" in text and "heard no sound" in text


def test_sureness_and_seconds_lead_and_no_strength_is_a_bare_nought(tmp_path):
    tags = [tag("War", 0.0, confidence=0.854, seconds=5.0), tag("Food", 1.0, confidence=0.3, seconds=8.0)]
    write_tables(tmp_path, tags=[film("a", tags, [tag("Animal", 0.004, confidence=0.1)])])
    write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    assert "War, 85 % sure, 5 s of 8 s" in page.text and "Food, 30 % sure, 8 s of 8 s" in page.text
    assert page.text.index("War, 85 %") < page.text.index("Food, 30 %")
    assert "0 (weakest)" in page.text and "< 0.01" in page.text and not re.search(r"\b0\.00\b", page.text)


@pytest.mark.parametrize(("kind", "said"), [("black", "black picture"), ("card", "title card")])
def test_black_pictures_and_title_cards_are_called_so(tmp_path, kind, said):
    rows = [frame("a", 1.0, {}, kind=kind), frame("a", 3.0, {"War": 0.5})]
    write_tables(tmp_path, tags=[film("a", [tag("War", 1.0)])], key_frames=rows)
    write_report(str(tmp_path))
    (page,) = pages_of(tmp_path).values()
    first, second = [e["aria-label"] for e in page.all("button") if "shot" in e.get("class", "").split()]
    assert first.endswith(f"0:01: {said}") and second.endswith("0:03: War 50 %")


def test_a_film_without_tags_has_no_empty_table(tmp_path):
    write_tables(tmp_path, tags=[film("a"), film("b", [], [tag("War", 1.0, confidence=0.01)])])
    write_report(str(tmp_path))
    pages = pages_of(tmp_path)
    assert not pages["a"].all("table")
    (chart,) = [e for e in pages["b"].all("table") if e.get("id") == "chart"]
    assert "hidden" in chart

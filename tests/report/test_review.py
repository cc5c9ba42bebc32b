"""The review page: who may ask, what it keeps, and what it shows of it at once."""

import contextlib
import errno
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_folders import RUN, film, frame, small_results, span, tag, with_thumbnails, write_tables
from review_server import Asker, name_of, served

from movie_tags.errors import UserError
from movie_tags.records import PERSON, Film, TagStrength
from movie_tags.report.review.serve import listen
from movie_tags.report.review.worth import A_FILM, worth_a_look
from movie_tags.results.corrections import APPLIES, REJECTED, WITHDRAWN, Corrections
from movie_tags.results.expressions import Term, parse, resolve
from movie_tags.results.listing import listed, rating
from movie_tags.results.search import Search


@pytest.fixture(scope="module")
def review(tmp_path_factory):
    folder = small_results(tmp_path_factory.mktemp("review"))
    secret = folder.parent / "secret.jpg"
    secret.write_bytes(b"\xff\xd8\xffsecret")
    with served(folder) as page:
        yield folder, Asker(page)


def kept(folder):
    return [(one.tag, one.verdict, one.by) for one in Corrections(str(folder))]


def test_it_listens_on_the_loopback_address_alone():
    with contextlib.closing(listen()) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(UserError, match="--port"):
            listen(listener.getsockname()[1])


def test_the_link_lets_in_and_hides_its_secret(review):
    _, asker = review
    status, _, headers = asker.ask(f"/?token={asker.token}", Cookie=None)
    assert status == 303 and headers["location"] == "/"
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    status, text, headers = asker.ask("/")
    assert status == 200 and b"Films and their tags" in text
    assert headers["x-frame-options"] == "DENY" and headers["referrer-policy"] == "no-referrer"


PATHS = ("/", "/queue", "/scenes", "/review.js", "/films/{name}.html", "/stills/{name}/1.0.jpg", "/api/scenes?q=war")
PATHS += ("/learn", "/learn.js", "/api/learning", "/api/candidates")
TAKING = ("/api/corrections", "/api/undo", "/api/learn", "/api/retag", "/api/stop")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": None},
        {"Cookie": "movie-tags-review-1=x"},
        {"Cookie": 'a[]=1; =; "; \\xe9=\xe9'},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": None},
        {"Host": "evil.example", "Cookie": None},
    ],
)
def test_no_token_no_page_and_no_other_name(review, path, headers):
    folder, asker = review
    path = path.replace("{name}", name_of(folder))
    assert asker.ask(path)[0] == 200
    assert asker.ask(path, **headers)[0] in (400, 403)
    assert asker.ask(path + ("&" if "?" in path else "?") + "token=wrong", **{**headers, "Cookie": None})[0] in (
        400,
        403,
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "https://{host}"},
        {"Content_Type": "text/plain"},
        {"Content_Type": None},
        {"Cookie": None},
        {"Host": "evil.example"},
    ],
)
def test_another_sites_page_cannot_say_anything(review, headers):
    folder, asker = review
    before = kept(folder)
    headers = {name: value and value.replace("{host}", asker.host) for name, value in headers.items()}
    for path in TAKING:
        body = {"name": name_of(folder), "tag": "War", "verdict": APPLIES}
        assert asker.say(body, path, **headers)[0] == 403
    assert kept(folder) == before
    assert all(asker.ask(path)[0] == 405 for path in TAKING)
    assert json.loads(asker.ask("/api/learning")[1])["job"] is None


@pytest.mark.parametrize("thumbnail", ["../secret.jpg", "link.jpg", "/etc/passwd", "thumbnails/../../secret.jpg"])
def test_no_path_leads_out_of_the_folder(tmp_path, thumbnail):
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xffsecret")
    folder = tmp_path / "results"
    write_tables(
        folder, tags=[film("/a.mp4", [tag("War", 1.0)])], key_frames=[frame("/a.mp4", 1.0, {}, thumbnail=thumbnail)]
    )
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with served(folder) as page:
        asker, name = Asker(page), name_of(folder)
        assert asker.ask(f"/stills/{name}/1.0.jpg")[0] == 404 and asker.ask(f"/pictures/{name}.jpg")[0] == 404
        for path in (
            "/../secret.jpg",
            "/films/..%2f..%2fsecret.jpg.html",
            "/media/..%2fsecret.jpg",
            "/media/%2fetc%2fpasswd",
        ):
            status, text, _ = asker.ask(path)
            assert status == 404 and b"secret" not in text


def test_what_a_person_says_is_seen_at_once_everywhere_and_undone(review):
    folder, asker = review
    name, war = name_of(folder), Term("war", ("War",))
    page = f"/films/{name}.html"
    assert b"Animal</b>, relative" in asker.ask(page)[1]
    status, panel = asker.say({"name": name, "tag": "War", "verdict": APPLIES, "by": "Bob"})
    assert (
        status == 200
        and {"tag": "War", "applies": True, "by": "Bob", "start_s": None, "end_s": None} in panel["verdicts"]
    )
    assert b"War</b>, said by a person" in asker.ask(page)[1]
    assert "/films/a.mp4" in {one.id for one in Search(str(folder)).films(war)}
    asker.say({"name": name, "tag": "War", "verdict": REJECTED, "by": "Bob"})
    assert b"War</b>" not in asker.ask(page)[1]
    whole = {"name": name, "title": "a.mp4", "tag": "War", "start_s": None, "end_s": None}
    for verdict in (APPLIES, ""):  # the one that holds now
        assert asker.say({"by": "Bob"}, "/api/undo") == (200, {**whole, "verdict": verdict})
    assert b"Animal</b>, relative" in asker.ask(page)[1]
    assert asker.say({"by": "Bob"}, "/api/undo")[0] == 409
    assert kept(folder)[-4:] == [("War", v, "Bob") for v in (APPLIES, REJECTED, APPLIES, WITHDRAWN)]


def test_a_picture_and_a_stretch_are_corrected_by_themselves(review):
    folder, asker = review
    name = name_of(folder)
    _, panel = asker.say({"name": name, "tag": "Temple", "verdict": APPLIES, "start_s": 5.0, "end_s": 5.0})
    assert ["Temple", 5.0, 5.0] in panel["spans"] and "Temple" in panel["vocabulary"]
    with Search(str(folder)) as search:
        assert [one.id for one in search.films(resolve(parse("temple -war"), search.vocabulary()))] == ["/films/a.mp4"]
    _, panel = asker.say({"name": name, "tag": "Animal", "verdict": REJECTED, "start_s": 6, "end_s": 8})
    assert [s for s in panel["spans"] if s[0] == "Animal"] == [["Animal", 0.0, 2.0]]
    for said, start_s, end_s in (("Animal", 6.0, 8.0), ("Temple", 5.0, 5.0)):
        _, undone = asker.say({}, "/api/undo")
        assert (undone["tag"], undone["start_s"], undone["end_s"], undone["verdict"]) == (said, start_s, end_s, "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"tag": "War", "verdict": APPLIES, "name": "no-such-film"}, 404),
        ({"tag": "", "verdict": APPLIES}, 400),
        ({"tag": "War", "verdict": "perhaps"}, 400),
        ({"tag": "War", "verdict": APPLIES, "start_s": 3}, 400),
        ({"tag": "War", "verdict": APPLIES, "start_s": 3, "end_s": 1}, 400),
        ({"tag": "W" * 201, "verdict": APPLIES}, 400),
        ({"tag": "a\nb", "verdict": APPLIES}, 400),
        ({"tag": ["War"], "verdict": APPLIES}, 400),
        ([1, 2], 400),
        ({"tag": "War", "verdict": APPLIES, "by": "x" * 11_000}, 400),
        ({"tag": "War", "verdict": APPLIES, "by": None}, 400),
    ],
)
def test_what_says_nothing_is_refused_with_the_reason(review, body, status):
    folder, asker = review
    before = kept(folder)
    body = {"name": name_of(folder), **body} if isinstance(body, dict) else body
    found, said = asker.say(body)
    assert found == status and (status == 404 or said["error"])
    assert kept(folder) == before


def test_what_is_said_without_a_name_is_the_users_and_is_undone_without_one(review):
    folder, asker = review
    assert asker.say({"name": name_of(folder), "tag": "War", "verdict": APPLIES, "by": ""})[0] == 200
    assert asker.say({"by": ""}, "/api/undo")[0] == 200
    assert kept(folder)[-2:] == [("War", APPLIES, "Ada"), ("War", WITHDRAWN, "Ada")]


def test_a_full_disk_is_one_sentence_and_the_page_goes_on(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    why = "this could not be done: No space left on device; try again once that is put right"
    folder = small_results(tmp_path)
    with served(folder) as page:
        asker, said = Asker(page), {"name": name_of(folder), "tag": "War", "verdict": REJECTED}
        with monkeypatch.context() as patched:
            patched.setattr(Corrections, "append", full)
            assert asker.say(said) == (500, {"error": why})
        assert asker.say(said)[0] == 200
        with monkeypatch.context() as patched:
            patched.setattr(Search, "_table", full)
            status, data, _ = asker.ask("/api/scenes?q=war")
            assert (status, json.loads(data)) == (500, {"error": why})
        assert json.loads(asker.ask("/api/scenes?q=war")[1]) == {"scenes": []}


@pytest.mark.parametrize("path", TAKING)
def test_what_is_sent_and_is_no_object_is_refused_whatever_it_is_for(review, path):
    assert review[1].say([1], path) == (400, {"error": "what is sent is a short object of JSON"})


def test_a_view_that_is_published_meanwhile_is_shown(tmp_path):
    for view, name in (("one", "Old"), ("two", "New")):
        write_tables(tmp_path / "views" / view, tags=[film("/a.mp4", [tag(name, 1.0)])])
    (tmp_path / "latest").symlink_to("views/one")
    with served(tmp_path) as page:
        asker = Asker(page)
        assert b"Old" in asker.ask("/")[1]
        (tmp_path / "latest").unlink()
        (tmp_path / "latest").symlink_to("views/two")
        text = asker.ask("/")[1]
        assert b"New" in text and b'"Old"' not in text


def test_films_are_played_in_pieces_and_scenes_are_searched(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(range(256)))
    folder, uri = tmp_path / "results", str(tmp_path / "a.mp4")
    rows = with_thumbnails(folder, [frame(uri, 1.0, {"War": 0.5})], range(1))
    write_tables(folder, RUN, tags=[film(uri, [tag("War", 1.0)])], key_frames=rows, spans=[span(uri, "War", 0, 2)])
    with served(folder) as page:
        asker, name = Asker(page), name_of(folder)
        status, data, _ = asker.ask(f"/media/{name}", Range="bytes=10-19")
        assert status == 206 and data == bytes(range(10, 20))
        found = json.loads(asker.ask("/api/scenes?q=" + quote("war -food"))[1])["scenes"]
        assert [(one["name"], one["start_s"], one["end_s"]) for one in found] == [(name, 0.0, 2.0)]
        for verdict in ("rejected", "withdrawn", "rejected", "applies"):
            assert asker.say({"name": name, "tag": "War", "verdict": verdict})[0] == 200
            now = json.loads(asker.ask("/api/scenes?q=war")[1])["scenes"]
            assert [one["start_s"] for one in now] == ([] if verdict == "rejected" else [0.0])
        assert asker.say({"name": name, "tag": "Own", "verdict": "applies", "start_s": 0.5, "end_s": 1})[0] == 200
        now = json.loads(asker.ask("/api/scenes?q=" + quote("war and own"))[1])["scenes"]
        assert [(one["start_s"], one["end_s"]) for one in now] == [(0.5, 1.0)]
        status, data, _ = asker.ask("/api/scenes?q=wor")
        assert status == 400 and "did you mean War" in json.loads(data)["error"]
        assert asker.ask(f"/pictures/{name}.jpg?tag=War")[1].startswith(b"\xff\xd8\xff")


@given(st.lists(st.lists(st.integers(0, 100), max_size=6), max_size=8), st.integers(1, 10))
def test_what_is_worth_a_look_is_near_the_line_unsaid_and_of_many_films(found, number):
    films = []
    for i, shares in enumerate(found):
        tags = [
            TagStrength(f"t{j}", confidence=c / 100, by=PERSON if c == 50 else "model") for j, c in enumerate(shares)
        ]
        films.append(
            (f"f{i}", Film(id=str(i), tags=tuple(tags), short_list=tuple(t for t in tags if t.confidence >= 0.25)))
        )
    chosen = worth_a_look(films, 0.25, number)
    assert len(chosen) <= number and all(one.tag.by != PERSON for one in chosen)
    assert all(one.listed == (one.tag in listed(one.film)) for one in chosen)
    distances = [abs(rating(one.tag) - 0.25) for one in chosen]
    assert distances == sorted(distances)
    names = [one.name for one in chosen]
    assert all(names.count(name) <= A_FILM for name in names)
    if chosen:
        nearest = min(abs(rating(t) - 0.25) for _, f in films for t in f.tags if t.by != PERSON)
        assert distances[0] == nearest

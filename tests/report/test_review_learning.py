"""What the page of learning starts: one thing at a time, followed to its end, whatever that is."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from result_folders import film, small_results, write_tables
from review_server import Asker, name_of, served

from movie_tags.errors import UserError
from movie_tags.models.building import place_of
from movie_tags.report.review import work
from movie_tags.report.review.work import DONE, FAILED, REFUSED, RUNNING, STOPPED, Order, Works


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """What is run in Python's place: a shell script that writes down its words, and then does as told."""

    def told(*lines):
        path = tmp_path / "program"
        path.write_text("\n".join(["#!/bin/sh", f'echo "$@" >> {tmp_path}/words', *lines]) + "\n")
        path.chmod(0o755)
        monkeypatch.setattr(work.sys, "executable", str(path))
        return tmp_path / "words"

    return told


PROGRESS = [f"echo 'INFO:x:movie-tags progress {json.dumps(one)}' >&2" for one in ({"steps_due": 3}, {"steps": 1})]


@pytest.mark.parametrize(
    ("lines", "state", "error"),
    [
        (["echo out"], DONE, ""),
        (["echo out", "echo 'movie-tags: one film failed' >&2", "exit 3"], DONE, "one film failed"),
        (["echo out", "exit 1"], REFUSED, ""),
        (["echo 'movie-tags: it cannot' >&2", "echo a traceback >&2", "exit 1"], FAILED, "it cannot"),
        (["exit 1"], FAILED, "it ended with the status 1 and without a word"),
        (["kill -9 $$"], FAILED, "it ended with the status -9 and without a word"),
    ],
)
def test_how_a_command_ends_is_said(program, lines, state, error):
    words = program(*PROGRESS, *lines)
    works, ended = Works(), []
    works.start(Order("learn", ("learn", "a b"), ended.append))
    until(lambda: not works.running)
    assert ended == [works.job]
    assert (works.job.state, works.job.error, works.job.done, works.job.due) == (state, error, 1, 3)
    assert works.job.output == ("out\n" if "echo out" in lines else "")
    assert words.read_text() == "-P -m movie_tags learn a b --verbose\n"


def test_a_program_that_is_not_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(work.sys, "executable", "/no/such/program")
    works = Works()
    works.start(Order("learn", ()))
    until(lambda: not works.running)
    assert works.job.state == FAILED and "could not be started" in works.job.error


@pytest.mark.parametrize("reason", [OSError("the disk is full"), ValueError("no JSON"), UserError("no such film")])
def test_what_comes_after_may_fail_and_the_next_thing_goes_on(program, reason):
    program("echo out")

    def then(job):
        raise reason

    works = Works()
    works.start(Order("learn", (), then))
    until(lambda: not works.running, 10)
    assert works.job.state == FAILED and works.job.error.endswith(str(reason)) and works.job.output == "out\n"
    works.start(Order("learn", ()))
    until(lambda: not works.running, 10)
    assert works.job.state == DONE


def test_no_room_for_what_is_printed_is_a_sentence(program, monkeypatch):
    program()

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(work.tempfile, "TemporaryFile", full)
    works = Works()
    works.start(Order("learn", ()))
    until(lambda: not works.running, 10)
    assert works.job.state == FAILED and "no space left" in works.job.error


def test_one_thing_at_a_time_and_then_the_next(program, tmp_path):
    words = program(f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    works = Works()
    states = []
    works.start(Order("learn", ("one",), lambda job: states.append(job.state) or Order("retag", ("two",))))
    with pytest.raises(UserError, match="going on already"):
        works.start(Order("learn", ("another",)))
    (tmp_path / "go").touch()
    until(lambda: not works.running)
    assert states == [DONE] and (works.job.kind, works.job.state) == ("retag", DONE)
    assert words.read_text().split("\n") == ["-P -m movie_tags one --verbose", "-P -m movie_tags two --verbose", ""]


def test_what_goes_on_is_stopped_and_nothing_follows(program, tmp_path):
    program("trap 'exit 1' INT", f"touch {tmp_path}/begun", "while true; do sleep 0.02; done")
    works = Works()
    works.start(Order("learn", (), lambda job: Order("retag", ())))
    until((tmp_path / "begun").exists)
    works.stop()
    until(lambda: not works.running)
    assert (works.job.kind, works.job.state) == ("learn", STOPPED)
    works.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_goes_on_ends_with_the_server_however_that_ends(program, tmp_path, number):
    """By a process of the command itself, in which only what it starts is another program."""
    python = sys.executable
    folder = small_results(tmp_path / "results")
    tick = f"n=0; while [ $((n += 1)) -lt 500 ]; do touch {tmp_path}/begun; sleep 0.05; done"  # it ends if we do not
    program(f"trap 'touch {tmp_path}/ended; exit 1' INT", tick)
    server = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL);"
        "from movie_tags.pipeline.commands import main"
        f"; sys.executable = {str(tmp_path / 'program')!r}; sys.exit(main(sys.argv[1:]))"
    )
    words = [python, "-c", server, "review", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            asker = Asker(SimpleNamespace(link=process.stdout.readline().strip()))
            assert asker.say({}, "/api/learn")[0] == 200
            until((tmp_path / "begun").exists, 20)
            process.send_signal(number)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 1 and "what was said is kept" in said and "Traceback" not in said
    assert (tmp_path / "ended").exists()


def asked(asker):
    return json.loads(asker.ask("/api/learning")[1])


FOUND = {"tags": [], "mean": [0.5, 0.4], "worse": True, "passed_over": {}, "cautions": ["few"], "model": ""}


def retagged(nightly, **more):
    """A line that prints what `retag --json` does."""
    found = {"tagged": 3, "failed": 0, "left": 0, "outcome": "3 films", "nightly": nightly, **more}
    return "cat << 'END'\n" + json.dumps(found) + "\nEND"


def test_a_worse_model_is_written_only_when_that_is_said(program, tmp_path):
    folder = small_results(tmp_path / "results")
    model = "for last; do :; done; for word; do [ $before = --output ] && out=$word; before=$word; done"
    write = f"mkdir -p $out && echo '{{}}' > $out/model.json && echo '{json.dumps(FOUND)}'"
    forced = f"case \"$*\" in *--force*) {write};; *) echo '{json.dumps(FOUND)}'; exit 1;; esac"
    words = program("before=none", model, forced)
    with served(folder) as page:
        asker = Asker(page)
        assert asker.say({}, "/api/learn")[0] == 200
        until(lambda: asked(asker)["job"]["state"] != RUNNING)
        now = asked(asker)
        assert now["job"]["state"] == REFUSED and now["found"] == {**FOUND, "name": ""} and not now["models"]
        assert asker.say({"force": True}, "/api/learn")[0] == 200
        until(lambda: asked(asker)["job"]["state"] != RUNNING)
        now = asked(asker)
        (name,) = [one["name"] for one in now["models"]]
        assert now["job"]["state"] == DONE and now["found"]["name"] == name
        assert (folder / "models" / name / "model.json").exists()
        for wrong in ("../models", str(tmp_path), "", None, ["x"], f"{name}/.."):
            status, said = asker.say({"model": wrong}, "/api/retag")
            assert status == 400 and "no such model" in said["error"]
        program(retagged(f"movie-tags tag 'my films' --model {folder}/models/{name} --fps 2"))
        assert asker.say({"model": name}, "/api/retag")[0] == 200
        until(lambda: asked(asker)["job"]["state"] != RUNNING)
        now = asked(asker)
        assert now["retagged"]["nightly"] == f"movie-tags tag 'my films' --model {folder}/models/latest --fps 2"
        assert now["retagged"]["outcome"] == "3 films"
        assert os.path.realpath(folder / "models" / "latest") == str(folder / "models" / name)
    assert (
        words.read_text().split("\n")[-2].startswith(f"-P -m movie_tags retag {folder} --model {folder}/models/{name}")
    )


@pytest.mark.parametrize("printed", ["echo no JSON", "echo null", "true"])
def test_what_is_printed_and_is_no_json_is_said(program, tmp_path, printed):
    folder = small_results(tmp_path / "results")
    program(printed)
    with served(folder) as page:
        asker = Asker(page)
        asker.say({}, "/api/learn")
        until(lambda: asked(asker)["job"]["state"] != RUNNING, 10)
        now = asked(asker)
        assert now["job"]["state"] == FAILED and now["job"]["error"] and now["found"] is None


@pytest.mark.parametrize("where", ["a folder is in the way", "no links"])
def test_without_a_link_the_model_itself_is_named(program, tmp_path, monkeypatch, where):
    folder = small_results(tmp_path / "results")
    model = folder / "models" / "mine"
    model.mkdir(parents=True)
    (model / "model.json").write_text("{}")
    if where == "no links":

        def refused(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "symlink", refused)
    else:
        (folder / "models" / "latest").mkdir()
    program(retagged(f"movie-tags tag films --model {model}"))
    with served(folder) as page:
        asker = Asker(page)
        assert asker.say({"model": "mine"}, "/api/retag")[0] == 200
        until(lambda: asked(asker)["job"]["state"] != RUNNING, 10)
        now = asked(asker)
        assert (now["job"]["state"], now["retagged"]["nightly"]) == (DONE, f"movie-tags tag films --model {model}")
    assert {path.name for path in model.parent.iterdir()} <= {"mine", "latest"}


def test_the_model_that_ships_goes_by_its_name_wherever_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOVIE_TAGS_CACHE", "cache")
    folder = small_results(tmp_path / "results")
    run = json.loads((folder / "run.json").read_text())
    run["model"]["bundles"] = [{"uri": os.path.abspath(place_of("compact"))}]  # as a run writes it down
    (folder / "run.json").write_text(json.dumps(run))
    with served(folder) as page:
        assert asked(Asker(page))["models"] == [{"name": "compact", "uri": "compact", "used": True}]


def test_what_cannot_be_learned_is_one_sentence(tmp_path):
    """By the command itself."""
    assert os.path.samefile(work.sys.executable, sys.executable)
    folder = write_tables(tmp_path / "results", tags=[film("/a.mp4")])
    with served(folder, models=str(tmp_path / "mine")) as page:
        asker = Asker(page)
        assert asker.say({"then": True}, "/api/learn")[0] == 200
        assert str(tmp_path / "mine" / "learned-") in asked(asker)["job"]["words"]
        until(lambda: asked(asker)["job"]["state"] != RUNNING, 300)
        job = asked(asker)["job"]
        assert job["state"] == FAILED and job["error"] and "\n" not in job["error"] and "Error" not in job["error"]
        assert not (tmp_path / "mine").exists()


def test_tags_of_ones_own_are_counted(tmp_path):
    folder = small_results(tmp_path)
    with served(folder) as page:
        asker, name = Asker(page), name_of(folder)
        for time_s, verdict in ((1.0, "applies"), (3.0, "applies"), (5.0, "rejected")):
            asker.say({"name": name, "tag": "Temple", "verdict": verdict, "start_s": time_s, "end_s": time_s})
        asker.say({"name": name, "tag": "Of the film", "verdict": "applies"})
        assert asked(asker)["own"] == [{"tag": "Temple", "yes": 2, "no": 1}]

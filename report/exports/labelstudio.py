"""Label Studio: a pre-annotated task for each film, and corrected tasks read back as the spans of a data set.

Label Studio counts frames from 1, both ends of a range included, by a player's clock at the rate that the task names.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import Film, Span
from movie_tags.report.exports import FilmError, Options, Written, listed_spans, reason_for, title_of
from movie_tags.report.exports.frame_rates import Frames, frames_of
from movie_tags.results.film_tables import Results

CONTROL, VIDEO = "tags", "video"
SETTING = "LABEL_STUDIO_LOCAL_FILES"


class LabelStudioError(UserError):
    """A file that is no export of Label Studio's with our labels; the message says what is missing."""


@dataclass(frozen=True, order=True)
class Labelled:
    """A stretch of a film that a person says carries a tag; seconds."""

    uri: str
    start_s: float
    end_s: float
    tag: str


def write(results: Results, out: str, options: Options) -> Written:
    """config.xml, the labelling interface of a project, and tasks.json, to import into it.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    written, tasks, tags = Written(), [], {}
    root = document_root(film.uri for film in results.films())
    model = ((results.run or {}).get("model") or {}).get("name") or "movie-tags"
    for film in results.films():
        tags.update(dict.fromkeys(tag.tag for tag in film.tags))
        try:
            frames = frames_of(film)
        except FilmError as error:
            written.left_out.append((film.title, reason_for(film, error)))
            continue
        tasks.append(task_of(film, listed_spans(results, film, options), frames, model, root))
    vocabulary = ((results.run or {}).get("model") or {}).get("vocabulary") or sorted(tags)
    for name, text in (
        ("config.xml", config_of(vocabulary)),
        ("tasks.json", json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"),
    ):
        path = storage.join(out, name)
        storage.write_text(path, text)
        written.files.append(path)
    if root:
        written.notes.append(
            f"Label Studio shows these films where it is started with {SETTING}_SERVING_ENABLED=true and "
            f"{SETTING}_DOCUMENT_ROOT={shlex.quote(os.path.dirname(root))}, and its project has a source storage of "
            f"the type Local files for {root}"
        )
    return written


def config_of(tags: list[str]) -> str:
    """The labelling interface: a timeline of the tags under the film."""
    labels = "".join(f"    <Label value={quoteattr(tag)}/>\n" for tag in tags)
    return (
        f'<View>\n  <TimelineLabels name="{CONTROL}" toName="{VIDEO}">\n{labels}  </TimelineLabels>\n'
        f'  <Video name="{VIDEO}" value="$video" frameRate="$fps" timelineHeight="120"/>\n</View>\n'
    )


def document_root(uris: Iterable[str]) -> str | None:
    """The folder that all local films are below; None where there are none."""
    folders = {os.path.dirname(uri) for uri in uris if os.path.isabs(uri)}
    return os.path.commonpath(folders) if folders else None


def address_of(uri: str, root: str | None) -> str:
    """Where Label Studio finds a film: a local one, through its serving of files from the folder above `root` on."""
    if storage.is_remote(uri) or root is None:
        return uri
    return "/data/local-files/?d=" + quote(os.path.relpath(uri, os.path.dirname(root)).replace("\\", "/"))


def task_of(film: Film, spans: tuple[Span, ...], frames: Frames, model: str, root: str | None) -> dict:
    """A film as a task with its spans as a prediction."""
    clock = replace(frames.constant, count=max(1, round(Fraction(film.start_s + film.duration_s) * frames.rate)))
    found = []
    for number, span in enumerate(spans):
        first, end = clock.between(film.start_s + span.start_s, film.start_s + span.end_s)
        found.append(
            {
                "id": f"span{number}",
                "type": "timelinelabels",
                "from_name": CONTROL,
                "to_name": VIDEO,
                "value": {"ranges": [{"start": first + 1, "end": end}], "timelinelabels": [span.tag]},
                "score": span.mean_probability,
            }
        )
    score = sum(span.mean_probability for span in spans) / len(spans) if spans else 0.0
    data = {"video": address_of(film.uri, root), "uri": film.uri, "title": title_of(film), "fps": float(frames.rate)}
    return {
        "data": {**data, "fps_exact": str(frames.rate), "frames": clock.count, "start_s": film.start_s},
        "predictions": [{"model_version": model, "score": score, "result": found}],
    }


def read(path: str) -> tuple[Labelled, ...]:
    """The spans that people have marked, of Label Studio's JSON export; predictions that nobody has looked at are none.

    Raises:
        LabelStudioError: it cannot be read, is no such export, or names no span.
    """
    found = {span for spans in annotated(path).values() for span in spans}
    if not found:
        raise LabelStudioError(f"{path}: nobody has marked a span in it; submit annotations in Label Studio first")
    return tuple(sorted(found))


def annotated(path: str) -> dict[str, set[Labelled]]:
    """By its address, the spans of each film that somebody has annotated, which may be none.

    Raises:
        LabelStudioError: it cannot be read, or is no such export.
    """
    try:
        tasks = json.loads(storage.read_text(path))
    except OSError as error:
        raise LabelStudioError(f"{path}: cannot be read: {storage.plainly(error)}") from error
    except ValueError as error:
        raise LabelStudioError(f"{path}: is no JSON ({error}); export the project from Label Studio as JSON") from error
    found: dict[str, set[Labelled]] = {}
    for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks], 1):
        try:
            if any(not annotation.get("was_cancelled") for annotation in task["annotations"]):
                uri = str(task["data"].get("uri") or task["data"]["video"])
                found.setdefault(uri, set()).update(_of_task(task))
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise LabelStudioError(
                f"{path}, task {number}: not as `movie-tags export --to labelstudio` made it "
                f"({type(error).__name__}: {error}); export the project as JSON, not JSON-MIN or CSV"
            ) from error
    return found


def _of_task(task: dict) -> Iterator[Labelled]:
    data = task["data"]
    rate = Fraction(str(data.get("fps_exact") or data["fps"]))
    late = Fraction(data.get("start_s") or 0)  # of the first frame on a player's clock
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        for region in annotation["result"]:
            if region.get("type") != "timelinelabels":
                continue
            for stretch in region["value"]["ranges"]:
                begin, end = (
                    max(0.0, float(Fraction(n) / rate - late)) for n in (stretch["start"] - 1, stretch["end"])
                )
                for tag in region["value"]["timelinelabels"]:
                    yield Labelled(str(data.get("uri") or data["video"]), begin, end, str(tag))


def write_spans(spans: tuple[Labelled, ...], path: str) -> None:
    """SPANS.csv with the columns uri, start, end, tag: what `movie-tags dataset` takes.

    Raises:
        OSError: it may not be written.
    """
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(("uri", "start", "end", "tag"))
    lines.writerows((s.uri, f"{s.start_s:.6f}", f"{s.end_s:.6f}", s.tag) for s in spans)
    storage.write_text(path, text.getvalue())

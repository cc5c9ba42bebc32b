"""Label Studio: a task a film whose spans a person corrects, and back: corrected tasks as the spans of a data set.

Label Studio counts frames from 1, both ends of a range included, at the rate that the task names. It shows local films
where it is started with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import Film, Span
from movie_tags.report.exports import FilmError, Options, Written, listed_spans
from movie_tags.report.exports.frames import Frames, frames_of
from movie_tags.results.tables import Results

CONTROL, VIDEO = "tags", "video"


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
    model = ((results.run or {}).get("model") or {}).get("name") or "movie-tags"
    for film in results.films():
        tags.update(dict.fromkeys(tag.tag for tag in film.tags))
        try:
            frames = frames_of(film)
        except FilmError as error:
            written.left_out.append((film.title, str(error)))
            continue
        tasks.append(task_of(film, listed_spans(results, film, options), frames, model))
    vocabulary = ((results.run or {}).get("model") or {}).get("vocabulary") or sorted(tags)
    for name, text in (
        ("config.xml", config_of(vocabulary)),
        ("tasks.json", json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"),
    ):
        path = storage.join(out, name)
        storage.write_text(path, text)
        written.files.append(path)
    return written


def config_of(tags: list[str]) -> str:
    """The labelling interface: a timeline of the tags under the film."""
    labels = "".join(f"    <Label value={quoteattr(tag)}/>\n" for tag in tags)
    return (
        f'<View>\n  <TimelineLabels name="{CONTROL}" toName="{VIDEO}">\n{labels}  </TimelineLabels>\n'
        f'  <Video name="{VIDEO}" value="$video" frameRate="$fps" timelineHeight="120"/>\n</View>\n'
    )


def address_of(uri: str) -> str:
    """Where Label Studio finds a film: a local one, through its own serving of local files from the root on."""
    if storage.is_remote(uri):
        return uri
    return "/data/local-files/?d=" + quote(os.path.abspath(uri).replace("\\", "/").lstrip("/"))


def task_of(film: Film, spans: tuple[Span, ...], frames: Frames, model: str) -> dict:
    """A film as a task with its spans as a prediction."""
    found = []
    for number, span in enumerate(spans):
        first, end = frames.between(span.start_s, span.end_s)
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
    data = {"video": address_of(film.uri), "uri": film.uri, "title": film.title, "fps": float(frames.rate)}
    return {
        "data": {**data, "fps_exact": str(frames.rate), "frames": frames.count},
        "predictions": [{"model_version": model, "score": score, "result": found}],
    }


def read(path: str) -> tuple[Labelled, ...]:
    """The spans that people have marked, of Label Studio's JSON export; predictions that nobody has looked at are none.

    Raises:
        LabelStudioError: it cannot be read, is no such export, or names no span.
    """
    try:
        tasks = json.loads(storage.read_text(path))
    except OSError as error:
        raise LabelStudioError(f"{path}: cannot be read: {storage.plainly(error)}") from error
    except ValueError as error:
        raise LabelStudioError(f"{path}: is no JSON ({error}); export the project from Label Studio as JSON") from error
    found: set[Labelled] = set()
    for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks], 1):
        try:
            found.update(_of_task(task))
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise LabelStudioError(
                f"{path}, task {number}: not as `movie-tags export --to labelstudio` made it "
                f"({type(error).__name__}: {error}); export the project as JSON, not JSON-MIN or CSV"
            ) from error
    if not found:
        raise LabelStudioError(f"{path}: nobody has marked a span in it; submit annotations in Label Studio first")
    return tuple(sorted(found))


def _of_task(task: dict) -> Iterator[Labelled]:
    data = task["data"]
    rate = Fraction(str(data.get("fps_exact") or data["fps"]))
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        for region in annotation["result"]:
            if region.get("type") != "timelinelabels":
                continue
            for stretch in region["value"]["ranges"]:
                first, last = int(stretch["start"]), int(stretch["end"])
                for tag in region["value"]["timelinelabels"]:
                    yield Labelled(
                        str(data.get("uri") or data["video"]), float((first - 1) / rate), float(last / rate), str(tag)
                    )


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

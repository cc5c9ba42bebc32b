"""The page of a film: one HTML file with everything in it, which opens without a network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import cv2
import jinja2
import numpy as np
from markupsafe import Markup, escape

from movie_tags.records import Failure, Film, KeyFrame, Span, TagStrength
from movie_tags.report import phrases
from movie_tags.report.summary import Choice

PICTURES_BYTES = 6_000_000
"""Pictures of a film that are larger in all are made smaller before they go into its page."""
SMALLER = ((240, 70), (160, 60), (112, 50))
"""Long sides in pixels and JPEG qualities, tried one after the other."""
COLOURS = 10
TICK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
MOST_TICKS = 10


@dataclass(frozen=True)
class Notice:
    """Something that a viewer must know. Attributes: its kind, "", "bad" or "plain"; the text."""

    kind: str
    text: str


@cache
def text_of(*names: str) -> str:
    """Files of this room, one after the other."""
    return "\n".join((files(__package__) / name).read_text("utf-8") for name in names)


@cache
def template(name: str) -> jinja2.Template:
    """A template of this room; everything that goes into it is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False)
    return environment.from_string(text_of(name))


def script_hash(script: str) -> str:
    """What a Content-Security-Policy calls the one script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def inline(text: str) -> Markup:
    """A style sheet or script of this room, to stand in a page as it is."""
    return Markup(text)


def breakable(title: str) -> Markup:
    """A title, escaped, that may be broken after the signs that part words in names of files."""
    return Markup(re.sub(r"([_./\\-]+)(?=[^_./\\-])", r"\1<wbr>", str(escape(title))))


def data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def fitted(pictures: dict[float, bytes], most_bytes: int = PICTURES_BYTES) -> dict[float, bytes]:
    """JPEG files that take no more than so many bytes in all, made smaller where they must be; or the smallest."""
    small = pictures
    for side, quality in SMALLER:
        if sum(map(len, small.values())) <= most_bytes:
            break
        small = {time_s: smaller(data, side, quality) for time_s, data in pictures.items()}
    return small


def smaller(jpeg: bytes, side: int, quality: int) -> bytes:
    """A JPEG file with this long side in pixels; as it is where it is no larger, or cannot be read."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or max(picture.shape[:2]) <= side:
        return jpeg
    scale = side / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def ticks(length_s: float) -> list[tuple[float, str]]:
    """Times for an axis, as shares of its length, with their timecodes: the closest step that leaves at most ten."""
    step = next((step for step in TICK_STEPS if length_s / step <= MOST_TICKS), TICK_STEPS[-1])
    if length_s <= 0:
        return [(0.0, phrases.timecode(0))]
    return [(at / length_s, phrases.timecode(at)) for at in range(0, int(length_s) + 1, step)]


def about(run: dict | None) -> list[tuple[str, str]]:
    """What a run was, as names and values: model, method, date, versions. `run` is what run.json says."""
    if not run:
        return [("Run", "nothing is known of it: run.json is missing beside the tables")]
    model, method, versions = (run.get(name) or {} for name in ("model", "method", "versions"))
    said = [
        ("Tagged", str(run.get("ended") or run.get("begun") or "at an unknown time").replace("T", " ")[:16] + " UTC"),
        ("Model", f"{model.get('name') or model.get('uri') or 'unknown'} ({str(model.get('fingerprint'))[:12]})"),
        ("Vocabulary", phrases.number(len(model.get("vocabulary") or ()), "tag")),
    ]
    detector = method.get("detector", "hsv-histogram")
    wanted = {
        "fps": ("Sampling", "{:g} a second"),
        "shot_threshold": (
            "Shots",
            f"begin where the {detector} difference is above {{:.3g}}",
        ),
        "min_entropy": ("Key frames", "carry more than {:g} bits"),
        "top_k": ("Tags of a key frame", "{:g} at most"),
        "min_probability": ("A tag counts", "from a probability of {:g} on"),
        "min_relative_strength": ("Short list", "tags of a relative strength of {:g} or more"),
        "min_confidence": ("Short list", "tags of which the model is sure to {:.0%} or more"),
        "span_gap": ("Stretches", "are joined across gaps of up to {:g} s"),
    }
    for name, (title, form) in wanted.items():
        if isinstance(method.get(name), int | float):
            said.append((title, form.format(method[name])))
    if method.get("sampling") == "codec-key-frames":
        gap, length = (float(method.get(name) or 0) for name in ("max_key_frame_gap", "min_draft_length"))
        draft = (
            "of little but the codec's own key frames; samples are exact between those more than {:g} s apart, and in "
        )
        said.append(("Draft", (draft + "films shorter than {:g} s").format(gap, length)))
    if method.get("preset"):
        said.append(("Preset", str(method["preset"])))
    made = [f"{name} {versions[name]}" for name in ("movie-tags", "apache-beam", "av") if name in versions]
    return [*said, ("Made with", ", ".join(made))] if made else said


def shown_tags(film: Film) -> list[TagStrength]:
    """The kept tags, then the weaker ones, each the strongest first."""
    kept = {tag.tag for tag in film.short_list}
    return [*film.short_list, *(tag for tag in film.tags if tag.tag not in kept)]


def colour(index: int, kept: int = COLOURS) -> str:
    """The colour of a tag by its rank: of a palette, or the same grey for all that follow."""
    return f"var(--t{index})" if index < min(COLOURS, kept) else "var(--other)"


def lanes(tags: Sequence[TagStrength], spans: Iterable[Span], length_s: float) -> list[dict]:
    """The timeline: for each tag its spans, with where they stand in percent of the film's length."""
    by_tag: dict[str, list[dict]] = {tag.tag: [] for tag in tags}
    for span in spans:
        if span.tag in by_tag:
            by_tag[span.tag].append({**vars(span), **placed(span.start_s, span.end_s, length_s)})
    return [{"tag": tag, "spans": found} for tag, found in by_tag.items()]


def placed(start_s: float, end_s: float, length_s: float) -> dict:
    """Where a stretch stands on a line of a given length: left and width in percent."""
    left = min(100.0, max(0.0, 100 * start_s / length_s)) if length_s > 0 else 0.0
    right = min(100.0, max(left, 100 * end_s / length_s)) if length_s > 0 else 100.0
    return {"left": round(left, 4), "width": round(right - left, 4)}


def film_notices(film: Film, failures: Iterable[Failure], frames: int, pictures: int, listed: int) -> list[Notice]:
    """What a viewer must know of a film.

    Args:
        film: the film.
        failures: those of this film.
        frames, pictures, listed: how many key frames there are, have a picture, and have one by the tables.
    """
    notices = [Notice("", f"Warning: {warning}") for warning in film.warnings]
    reasons: dict[tuple[bool, str], int] = {}
    for failure in failures:
        key = failure.of_key_frame, failure.reason
        reasons[key] = reasons.get(key, 0) + 1
    for (of_key_frame, reason), count in reasons.items():
        what = phrases.number(count, "key frame") + " could not be tagged" if of_key_frame else "The film failed"
        notices.append(Notice("bad", f"{what}: {reason}"))
    if frames and not listed:
        notices.append(Notice("plain", "The run kept no pictures of the key frames (--thumbnails keeps them)."))
    elif listed > pictures:
        notices.append(
            Notice("", f"{phrases.number(listed - pictures, 'picture')} of {listed:,} cannot be read from the results.")
        )
    if film.key_frames and not frames:
        notices.append(Notice("", "The key frames are not in the results: key_frames.jsonl lacks them."))
    return notices


def film_page(
    film: Film,
    frames: Sequence[KeyFrame],
    spans: Iterable[Span],
    pictures: dict[float, bytes],
    choice: Choice,
    run: dict | None,
    notices: Sequence[Notice] = (),
    sources: Sequence[str] = (),
    catalogue: str = "",
) -> str:
    """The page of a film.

    Args:
        film, frames, spans: the film, its key frames in order of time, its spans.
        pictures: JPEG files of the key frames by their times; some or all may be missing.
        choice: the film in a few pictures.
        run: what run.json says.
        notices: what a viewer must know.
        sources: addresses that a browser may play the film from, tried one after the other.
        catalogue: the address of the catalogue's page, none without one.

    Returns:
        The text of an HTML file.
    """
    length_s = max([film.duration_s, *(frame.shot_end_s for frame in frames)])
    tags = shown_tags(film)
    kept = len(film.short_list)
    uris = {time_s: data_uri(data) for time_s, data in fitted(pictures).items()}
    shapes = [_shape(data) for data in list(pictures.values())[:1]]
    number_of = {tag.tag: i for i, tag in enumerate(tags)}
    for frame in frames:  # what counts on a key frame may be no tag of an older run's film
        for tag, _ in frame.tags:
            number_of.setdefault(tag, len(number_of))
    shown = [
        {**vars(frame), "picture": uris.get(frame.time_s), **placed(frame.shot_start_s, frame.shot_end_s, length_s)}
        for frame in frames
    ]
    chosen = {frame.time_s for frame in choice.frames}
    counts = dict.fromkeys(range(len(number_of)), 0)
    for frame in frames:
        for tag in {tag for tag, _ in frame.tags}:
            counts[number_of[tag]] += 1
    facts = [
        phrases.length(film.duration_s),
        phrases.number(film.shots, "shot"),
        phrases.number(film.key_frames, "key frame"),
    ]
    if film.key_frames_rejected:
        facts.append(f"{film.key_frames_rejected:,} without information left out")
    if run and (run.get("ended") or run.get("begun")):
        facts.append("tagged on " + str(run.get("ended") or run["begun"])[:10])
    js = text_of("film.js")
    return template("film.html.j2").render(
        film=film,
        tags=tags,
        kept=kept,
        confident=any(tag.confidence is not None for tag in tags),
        frames=shown,
        # A film all of whose key frames are chosen is summed up by its key frames.
        chosen=[f for f in shown if f["picture"] and f["time_s"] in chosen] if len(chosen) < len(frames) else [],
        near_repeats=choice.near_repeats,
        lanes=lanes(tags, spans, length_s),
        counts=counts,
        number_of=number_of,
        ticks=[{"left": round(100 * at, 4), "text": text} for at, text in ticks(length_s)],
        ratio=f"{shapes[0][0]}/{shapes[0][1]}" if shapes and shapes[0] else "16/9",
        facts=facts,
        notices=notices,
        sources=list(sources),
        verb="Play from" if sources else "Copy",
        catalogue=catalogue,
        about=[*about(run), ("File", film.uri)],
        data={"length": length_s, "shots": [[frame.shot_start_s, frame.shot_end_s] for frame in frames]},
        css=inline(text_of("base.css", "film.css")),
        js=inline(js),
        script_hash=script_hash(js),
        colour=lambda index: colour(index, kept),
        breakable=breakable,
        **{
            name: getattr(phrases, name)
            for name in ("timecode", "length", "percent", "number", "counted", "enumerated")
        },
    )


def _shape(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height in pixels."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else (picture.shape[1], picture.shape[0])

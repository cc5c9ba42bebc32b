"""The page of a film: one HTML file with everything in it, which opens without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from movie_tags.records import EXACT, Failure, Film, KeyFrame, Span, TagStrength
from movie_tags.report import phrases
from movie_tags.report.about import LIMITS, about, tagged_on
from movie_tags.report.markup import breakable, data_uri, fitted, inline, script_hash, shape_of, template, text_of
from movie_tags.report.summary import Choice
from movie_tags.results.listing import levels, millionths, rating, threshold_of

COLOURS = 10
TICK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
MOST_TICKS = 10
RATIO = "16/9"
"""Of pictures whose shape is not known."""
LED_BY = 4
"""Tags that a page's first lines name."""


@dataclass(frozen=True)
class Notice:
    """Something that a viewer must know. Attributes: its kind, "", "bad" or "plain"; the text."""

    kind: str
    text: str


@dataclass(frozen=True)
class Shown:
    """A tag on the page.

    Attributes:
        tag: as the tables have it.
        level: the highest setting at which the film has it, in millionths.
        listed: it is there when the page opens.
        colour: in CSS.
    """

    tag: TagStrength
    level: int
    listed: bool
    colour: str


def ticks(length_s: float) -> list[tuple[float, str]]:
    """Times for an axis, as shares of its length, with their timecodes: the closest step that leaves at most ten."""
    step = next((step for step in TICK_STEPS if length_s / step <= MOST_TICKS), TICK_STEPS[-1])
    if length_s <= 0:
        return [(0.0, phrases.timecode(0))]
    return [(at / length_s, phrases.timecode(at)) for at in range(0, int(length_s) + 1, step)]


def shown_tags(film: Film, threshold: float) -> tuple[Shown, ...]:
    """The tags of a film's page: those that it lists as it opens, then the others, each the surest first."""
    found = sorted(levels(film, threshold), key=lambda pair: pair[1] < threshold)
    return tuple(
        Shown(tag, millionths(level), level >= threshold, colour(i, level >= threshold))
        for i, (tag, level) in enumerate(found)
    )


def colour(index: int, listed: bool = True) -> str:
    """The colour of a tag by its rank: of a palette, or the same grey for all that follow."""
    return f"var(--t{index})" if listed and index < COLOURS else "var(--other)"


def lanes(tags: Sequence[str], spans: Iterable[Span], length_s: float) -> list[list[dict]]:
    """The timeline: for each tag its spans, with where they stand in percent of the film's length."""
    by_tag: dict[str, list[dict]] = {tag: [] for tag in tags}
    for span in spans:
        if span.tag in by_tag:
            by_tag[span.tag].append({**vars(span), **placed(span.start_s, span.end_s, length_s)})
    return list(by_tag.values())


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
        missing = phrases.number(listed - pictures, "picture")
        notices.append(Notice("", f"{missing} of {listed:,} cannot be read from the results."))
    if film.key_frames and not frames:
        notices.append(Notice("", "The key frames are not in the results: key_frames.jsonl lacks them."))
    return notices


def facts_of(film: Film, run: dict | None) -> list[str]:
    """A film in numbers: how long, how many shots and key frames, when it was tagged."""
    facts = [
        phrases.length(film.duration_s),
        phrases.number(film.shots, "shot"),
        phrases.number(film.key_frames, "key frame"),
    ]
    if film.key_frames_rejected:
        facts.append(f"{film.key_frames_rejected:,} without information left out")
    return facts + tagged_on(run)


def said_of(frame: KeyFrame) -> str:
    """What was seen on a key frame, in words: its tags, or what it is instead of a picture."""
    tags = ", ".join(f"{tag} {phrases.percent(probability)}" for tag, probability in frame.tags)
    kind = phrases.KINDS.get(frame.kind, "")
    return ", ".join(filter(None, [kind, tags])) or "nothing sure"


def shown_frames(frames: Sequence[KeyFrame], pictures: Mapping[float, str], length_s: float) -> list[dict]:
    """Key frames as the template shows them: with pictures, places, how their cuts are known, and what is said."""
    return [
        {
            **vars(frame),
            "kind": phrases.KINDS.get(frame.kind, ""),
            "said": said_of(frame),
            "begins": phrases.cut(frame),
            "exact": frame.cut == EXACT,
            "picture": pictures.get(frame.time_s),
            **placed(frame.shot_start_s, frame.shot_end_s, length_s),
        }
        for frame in frames
    ]


def numbered(tags: Sequence[Shown], frames: Iterable[KeyFrame]) -> tuple[dict[str, int], dict[int, int]]:
    """The numbers of tags on a page, by their names; and on how many key frames each is, by its number."""
    number_of = {shown.tag.tag: i for i, shown in enumerate(tags)}
    counts = dict.fromkeys(number_of.values(), 0)
    for frame in frames:
        for tag in {tag for tag, _ in frame.tags if tag in number_of}:
            counts[number_of[tag]] += 1
    return number_of, counts


@dataclass(frozen=True)
class FilmView:
    """What the page of a film is made of.

    Attributes:
        film, frames, spans: the film, its key frames in order of time, its spans.
        pictures: addresses of the key frames' pictures by their times; some or all may be missing.
        ratio: of the pictures, in CSS.
        choice: the film in a few pictures.
        run: what run.json says.
        notices: what a viewer must know.
        sources: addresses that a browser may play the film from, tried one after the other.
        catalogue: the address of the catalogue's page, none without one.
        review: of a page that takes corrections, what its script works on; None of a page that takes none.
    """

    film: Film
    frames: Sequence[KeyFrame]
    spans: Sequence[Span]
    pictures: Mapping[float, str]
    ratio: str
    choice: Choice
    run: dict | None
    notices: Sequence[Notice] = ()
    sources: Sequence[str] = ()
    catalogue: str = ""
    review: dict | None = None


def held_in_page(pictures: Mapping[float, bytes]) -> tuple[dict[float, str], str]:
    """JPEG files as addresses that hold them, made smaller where there is too much of them; and their ratio in CSS."""
    shape = next(map(shape_of, pictures.values()), None)
    ratio = f"{shape[0]}/{shape[1]}" if shape else RATIO
    return {time_s: data_uri(data) for time_s, data in fitted(dict(pictures)).items()}, ratio


def film_page(view: FilmView) -> str:
    """The text of the HTML file of a film's page."""
    film, frames = view.film, view.frames
    length_s = max([film.duration_s, *(frame.shot_end_s for frame in frames)])
    threshold = threshold_of(view.run)
    tags = shown_tags(film, threshold)
    number_of, counts = numbered(tags, frames)
    shown = shown_frames(frames, view.pictures, length_s)
    chosen = {frame.time_s for frame in view.choice.frames}
    js = text_of("film.js")
    return template("film.html.j2").render(
        film=film,
        tags=tags,
        leading=[one.tag for one in tags if one.listed][: 1 + LED_BY],
        confident=any(one.tag.confidence is not None for one in tags),
        frames=shown,
        # A film all of whose key frames are chosen is summed up by its key frames.
        chosen=[f for f in shown if f["picture"] and f["time_s"] in chosen] if len(chosen) < len(frames) else [],
        near_repeats=view.choice.near_repeats,
        lanes=lanes([one.tag.tag for one in tags], view.spans, length_s),
        counts=counts,
        number_of=number_of,
        ticks=[{"left": round(100 * at, 4), "text": text} for at, text in ticks(length_s)],
        ratio=view.ratio,
        facts=facts_of(film, view.run),
        notices=view.notices,
        sources=list(view.sources),
        verb="Play from" if view.sources else "Copy",
        catalogue=view.catalogue,
        about=[*about(view.run), ("File", film.uri)],
        review=view.review,
        limits=LIMITS,
        data={
            "length": length_s,
            "start": film.start_s,
            "threshold": millionths(threshold),
            "levels": [one.level for one in tags],
            "shots": [[frame.shot_start_s, frame.shot_end_s] for frame in frames],
        },
        css=inline(text_of("base.css", "film.css")),
        js=inline(js),
        script_hash=script_hash(js),
        breakable=breakable,
        rating=rating,
        **{name: getattr(phrases, name) for name in SPOKEN},
    )


SPOKEN = ("timecode", "length", "percent", "number", "counted", "sure_and_seen", "seen", "relative", "weight")
"""Phrases that the template uses."""

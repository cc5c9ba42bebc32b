"""The pages for those who must watch out: every still that may show one of a few tags, so that a person can look.

A wider net than the short list: a still is in the queue from a low threshold of its tag on, at which the model finds
nine of ten such scenes of films that it never saw. What the bundle knows of that is in its `model.json`, and from there
in run.json's "model": {"watch": {tag: {"threshold": p, "recall": r, "interval": [low, high], "stills_per_hour": n}}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from movie_tags.errors import UserError
from movie_tags.records import WATCHED, Film, KeyFrame
from movie_tags.report import phrases
from movie_tags.report.about import LIMITS, about
from movie_tags.report.markup import data_uri, inline, script_hash, smaller, template, text_of
from movie_tags.results.synonyms import meanings, named, nearest

WIDE = 0.05
"""Probability from which a still is in the queue where the model does not say what its threshold is."""
STILLS = 240
"""Of a page."""
SIDE, QUALITY = 288, 70
PAGE = "watch{}.html"


@dataclass(frozen=True)
class Watched:
    """A tag to watch for.

    Attributes:
        tag: the tag.
        known: the model has it.
        threshold: probability from which a still is in the queue.
        recall: the share of such stills of left-out films that the queue has, in [0, 1]; None: not measured.
        interval: between which it lies with 90 % certainty.
        stills_per_hour: of left-out films.
    """

    tag: str
    known: bool = True
    threshold: float = WIDE
    recall: float | None = None
    interval: tuple[float, float] | None = None
    stills_per_hour: float | None = None

    @property
    def measured(self) -> str:
        """What is known of how much the queue misses, in words."""
        if not self.known:
            return "not looked for: the model has no such tag"
        if self.recall is None:
            return f"how many it misses is not known; it has all stills from {phrases.percent(self.threshold)} on"
        low, high = self.interval or (self.recall, self.recall)
        often = "" if self.stills_per_hour is None else f", with {self.stills_per_hour:.0f} stills an hour"
        return (
            f"finds {phrases.percent(self.recall)} of such stills of films that it never saw (between "
            f"{phrases.percent(low)} and {phrases.percent(high)}){often}"
        )


@dataclass(frozen=True)
class Still:
    """A key frame in the queue.

    Attributes:
        film, page: its film, and the address of the film's page.
        frame: the key frame.
        tags: those watched for, by their numbers, with their probabilities.
        picture: its JPEG file; None where there is none.
    """

    film: Film
    page: str
    frame: KeyFrame
    tags: tuple[tuple[int, float], ...]
    picture: bytes | None


def watched(wanted: Iterable[str], run: dict | None) -> tuple[Watched, ...]:
    """The tags that a person names, as the model of a run knows them.

    Args:
        wanted: tags, words of tags or synonyms.
        run: what run.json says.

    Raises:
        UserError: a word names no tag of any model; the message names the nearest.
    """
    model = (run or {}).get("model") or {}
    vocabulary, cards = tuple(model.get("vocabulary") or ()), model.get("watch") or {}
    found: dict[str, Watched] = {}
    for word in filter(None, map(str.strip, wanted)):
        tags = named(word, vocabulary) or meanings(word)
        if not tags:
            raise UserError(
                f"--watch {word}: no tag; did you mean {' or '.join(nearest(word, vocabulary)) or 'violence'}?"
            )
        for tag in tags:
            found[tag] = _watched(tag, tag in vocabulary, cards.get(tag) or {})
    if not found:
        raise UserError("--watch names no tag; name some, such as --watch violence,weapon,nudity,smoking")
    return tuple(found.values())


def _watched(tag: str, known: bool, card: dict) -> Watched:
    interval = card.get("interval")
    return Watched(
        tag,
        known,
        float(card.get("threshold", WIDE)),
        card.get("recall"),
        (float(interval[0]), float(interval[1])) if interval else None,
        card.get("stills_per_hour"),
    )


def caught(tags: Sequence[Watched], frame: KeyFrame) -> tuple[tuple[int, float], ...]:
    """The tags watched for that a key frame may show, by their numbers, with their probabilities."""
    probability = {one.tag: one.probability for one in (*frame.tags, *frame.watch, *frame.top_k)}
    found = ((number, probability.get(one.tag, 0.0)) for number, one in enumerate(tags))
    return tuple((number, p) for number, p in found if p and p >= tags[number].threshold)


@dataclass
class Queue:
    """The queue of stills, written page by page as films come; the first page, which counts, is the last to be written.

    Attributes:
        tags: what is watched for.
        run: what run.json says.
        seconds, films, stills: how much was looked at, and how many stills there are of each tag.
        total: how many stills there are.
        left_out: key frames that were not looked at, having no information or no answer.
        warned, failed: films of which parts may be missing; films without a result.
    """

    tags: tuple[Watched, ...]
    run: dict | None
    seconds: float = 0.0
    films: int = 0
    stills: dict[int, int] = field(default_factory=dict)
    total: int = 0
    left_out: int = 0
    warned: int = 0
    failed: int = 0
    _first: list[Still] | None = None
    _pending: list[Still] = field(default_factory=list)
    _pages: int = 1

    def add(
        self, film: Film, page: str, frames: Iterable[KeyFrame], pictures: dict[float, bytes]
    ) -> Iterator[tuple[str, str]]:
        """Take a film's key frames; gives the pages that are finished by that, as names and texts."""
        self.seconds += film.duration_s
        self.films += 1
        self.left_out += film.key_frames_rejected + film.key_frames_failed
        self.warned += bool(film.warnings)
        for frame in frames:
            tags = caught(self.tags, frame)
            if not tags:
                continue
            if len(self._pending) == STILLS:
                yield from self._turn(last=False)
            picture = pictures.get(frame.time_s)
            small = smaller(picture, SIDE, QUALITY) if picture else None
            self._pending.append(Still(film, page, frame, tags, small))
            self.total += 1
            for number, _ in tags:
                self.stills[number] = self.stills.get(number, 0) + 1

    def finish(self, failed: int = 0) -> Iterator[tuple[str, str]]:
        """The pages that are left, the first among them. Args: how many films have no result."""
        self.failed = failed
        yield from self._turn(last=True)
        yield PAGE.format(""), self._page(self._first or [], 1, self._pages == 1)

    def _turn(self, last: bool) -> Iterator[tuple[str, str]]:
        if self._first is None:
            self._first = self._pending
        else:
            yield PAGE.format(f"-{self._pages}"), self._page(self._pending, self._pages, last)
        self._pending = []
        self._pages += not last

    def missing(self) -> list[str]:
        """What of these films nobody looked at, in words."""
        counted = (
            (self.failed, "film", "that failed: see the end of the catalogue"),
            (self.warned, "film", "with warnings, of which parts may be missing"),
            (self.left_out, "key frame", "without information, or without an answer of the model"),
        )
        return [f"{phrases.number(count, what)} {why}" for count, what, why in counted if count]

    def rows(self) -> list[dict]:
        """For each tag: what is known of it, how many stills there are, and how many an hour of film."""
        hours = self.seconds / 3600
        return [
            {
                "tag": one.tag,
                "known": one.known,
                "measured": one.measured,
                "stills": self.stills.get(number, 0),
                "per_hour": self.stills.get(number, 0) / hours if hours else 0.0,
            }
            for number, one in enumerate(self.tags)
        ]

    def _page(self, stills: Sequence[Still], number: int, last: bool) -> str:
        js = text_of("watch.js")
        return template("watch.html.j2").render(
            tags=self.tags,
            rows=self.rows() if number == 1 else [],
            stills=stills,
            total=self.total,
            films=self.films,
            per_hour=self.total / self.seconds * 3600 if self.seconds else 0.0,
            not_seen=[*self.missing(), *not_seen(self.run)],
            before=PAGE.format(f"-{number - 1}" if number > 2 else "") if number > 1 else "",
            after="" if last else PAGE.format(f"-{number + 1}"),
            page=number,
            about=about(self.run),
            limits=LIMITS,
            css=inline(text_of("base.css", "watch.css")),
            js=inline(js),
            script_hash=script_hash(js),
            data_uri=data_uri,
            kinds=phrases.KINDS,
            **{name: getattr(phrases, name) for name in ("timecode", "length", "percent", "number")},
        )


def not_seen(run: dict | None) -> list[str]:
    """What nobody looked at, in words."""
    method = (run or {}).get("method") or {}
    fps, top_k = method.get("fps"), method.get("top_k")
    said = [
        "sound: screams, shots and words were not heard",
        "text: titles, subtitles and signs were not read",
        "what lies between the samples"
        + (f", {fps:g} a second" if isinstance(fps, int | float) else "")
        + ": shots of less than a second, a gesture, a flash",
        "all but one picture of each shot, that of its middle: what comes up later in a long shot may be in none",
    ]
    if isinstance(top_k, int):
        kept = phrases.counted(top_k)
        said.append(
            f"but for {phrases.enumerated([*WATCHED])}, tags that were not among the {kept} most probable of a picture"
        )
    return said

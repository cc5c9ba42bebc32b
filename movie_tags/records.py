"""Records: what flows through the pipeline and stands in the tables of results, each declared once.

Every column says its unit and what it means; `results/schema.py` makes JSON, Parquet, DuckDB's types, the columns
of CSV and the documentation's tables of them. Times are seconds after the video's first frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cache
from typing import Any

MODEL, PERSON = "model", "person"
"""Who says that a tag applies."""
PICTURE, CARD, BLACK = "picture", "card", "black"
"""What a key frame is: a picture; a title card; black, or all of one colour."""
SAMPLED, EXACT, APPROXIMATE = "sampled", "exact", "approximate"
"""How a boundary of shots is known: by samples, to the frame, or as a place in a gradual change."""
WATCHED = ("Abduction", "Drinking", "Murder", "Nudity", "Sex", "Smoking", "Violence", "Weapon")
"""Tags to watch out for: key frames keep their probabilities from a low threshold on, among the top k or not."""
KEY_FRAME_STAGES = frozenset({"tagging"})
"""Stages at which a key frame fails, and not its film."""
TITLE_CARD = "Title card"
"""The output of a model that says that a key frame is a title card; no tag of films."""
UNIT = 10**6
"""Probabilities are whole millionths, so that their sums are exact in any order of adding."""


def column(
    help: str, unit: str = "", digits: int | None = None, omitted: bool = False, first: bool = False, **more: Any
) -> Any:
    """A field of a record as a column.

    Args:
        help: what it means.
        unit: of a number.
        digits: that tables keep behind the point; None: all.
        omitted: lines of JSON leave it out where it stands at its default.
        first: it stands before the others, wherever the record declares it.
        more: as of `dataclasses.field`.
    """
    said = {"help": help, "unit": unit, "digits": digits, "omitted": omitted, "first": first}
    return field(metadata=said, **more)


def _name(help: str) -> Any:
    """A column that names the video: filled in where a record becomes a row, for records travel beside their video."""
    return column(help, first=True, default="")


@dataclass(frozen=True, order=True)
class Video:
    """One input.

    Attributes:
        id: names it in the results.
        uri: a path or gs:// address.
        title: for people.
        version: tells what lies at the address from what lay there at another time (`storage.about`); "" if unknown.
        content: tells the file from all others wherever it lies (`storage.content_key`); "" if unknown.
        seen: the part that holds what an earlier run saw of it, where that is all that is needed; else "".
    """

    id: str
    uri: str
    title: str = ""
    version: str = ""
    content: str = ""
    seen: str = ""


@dataclass(frozen=True, order=True)
class Failure:
    """A row of errors: why a video has no result, or which of its key frames has none.

    A failure is retryable if trying again can help: a storage may answer tomorrow, a text file will never be a video.
    """

    stage: str = column(
        "the step that failed: catalogue, opening, sampling, shots, tagging (a key frame, not the film); worker (the "
        "film kills it), or accounting (something was lost)"
    )
    reason: str = column("what is wrong and what may help, in words")
    retryable: bool = column("whether trying again can help", default=False)
    _: KW_ONLY
    id: str = _name("of the video")
    uri: str = _name("of the video")

    @property
    def of_key_frame(self) -> bool:
        """Whether only a key frame failed, and not the film."""
        return self.stage in KEY_FRAME_STAGES


@dataclass(frozen=True, order=True)
class TagProbability:
    """A tag of a key frame with its probability. Unpacks as the two."""

    tag: str = column("the tag")
    probability: float = column("in whole millionths; 1 where a person says so", "0 to 1")
    by: str = column("who says so: person; the model where it is left out", omitted=True, default=MODEL)

    @classmethod
    def of_millionths(cls, tag: str, millionths: int) -> TagProbability:
        """A tag with a probability in millionths."""
        return cls(tag, millionths / UNIT)

    @property
    def millionths(self) -> int:
        """The probability as a whole number, of which sums are exact."""
        return round(self.probability * UNIT)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.tag, self.probability))


TagProbabilities = tuple[TagProbability, ...]
"""The most probable first."""


@dataclass(frozen=True)
class KeyFrame:
    """A row of key_frames: the median frame of a shot."""

    time_s: float = column("when it is on screen", "s")
    shot_start_s: float = column("its shot's first sample", "s")
    shot_end_s: float = column("the first sample that is no longer in its shot", "s")
    entropy: float = column("equation 4, over three channels", "bits", digits=6, default=0.0)
    tags: tuple[TagProbability, ...] = column("the tags that count: those of top_k that are believed", default=())
    top_k: tuple[TagProbability, ...] = column("the most probable tags, whether they count or not", default=())
    kind: str = column("picture, card (a title card) or black (or all of one colour)", default=PICTURE)
    cut: str = column(
        "how the beginning of its shot is known: sampled, exact (to the frame) or approximate (in a dissolve)",
        default=SAMPLED,
    )
    watch: tuple[TagProbability, ...] = column(
        "tags to watch out for (WATCHED) beyond top_k that may apply: from a low threshold of each on",
        omitted=True,
        default=(),
    )
    thumbnail: str = column("its JPEG file, a path in the folder of results", omitted=True, default="")
    _: KW_ONLY
    id: str = _name("of the video")


@dataclass(frozen=True)
class Span:
    """A row of spans: a stretch of a film that carries a tag."""

    tag: str = column("the tag")
    start_s: float = column("where the first of its shots begins", "s")
    end_s: float = column("where the last of its shots ends", "s")
    mean_probability: float = column("over the key frames that have the tag", "0 to 1", digits=9)
    peak_probability: float = column("over the key frames that have the tag", "0 to 1")
    key_frames: int = column("how many have the tag")
    by: str = column("who says so: model or person", default=MODEL)
    _: KW_ONLY
    id: str = _name("of the video")


@dataclass(frozen=True)
class TagStrength:
    """A tag of a film."""

    tag: str = column("the tag")
    occurrences: int = column("n of equation 5: key frames that have it among their tags that count", default=0)
    probability_sum: float = column("of its probabilities there", digits=9, default=0.0)
    strength: float = column("W of equation 5", digits=9, default=0.0)
    relative_strength: float = column("R of equation 6", "0 to 1", digits=9, default=0.0)
    peak_probability: float = column("its highest probability on a key frame", "0 to 1", digits=9, default=0.0)
    seconds: float = column("of the film in shots that carry it", "s", digits=9, default=0.0)
    confidence: float | None = column(
        "how probable it is that a person would give the tag to the film; null where the model does not say",
        "0 to 1",
        digits=9,
        default=None,
    )
    share: float = column("of the film in shots that carry it", "0 to 1", digits=9, default=0.0)
    by: str = column("who says so: model or person", default=MODEL)

    @property
    def sureness(self) -> float:
        """How sure the model is: the confidence, or else the peak."""
        return self.peak_probability if self.confidence is None else self.confidence


@dataclass(frozen=True, kw_only=True)
class Film:
    """A row of tags: a film with its tags, the strongest first."""

    id: str = _name("of the video")
    uri: str = _name("its address")
    title: str = _name("for people")
    content: str = column("tells its file from all others, wherever it lies (`storage.content_key`)", default="")
    duration_s: float = column(
        "from its first frame to the last frame's leaving the screen", "s", digits=6, default=0.0
    )
    start_s: float = column(
        "where its first frame lies on a player's clock, which begins with the container", "s", digits=6, default=0.0
    )
    frames_sampled: int = column("samples taken", default=0)
    shots: int = column("shots found", default=0)
    key_frames: int = column("shots' median frames that were tagged", default=0)
    key_frames_rejected: int = column("those that did not pass the entropy filter", default=0)
    key_frames_failed: int = column("those that the model could not take", default=0)
    short_list: tuple[TagStrength, ...] = column("the tags that are said of the film", default=())
    tags: tuple[TagStrength, ...] = column("every tag that counts on some key frame", default=())
    warnings: tuple[str, ...] = column("what a user should know of the file", omitted=True, default=())


def changed(record: Any, **values: Any) -> Any:
    """A record with other values, as `dataclasses.replace` makes it, in a third of its time: nothing is checked."""
    made = object.__new__(record.__class__)
    made.__dict__.update(record.__dict__, **values)
    return made


def named(record: Any, video: Video) -> Any:
    """A record with the names of its video, as its row has them."""
    return changed(record, **{name: getattr(video, name) for name in _names_in(record.__class__)})


@cache
def _names_in(record: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(record) if one.name in ("id", "uri", "title", "content"))


@dataclass(frozen=True)
class KeyFrameFeatures:
    """A row of features: what the backbone saw on a key frame, for heads to come."""

    time_s: float = column("when the key frame is on screen", "s")
    features: bytes = column("quantised (`models.quantised`)")
    _: KW_ONLY
    id: str = _name("of the video")


TAGGED, FAILED, QUARANTINED, GONE = "tagged", "failed", "quarantined", "gone"


@dataclass(frozen=True)
class Entry:
    """A row of the manifest: what has been done with a video, with what, and how it ended."""

    id: str = column("of the video")
    uri: str = column("of the video", omitted=True, default="")
    source: str = column(
        "the version of the file that was tagged (`storage.about`); empty if it could not be told",
        omitted=True,
        default="",
    )
    method_key: str = column("of the method and model", omitted=True, default="")
    status: str = column(
        "tagged; failed; quarantined, which is not retried unasked; gone, which takes results away", default=TAGGED
    )
    attempts: int = column("how often this version has been tried with this method and failed", omitted=True, default=0)
    stage: str = column("of the failure", omitted=True, default="")
    reason: str = column("of the failure", omitted=True, default="")
    retryable: bool = column("of the failure", omitted=True, default=False)
    film_s: float = column("seconds of film, of a tagged video", "s", omitted=True, default=0.0)
    run_id: str = column("the run", omitted=True, default="")
    at: str = column("when (UTC)", omitted=True, default="")
    seen_key: str = column(
        "of what decides what is seen: the part of method and model before the head", omitted=True, default=""
    )
    features: str = column(
        "the part that holds what was seen, a path in the folder of results", omitted=True, default=""
    )

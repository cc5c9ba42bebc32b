"""Phrases for people: timecodes, lengths, shares, counts with their nouns, and how sure a tag is."""

from __future__ import annotations

from movie_tags.records import APPROXIMATE, BLACK, CARD, EXACT, PERSON, KeyFrame, TagStrength
from movie_tags.wording import number as number

NOTHING_SURE = "nothing that the model is sure of"
KINDS = {BLACK: "black picture", CARD: "title card"}
"""What a key frame is called that is no ordinary picture."""


def timecode(seconds: float) -> str:
    """Whole seconds, rounded down, as M:SS or H:MM:SS."""
    whole = int(max(0.0, seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def clock(seconds: float) -> str:
    """With milliseconds, as players and editors take it: 01:02:03.400."""
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}.{whole % 1000:03}"


def cut(frame: KeyFrame) -> str:
    """How the beginning of a key frame's shot is known, in words; nothing where it is known by samples alone."""
    if frame.cut == EXACT:
        return f"shot from {clock(frame.shot_start_s)}, exact to the frame"
    return f"shot from about {timecode(frame.shot_start_s)}, no exact cut" if frame.cut == APPROXIMATE else ""


def length(seconds: float) -> str:
    """How long something lasts: 4 s, 3 min 20 s, 1 h 52 min; a stretch below a second with a tenth."""
    if 0 < seconds < 0.95:
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(max(0.0, seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def percent(share: float) -> str:
    """A share in [0, 1] in percent; something is not rounded to nothing, nor nearly all to all."""
    if 0 < share < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def relative(strength: float) -> str:
    """A relative strength R, which is 0 of the weakest tag, never as a bare 0.00."""
    if strength <= 0:
        return "0 (weakest)"
    return "< 0.01" if strength < 0.005 else f"{strength:.2f}"


def weight(strength: float) -> str:
    """A strength W, to three significant digits."""
    return f"{strength:.3g}"


def sure(tag: TagStrength) -> str:
    """How sure a tag is: 85 % sure; where the model does not say, its relative strength."""
    if tag.by == PERSON:
        return "said by a person" if tag.confidence else "rejected by a person"
    return strength(tag.relative_strength) if tag.confidence is None else sureness(tag.confidence)


def strength(relative_strength: float) -> str:
    """A relative strength R: relative strength 0.85."""
    return f"relative strength {relative(relative_strength)}"


def sureness(share: float) -> str:
    """A confidence: 85 % sure."""
    return f"{percent(share)} sure"


def seen(seconds: float, duration_s: float) -> str:
    """How much of a film: 5 s of 20 s."""
    return f"{length(min(seconds, duration_s or seconds))} of {length(duration_s or seconds)}"


def sure_and_seen(tag: TagStrength, duration_s: float) -> str:
    """Of a tag of a film of so many seconds: 85 % sure, 5 s of 20 s; how long, where any shot carries it."""
    return f"{sure(tag)}, {seen(tag.seconds, duration_s)}" if tag.seconds or tag.by != PERSON else sure(tag)


def tag_in_words(tag: TagStrength, duration_s: float) -> str:
    """A tag of a film of so many seconds: Sports, 85 % sure, 5 s of 20 s."""
    return f"{tag.tag}, {sure_and_seen(tag, duration_s)}"


SMALL = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def counted(count: int) -> str:
    """A count, in a word up to twelve."""
    return SMALL[count] if count < len(SMALL) else f"{count:,}"


def enumerated(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))

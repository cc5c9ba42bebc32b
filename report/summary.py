"""The film in N pictures: key frames that cover a film's tags, its length and its looks, without near-repeats.

The objective is a sum of facility-location functions. With A[i, g] in [0, 1], how well key frame i covers goal g, and
w[g] >= 0, what that is worth, a choice S of key frames is worth

    F(S) = sum over g of w[g] * max over i in S of A[i, g].

Goals are of three kinds, each worth a third in all: the film's kept tags (A: the tag's probability on the key frame;
w: its relative strength), moments spread evenly over the film (A: exp(-|distance in time| / tau)), and the looks of its
other key frames (A: likeness; w: how long their shots last). A picture that is nearly black, or a title card,
covers little: its row is scaled down. F is monotone and submodular, so taking the key frame that
adds most, N times, is worth at least 1 - 1/e = 63 % of the best possible choice (Nemhauser, Wolsey and Fisher, 1978).
Near-repeats of what is kept already are left out of the candidates beforehand, so the guarantee is over the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from movie_tags.records import PICTURE, Film, KeyFrame
from movie_tags.report.phrases import KINDS, NOTHING_SURE, tag_in_words, timecode
from movie_tags.results.film_tables import Results
from movie_tags.results.listing import listed

PICTURES = 12
NEAR_REPEAT = 0.94
"""Likeness from which two key frames are near-repeats."""
LAYOUT = 12, 8
SAMPLED_LOOKS = 400
FULL_LOOKS = 0.22
"""Distance of looks at which likeness has fallen to 1/e."""


@dataclass(frozen=True)
class Choice:
    """What was chosen of a film.

    Attributes:
        frames: the key frames, in order of time.
        first: the one that was chosen first: the single picture that says most.
        near_repeats: key frames that were left out because another one looks the same.
        value: F of the choice, in [0, 1]; 1 if everything is covered wholly.
    """

    frames: tuple[KeyFrame, ...]
    first: KeyFrame | None
    near_repeats: int
    value: float


def looks(jpeg: bytes) -> np.ndarray | None:
    """What a picture looks like, in short: float32 [288 + 96].

    The colours of 12 x 8 fields in Lab; square roots of its smoothed histogram over 8 hues, 4 saturations and 3 values.
    None where the file holds no picture.
    """
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)  # half the size is plenty
    if picture is None:
        return None
    small = cv2.resize(picture, LAYOUT, interpolation=cv2.INTER_AREA)
    fields = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float32).ravel() / 255
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, [8, 4, 3], [0, 180, 0, 256, 0, 256])
    for axis in range(3):  # noise at the edge of a bin must not look like a change
        padded = np.pad(counts, [(int(i == axis),) * 2 for i in range(3)], "edge" if axis else "wrap")
        left, middle, right = (padded.take(range(i, i + counts.shape[axis]), axis) for i in range(3))
        counts = (left + 2 * middle + right) / 4
    counts = counts.ravel()
    return np.concatenate([fields, np.sqrt(counts / counts.sum())]).astype(np.float32)


def likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How alike looks are, float [A, B] in (0, 1], from float [A, 384] and [B, 384]; 1 for the same picture.

    The distance is the fields' root mean square difference and half the histograms' Hellinger distance.
    """
    fields = math.prod(LAYOUT) * 3
    rms = np.sqrt(_squares(a[:, :fields], b[:, :fields]) / fields)
    hellinger = np.sqrt(_squares(a[:, fields:], b[:, fields:]) / 2)
    return np.exp(-((rms + hellinger / 2) ** 2) / FULL_LOOKS**2)


def clarity(features: np.ndarray) -> np.ndarray:
    """How much there is to see in pictures, float [N] in (0, 1], from their looks; little where all is nearly black."""
    lightness = features[:, : math.prod(LAYOUT) * 3 : 3]
    return np.clip(0.25 + lightness.std(1) / 0.12, 0, 1)


def evidence(frames: Sequence[KeyFrame]) -> np.ndarray:
    """How much key frames show of their film, float [N] in (0, 1]: title cards and black ones little."""
    return np.array([1.0 if frame.kind == PICTURE else 0.25 for frame in frames])


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, float [A, B]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)


def value(covers: np.ndarray, worth: np.ndarray, chosen: Sequence[int]) -> float:
    """F of a choice of rows of `covers`, float [frames, goals] in [0, 1]; worth: float [goals]."""
    return float(covers[list(chosen)].max(0) @ worth) if len(chosen) else 0.0


def greedy(covers: np.ndarray, worth: np.ndarray, number: int) -> list[int]:
    """The rows that add most, one after the other, ties to the first; at most `number`, and none that adds nothing.

    Args:
        covers: float [frames, goals] in [0, 1].
        worth: float [goals], none below 0.
        number: how many are wanted.
    """
    covered = np.zeros(covers.shape[1])
    chosen: list[int] = []
    while len(chosen) < number:
        gains = np.maximum(covers - covered, 0) @ worth
        gains[chosen] = 0
        if not len(gains) or gains.max() <= 1e-12:
            break
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, covers[chosen[-1]])
    return chosen


def without_repeats(alike: np.ndarray, order: Sequence[int], near: float = NEAR_REPEAT) -> list[int]:
    """Those of `order`, first come first kept, that are no near-repeats of one kept before; in ascending order.

    Args:
        alike: likeness, float [frames, frames].
        order: of the frames, the dearest first.
        near: likeness from which one is a near-repeat of another.
    """
    kept: list[int] = []
    for i in order:
        if not kept or alike[i, kept].max() < near:
            kept.append(i)
    return sorted(kept)


def goals(
    film: Film, frames: Sequence[KeyFrame], alike: np.ndarray | None, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """What key frames cover: float [frames, goals] in [0, 1], and what each goal is worth, float [goals], sum 1.

    Args:
        film, frames: the film and its key frames.
        alike: their likeness, float [frames, frames]; None where their looks are not known.
        number: how many pictures are wanted; it sets how far in time a picture reaches.
    """
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    said = listed(film)
    if said:
        column = {tag.tag: i for i, tag in enumerate(said)}
        shown = np.zeros((len(frames), len(column)))
        for row, frame in enumerate(frames):
            for tag, probability in frame.tags:
                if tag in column:
                    shown[row, column[tag]] = min(1.0, max(0.0, probability))
        parts.append((shown, np.array([0.05 + tag.relative_strength for tag in said])))
    times = np.array([frame.time_s for frame in frames])
    length = max(film.duration_s, max(frame.shot_end_s for frame in frames))
    moments = (np.arange(4 * number) + 0.5) * length / (4 * number)
    tau = max(length / (2 * number), 1e-9)
    parts.append((np.exp(-np.abs(times[:, None] - moments) / tau), np.ones(len(moments))))
    if alike is not None:
        some = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), SAMPLED_LOOKS)).round().astype(int))
        lasts = np.array([max(frames[i].shot_end_s - frames[i].shot_start_s, 0.04) for i in some])
        parts.append((alike[:, some], np.sqrt(lasts)))
    covers = np.concatenate([part for part, _ in parts], axis=1)
    return covers, np.concatenate([worth / worth.sum() / len(parts) for _, worth in parts])


def choose(film: Film, frames: Sequence[KeyFrame], seen: Sequence[np.ndarray | None], number: int = PICTURES) -> Choice:
    """Choose the key frames that sum a film up.

    Args:
        film, frames: the film and its key frames, in order of time.
        seen: `looks` of each; None where its picture is missing.
        number: how many at most; fewer come back where the film does not have as many that differ.
    """
    if not frames:
        return Choice((), None, 0, 0.0)
    pictured = [(frame, look) for frame, look in zip(frames, seen, strict=True) if look is not None]
    if pictured:  # a picture that is missing cannot be shown
        frames = [frame for frame, _ in pictured]
        features = np.stack([look for _, look in pictured])
        alike = likeness(features, features)
    else:
        alike = None
    covers, worth = goals(film, frames, alike, number)
    kept = list(range(len(frames)))
    if alike is not None:
        covers *= (clarity(features) * evidence(frames))[:, None]
        kept = without_repeats(alike, np.argsort(-(covers @ worth), kind="stable").tolist())
    chosen = [kept[i] for i in greedy(covers[kept], worth, number)]
    return Choice(
        tuple(frames[i] for i in sorted(chosen)),
        frames[chosen[0]] if chosen else None,
        len(frames) - len(kept),
        value(covers, worth, chosen),
    )


def summarise(results: Results, film: Film, number: int = PICTURES) -> tuple[Choice, dict[float, bytes]]:
    """A film of a folder of results in pictures: the choice, and the JPEG files of its key frames by their times."""
    frames = results.key_frames(film.id)
    pictures = results.thumbnails(frames)
    seen = [looks(pictures[frame.time_s]) if frame.time_s in pictures else None for frame in frames]
    choice = choose(film, frames, seen, number)
    return choice, {f.time_s: pictures[f.time_s] for f in choice.frames if f.time_s in pictures}


def as_json(film: Film, choice: Choice) -> dict:
    """The choice as it is written: the film, and its pictures in order of time."""
    return {
        "id": film.id,
        "title": film.title,
        "tags": [{"tag": t.tag, "confidence": t.confidence, "seconds": t.seconds} for t in listed(film)],
        "covered": round(choice.value, 6),
        "near_repeats": choice.near_repeats,
        "pictures": [
            {
                "time_s": frame.time_s,
                "timecode": timecode(frame.time_s),
                "shot_start_s": frame.shot_start_s,
                "shot_end_s": frame.shot_end_s,
                "tags": [{"tag": tag, "probability": probability} for tag, probability in frame.tags],
                "thumbnail": frame.thumbnail,
            }
            for frame in choice.frames
        ],
    }


WIDE, GAP, MARGIN, CAPTION, HEADING = 320, 16, 32, 52, 84
INK, SOFT, PAPER = (40, 32, 28), (128, 116, 108), (250, 250, 250)
"""Colours as OpenCV has them, blue first."""


def contact_sheet(film: Film, choice: Choice, pictures: dict[float, bytes], columns: int = 4) -> bytes:
    """The chosen pictures on one sheet, with timecodes and tags: a JPEG file.

    A picture that is missing leaves a grey field.
    """
    decoded = {t: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for t, data in pictures.items()}
    shapes = [picture.shape for picture in decoded.values() if picture is not None]
    ratio = float(np.median([height / width for height, width, _ in shapes])) if shapes else 9 / 16
    high = round(WIDE * min(ratio, 1.0))
    columns = max(1, min(columns, len(choice.frames)))
    rows = math.ceil(len(choice.frames) / columns)
    # a heading needs the width of two pictures
    width = 2 * MARGIN + max(columns, 2) * (WIDE + GAP) - GAP
    sheet = np.full((HEADING + max(rows, 1) * (high + CAPTION) + MARGIN, width, 3), PAPER, np.uint8)
    kept = "; ".join(tag_in_words(tag, film.duration_s) for tag in listed(film)[:4]) or NOTHING_SURE
    _write(sheet, film.title, MARGIN, 40, 24, 700, INK, width - 2 * MARGIN)
    _write(sheet, f"{timecode(film.duration_s)}   {kept}", MARGIN, 66, 15, 400, SOFT, width - 2 * MARGIN)
    for i, frame in enumerate(choice.frames):
        x, y = MARGIN + i % columns * (WIDE + GAP), HEADING + i // columns * (high + CAPTION)
        picture = decoded.get(frame.time_s)
        sheet[y : y + high, x : x + WIDE] = (225, 225, 225)
        if picture is not None:
            scale = min(WIDE / picture.shape[1], high / picture.shape[0])
            size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
            fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
            dx, dy = (WIDE - size[0]) // 2, (high - size[1]) // 2
            sheet[y + dy : y + dy + size[1], x + dx : x + dx + size[0]] = fitted
        said = ", ".join(tag for tag, _ in frame.tags) or KINDS.get(frame.kind, "nothing sure")
        left = _write(sheet, timecode(frame.time_s), x, y + high + 22, 15, 700, INK, WIDE)
        _write(sheet, said, left + 10, y + high + 22, 15, 400, SOFT, x + WIDE - left - 10)
    _, data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return data.tobytes()


def _write(sheet: np.ndarray, text: str, x: int, y: int, size: int, weight: int, colour: tuple, room: int) -> int:
    """Write a line, cut off where the room (pixels) ends; returns where it ends, in pixels."""
    font = cv2.FontFace("sans")
    text = " ".join(text.encode(errors="replace").decode().split())
    shown = text
    while shown and _width(sheet, shown, font, size, weight) > room:
        text = text[:-1]
        shown = text.rstrip() + "…" if text else ""
    if shown:
        cv2.putText(sheet, shown, (x, y), colour, font, size, weight)
    return x + _width(sheet, shown, font, size, weight)


def _width(sheet: np.ndarray, text: str, font: cv2.FontFace, size: int, weight: int) -> int:
    return cv2.getTextSize(sheet.shape[1::-1], text, (0, 0), font, size, weight)[2] if text else 0

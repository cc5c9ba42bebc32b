"""The numbers of a run: `Method`, on which results depend, and `Work`, on which they do not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from movie_tags.transforms.shots.detector import DETECTORS, HSV_HISTOGRAM
from movie_tags.transforms.video.limits import Limits

if TYPE_CHECKING:
    from movie_tags.stopping import StopFile
    from movie_tags.transforms.thumbnail_folder import Thumbnails
    from movie_tags.transforms.video.draft import Draft


EXACT, CODEC_KEY_FRAMES = "exact", "codec-key-frames"


@dataclass(frozen=True)
class Method:
    """Every number that changes results, with the paper's value as default.

    Attributes:
        fps: samples a second.
        sampling: EXACT, or CODEC_KEY_FRAMES: a draft that decodes little but the codec's own key frames.
        max_key_frame_gap: seconds; what lies between codec key frames further apart is sampled exactly in a draft, too.
        min_draft_length: seconds; shorter films are sampled exactly in a draft, too.
        exact_cuts: find the frame with which each shot begins; of a draft there are none.
        detector: what tells shots apart, one of `DETECTORS`.
        shot_threshold: its difference in [0, 1] above which a shot begins; None becomes the detector's default.
        min_entropy: bits; key frames at or below carry no information.
        top_k: tags of a key frame.
        min_probability: a tag counts on a key frame from this probability on; None: from the bundle's threshold of it.
        min_relative_strength: tags below it are left off the short list; None: see `short_list`.
        min_confidence: tags of which the model is less sure are left off it, where it says how sure it is; None: that
            decides nothing.
        span_gap: seconds; shots that carry a tag are one span of it across gaps up to this long.
        min_span: seconds; shorter spans are left out.
    """

    fps: float = 1.0
    sampling: str = EXACT
    max_key_frame_gap: float = 12.0
    min_draft_length: float = 180.0
    exact_cuts: bool = False
    detector: str = HSV_HISTOGRAM
    shot_threshold: float | None = None
    min_entropy: float = 0.2
    top_k: int = 3
    min_probability: float | None = None
    min_relative_strength: float | None = None
    min_confidence: float | None = 0.25
    span_gap: float = 6.0
    min_span: float = 0.0

    def __post_init__(self):
        if self.shot_threshold is None:
            object.__setattr__(self, "shot_threshold", DETECTORS[self.detector].threshold)

    @property
    def draft(self) -> Draft | None:
        """What a draft may leave out; None where none is wanted."""
        from movie_tags.transforms.video.draft import Draft  # which brings decoders

        return Draft(self.max_key_frame_gap, self.min_draft_length) if self.sampling == CODEC_KEY_FRAMES else None


@dataclass(frozen=True)
class Work:
    """How the work is done; results do not depend on it.

    Attributes:
        segment_length: seconds; films are cut into segments at least this long, to be decoded side by side.
        batch_size: key frames a batch of inference.
        accelerator: Beam's resource hint for the inference step, such as
            `type:nvidia-tesla-t4;count:1;install-nvidia-driver`.
        threads: of the model in each worker process.
        limits: of the processes in which films are decoded; None decodes in the workers themselves.
        thumbnails: where a small JPEG of each key frame is kept; None keeps none.
        stop: tells workers on this machine to begin no further film; None: nothing does.
        features: keep what the backbone saw of each key frame, for heads to come, where the model tells it.
    """

    segment_length: float = 60.0
    batch_size: int = 16
    accelerator: str | None = None
    threads: int = 1
    limits: Limits | None = field(default_factory=Limits)
    thumbnails: Thumbnails | None = None
    stop: StopFile | None = None
    features: bool = False


def method_key(method: Method, fingerprint: str) -> str:
    """What tells results of one method and model from those of another.

    SHA-256, the first 16 hexadecimal digits, of the JSON object {"method": the numbers by name, "model": the bundle's
    fingerprint} with sorted keys and no spaces. A number that has not changed results since it was added, because it
    stands at the value that was implied before, must be left out of the object by whoever adds it.
    """
    return _digest({"method": _numbers(method), "model": fingerprint})


SAID = ("top_k", "min_probability", "min_relative_strength", "min_confidence", "span_gap", "min_span")
"""Numbers of the method that decide what is said of what was seen."""


def seen_key(method: Method, features: str | None) -> str:
    """What tells what one method and backbone saw from what others did: as `method_key`, less what SAID names.

    Args:
        method: the numbers.
        features: the fingerprint of the backbone and its views; None where the model tells no features.

    Returns:
        The key; "" where nothing is seen that another head could take.
    """
    if features is None:
        return ""
    numbers = {name: number for name, number in _numbers(method).items() if name not in SAID}
    return _digest({"method": numbers, "features": features})


def _numbers(method: Method) -> dict:
    numbers = asdict(method)
    if method.sampling == EXACT:  # implied before there were drafts
        del numbers["sampling"], numbers["max_key_frame_gap"], numbers["min_draft_length"]
    if method.detector == HSV_HISTOGRAM:  # the only one there was
        del numbers["detector"]
    if not method.exact_cuts:  # as there were none
        del numbers["exact_cuts"]
    return numbers


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]

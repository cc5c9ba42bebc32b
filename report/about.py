"""What a page says of the run that its tables come from, and of what its tags are not for."""

from __future__ import annotations

from movie_tags.report import phrases

LIMITS = (
    "These tags are a model's guesses from single pictures, about one a second: it has heard no sound, read no text "
    "and missed what lasts less than a second. A tag that is not here may be in the film all the same. Decide nothing "
    "about a person by them, and do not rely on them alone to protect children."
)
"""On every page: what the tags are not for."""
NUMBERS = {
    "fps": ("Sampling", "{:g} a second"),
    "shot_threshold": ("Shots", "begin where the {detector} difference is above {:.3g}"),
    "min_entropy": ("Key frames", "carry more than {:g} bits"),
    "top_k": ("Tags of a key frame", "{:g} at most"),
    "min_probability": ("A tag counts", "from a probability of {:g} on"),
    "min_relative_strength": ("Short list", "tags of a relative strength of {:g} or more"),
    "min_confidence": ("Short list", "tags of which the model is sure to {:.0%} or more"),
    "span_gap": ("Stretches", "are joined across gaps of up to {:g} s"),
}
"""Of a run's method: what a page calls its numbers."""


def about(run: dict | None) -> list[tuple[str, str]]:
    """What a run was, as names and values: model, method, date, versions.

    Args:
        run: what run.json says.
    """
    if not run:
        return [("Run", "nothing is known of it: run.json is missing beside the tables")]
    model, method, versions = (run.get(name) or {} for name in ("model", "method", "versions"))
    said = [
        ("Tagged", str(run.get("ended") or run.get("begun") or "at an unknown time").replace("T", " ")[:16] + " UTC"),
        ("Model", f"{model.get('name') or model.get('uri') or 'unknown'} ({str(model.get('fingerprint'))[:12]})"),
        ("Vocabulary", phrases.number(len(model.get("vocabulary") or ()), "tag")),
    ]
    for name, (title, form) in NUMBERS.items():
        if isinstance(method.get(name), int | float):
            said.append((title, form.format(method[name], detector=method.get("detector", "hsv-histogram"))))
    if method.get("sampling") == "codec-key-frames":
        said.append(("Draft", _draft(method)))
    if method.get("preset"):
        said.append(("Preset", str(method["preset"])))
    made = [f"{name} {versions[name]}" for name in ("movie-tags", "apache-beam", "av") if name in versions]
    return [*said, ("Made with", ", ".join(made))] if made else said


def _draft(method: dict) -> str:
    gap, length = (float(method.get(name) or 0) for name in ("max_key_frame_gap", "min_draft_length"))
    return (
        f"of little but the codec's own key frames; samples are exact between those more than {gap:g} s apart, and in "
        f"films shorter than {length:g} s"
    )


def tagged_on(run: dict | None) -> list[str]:
    """The day of a run, as a fact in a line; none where it is not known."""
    when = run and (run.get("ended") or run.get("begun"))
    return ["tagged on " + str(when)[:10]] if when else []

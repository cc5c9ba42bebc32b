"""The training report: metrics.json, charts, and a self-contained report.html."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from movie_tags.training.evaluate.accuracy import accuracy, calibration_bins, calibration_error

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": "#222222",
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#222222",
    "axes.prop_cycle": cycler(color=["#4a7fb5", "#c77f2a"]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
}
"""What belongs to the page's looks (report.html.j2)."""


def measure(probabilities: np.ndarray, labels: np.ndarray, vocabulary: Sequence[str]) -> dict:
    """Everything that is measured on one split.

    Args:
        probabilities: float [N, tags].
        labels: 1 where a picture has a tag, [N, tags].
        vocabulary: the tags.

    Returns:
        Top-1 and top-3 accuracy (any of a picture's tags is right), mean average precision over the tags that occur,
        expected calibration error, precision, recall and F1 of each tag (a picture is predicted to show its most
        probable tag), the confusion matrix and the pairs most often confused.
    """
    known = labels.sum(1) > 0
    p, labels = probabilities[known], labels[known]
    if not len(p):
        nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "average_precision": None, "pictures": 0}
        return {
            **accuracy(p, labels),
            "mean_average_precision": None,
            "expected_calibration_error": None,
            "per_tag": {tag: nothing for tag in vocabulary},
            "confusion": np.zeros((len(vocabulary),) * 2).tolist(),
            "most_confused": [],
        }
    predicted = np.eye(len(vocabulary))[p.argmax(1)]
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, zero_division=0)
    occurring = labels.sum(0) > 0
    average = {i: float(average_precision_score(labels[:, i], p[:, i])) for i in np.flatnonzero(occurring).tolist()}
    matrix = confusion(p, labels)
    return {
        **accuracy(p, labels),
        "mean_average_precision": round(float(np.mean(list(average.values()))), 4) if average else None,
        "expected_calibration_error": round(calibration_error(p, labels), 4),
        "per_tag": {
            tag: {
                "precision": round(float(precision[i]), 4),
                "recall": round(float(recall[i]), 4),
                "f1": round(float(f1[i]), 4),
                "average_precision": round(average[i], 4) if i in average else None,
                "pictures": int(support[i]),
            }
            for i, tag in enumerate(vocabulary)
        },
        "confusion": np.round(matrix, 3).tolist(),
        "most_confused": most_confused(matrix, vocabulary),
    }


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pictures of each true tag (rows) by the tag found (columns), float [tags, tags].

    A picture with several tags counts where it was found to show one of them; else it is shared among its rows.
    """
    matrix = np.zeros((labels.shape[1],) * 2)
    for found, truth in zip(probabilities.argmax(1), labels, strict=True):
        rows = [found] if truth[found] else np.flatnonzero(truth)
        matrix[rows, found] += 1 / len(rows)
    return matrix


def most_confused(matrix: np.ndarray, vocabulary: Sequence[str], number: int = 15) -> list[dict]:
    """The pairs (true tag, tag found) with the most pictures."""
    wrong = matrix * (1 - np.eye(len(matrix)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:number]
    pairs = (np.unravel_index(at, wrong.shape) for at in order)
    return [
        {"tag": vocabulary[a], "found": vocabulary[b], "pictures": round(float(wrong[a, b]), 2)}
        for a, b in pairs
        if wrong[a, b] > 0
    ]


@matplotlib.rc_context(STYLE)
def draw_curves(curves: Mapping[str, Sequence[float]]) -> bytes:
    """Figure 1: accuracy and cross-entropy over the steps, on the training and the validation split; a PNG."""
    figure = Figure((11, 4), layout="constrained")
    for axes, name, title in zip(
        figure.subplots(1, 2), ("accuracy", "loss"), ("accuracy", "cross-entropy"), strict=True
    ):
        for key, label in ((name, "training (with dropout)"), (f"val_{name}", "validation")):
            if key in curves:
                axes.plot(curves["step"], curves[key], label=label)
        axes.set(xlabel="step", title=title)
        axes.grid(alpha=0.3)
        axes.legend()
    return _png(figure)


@matplotlib.rc_context(STYLE)
def draw_confusion(matrix: Sequence[Sequence[float]], vocabulary: Sequence[str]) -> bytes:
    """The confusion matrix as shares of each true tag's pictures, without tags that have none; a PNG."""
    counts = np.asarray(matrix)
    rows = np.flatnonzero(counts.sum(1)).tolist()
    shares = counts[rows] / counts[rows].sum(1, keepdims=True)
    figure = Figure((max(4.0, 0.24 * len(vocabulary) + 3), max(3.0, 0.24 * len(rows) + 2)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(vocabulary)), vocabulary, rotation=90, fontsize=7)
    axes.set_yticks(range(len(rows)), [vocabulary[row] for row in rows], fontsize=7)
    axes.set(xlabel="found", ylabel="true tag")
    figure.colorbar(image, shrink=0.6, label="share of the tag's pictures")
    return _png(figure)


@matplotlib.rc_context(STYLE)
def draw_calibration(
    bins: Sequence[tuple[float, float, int]],
    said: str = "probability of the first tag",
    right: str = "share that is right",
) -> bytes:
    """How often what was said is right, over how probable it was said to be; a PNG.

    Args:
        bins: (what was said, how often it was right, how many) of each.
        said, right: the names of the axes.
    """
    figure = Figure((5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfect")
    axes.plot([x for x, _, _ in bins], [y for _, y, _ in bins], "o-", label="measured")
    for x, y, number in bins:
        axes.annotate(str(number), (x, y), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set(xlabel=said, ylabel=right, xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return _png(figure)


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, transparent=True)
    return out.getvalue()


def write_report(
    folder: Path,
    metrics: dict,
    vocabulary: Sequence[str],
    curves: Mapping[str, Sequence[float]],
    probabilities: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Write a training's report.

    Args:
        folder: local; made where it is missing.
        metrics: what goes to metrics.json; `metrics["splits"]` holds `measure`'s results by split.
        vocabulary: the tags.
        curves: of `train_head`.
        probabilities, labels: of the test split, float [N, tags].
    """
    folder.mkdir(parents=True, exist_ok=True)
    test = metrics["splits"]["test"]
    charts = {"curves": draw_curves(curves)} if curves else {}
    films = metrics.get("film_confidence_reliability")
    if films:
        points = [(row["said"], row["right"], row["number"]) for row in films]
        charts["films"] = draw_calibration(points, "confidence in a film's tag", "share that a person gives")
    if test["pictures"]:
        charts["confusion"] = draw_confusion(test["confusion"], vocabulary)
        charts["calibration"] = draw_calibration(calibration_bins(probabilities, labels))
    for name, png in charts.items():
        (folder / f"{name}.png").write_bytes(png)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", "utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((files(__package__) / "report.html.j2").read_text("utf-8"))
    images = {name: base64.b64encode(png).decode() for name, png in charts.items()}
    (folder / "report.html").write_text(template.render(metrics=metrics, charts=images), "utf-8")

"""Films at exact rates, a folder of results of them with hostile names, and its exports."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from movie_tags.pipeline.commands import main
from movie_tags.report.exports import in_folder
from movie_tags.results.film_tables import Results

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
RATES = {"ntsc.mp4": NTSC, "film.mp4": FILM, "pal.mp4": Fraction(25)}
HOSTILE = '<script>alert(1)</script> & "it\'s" --> a/b; c=d # e\nf \\ [x] 漢字'
FORMULA = '=HYPERLINK("http://x")'


def write_film(path, rate, seconds):
    """A grey film of so many seconds at an exact rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(round(seconds * rate)):
            pixels = np.full((48, 64, 3), number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))


def tag_row(name, relative_strength, peak):
    known = {
        "occurrences": 2,
        "probability_sum": 1.0,
        "strength": 0.5,
        "seconds": 8.0,
        "share": 0.4,
        "confidence": peak,
    }
    return {"tag": name, "relative_strength": relative_strength, "peak_probability": peak, **known}


SPANS = (
    ("Beach/Sea", 2.0, 7.0, 0.8),
    ("Children", 5.0, 20.0, 0.6),
    ("Weak", 0.0, 3.0, 0.1),
    (FORMULA, 12.0, 20.02, 0.4),
)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder of films of 20 seconds, and a folder of results of them and of a film that is gone."""
    folder = tmp_path_factory.mktemp("films")
    for name, rate in RATES.items():
        write_film(folder / name, rate, 20.02)
    results = folder / "results"
    results.mkdir()
    rows = {"tags": [], "key_frames": [], "spans": [], "errors": []}
    for name in (*RATES, "gone.mp4"):
        uri = str(folder / name)
        kept = [tag_row("Beach/Sea", 1.0, 0.9), tag_row("Children", 0.6, 0.7), tag_row(FORMULA, 0.2, 0.4)]
        counts = dict.fromkeys(("frames_sampled", "shots", "key_frames", "key_frames_rejected", "key_frames_failed"), 3)
        title = HOSTILE if name == "ntsc.mp4" else FORMULA if name == "film.mp4" else name
        rows["tags"].append(
            {"id": uri, "uri": uri, "title": title, "duration_s": 20.02, **counts, "short_list": kept}
            | {"tags": [*kept, tag_row("Weak", 0.0, 0.1)]}
        )
        for start, top in (
            (0.0, (("Weak", 0.1),)),
            (2.0, (("Beach/Sea", 0.9), ("Children", 0.25))),
            (7.0, (("Children", 0.7),)),
        ):
            found = [{"tag": tag, "probability": p} for tag, p in top]
            row = {"id": uri, "time_s": start + 1, "shot_start_s": start, "shot_end_s": start + 5, "entropy": 9.0}
            rows["key_frames"].append({**row, "tags": found, "top_k": found})
        for tag, start, end, p in SPANS:
            row = {"id": uri, "tag": tag, "start_s": start, "end_s": end, "mean_probability": p}
            rows["spans"].append({**row, "peak_probability": p, "key_frames": 1})
    for name, table in rows.items():
        (results / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table))
    vocabulary = ["Beach/Sea", "Children", "Weak", FORMULA]
    (results / "run.json").write_text(json.dumps({"run_id": "1", "model": {"name": "m", "vocabulary": vocabulary}}))
    return folder


def export(films, name, out, status=0):
    assert main(["export", str(films / "results"), "--to", name, "--output", str(out)]) == status
    with Results(str(films / "results")) as results:
        return {Path(film.uri).name: name for film, name in in_folder(results)}

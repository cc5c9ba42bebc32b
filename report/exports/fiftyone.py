"""FiftyOne: a data set of temporal detections, read by `Dataset.from_dir` as FiftyOneTemporalDetectionDataset.

fo.Dataset.from_dir(data_path="data.json", labels_path="labels.json",
                    dataset_type=fo.types.FiftyOneTemporalDetectionDataset)
"""

from __future__ import annotations

import json

from movie_tags import storage
from movie_tags.report.exports import FilmError, Options, Written, in_folder, listed_spans, listed_tags
from movie_tags.report.exports.frames import frames_of
from movie_tags.results.tables import Results


def write(results: Results, out: str, options: Options) -> Written:
    """data.json, which says where the films are, and labels.json: films are not copied. Frames
    count from 1, both ends of a support included.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    media, labels, written = {}, {}, Written()
    classes: set[str] = set()
    for film, name in in_folder(results):
        try:
            frames = frames_of(film)
        except FilmError as error:
            written.left_out.append((film.title, str(error)))
            continue
        media[name] = film.uri
        labels[name] = [
            {
                "label": span.tag,
                "support": [first + 1, end],
                "confidence": span.mean_probability,
                "attributes": {"peak_probability": span.peak_probability, "key_frames": span.key_frames},
            }
            for span in listed_spans(results, film, options)
            for first, end in [frames.between(span.start_s, span.end_s)]
        ] or None
        classes.update(tag.tag for tag in listed_tags(film, options))
    for file, content in (("data", media), ("labels", {"classes": sorted(classes), "labels": labels})):
        path = storage.join(out, f"{file}.json")
        storage.write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        written.files.append(path)
    return written

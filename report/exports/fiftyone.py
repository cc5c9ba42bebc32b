"""FiftyOne: a data set of temporal detections, read by `Dataset.from_dir` as FiftyOneTemporalDetectionDataset."""

from __future__ import annotations

import json

from movie_tags import storage
from movie_tags.records import Film, Span, TagStrength
from movie_tags.report.exports import FilmError, Options, Written, listed_spans, listed_tags, reason_for
from movie_tags.report.exports.frame_rates import Frames, frames_of
from movie_tags.results.film_tables import Results, slug

OPEN = (
    "in FiftyOne: fo.Dataset.from_dir(data_path={!r}, labels_path={!r}, "
    "dataset_type=fo.types.FiftyOneTemporalDetectionDataset)"
)


def write(results: Results, out: str, options: Options) -> Written:
    """data.json, which says where the films are, and labels.json: films are not copied.

    Frames are numbered by their own times, whatever their rate, from 1, both ends of a support included.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    media, labels, written = {}, {}, Written()
    classes: set[str] = set()
    for film in results.films():
        try:
            frames = _local_frames(film)
        except FilmError as error:
            written.left_out.append((film.title, reason_for(film, error)))
            continue
        name = slug(film)  # without dots: FiftyOne takes what is behind the last for a suffix, and away
        media[name] = film.uri
        tags = {tag.tag: tag for tag in listed_tags(film, options)}
        labels[name] = [
            {
                "label": span.tag,
                "support": [first + 1, end],
                "confidence": span.mean_probability,
                "attributes": _attributes(span, tags[span.tag]),
            }
            for span in listed_spans(results, film, options)
            for first, end in [frames.between(span.start_s, span.end_s)]
        ] or None
        classes.update(tags)
    for file, content in (("data", media), ("labels", {"classes": sorted(classes), "labels": labels})):
        path = storage.join(out, f"{file}.json")
        storage.write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        written.files.append(path)
    written.notes.append(OPEN.format(*written.files))
    return written


def _local_frames(film: Film) -> Frames:
    if storage.is_remote(film.uri):
        raise FilmError(f"{film.uri}: FiftyOne opens files of this machine only; copy it here and tag it here")
    return frames_of(film)


def _attributes(span: Span, tag: TagStrength) -> dict:
    """What else is known of a span, and of its tag in the film as a whole."""
    of_span = {"peak_probability": span.peak_probability, "key_frames": span.key_frames}
    return {**of_span, "film_confidence": tag.confidence, "film_seconds": tag.seconds}

"""Google's Video Intelligence API: a film's tags in the JSON that a label detection of it answers.

Built of the types of Google's own client: of a film as a whole `segmentLabelAnnotations`, shot by shot
`shotLabelAnnotations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from google.cloud import videointelligence as vi

from movie_tags.records import Film, KeyFrame, TagStrength
from movie_tags.report.exports import Options, Written, listed_tags, write_each
from movie_tags.results.film_tables import Results


def write(results: Results, out: str, options: Options) -> Written:
    """FILM.json for each film, as `AnnotateVideoResponse` of the REST interface.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    return write_each(results, out, options, _texts)


def _texts(results: Results, film: Film, options: Options) -> Iterator[tuple[str, str]]:
    response = response_of(film, listed_tags(film, options), results.key_frames(film.id))
    yield "json", vi.AnnotateVideoResponse.to_json(response, preserving_proto_field_name=False) + "\n"


def response_of(film: Film, tags: Sequence[TagStrength], key_frames: Sequence[KeyFrame]) -> vi.AnnotateVideoResponse:
    """A film's listed tags, of the film as a whole and shot by shot.

    A tag's confidence is how sure the model was of it for the film as a whole, or else its peak; in a shot, its
    probability on the key frame.
    """
    end_s = film.duration_s or max((frame.shot_end_s for frame in key_frames), default=0.0)
    whole = _segment(0.0, end_s)
    shots: dict[str, list[vi.LabelSegment]] = {}
    listed = {tag.tag for tag in tags}
    for frame in key_frames:
        segment = _segment(frame.shot_start_s, min(frame.shot_end_s, end_s))
        for name, probability in frame.tags:
            if name in listed:
                shots.setdefault(name, []).append(vi.LabelSegment(segment=segment, confidence=probability))
    result = vi.VideoAnnotationResults(
        input_uri=film.uri.removeprefix("gs:/"),  # as the API answers: /bucket/object
        segment=whole,
        segment_label_annotations=[
            _annotation(tag.tag, [vi.LabelSegment(segment=whole, confidence=tag.sureness)]) for tag in tags
        ],
        shot_label_annotations=[_annotation(tag, segments) for tag, segments in sorted(shots.items())],
    )
    return vi.AnnotateVideoResponse(annotation_results=[result])


def _segment(start_s: float, end_s: float) -> vi.VideoSegment:
    return vi.VideoSegment(start_time_offset=timedelta(seconds=start_s), end_time_offset=timedelta(seconds=end_s))


def _annotation(tag: str, segments: list[vi.LabelSegment]) -> vi.LabelAnnotation:
    return vi.LabelAnnotation(
        entity=vi.Entity(entity_id=f"/movie-tags/{tag}", description=tag, language_code="en-US"), segments=segments
    )

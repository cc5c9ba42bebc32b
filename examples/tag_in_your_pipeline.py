"""Tagging as a step of a Beam pipeline of your own: here, the films in which each tag is seen longest.

python examples/tag_in_your_pipeline.py MODEL FILM [FILM ...]
"""

import sys

import apache_beam as beam

from movie_tags import Film, Method, TagMovies, Video, Work
from movie_tags.models.ensemble import read_models


def seconds_of_tags(video: Video, film: Film):
    """(tag, (seconds, the film's address)) of each tag of a film."""
    for tag in film.tags:
        yield tag.tag, (tag.seconds, video.uri)


def main(model: str, *films: str) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        tagged = (
            pipeline
            | "Films" >> beam.Create(films)
            | "Tag" >> TagMovies(read_models(model), Method(fps=2), Work(segment_length=120))
        )
        _ = (
            tagged[TagMovies.TAGS]
            | "Seconds" >> beam.FlatMapTuple(seconds_of_tags)
            | "Longest" >> beam.CombinePerKey(max)
            | "Say" >> beam.MapTuple(lambda tag, longest: print(f"{tag}: {longest[1]}, {longest[0]:.0f} s"))
        )
        _ = tagged[TagMovies.ERRORS] | "Failed" >> beam.MapTuple(lambda video, why: print(f"{video.uri}: {why.reason}"))


if __name__ == "__main__":
    main(*sys.argv[1:])

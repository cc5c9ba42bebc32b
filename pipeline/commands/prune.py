"""`movie-tags prune`: remove the results of videos that a catalogue no longer names."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import apache_beam as beam

from movie_tags import storage
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.commands.common import DONE
from movie_tags.pipeline.inputs import InputError, Inputs
from movie_tags.pipeline.read_inputs import ReadInputs
from movie_tags.pipeline.run import adopt, new_run_id
from movie_tags.pipeline.tables import DUE, RAW
from movie_tags.records import GONE, Entry
from movie_tags.results import lock
from movie_tags.results import snapshots as views
from movie_tags.results.manifest import id_of
from movie_tags.results.reading import FORMATS, RUN_JSON, OutputError, latest_view, read_json
from movie_tags.results.schema import MANIFEST, to_line

OPTIONS = {
    "description": "Remove from a folder of results what belongs to videos that these inputs no longer name: their\n"
    "rows in the tables and their thumbnails. What past runs wrote (DIR/runs) stays.",
}
TAKES_BEAM_OPTIONS = True
PRUNED = "pruned"
NO_RESULTS = "{}: no folder of results of this version of movie-tags"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument(
        "--catalogue",
        nargs="+",
        required=True,
        metavar="INPUT",
        help="all that is to be kept, as it is given to `movie-tags tag`: catalogues, folders, videos",
    )
    parser.add_argument("--all-videos", action="store_true", help="as it was given to `movie-tags tag`")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    parser.add_argument(
        "--break-lock", action="store_true", help="take DIR from a run on another machine that is known to be dead"
    )


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    inputs = Inputs.of(args.catalogue, args.all_videos)
    inputs.check()
    if latest_view(args.output) is None and not views.unfinished_runs(args.output):
        raise OutputError(NO_RESULTS.format(args.output))
    options, _ = local_options(["--direct_num_workers=1", *beam_words])
    begun = time.time()
    run_id = new_run_id(begun)
    with lock.locked(args.output, run_id, args.break_lock):
        adopt(args.output, sys.maxsize)
        view = latest_view(args.output)
        if view is None:
            raise OutputError(NO_RESULTS.format(args.output))
        folder = views.run_folder(args.output, run_id)
        part = storage.join(folder, PRUNED)
        storage.make_folder(part)
        try:
            with storage.named_for_beam(args.output) as named, beam.Pipeline(options=options) as pipeline:
                pipeline | "FindGone" >> FindGone(inputs, named(view), named(part))
            gone = 0
            for path in views.raw_files(part, MANIFEST):
                with storage.open_stream(path) as lines:
                    for line in lines:
                        gone += 1
                        if args.dry_run:
                            print(id_of(line))
            if args.dry_run or not gone:
                storage.remove_folder(folder)
            else:
                now = views.iso(time.time())
                storage.write_bytes(storage.join(part, f"{RAW}{DUE}.jsonl"), b"")
                views.commit_part(part, None, {"run_id": run_id, "method_key": "", "at": now, "counters": {}})
                # What run.json says of the last tagging run goes on being said.
                said = read_json(storage.join(view, RUN_JSON)) or {}
                views.publish(args.output, run_id, [part], said, sys.maxsize, False, said.get("format", FORMATS[0]))
                ended = time.time()
                views.close_run(
                    args.output,
                    {
                        "run_id": run_id,
                        "begun": views.iso(begun),
                        "state": PRUNED,
                        "ended": views.iso(ended),
                        "wall_s": round(ended - begun, 3),
                        "counts": {"removed": gone},
                    },
                )
                views.tidy(args.output)
        except BaseException:
            storage.remove_folder(folder)
            raise
    print(f"{gone} videos are no longer named" + (" and would be removed" if args.dry_run else "; they are removed"))
    return DONE


class FindGone(beam.PTransform):
    """Inputs and a view -> a file of entries, one for each video of the manifest that they do not name."""

    def __init__(self, inputs: Inputs, view: str, part: str):
        super().__init__()
        self.inputs = inputs
        self.view = view
        self.prefix = storage.join(part, f"{RAW}{MANIFEST}")

    def expand(self, root: beam.Pipeline) -> beam.PCollection:
        read = root | "ReadInputs" >> ReadInputs(self.inputs)
        read[ReadInputs.FAILED] | "AllMustBeKnown" >> beam.Map(_refuse)
        return (
            {
                "named": read[ReadInputs.VIDEOS] | "Named" >> beam.Map(lambda video: (video.id, None)),
                "done": root
                | "Manifest" >> beam.io.ReadFromText(storage.join(self.view, f"{MANIFEST}.jsonl"))
                | "Done" >> beam.Map(lambda line: (id_of(line.encode()), None)),
            }
            | "Join" >> beam.CoGroupByKey()
            | "Gone" >> beam.FlatMapTuple(_gone)
            | "Write" >> beam.io.WriteToText(self.prefix, ".jsonl", num_shards=1, shard_name_template="")
        )


def _refuse(failure: tuple) -> None:
    video, why = failure
    raise InputError(f"{video.uri}: {why.reason}. Nothing is removed while it is not known what is to be kept")


def _gone(video_id: str, found: dict) -> Iterator[str]:
    if not list(found["named"]):
        yield to_line(Entry(video_id, status=GONE)).decode().rstrip("\n")

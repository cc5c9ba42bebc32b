"""`movie-tags retag`: all films of a folder of results are tagged again by another model, and none is opened."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence

from rich.console import Console

from movie_tags.pipeline.commands.common import add_models, models_of
from movie_tags.pipeline.commands.nightly import tag_command
from movie_tags.pipeline.commands.tag import SHOWN_ROWS, report_failures, say_how_to_go_on
from movie_tags.pipeline.display import RunProgress, watching
from movie_tags.pipeline.interruption import Interruption
from movie_tags.pipeline.kept_run import KeptRun
from movie_tags.pipeline.run import Interrupted
from movie_tags.report.phrases import number
from movie_tags.results import run_records
from movie_tags.results.folder import ResultsFolder

OPTIONS = {
    "description": "Tag all films of a folder of results again, from what is kept of them: no film is opened, or even\n"
    "looked for. The method is that of the last run; the model must have the same backbone, as one that has learned\n"
    "(movie-tags learn). What people have said stays.\n\n"
    "  movie-tags retag results/ --model my-model",
    "epilog": "Exit status: as of movie-tags tag.",
}
TAKES_BEAM_OPTIONS = True
INTERRUPTED = "no results were written"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results, local or gs://")
    add_models(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    results, interruption = ResultsFolder(args.results), Interruption()
    progress = RunProgress(Console(stderr=True))
    with interruption.handling():
        tagging = KeptRun(results, models_of(args), beam_words)
        try:
            run = tagging.run(watching(progress, args.verbose), interruption)
        except Interrupted as error:
            run = error.said
        if run.state == run_records.INTERRUPTED:
            return say_how_to_go_on(args.results, run)
        errors = list(itertools.islice(tagging.failed(), SHOWN_ROWS))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    done = run.counts["videos_tagged"] + run.counts["videos_failed"]
    nothing = "nothing is due" + ("" if tagging.left else ": all is said by this model already")
    outcome = progress.outcome(run.counts, False) if done else nothing
    nightly = tag_command(run, args.results, models_of(args))
    if args.json:
        failed = run.counts["videos_failed"] + run.counts.get("videos_lost", 0)
        counts = {"tagged": run.counts["videos_tagged"], "failed": failed, "left": tagging.left}
        print(json.dumps({**counts, "outcome": outcome, "nightly": nightly}))
        return report_failures(args.results, run, errors)
    console.print(outcome)
    if tagging.left:
        console.print(
            f"{number(tagging.left, 'film stays', 'films stay')} as before, seen by another backbone or not kept: "
            "the command below decodes"
        )
    console.print(f"from now on, every night: {nightly}")
    return report_failures(args.results, run, errors)

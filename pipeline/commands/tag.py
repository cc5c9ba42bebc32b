"""`movie-tags tag`: films -> their tags, printed and, where a folder is given, written as tables."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Sequence

from rich.console import Console

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import (
    DONE,
    RUN_FAILED,
    SOME_FAILED,
    add_models,
    add_top_k,
    bits,
    count,
    models_of,
    not_negative,
    positive,
    share,
)
from movie_tags.pipeline.commands.printing import print_tags
from movie_tags.pipeline.display import RunProgress, say_what_was_skipped, watching
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.interruption import Interruption
from movie_tags.pipeline.method import CODEC_KEY_FRAMES, EXACT, Method, Work
from movie_tags.pipeline.prometheus import write_failure, write_metrics
from movie_tags.pipeline.run import Interrupted, TaggingRun
from movie_tags.records import FAILED, QUARANTINED, Film
from movie_tags.report.phrases import number
from movie_tags.results import overlay, run_records
from movie_tags.results.corrections import Corrections, Held
from movie_tags.results.folder import ResultsFolder, scratch_results
from movie_tags.results.manifest import SAID_ANEW, Rules, read_due
from movie_tags.results.reading import FORMATS
from movie_tags.results.run_records import RunRecord
from movie_tags.results.schema import from_row
from movie_tags.transforms.shots.detector import DETECTORS
from movie_tags.transforms.video.limits import Limits

OPTIONS = {
    "usage": "movie-tags tag INPUT [INPUT ...] [--output DIR] [options] [any option of Apache Beam]",
    "description": "Tag videos: sample them, find shots, tag their key frames, and sum up.\n\n"
    "  movie-tags tag trailer.mp4                    print its tags, leave nothing behind\n"
    "  movie-tags tag films/ --output results/       tag a folder, keep tables and pictures; again: only what is new",
    "epilog": "Any option of Apache Beam is passed on (--runner, --direct_num_workers, a runner's own). Without\n"
    "--runner the work is done on this machine, on all cores. Exit status: 0 all that was due is tagged; 3 some\n"
    "inputs failed (see errors.jsonl); 2 wrong usage; 4 a storage cannot be reached; 1 the run failed or was\n"
    "interrupted: the same command goes on.",
}
TAKES_BEAM_OPTIONS = True
INTERRUPTED = "no results were written"
SHOWN_ROWS = 50
METHOD, WORK, LIMITS = Method(), Work(), Limits()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="video, folder, glob, gs:// path, or .csv/.tsv/.jsonl catalogue"
    )
    parser.add_argument(
        "--all-videos",
        action="store_true",
        help="take of folders also what is left out: recycle bins, a NAS' previews, hidden and half-downloaded videos",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder for the results, local or gs:// [none: the tags are only printed]"
    )
    add_models(parser)
    parser.add_argument(
        "--thumbnails",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep a small JPEG of each key frame beside the tables [on this machine yes, on clusters no]",
    )
    parser.add_argument(
        "--features",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep what the model's backbone saw of each key frame, some 2.4 kB, so that another model on the same "
        "backbone, as of `movie-tags learn`, tags all again without opening a film [yes]",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="of the tables: lines of JSON, or Parquet [jsonl]"
    )
    parser.add_argument(
        "--report", action="store_true", help="make pages to look at of the results, in DIR/report (needs --output)"
    )
    parser.add_argument(
        "--preset",
        choices=["default", "paper"],
        default="default",
        help="paper: every one of a key frame's top tags counts, however improbable (--min-probability 0), as printed",
    )
    due = parser.add_argument_group(
        "what is due (what is new or has changed since DIR was last written to, and transient failures)"
    )
    due.add_argument("--force", action="store_true", help="everything, whatever has been done")
    due.add_argument(
        "--retry",
        choices=["failed", "all"],
        help="failed: also what failed for good; all: also what is quarantined",
    )
    due.add_argument(
        "--max-attempts",
        type=count,
        default=3,
        metavar="N",
        help="transient failures are quarantined after so many attempts [3]",
    )
    due.add_argument("--limit", type=count, metavar="N", help="so many videos at most [all]")
    due.add_argument("--dry-run", action="store_true", help="say what is due, and do no work")
    due.add_argument(
        "--break-lock", action="store_true", help="take DIR from a run on another machine that is known to be dead"
    )
    method = parser.add_argument_group("the method (results depend on it)")
    method.add_argument("--fps", type=positive, default=METHOD.fps, metavar="N", help="samples a second [1]")
    method.add_argument(
        "--sampling",
        choices=(EXACT, CODEC_KEY_FRAMES),
        default=METHOD.sampling,
        help="exact, or a draft at a fraction of the price, from little but the codec's own key frames [exact]",
    )
    method.add_argument(
        "--max-key-frame-gap",
        type=not_negative,
        default=METHOD.max_key_frame_gap,
        metavar="SECONDS",
        help=f"of a draft: codec key frames further apart get exact samples between [{METHOD.max_key_frame_gap:g}]",
    )
    method.add_argument(
        "--min-draft-length",
        type=not_negative,
        default=METHOD.min_draft_length,
        metavar="SECONDS",
        help=f"of a draft: shorter films are sampled exactly all the same [{METHOD.min_draft_length:g}]",
    )
    method.add_argument(
        "--shot-detector",
        dest="detector",
        choices=tuple(DETECTORS),
        default=METHOD.detector,
        help="what is compared of neighbouring samples to tell shots apart: "
        f"{'; '.join(f'{known.compares} ({name})' for name, known in DETECTORS.items())} [{METHOD.detector}]",
    )
    method.add_argument(
        "--shot-threshold",
        type=share,
        metavar="D",
        help="the detector's difference, 0 to 1, above which a shot begins "
        f"[{', '.join(f'{known.threshold:.3g} for {name}' for name, known in DETECTORS.items())}]",
    )
    method.add_argument(
        "--exact-cuts",
        action="store_true",
        help="find the frame with which each shot begins, between samples; marked where there is none, in dissolves",
    )
    method.add_argument(
        "--min-entropy",
        type=bits,
        default=METHOD.min_entropy,
        metavar="BITS",
        help="key frames need more than this, 0 to 24 bits [0.2]",
    )
    add_top_k(method)
    method.add_argument(
        "--min-probability",
        type=share,
        default=METHOD.min_probability,
        metavar="P",
        help="a tag counts on a key frame from this probability on, 0 to 1 [each tag's own, from the model bundle]",
    )
    method.add_argument(
        "--min-relative-strength",
        type=share,
        default=METHOD.min_relative_strength,
        metavar="R",
        help="tags below this relative strength, 0 to 1, are left off the short list [0.1, for models that do not say "
        "how sure they are of a film's tags]",
    )
    method.add_argument(
        "--min-confidence",
        type=share,
        default=METHOD.min_confidence,
        metavar="C",
        help="tags of which the model is less sure, 0 to 1, are left off the short list "
        f"[{METHOD.min_confidence:g}; --preset paper: whatever the model says]",
    )
    method.add_argument(
        "--span-gap",
        type=not_negative,
        default=METHOD.span_gap,
        metavar="SECONDS",
        help="shots that carry a tag are one span of it across gaps up to this long [6]",
    )
    method.add_argument(
        "--min-span",
        type=not_negative,
        default=METHOD.min_span,
        metavar="SECONDS",
        help="shorter spans are left out [0]",
    )
    work = parser.add_argument_group("how the work is done (results do not depend on it)")
    work.add_argument(
        "--batch-size", type=count, default=WORK.batch_size, metavar="N", help="key frames a batch of inference [16]"
    )
    work.add_argument(
        "--segment-length",
        type=positive,
        default=WORK.segment_length,
        metavar="SECONDS",
        help="films are cut into segments at least this long, to be decoded side by side [60]",
    )
    work.add_argument(
        "--part-size",
        type=count,
        metavar="N",
        help="videos a part, which is what a crash can cost [as many as hold 2 GB a worker, at most 500]",
    )
    work.add_argument(
        "--metrics-file", metavar="FILE", help="write how the run went as a text file for Prometheus' node exporter"
    )
    work.add_argument(
        "--accelerator",
        metavar="HINT",
        help="Beam's resource hint for the inference step, such as type:nvidia-tesla-t4;count:1;install-nvidia-driver",
    )
    add_limits(parser)


def add_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("what a film may cost (films are decoded in processes of their own)")
    limits.add_argument(
        "--decoder-memory",
        type=positive,
        default=LIMITS.memory_gb,
        metavar="GB",
        help="memory that decoding a film may take, its program's own 0.6 included [4]",
    )
    limits.add_argument(
        "--decoder-cpu",
        type=positive,
        default=LIMITS.cpu_s,
        metavar="SECONDS",
        help="CPU time that may pass without a further frame [60]",
    )
    limits.add_argument(
        "--decoder-wait",
        type=positive,
        default=LIMITS.wall_s,
        metavar="SECONDS",
        help="time that may pass without a further frame, waiting for remote storage left out [300]",
    )
    limits.add_argument(
        "--in-process",
        action="store_true",
        help="decode in the workers themselves, without limits, where one bad film can end the run: for debugging",
    )


def prepare(args: argparse.Namespace, results: ResultsFolder, beam_words: Sequence[str]) -> TaggingRun:
    """The run that a command line asks for, checked and not yet started.

    Raises:
        UserError: something that was asked for cannot be used.
    """
    if args.exact_cuts and args.sampling != EXACT:
        raise UserError("--exact-cuts looks at all frames between samples, which a draft leaves out: give one of them")
    return TaggingRun(
        Inputs.of(args.inputs, args.all_videos),
        results,
        models_of(args),
        method_of(args),
        work_of(args),
        Rules(**given_of(Rules, vars(args))),
        beam_words,
        thumbnails=args.thumbnails,
        table_format=args.format,
        part_size=args.part_size,
        break_lock=args.break_lock,
        storage_wait_s=args.storage_wait,
    )


def method_of(args: argparse.Namespace) -> Method:
    """The numbers that a command line asks for."""
    given = given_of(Method, vars(args))
    if args.preset == "paper":
        given["min_confidence"] = None
        if args.min_probability is None:
            given["min_probability"] = 0.0
    return Method(**given)


def work_of(args: argparse.Namespace) -> Work:
    """How a command line asks for the work to be done, less its thumbnails."""
    limits = None if args.in_process else Limits(args.decoder_memory, args.decoder_cpu, args.decoder_wait)
    given = {**vars(args), "features": args.features and args.output is not None}
    return Work(**given_of(Work, {**given, "limits": limits, "thumbnails": None}))


def given_of(record: type, given: dict) -> dict:
    """What of a command line are the fields of a record."""
    return {field.name: given[field.name] for field in dataclasses.fields(record) if field.name in given}


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    if args.report and args.output is None:
        raise UserError("--report makes its pages in the folder of results: give one with --output DIR")
    folder = scratch_results() if args.output is None else contextlib.nullcontext(ResultsFolder(args.output))
    interruption = Interruption()
    with folder as results, interruption.handling():
        if args.dry_run:
            return say_what_is_due(prepare(args, results, beam_words))
        tagging, run = tag(args, results, beam_words, interruption)
        shown = sorted(itertools.islice(tagging.tagged(), SHOWN_ROWS), key=lambda row: row["id"])
        held = Held(Corrections(results.address))
        films = (from_row(Film, row) for row in shown)
        print_tags(Console(), (overlay.film(film, held.of(film.id, film.content)) for film in films))
        errors = list(itertools.islice(tagging.failed(), SHOWN_ROWS))
    if args.metrics_file:
        write_metrics(args.metrics_file, run)
    interrupted = run.state == run_records.INTERRUPTED
    reported = make_report(args.output) if args.report and not interrupted else DONE
    if run.counts["videos_tagged"] > len(shown):
        more = f"… and more, in {args.output}" if args.output else "… and more; --output keeps them all"
        Console(stderr=True).print(more, highlight=False, markup=False, soft_wrap=True)
    if interrupted:
        return say_how_to_go_on(args.output, run)
    if not sum(run.due.values()) and (run.totals.get("tagged") or not run.counts["videos_failed"]):
        said = nothing_due(args.output, run.totals, run.counts["videos_failed"])
        Console(stderr=True).print(said, highlight=False, markup=False, soft_wrap=True)
    return report_failures(args.output, run, errors) or reported


def tag(
    args: argparse.Namespace, results: ResultsFolder, beam_words: Sequence[str], interruption: Interruption
) -> tuple[TaggingRun, RunRecord]:
    """Prepare a run and take it to its end, which an interruption may bring."""
    console = Console(stderr=True)
    progress = RunProgress(console)
    said: RunRecord | None = None
    try:
        tagging = prepare(args, results, beam_words)
        try:
            run = tagging.run(watching(progress, args.verbose), interruption)
        except Interrupted as error:
            run = error.said
        finally:
            said = tagging.said
    except Exception:
        if args.metrics_file:
            with contextlib.suppress(UserError):  # which would hide why the run failed
                write_failure(args.metrics_file, results, said)
        raise
    anew = run.due.get(SAID_ANEW, 0)
    if progress.films or (anew and run.counts["videos_tagged"] + run.counts["videos_failed"]):
        console.print(progress.outcome(run.counts, anew < sum(run.due.values())), highlight=False, soft_wrap=True)
    return tagging, run


def say_what_is_due(tagging: TaggingRun) -> int:
    """Print what a run would do; returns the exit status."""
    with tagging.dry_run() as plan:
        for item in read_due(plan.due):
            print(f"{item.why}\t{item.video.id}")
    say_what_was_skipped(Console(stderr=True), plan.skipped)
    reasons = ", ".join(f"{n} {why}" for why, n in plan.reasons.items())
    wrong = plan.counts["videos_failed"]
    fails = f"; {number(wrong, 'input fails', 'inputs fail')} before any work" if wrong else ""
    due = f"{number(plan.films, 'video is', 'videos are')} due" + (f": {reasons}" if reasons else "")
    print(due + fails, file=sys.stderr)
    return DONE


def nothing_due(output: str | None, totals: dict, now_failed: int = 0) -> str:
    """That there was nothing to do, and what can be done all the same; not of what has failed just now."""
    tagged = number(totals.get("tagged", 0), "video is", "videos are")
    text = f"nothing is due: {tagged} tagged already (--force tags them again)"
    failed = totals.get(FAILED, 0) + totals.get(QUARANTINED, 0) - now_failed
    if failed > 0:
        are = "is not tried again by itself" if failed == 1 else "are not tried again by themselves"
        text += f"; {failed} failed and {are} (movie-tags status {output})"
    return text


def say_how_to_go_on(output: str | None, run: RunRecord) -> int:
    """Say what an interrupted run has left; returns the exit status."""
    done = run.counts["videos_tagged"] + run.counts["videos_failed"]
    if output is None or not done:
        print("movie-tags: interrupted; no results were written", file=sys.stderr)
    else:
        more = f", {number(run.left, 'is', 'are')} still due" if run.left else ""
        print(
            f"movie-tags: interrupted; {number(done, 'video is', 'videos are')} done and in {output}{more}; the same "
            "command goes on",
            file=sys.stderr,
        )
    return RUN_FAILED


def make_report(output: str) -> int:
    """Make the pages of results that are whole and published, and say where they are; returns the exit status."""
    from movie_tags.report.write import write_report

    try:
        print(f"Look at {write_report(output).index}")
    except UserError as error:
        print(f"movie-tags: the results are whole, but no report was made of them: {error}", file=sys.stderr)
        return RUN_FAILED
    except KeyboardInterrupt:
        print(
            f"movie-tags: interrupted; the results are whole and in {output}, but no report was made of them "
            f"(movie-tags report {output})",
            file=sys.stderr,
        )
        return RUN_FAILED
    return DONE


def report_failures(output: str | None, run: RunRecord, errors: Sequence[dict]) -> int:
    """Say what failed; returns the exit status."""
    failed = sum(run.counts.get(name, 0) for name in ("videos_failed", "key_frames_failed", "videos_lost"))
    if not failed:
        return DONE
    if output is None:
        for row in errors:
            print(f"movie-tags: {row['uri']}: {row['reason']}", file=sys.stderr)
    else:
        what = "the reason of 1 failure is" if failed == 1 else f"the reasons of {failed} failures are"
        print(f"movie-tags: {what} in {storage.join(output, 'errors.' + run.format)}", file=sys.stderr)
    return SOME_FAILED

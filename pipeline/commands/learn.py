"""`movie-tags learn`: a model learns from what people have said of its tags, from kept features alone."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models import DEFAULT, resolve
from movie_tags.models.building import name_of
from movie_tags.models.bundle import LEARNED, MODEL_JSON, ModelBundle, read_bundle
from movie_tags.pipeline.commands.common import DONE, MODEL_HELP
from movie_tags.pipeline.commands.nightly import tag_command
from movie_tags.pipeline.display import Reports, watching
from movie_tags.pipeline.method import Method, seen_key
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.reading import no_results
from movie_tags.results.run_records import RunRecord
from movie_tags.training.cautions import cautions_of_learning
from movie_tags.training.corrected import Corrected, LearningError, gather
from movie_tags.training.heads.adapt import TagChange
from movie_tags.training.learning import Learned, head_of, learn, write_learned
from movie_tags.transforms.evidence import FilmConfidence

OPTIONS = {
    "description": "Learn from what people have said of tags (movie-tags review, movie-tags corrections): the head\n"
    "of a model is refitted, and tags of your own are added with a threshold and a confidence. No film and no\n"
    "picture is opened. What got better and worse is measured on films that are left out, tag by tag.",
}
WORSE = 1
"""The exit status where a worse model is not written."""

FILMS = ("right", "wrong", "missed")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results with corrections, local or gs://")
    parser.add_argument("--output", required=True, metavar="BUNDLE", help="folder for the model, local or gs://")
    parser.add_argument(
        "--model", metavar="BUNDLE", help=f"that learns: {MODEL_HELP[7:]} [the one that tagged the results]"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the model in --output")
    parser.add_argument("--force", action="store_true", help="write the model though it is worse on films left out")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    if storage.exists(storage.join(args.output, MODEL_JSON)) and not args.overwrite:
        raise UserError(f"{args.output}: holds a model already; --overwrite replaces it")
    results = ResultsFolder(args.results)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    try:
        done = results.last_run
        if done is None:
            raise no_results(results.address)
        model = args.model or model_of(done)
        bundle = read_bundle(resolve(model))
        if storage.same_file(bundle.uri, args.output):
            raise UserError(f"{args.output}: is the model that learns, which is needed again; choose another folder")
        with watching(_Steps(Console(stderr=True), "learning"), args.verbose):
            said, learned = learned_from(results, done, bundle)
        refused = learned.worse and not args.force
        if not refused:
            write_learned(bundle, model, learned, args.output)
    except OSError as error:
        raise UserError(storage.plainly(error)) from error
    found = {**compared(said, learned), "model": "" if refused else args.output}
    if args.json:
        print(json.dumps(found))
        return WORSE if refused else DONE
    show(console, found)
    if refused:
        return refuse(console, found)
    again = shlex.join(["movie-tags", "retag", args.results, "--model", args.output])
    console.print(f"next, without opening a film: {again}")
    console.print(f"from then on, every night: {tag_command(done, args.results, [args.output])}")
    return DONE


class _Steps(Reports):
    """Learning: how many of its steps are done."""

    due = steps = 0

    def add(self, report: dict) -> None:
        self.due += report.get("steps_due", 0)
        self.steps += report.get("steps", 0)
        self.show(total=self.due or None, completed=self.steps)

    def text(self) -> str:
        return f"learning: {self.steps} of {self.due} steps"


def model_of(done: RunRecord) -> str:
    """The model that learns where the user names none: the one that tagged, or that from which it has learned.

    Raises:
        UserError: there were several.
    """
    bundles = done.model.get("bundles", [])
    if len(bundles) > 1:
        raise LearningError("the results are tagged by several models; name the one that learns by --model")
    uri = bundles[0]["uri"] if bundles else DEFAULT
    known = name_of(uri)
    if known or not storage.exists(storage.join(uri, MODEL_JSON)):
        return known or DEFAULT
    card = read_bundle(uri).card
    return str(card[LEARNED]["from"]["model"]) if LEARNED in card else uri


def learned_from(results: ResultsFolder, done: RunRecord, bundle: ModelBundle) -> tuple[Corrected, Learned]:
    """What people have said in a folder of results, and what a model learns from it.

    Raises:
        LearningError: there is nothing to learn from, or the model cannot learn further.
        OSError, UserError: something cannot be read.
    """
    head = head_of(bundle)
    key = seen_key(Method(**done.method), bundle.features_fingerprint)
    said = gather(results, bundle.vocabulary, key, head)
    return said, learn(head, bundle.thresholds, FilmConfidence.of_card(bundle.card), said)


def compared(said: Corrected, learned: Learned) -> dict[str, Any]:
    """What got better and worse, as JSON has it.

    Returns:
        `tags`: of each tag of which anything was said, `tag`, `yes` and `no` (key frames that show it, or do not,
        and films of which it is rejected as a whole),
        `before` and `after` (average precision on films left out; null where it cannot be told), `word`, and `films`:
        how many of them have it rightly (`right`), wrongly (`wrong`) or lack it (`missed`), before and after, null of a
        new tag; `mean`: of average precision before and after, of the tags that the model knew, or null; `precision`
        and `recall`: of these tags of films, likewise; `worse`; `worse_at`: which of the three are worse;
        `passed_over`: by tag that is not learned, why; `cautions`.
    """
    judged = {one.tag: one for one in learned.judged}
    rows = []
    for tag in learned.touched:
        counts = dict(zip(("yes", "no"), said.counts(tag), strict=True))
        own = tag >= learned.known
        films = None if own else learned.films.of_tag(tag)
        rows.append({"tag": learned.tags[tag], **counts, **_judgement(judged.get(tag), own), "films": films})
    return {
        "tags": rows,
        "mean": learned.mean_average_precision,
        "precision": learned.films.precision,
        "recall": learned.films.recall,
        "worse": learned.worse,
        "worse_at": learned.worse_at,
        "passed_over": dict(said.passed_over),
        "cautions": cautions_of_learning(said, learned),
    }


def _judgement(one: TagChange | None, own: bool) -> dict[str, Any]:
    if one is None:
        return {"before": None, "after": None, "word": "new" if own else "too few to judge"}
    gained = round(one.after, 3) - round(one.before, 3)  # as they are shown
    word = "better" if gained > 0 else "worse" if gained < 0 else "the same"
    return {"before": None if own else one.before, "after": one.after, "word": "new" if own else word}


def show(console: Console, found: dict[str, Any]) -> None:
    """Print what `compared` gives."""
    table = Table(box=None, pad_edge=False)
    table.add_column("tag")
    for name in ("yes", "no", "before", "after"):
        table.add_column(name, justify="right")
    table.add_column("")
    for name in FILMS:
        table.add_column(name, justify="right")
    for row in found["tags"]:
        figures = ("" if row[name] is None else f"{row[name]:.3f}" for name in ("before", "after"))
        films = (_change(row["films"][name]) if row["films"] else "" for name in FILMS)
        table.add_row(row["tag"], str(row["yes"]), str(row["no"]), *figures, row["word"], *films)
    console.print("key frames, or whole films, of which people say yes and no; average precision on films left out;")
    console.print("how many of these films list the tag rightly, list it wrongly, and lack it:")
    console.print(table)
    for name, what in (("mean", "the mean"), ("precision", "films' precision"), ("recall", "films' recall")):
        if found[name]:
            console.print("{} of the tags that the model knew: {:.3f} before, {:.3f} after".format(what, *found[name]))
    for name, why in found["passed_over"].items():
        console.print(f"{name} is not learned: {why}")
    for caution in found["cautions"]:
        print(f"do not trust: {caution}", file=sys.stderr)


def _change(pair: tuple[int, int]) -> str:
    """A count before and after."""
    before, after = pair
    return str(before) if before == after else f"{before} → {after}"


def refuse(console: Console, found: dict[str, Any]) -> int:
    """Say that the model is not written; returns the exit status."""
    figures = {"average precision": found["mean"], "precision": found["precision"], "recall": found["recall"]}
    worse = (f"{name} {figures[name][1]:.3f} after {figures[name][0]:.3f}" for name in found["worse_at"])
    console.print(
        f"movie-tags: nothing was written, for on films left out the model would be worse ({', '.join(worse)}); look "
        "through the corrections of the tags that got worse, or write it all the same by --force"
    )
    return WORSE

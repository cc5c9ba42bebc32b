"""`movie-tags review`: pages on which people say which tags are right, live over the tables."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import signal
import webbrowser
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from movie_tags.errors import UserError
from movie_tags.models.bundle import read_bundle
from movie_tags.models.heads import UNIT, LinearHead, read_head
from movie_tags.pipeline.commands.common import DONE
from movie_tags.pipeline.interruption import SIGNALS, Interruption
from movie_tags.report.review.candidates import Guess
from movie_tags.report.review.serve import prepare
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.run_records import RunRecord

OPTIONS = {
    "description": "Look through the films of a folder of results and say which tags are right: confirm, reject or\n"
    "add tags of a film, of a stretch or of a picture. What is said is kept at once and holds from then on in\n"
    "pages, searches and exports, whatever later runs say (see `movie-tags corrections`).\n\n"
    "  movie-tags review results/                 prints the link to open; Ctrl-C ends it\n"
    "  movie-tags review results/ --open --by Ada",
    "epilog": "Its page `Learn` lets a model learn from what was said (as movie-tags learn), compares, and tags all\n"
    "films again (as movie-tags retag): this needs the extra 'train'.\n\n"
    "It answers on this machine alone, and only to whoever has the link.",
}
INTERRUPTED = "what was said is kept"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument("--by", metavar="NAME", help="who corrects, where the page is given no other name [the user]")
    parser.add_argument(
        "--models", metavar="FOLDER", default="", help="for models that learn on the page, local or gs:// [DIR/models]"
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port to listen on [any that is free]")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    served = prepare(args.results, args.by or _user(), args.port, args.models, guess_of(args.results))
    print(served.link, flush=True)
    if args.open:
        webbrowser.open(served.link)
    with Interruption().handling(_signals()):  # whatever ends this ends what the page has started
        served.run()
    return DONE


def _signals() -> tuple[int, ...]:
    """The signals that mean the end; that the terminal is closed is none where it is to be survived (nohup)."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return SIGNALS if ignored else (*SIGNALS, signal.SIGHUP)


def guess_of(folder: str) -> Guess | None:
    """What fits a tag's own first guess on the features of the model that tagged; None where the extra is missing."""
    if not all(map(find_spec, ("scipy", "sklearn"))):
        return None

    def guess(*features: np.ndarray) -> tuple[np.ndarray, float]:
        from movie_tags.training.guessing import first_guess  # takes its time: who asks for it waits

        return first_guess(_head_of(ResultsFolder(folder).last_run, features[0].shape[1]), *features)

    return guess


def _head_of(done: RunRecord | None, width: int) -> LinearHead:
    """The head of the model that tagged; where that is gone, one that takes features divided by their size."""
    bundles = (done.model.get("bundles") if done else None) or [{}]
    with contextlib.suppress(UserError):
        head = read_head(read_bundle(str(bundles[0].get("uri", ""))))
        if head is not None and sum(head.widths) == width:
            return head
    return LinearHead(np.zeros((width, 0), np.float32), np.zeros(0, np.float32), (width,), (UNIT,))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return ""

"""`movie-tags model`: builds the models known by name, imports classifiers of others."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models import DEFAULT, NAMES
from movie_tags.pipeline.commands.common import DONE, Parser, add_common, count, positive, share

OPTIONS = {
    "description": "Build or import a model bundle.",
    "epilog": "Bundles known by name are kept in MOVIE_TAGS_CACHE, or ~/.cache/movie-tags.",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="doing", required=True, metavar="WHAT", parser_class=Parser)
    build = kinds.add_parser(
        "build", help="put a model that is known by name together; done by itself at its first use", allow_abbrev=False
    )
    build.add_argument("name", nargs="?", choices=NAMES, default=DEFAULT, help=f"[{DEFAULT}]")
    build.add_argument(
        "--output", metavar="DIR", help="into a folder of your own, local or gs:// [this machine's cache]"
    )
    taken = kinds.add_parser(
        "import", help="make a bundle of an ONNX classifier, run by ONNX Runtime", allow_abbrev=False
    )
    taken.add_argument("--onnx", required=True, metavar="FILE", help="the model: one batch of pictures in, outputs out")
    taken.add_argument(
        "--vocabulary", required=True, metavar="FILE", help="one tag a line, in the order of the outputs"
    )
    taken.add_argument("--size", required=True, type=count, metavar="N", help="side in pixels pictures are squeezed to")
    taken.add_argument("--output", required=True, metavar="BUNDLE", help="folder for the bundle, local or gs://")
    taken.add_argument("--name", metavar="NAME", help="what the bundle calls itself [the file's name]")
    taken.add_argument("--threshold", type=share, metavar="P", help="believe tags from this probability on, 0 to 1 [0]")
    shown = taken.add_argument_group("how it is shown a picture: (pixels · scale - mean) / deviation")
    shown.add_argument("--scale", type=positive, default=1.0, help="0.00392157 for pixels from 0 to 1 [1]")
    shown.add_argument("--mean", type=float, nargs="+", default=[0.0], metavar="M", help="of all channels or each [0]")
    shown.add_argument("--deviation", type=positive, nargs="+", default=[1.0], metavar="D", help="likewise [1]")
    shown.add_argument("--layout", choices=["nchw", "nhwc"], default="nchw", help="[nchw]")
    shown.add_argument("--channels", choices=["rgb", "bgr"], default="rgb", help="[rgb]")
    shown.add_argument("--crop", type=count, metavar="N", help="only the middle, N x N pixels")
    activation = taken.add_mutually_exclusive_group()
    activation.add_argument(
        "--sigmoid", action="store_const", dest="activation", const="sigmoid", help="its outputs are logits"
    )
    activation.add_argument(
        "--softmax",
        action="store_const",
        dest="activation",
        const="softmax",
        help="its outputs are logits of one choice",
    )
    for kind in (build, taken):
        add_common(kind)


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    {"build": build_model, "import": import_model}[args.doing](args)
    return DONE


def build_model(args: argparse.Namespace) -> None:
    """`movie-tags model build`."""
    from movie_tags.models.building import build

    print(build(args.name, args.output))


def import_model(args: argparse.Namespace) -> None:
    """`movie-tags model import`."""
    from movie_tags.models.bundle import MODEL_JSON, THRESHOLDS
    from movie_tags.models.importing import import_onnx
    from movie_tags.models.runtimes.onnx_model import Preprocessing

    if storage.exists(storage.join(args.output, MODEL_JSON)):
        raise UserError(f"{args.output}: holds a model bundle already; choose another folder")
    if args.crop is not None and args.crop > args.size:
        raise UserError(f"--crop {args.crop} is more than --size {args.size}")
    try:
        lines = storage.read_text(args.vocabulary).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--vocabulary {args.vocabulary}: cannot be read: {storage.plainly(error)}") from error
    vocabulary = [line.strip() for line in lines if line.strip()]
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        raise UserError(f"{args.vocabulary}: has no tags, or one twice")
    preprocessing = Preprocessing(
        args.layout,
        args.channels,
        args.scale,
        each_channel(args.mean, "--mean"),
        each_channel(args.deviation, "--deviation"),
        args.crop,
        activation=args.activation or "none",
    )
    card = {"name": args.name or storage.base_name(args.onnx).removesuffix(".onnx"), "backbone": "ONNX"}
    if args.threshold is not None:
        card[THRESHOLDS] = dict.fromkeys(vocabulary, args.threshold)
    try:
        import_onnx(args.onnx, vocabulary, (args.size, args.size), preprocessing, args.output, card)
    except OSError as error:
        raise UserError(f"--output {args.output}: cannot be written: {storage.plainly(error)}") from error
    print(f"{args.output}: {len(vocabulary)} tags")


def each_channel(values: Sequence[float], option: str) -> tuple[float, float, float]:
    """One number for all three channels, or one for each.

    Raises:
        UserError: there are neither one nor three.
    """
    if len(values) not in (1, 3):
        raise UserError(f"{option} takes one number, or three")
    first, second, third = values if len(values) == 3 else [values[0]] * 3
    return first, second, third

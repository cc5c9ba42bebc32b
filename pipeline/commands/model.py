"""`movie-tags model`: builds the models known by name, imports classifiers and pairs of image and text models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models import DEFAULT, NAMES
from movie_tags.pipeline.commands.common import DONE, Parser, add_common, count, positive, share

OPTIONS = {
    "description": "Build or import a model bundle; download what can be imported.",
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
        "import", help="make a bundle of a classifier, or of a CLIP or SigLIP, in ONNX", allow_abbrev=False
    )
    add_import_options(taken)
    fetched = kinds.add_parser("download", help="download a published CLIP or SigLIP, to import", allow_abbrev=False)
    fetched.add_argument("name", metavar="NAME", help="clip-vit-b32 or siglip-base-224")
    fetched.add_argument("--output", required=True, metavar="FOLDER", help="where; local")
    for kind in (build, taken, fetched):
        add_common(kind)


def add_import_options(taken: argparse.ArgumentParser) -> None:
    """The options of `movie-tags model import`."""
    source = taken.add_mutually_exclusive_group(required=True)
    source.add_argument("--onnx", metavar="FILE", help="a classifier: one batch of pictures in, outputs out")
    source.add_argument(
        "--clip",
        metavar="FOLDER",
        help="a CLIP or SigLIP as the model hubs lay it out: onnx/vision_model.onnx, onnx/text_model.onnx, "
        "tokenizer.json, config.json, preprocessor_config.json",
    )
    taken.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="of --onnx: one tag a line, in the order of the outputs; of --clip: a line TAG or TAG: prompt, prompt "
        "[the paper's fifty tags]",
    )
    taken.add_argument("--size", type=count, metavar="N", help="of --onnx: side in pixels pictures are squeezed to")
    taken.add_argument("--output", required=True, metavar="BUNDLE", help="folder for the bundle, local or gs://")
    taken.add_argument("--name", metavar="NAME", help="what the bundle calls itself [the file's name]")
    taken.add_argument(
        "--threshold",
        type=share,
        metavar="P",
        help="believe tags from this probability on, 0 to 1 [0; CLIP 0.5, SigLIP 0.1]",
    )
    pair = taken.add_argument_group("of --clip, where no file says them: probability = sigmoid(scale · cosine + bias)")
    pair.add_argument("--logit-scale", type=positive, metavar="S", help="exp(logit_scale) of the model [CLIP: 100]")
    pair.add_argument("--logit-bias", type=float, metavar="B", help="of a SigLIP")
    pair.add_argument(
        "--examples", metavar="FOLDER", help="TAG/*.jpg, three or more of a tag: thresholds by the best F1 on them"
    )
    shown = taken.add_argument_group("of --onnx, how it is shown a picture: (pixels · scale - mean) / deviation")
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


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    {"build": build_model, "import": import_model, "download": download_model}[args.doing](args)
    return DONE


def build_model(args: argparse.Namespace) -> None:
    """`movie-tags model build`."""
    from movie_tags.models.building import build

    print(build(args.name, args.output))


def download_model(args: argparse.Namespace) -> None:
    """`movie-tags model download`."""
    from movie_tags.models.clip.published import PUBLISHED, download

    if args.name not in PUBLISHED:
        raise UserError(f"{args.name}: is no model that can be downloaded; choose one of {', '.join(PUBLISHED)}")
    download(args.name, Path(args.output), lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{args.output}: weights under the licence {PUBLISHED[args.name].licence}")


def import_model(args: argparse.Namespace) -> None:
    """`movie-tags model import`."""
    from movie_tags.models.bundle import MODEL_JSON

    if storage.exists(storage.join(args.output, MODEL_JSON)):
        raise UserError(f"{args.output}: holds a model bundle already; choose another folder")
    try:
        tags = import_pair_of_models(args) if args.clip else import_classifier(args)
    except OSError as error:
        raise UserError(f"--output {args.output}: cannot be written: {storage.plainly(error)}") from error
    print(f"{args.output}: {tags} tags")


def import_classifier(args: argparse.Namespace) -> int:
    """`movie-tags model import --onnx`; returns the number of tags."""
    from movie_tags.models.bundle import THRESHOLDS
    from movie_tags.models.importing import import_onnx
    from movie_tags.models.runtimes.onnx_model import Preprocessing

    if args.size is None or args.vocabulary is None:
        raise UserError("--onnx needs --size and --vocabulary")
    if args.crop is not None and args.crop > args.size:
        raise UserError(f"--crop {args.crop} is more than --size {args.size}")
    vocabulary = [line.strip() for line in _vocabulary(args.vocabulary).splitlines() if line.strip()]
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
    import_onnx(args.onnx, vocabulary, (args.size, args.size), preprocessing, args.output, card)
    return len(vocabulary)


def import_pair_of_models(args: argparse.Namespace) -> int:
    """`movie-tags model import --clip`; returns the number of tags."""
    from movie_tags.models.clip.clip_bundle import import_pair
    from movie_tags.models.clip.prompts import own_prompts, read_prompts
    from movie_tags.models.clip.thresholds import read_examples

    prompts = read_prompts(_vocabulary(args.vocabulary), args.vocabulary) if args.vocabulary else own_prompts()
    thresholds = None if args.threshold is None else dict.fromkeys(prompts, args.threshold)
    examples = read_examples(args.examples, prompts) if args.examples else ()
    name = args.name or storage.base_name(args.clip)
    found = import_pair(args.clip, prompts, args.output, name, thresholds, args.logit_scale, args.logit_bias, examples)
    print(
        f"of {found.drawn} drawn pictures {found.nearest} are nearest to their own words; "
        f"scale {found.scale:.4g}, bias {found.bias:.4g}"
    )
    return len(prompts)


def _vocabulary(path: str) -> str:
    try:
        return storage.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--vocabulary {path}: cannot be read: {storage.plainly(error)}") from error


def each_channel(values: Sequence[float], option: str) -> tuple[float, float, float]:
    """One number for all three channels, or one for each.

    Raises:
        UserError: there are neither one nor three.
    """
    if len(values) not in (1, 3):
        raise UserError(f"{option} takes one number, or three")
    first, second, third = values if len(values) == 3 else [values[0]] * 3
    return first, second, third

"""The Flex Template's metadata, made from the options of `movie-tags tag`.

python deploy/dataflow/metadata.py > deploy/dataflow/template_metadata.json
python deploy/dataflow/metadata.py IMAGE > spec.json     # the template's specification, with the metadata inside
"""

from __future__ import annotations

import argparse
import json
import sys

from movie_tags.models import DEFAULT, NAMES
from movie_tags.pipeline.beam.options import beam_option_actions
from movie_tags.pipeline.commands import command_parser
from movie_tags.pipeline.commands.common import bits, count, not_negative, positive, share

GCS = r"gs://[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9](/\S*)?"
# What an option takes, by the function that reads it: (parameter type, regular expression). The service's regular
# expressions know no look-ahead.
KINDS = {
    positive: ("NUMBER", r"^([1-9][0-9]*(\.[0-9]+)?|0\.0*[1-9][0-9]*)$"),
    not_negative: ("NUMBER", r"^[0-9]+(\.[0-9]+)?$"),
    count: ("NUMBER", "^[1-9][0-9]*$"),
    share: ("NUMBER", r"^(0(\.[0-9]+)?|1(\.0+)?)$"),
    bits: ("NUMBER", r"^((1?[0-9]|2[0-3])(\.[0-9]+)?|24(\.0+)?)$"),
}
# Options whose texts say more than that they are texts.
TEXTS = {
    "inputs": ("TEXT", rf"^\s*{GCS}(\s+{GCS})*\s*$"),
    "output": ("GCS_WRITE_FOLDER", f"^{GCS}$"),
    "model": ("TEXT", f"^({'|'.join(NAMES)}|{GCS})$"),
    "preset": ("TEXT", "^(default|paper)$"),
    "accelerator": ("TEXT", "^type:[-a-z0-9]+;count:[1-9][0-9]*(;[-_a-z0-9]+(:[-_a-z0-9.]+)?)*$"),
}
# Beam's own options that a job of this template needs, and which the launching service has no field for.
BEAM = {
    "sdk_container_image": ("TEXT", r"^[-a-z0-9.:]+(/[-_.a-z0-9]+)+(:[-_.A-Za-z0-9]+|@sha256:[0-9a-f]{64})$"),
    "number_of_worker_harness_threads": KINDS[count],
}
# Options of which less can be done here than on a command line.
HELP = {
    "output": "folder for the results on gs://",
    "model": f"model: {', '.join(NAMES)}, or the folder of a bundle on gs:// [{DEFAULT}]",
}
# A job's log is always whole; the others are for who waits for its end.
LEFT_OUT = ("help", "verbose", "storage_wait", "dry_run", "metrics_file", "report")
REQUIRED = ("inputs", "output", "sdk_container_image")


def metadata() -> dict:
    """The template's metadata: a parameter for each option, in the options' order, then Beam's."""
    ours = [parameter(action) for action in command_parser("tag")._actions if action.dest not in LEFT_OUT]
    known = beam_option_actions()
    beam = [
        _entry(name, " ".join((known[f"--{name}"].help or "").split()), *kind) for name, kind in sorted(BEAM.items())
    ]
    return {
        "name": "movie-tags",
        "description": "Watches films and says, in a few tags with strengths, what is in them.",
        "parameters": [*ours, *beam],
    }


def parameter(action: argparse.Action) -> dict:
    """The parameter that stands for an option.

    Raises:
        KeyError: nothing here says what the option takes.
    """
    if action.nargs == 0:
        kind = ("BOOLEAN", "^(true|false)$")
    elif action.choices:
        kind = ("TEXT", f"^({'|'.join(action.choices)})$")
    elif action.dest in TEXTS:
        kind = TEXTS[action.dest]
    else:
        kind = KINDS[action.type]
    return _entry(name_of(action), HELP.get(action.dest, action.help), *kind, action.default)


def name_of(action: argparse.Action) -> str:
    """The parameter of an option: its spelling, with underscores."""
    return action.option_strings[0].lstrip("-").replace("-", "_") if action.option_strings else action.dest


def _entry(name: str, text: str, kind: str, regex: str, default: object = None) -> dict:
    if isinstance(default, bool):
        default = "true" if default else "false"
    text = text[:1].upper() + text[1:]
    entry = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": "Addresses of these, with spaces between them: " + text if name == "inputs" else text,
        "isOptional": name not in REQUIRED,
        "regexes": [regex],
        "paramType": kind,
    }
    return entry if default is None else {**entry, "defaultValue": str(default)}


def specification(image: str) -> dict:
    """The template's specification, as `gcloud dataflow flex-template build` writes it."""
    return {"image": image, "sdkInfo": {"language": "PYTHON"}, "metadata": metadata()}


if __name__ == "__main__":
    what = specification(sys.argv[1]) if sys.argv[1:] else metadata()
    print(json.dumps(what, indent=2, ensure_ascii=False))

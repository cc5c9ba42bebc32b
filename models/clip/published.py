"""Published pairs of models that can be downloaded by name: pinned to a revision, their large files by SHA-256.

The digests are those that the model hub shows for these files, as several public projects have pinned them. None of
these models was tried here.
"""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from movie_tags.errors import UserError
from movie_tags.models.clip.hub_folder import META

HUB = "https://huggingface.co"
TIMEOUT = 60.0
"""Seconds without an answer after which a download is given up."""

TEXTS = ("config.json", "preprocessor_config.json", "tokenizer_config.json")
"""Small files, pinned by the revision alone."""

VISION, TEXT, TOKENIZER = "onnx/vision_model.onnx", "onnx/text_model.onnx", "tokenizer.json"
CHUNK = 1 << 20


class DownloadError(UserError):
    """A model that could not be downloaded; the message says why."""


@dataclass(frozen=True)
class Published:
    """A model on the hub.

    Attributes:
        repository: OWNER/NAME.
        revision: the commit, 40 hex digits.
        licence: of the weights, as their page says.
        sha256: by file, its digest in hex.
        agreement: scale and bias of a SigLIP, which its separate exports lack.
    """

    repository: str
    revision: str
    licence: str
    sha256: dict[str, str] = field(hash=False)
    agreement: tuple[float, float] | None = None


PUBLISHED = {
    "clip-vit-b32": Published(
        "Xenova/clip-vit-base-patch32",
        "d15189d7028b43f1d3e65039190477f6af591c2a",
        "MIT (OpenAI's CLIP)",
        {
            VISION: "fd6e1402a588279d1723c7534d4bcba5bc0b14b47dfab0e46f8c47b8270d7d40",
            TEXT: "3f6571f5bad13a97c469c1622e1cfc4d9aef78b79fdbfcff804ca357bfada8cc",
            TOKENIZER: "f7f3b7af117d467b58374797691a6438d3e6b9e9cef800dfd5dced7f697a90cd",
        },
    ),
    "siglip-base-224": Published(
        "Xenova/siglip-base-patch16-224",
        "4649052661e53c7000355844105f8a1792088239",
        "Apache-2.0",
        {
            VISION: "f89d41bac7f4d4b87e010a467d93f98689d708916ed22f5a07f96fdfa26f475f",
            TEXT: "3aa7fdbd20eaa8740cce17bf82913de641fcb632a768fed59f661cdcd0c32553",
            TOKENIZER: "4a17c975210be5ab4c36b47d8dae4eefb866dbfb1e676e394aad85dc30a3ae08",
        },
        (117.33076477, -12.93243694),
    ),
}


def download(name: str, folder: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """Download a published pair in the layout of the hub; a file that is there and intact is not fetched again.

    Args:
        name: of PUBLISHED.
        folder: where, local.
        say: told each file before it is fetched.

    Raises:
        DownloadError: there is no network, or a file is not there or not the published one.
    """
    model = PUBLISHED[name]
    for file in (*TEXTS, *model.sha256):
        target, wanted = folder / file, model.sha256.get(file)
        if target.exists() and wanted in (None, _digest(target)):
            continue
        say(f"{model.repository}: {file} ...")
        _fetch(f"{HUB}/{model.repository}/resolve/{model.revision}/{file}", target, wanted)
    if model.agreement:
        said = dict(zip(("logit_scale", "logit_bias"), model.agreement, strict=True))
        (folder / META[0]).write_text(json.dumps(said) + "\n", "utf-8")


def _fetch(url: str, target: Path, wanted: str | None) -> None:
    """Download a file atomically: it is renamed to its place once it is whole and its digest is right."""
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
        if wanted not in (None, _digest(part)):
            raise DownloadError(f"{url}: is not the published file (SHA-256 differs); nothing of it is kept")
        part.rename(target)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url}: the hub answers {error.code} {error.reason}") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise DownloadError(
            f"{url}: cannot be downloaded ({reason}). Without a network, bring the folder and name it: "
            "movie-tags model import --clip FOLDER"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

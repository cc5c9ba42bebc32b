"""A text model: words -> embeddings, comparable with those of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import TEXT_CARD, BundleError, ModelBundle
from movie_tags.models.clip.hub_folder import TextSettings
from movie_tags.models.runtimes.onnx_model import open_session_at, unit_length

TEXT_MODEL, TOKENIZER = "text_model.onnx", "tokenizer.json"
"""Files of a bundle that knows words; `model.json` has its `TextSettings` at TEXT_CARD."""

AGREEMENT = "agreement"
"""Where `model.json` says how its words and its pictures go together (`movie_tags.models.clip.words.Words`)."""

TEXT_OUTPUTS = ("text_embeds", "embedding", "pooler_output")
"""Outputs of text models that are the embedding, the surest first."""


class TextEncoder:
    """A tokenizer and a text model."""

    def __init__(self, tokenizer: bytes, session: Any, settings: TextSettings, name: str):
        """
        Args:
            tokenizer: tokenizer.json.
            session: the ONNX model, opened.
            settings: how texts become tokens.
            name: of the model, for messages.

        Raises:
            BundleError: a package is not installed, or one of them cannot be used.
        """
        self.tokenizer = open_tokenizer(tokenizer, settings, name)
        self.session = session
        self.settings, self.name = settings, name
        self.inputs = {given.name for given in self.session.get_inputs()}
        if "input_ids" not in self.inputs or not self.inputs <= {"input_ids", "attention_mask"}:
            raise BundleError(
                f"{name}: takes {', '.join(sorted(self.inputs))}; the text model of a CLIP or SigLIP takes input_ids"
            )
        self.output = embedding_output(self.session, TEXT_OUTPUTS, name)

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of texts, and 1 where they are not padding: int64 [N, context] each."""
        found = self._spelt(texts)
        return np.array([one.ids for one in found], np.int64), np.array([one.attention_mask for one in found], np.int64)

    def too_long(self, texts: Sequence[str]) -> list[str]:
        """Those of some texts of which no more than the beginning is read."""
        return [text for text, one in zip(texts, self._spelt(texts), strict=True) if one.overflowing]

    def _spelt(self, texts: Sequence[str]) -> list[Any]:
        return self.tokenizer.encode_batch([text.lower() if self.settings.lower else text for text in texts])

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of texts, of length 1: float32 [N, width].

        Raises:
            BundleError: the model does not take the tokenizer's tokens.
        """
        tokens, mask = self.tokens(texts)
        given = {"input_ids": tokens, "attention_mask": mask}
        given = {name: array for name, array in given.items() if name in self.inputs}
        try:
            rows = [
                self.session.run([self.output], {name: array[i : i + 1] for name, array in given.items()})[0]
                for i in range(len(texts))
            ]
        except Exception as error:  # ONNX Runtime's errors have no class in common
            raise BundleError(
                f"{self.name}: does not take the tokens of its tokenizer ({str(error).splitlines()[0][:200]}); do they "
                "belong together?"
            ) from error
        return unit_length(np.concatenate(rows))


def open_tokenizer(data: bytes, settings: TextSettings, name: str) -> Any:
    """A tokenizer that pads and cuts texts to the context.

    Raises:
        BundleError: the package tokenizers is not installed, or the file is no tokenizer, or lacks the padding's token.
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise BundleError(f"{name}: needs the package tokenizers: pip install 'movie-tags[clip]'") from error
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except Exception as error:  # the library's errors have no class in common
        raise BundleError(f"{name}: its tokenizer.json is no tokenizer ({str(error)[:200]})") from error
    pad = tokenizer.token_to_id(settings.pad_token)
    if pad is None:
        raise BundleError(f"{name}: its tokenizer.json does not know the token {settings.pad_token} that pads texts")
    tokenizer.enable_truncation(settings.context)
    tokenizer.enable_padding(length=settings.context, pad_id=pad, pad_token=settings.pad_token)
    return tokenizer


def embedding_output(session: Any, names: Sequence[str], uri: str) -> str:
    """The output of a model that is its embedding, [N, width].

    Raises:
        BundleError: there is none that is known to be it.
    """
    flat = [given.name for given in session.get_outputs() if len(given.shape) == 2]
    known = next((name for name in names if name in flat), None)
    if known or len(flat) == 1:
        return known or flat[0]
    given = ", ".join(output.name for output in session.get_outputs())
    raise BundleError(
        f"{uri}: gives {given}; an embedding is called {' or '.join(names)}, or is the only output [N, width]"
    )


def copy_models(bundle: ModelBundle, parts: Iterable[str], folder: str) -> None:
    """Copy parts of a bundle, which are files, into another's folder, and its text model if it knows words.

    Raises:
        OSError: they cannot be read or written.
    """
    for name in (*parts, *((TEXT_MODEL, TOKENIZER) if bundle.knows_words else ())):
        storage.write_bytes(storage.join(folder, name), storage.read_bytes(storage.join(bundle.uri, name)))


def text_encoder_at(uri: str, card: Mapping, threads: int = 1) -> TextEncoder:
    """The text model in a bundle's folder, whose `model.json` is `card`.

    Raises:
        BundleError: there is none, or it cannot be used.
    """
    said = card.get(TEXT_CARD)
    if said is None:
        raise BundleError(f"{uri}: knows no words; import a CLIP or SigLIP: movie-tags model import --clip")
    try:
        tokenizer, path = storage.read_bytes(storage.join(uri, TOKENIZER)), storage.join(uri, TEXT_MODEL)
        session = open_session_at(path, path, threads)
    except OSError as error:
        raise BundleError(f"{uri}: its text model cannot be read ({storage.plainly(error)})") from error
    return TextEncoder(tokenizer, session, TextSettings(**said), path)

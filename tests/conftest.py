import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import hypothesis
import pytest
from untrained import write_untrained

hypothesis.settings.register_profile("untimed", deadline=None)  # no test measures time
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory):
    """A bundle of an untrained network: what it says is meaningless, and always the same."""
    vocabulary = ("Animal", "Food", "War", "Music", "Drama")
    return write_untrained(tmp_path_factory.mktemp("bundle"), vocabulary, 32, 7, {"backbone": "untrained"})


@pytest.fixture
def harmful(monkeypatch):
    """Decoder processes begun from here on know the films that do harm (`hooks/sitecustomize.py`)."""
    from movie_tags.transforms.video import decoder_process

    monkeypatch.syspath_prepend(str(Path(__file__).parent / "hooks"))
    before, decoder_process._IDLE.decoders = decoder_process._IDLE.decoders, []
    yield
    for decoder in decoder_process._IDLE.decoders:
        decoder.end()
    decoder_process._IDLE.decoders = before

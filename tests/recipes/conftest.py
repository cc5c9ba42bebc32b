import pytest
from labelled import write_labelled


@pytest.fixture
def data(tmp_path):
    return write_labelled(tmp_path / "data")

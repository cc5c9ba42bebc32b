import pytest


@pytest.fixture(scope="module")
def running_emulator(tmp_path_factory):
    pytest.importorskip("gcp_storage_emulator")
    from emulator import running

    with running(tmp_path_factory.mktemp("credentials")) as emulator:
        yield emulator


@pytest.fixture
def gs(running_emulator):
    running_emulator.reset()
    yield running_emulator
    running_emulator.reset()

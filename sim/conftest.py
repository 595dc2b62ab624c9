"""``pytest sim/ --waves`` keeps the signals of every simulation."""

from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--waves", action="store_true",
                     help="write the signals of each simulation, VCD or FST, into sim_build/")


@pytest.fixture(scope="module", autouse=True)
def strict():
    """Simulators and commands start their own Python, whose warnings are errors too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONWARNINGS", "error")
        yield


@pytest.fixture
def waves(request):
    return request.config.getoption("--waves")


@pytest.fixture
def folder(request, tmp_path, waves):
    """Where a simulation's files go."""
    if not waves:
        return tmp_path
    path = Path("sim_build", request.node.name.translate({ord(c): "-" for c in "[]/"})).resolve()
    print(f"waves: {path}")
    return path

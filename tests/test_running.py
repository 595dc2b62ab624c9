# amaranth: UnusedElaboratable=no
"""A network on a board's engine: rates before anything is made, and how the board is reached."""

from dataclasses import replace

import numpy as np
import pytest

from qsnn.hw.board import running
from qsnn.hw.board.boards import find_board
from qsnn.hw.board.engines import ENGINES
from qsnn.hw.board.loader import LoaderError
from qsnn.hw.board.running import Rates, attach, program_for, rates
from qsnn.hw.board.toolchain import Found
from qsnn.hw.emit.build import NETWORKS
from qsnn.hw.engine.program import compile_program
from qsnn.hw.engine.shape import EngineError
from qsnn.hw.link.driver import LinkError
from qsnn.hw.link.programs import EngineHello, Running
from qsnn.hw.link.protocol import encoded_bytes
from qsnn.model.description import load
from tests.device import EngineDevice, Line
from tests.networks import random_description

RECIPE = ENGINES["colorlight-i5"]
HELLO = EngineHello(shape=RECIPE.shape.version, most=5000, image_bytes=300, scores=400, queue=1024,
                    clock_khz=60_000, running=Running(0, 0, 0, 0, 0))


def network(name):
    return load(NETWORKS / f"{name}.qsnn")


def test_rates():
    """Cycles are those of the program, at the rate of the chip; bytes those of the line."""
    program = program_for(network("mnist-128-b2"), RECIPE)
    found = rates(program, RECIPE)
    assert found.engine == 80e6 / program.time(0.965).cycles
    assert found.line == pytest.approx(100_000 / encoded_bytes(784))
    assert 4 * len(program.words) / 100_000 < found.load < 5 * len(program.words) / 100_000
    assert found.memory > 0.9 > 0.2 > found.array
    assert "images/s estimated: memory binds; the array works" in found.text
    # of 16 images each word is read once
    more = rates(program_for(network("mnist-128-b2"), RECIPE, 2), RECIPE)
    assert more.engine > 1.5 * found.engine
    slower = rates(program, replace(RECIPE, memory="AS4C32M16SB"))
    assert slower.engine < 0.6 * found.engine


@pytest.mark.parametrize("array, memory, sentence", [
    (0.9, 0.3, "the array binds"), (0.3, 0.9, "memory binds"),
    (0.3, 0.4, "pixels and scores bind")])
def test_what_binds(array, memory, sentence):
    assert f"estimated: {sentence}; " in Rates(1.0, 1.0, array, memory, 1.0).text


def test_batches():
    """As few images as lie side by side in the lanes, or as somebody says."""
    for steps, batch in ((4, 1), (3, 1), (2, 2), (1, 4)):
        made = random_description(np.random.default_rng(1), widths=(20, 9, 3), time_steps=steps)
        assert program_for(made, RECIPE).batch == batch
        assert program_for(made, RECIPE, 8).tobytes() == compile_program(
            made, RECIPE.shape, 8).tobytes()
        for batch, share in ((1, 0), (2, 1), (3, 0), (4, 2), (6, 1), (16, 2)):
            assert program_for(made, RECIPE, batch).share == min(
                share, RECIPE.shape.share(steps))
    # two images side by side need more than this engine has for maps
    assert program_for(network("mnist-conv-b2"), RECIPE).batch == 1
    with pytest.raises(EngineError, match="^the maps of a batch need 3332 words of 128 bits at"):
        program_for(network("mnist-conv-b2"), RECIPE, 2)
    with pytest.raises(EngineError, match="a stream has no images"):
        program_for(network("ecg-32t24-32t4-b2"), RECIPE)


@pytest.fixture
def board(monkeypatch, tmp_path):
    """What is behind ports, by name, and what was loaded into an FPGA."""
    ports, loaded = {}, []

    def open_port(port, rate, *, patience):
        if port not in ports:
            raise LinkError(f"{port}: no such port; there is none at all")
        assert rate == RECIPE.baud
        return ports[port]()
    monkeypatch.setattr(running, "open_port", open_port)
    monkeypatch.setattr(running, "find", lambda name: Found(name, "1.0"))
    monkeypatch.setattr(running, "load", lambda command, target: loaded.append(command))
    return ports, loaded


class Silent(Line):
    """Nobody answers."""

    def __init__(self):
        super().__init__(None)

    def write(self, raw):
        pass


def engine(hello=HELLO):
    return Line(EngineDevice(hello, lambda image: b"", 3))


def test_an_engine_that_is_there(board):
    ports, loaded = board
    ports["PORT"] = engine
    assert attach(RECIPE, "PORT").hello().shape == HELLO.shape and not loaded


def test_no_such_port(board):
    with pytest.raises(LinkError, match="^PORT: no such port; there is none at all$"):
        attach(RECIPE, "PORT")


@pytest.mark.parametrize("before, sentence", [
    (Silent, "no engine answers at PORT"),
    (lambda: engine(replace(HELLO, shape=1)), "another engine answers at PORT")])
def test_the_engine_is_loaded(board, monkeypatch, tmp_path, before, sentence):
    """If it is kept; else the command that makes it is named."""
    ports, loaded = board
    ports["PORT"] = before
    title = find_board("colorlight-i5").title
    with pytest.raises(LoaderError, match=f"^{sentence}, and there is no bitstream of one for the "
                       f"{title}: run qsnn engine --board colorlight-i5$"):
        attach(RECIPE, "PORT", tmp_path)
    monkeypatch.setattr(running, "find_kept", lambda recipe, cache: cache / "engine.bit")
    with pytest.raises(LinkError, match=f"^{sentence}, though it was loaded: is it the right"):
        attach(RECIPE, "PORT", tmp_path, say=lambda text: None)
    assert loaded.pop() == ["openFPGALoader", "--board", "colorlight-i5", "--write-sram",
                            str(tmp_path / "engine.bit")]
    monkeypatch.setattr(running, "load", lambda command, target: ports.update(PORT=engine))
    said = []
    assert attach(RECIPE, "PORT", tmp_path, say=said.append).hello().shape == HELLO.shape
    assert said == [f"{sentence}: loading {tmp_path}/engine.bit"]

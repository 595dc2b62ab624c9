# amaranth: UnusedElaboratable=no
"""Convolutions of a stream in Amaranth's simulator: every spike, membrane, score, and cycle."""

import numpy as np
import pytest

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.fit import choose_for_board
from qsnn.hw.emit.build import build, foldings_of, open_build
from qsnn.hw.network import Network
from qsnn.hw.plan.activity import choose_for_activity
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import Folding, FoldingError, SerialFolding
from qsnn.hw.plan.network import plan
from tests.streams import random_folded, random_map_stream, random_steps
from tests.test_serial import check, check_cycles

MOST = 2400  # cycles of a simulation


def drawn(seed):
    """A network, with steps that take some thousand cycles."""
    rng = np.random.default_rng(seed)
    while True:
        description = random_map_stream(rng)
        foldings = random_folded(rng, description)
        planned = plan(description, foldings)
        if planned.cycles < MOST / 10:
            break
    steps = min(30, MOST // planned.cycles)
    return Network(description, foldings), random_steps(rng, description, steps, clears=0.2)


@pytest.mark.parametrize("seed", range(12))
def test_random(seed):
    """Integers and cycles, where the source never waits and the sink is never slow."""
    network, (x, emit, clear) = drawn(seed)
    emit[:-1] &= np.arange(len(emit) - 1) % 3 == 0
    check_cycles(network, x, emit, clear)


@pytest.mark.parametrize("seed", range(12, 16))
def test_gaps_and_stalls(seed):
    network, (x, emit, clear) = drawn(seed)
    check(network, x, emit, clear, gaps=0.3, stalls=0.7)


@pytest.mark.parametrize("words", ["c1k1p0", "c2k3s3-p2", "c3k2p1-a2-c2k1"])
def test_small_maps(words):
    """Of few positions, where steps come faster than results; and silence, and uproar."""
    rng = np.random.default_rng(len(words))
    description = random_map_stream(rng, words, (4, 4, 1) if len(words) > 6 else (1, 1, 1))
    foldings = [Folding(layer.channels, 1) if layer.kind == "convolution" else SerialFolding(2, 8)
                for layer in description.layers]
    for x in rng.integers(0, 2, (40, description.n_in)), np.zeros((9, description.n_in), int), \
            np.ones((9, description.n_in), int):
        emit = np.arange(len(x)) % 3 == 0
        emit[-1] = True
        check_cycles(Network(description, foldings), x, emit, np.arange(len(x)) % 7 == 3)


@pytest.fixture
def network():
    return random_map_stream(np.random.default_rng(3), "c4k3-a2-c6k3-p2-12t2", (12, 12, 2))


def test_default_folding(network):
    for cycles in (None, 400, 4000):
        planned = plan(network, choose_folding(network, cycles=cycles))
        assert planned.unit == "step" and planned.parallel == 2
        if cycles:
            assert max(layer.stage.image_cycles for layer in planned.layers[:2]) <= cycles
        assert planned.cycles >= max(layer.cycles for layer in planned.layers)
    slow, fast = (plan(network, choose_folding(network, cycles=cycles)).cycles
                  for cycles in (4000, 400))
    assert fast < slow / 3


def test_build(network, tmp_path):
    """A folder has what the plan has; the report says what is stored."""
    foldings = choose_folding(network, cycles=1000)
    folder = build(network, foldings, "maps", tmp_path)
    facts, found = open_build(folder)
    assert foldings_of(facts) == foldings and found.hash == network.hash
    assert [layer["schedule"] for layer in facts["layers"]] == ["map", "map", "serial", "serial"]
    assert facts["layers"][0]["state_bits"] == 144 * 4 * network.layers[0].membrane_bits
    assert "convolutions: a map of each time step" in (folder / "report.txt").read_text()


def test_fit(network):
    """A search finds the smallest folding that is as fast as asked for, and one that is faster."""
    board = BOARDS["icebreaker"]
    found = choose_for_board(network, board, hz=12e6, fps=2000)
    assert found.plan.cycles <= 6000 and found.plan.unit == "step"
    assert found.estimate.blocks <= board.ram_blocks
    fastest = choose_for_board(network, board, hz=12e6)
    assert fastest.plan.cycles < found.plan.cycles / 2


@pytest.mark.parametrize("make, sentence", [
    (lambda net: plan(net, [SerialFolding(1, 1)] * 4),
     "layer 0 is a convolution: its folding is not serial"),
    (lambda net: plan(net, [Folding(1, 1)] * 4), "layer 2 must be serial: a stream has no image"),
    (lambda net: Network(net, choose_folding(net), events=True),
     "12x12x2-c4k3-a2-c6k3-p2-fc12t2-[0-9] takes maps, as frames"),
    (lambda net: choose_folding(net, serial=2), "all layers of a stream are serial"),
    (lambda net: choose_for_activity(net, np.zeros((1, 2, 288), int), 64),
     "activity says nothing of convolutions, which read every word: leave out --activity"),
])
def test_refused(network, make, sentence):
    with pytest.raises(FoldingError, match=sentence):
        make(network)

# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from qsnn.hw.core.tree import AdderTree
from qsnn.hw.plan.latency import tree_latency
from tests.simulation import waveform

# a register behind every level but the first of single bits, which shares the second one's
LEVELS = {1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 8: 3, 13: 4, 16: 4, 17: 5, 64: 6, 65: 7}


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("n", LEVELS)
def test_sums(n, bits):
    """A sum each cycle, a few cycles after its leaves."""
    rng = np.random.default_rng(n)
    leaves = rng.integers(0, 1 << bits, size=(40, n))
    leaves[5], leaves[6], leaves[7] = (1 << bits) - 1, 0, (1 << bits) - 1
    dut = AdderTree(n, bits)
    latency = LEVELS[n] - (bits == 1 and LEVELS[n] > 1)
    assert dut.latency == tree_latency(n, bits) == latency
    seen = [o for o, in waveform(dut, [{"i": row} for row in leaves.tolist()], "o")]
    assert seen[dut.latency:] == leaves.sum(axis=1)[:len(seen) - dut.latency].tolist()


@pytest.mark.parametrize("n, bits, width", [(1, 1, 1), (3, 1, 2), (4, 1, 3), (7, 8, 11), (1, 8, 8),
                                            (16, 4, 8), (17, 4, 8), (18, 4, 9)])
def test_width_is_exact(n, bits, width):
    assert len(AdderTree(n, bits).o) == width == (n * ((1 << bits) - 1)).bit_length()


@pytest.mark.parametrize("n, bits", [(0, 1), (-1, 3), (4, 0)])
def test_wrong(n, bits):
    with pytest.raises(ValueError) as caught:
        AdderTree(n, bits)
    assert str(caught.value) == (
        f"An adder tree needs leaves of at least 1 bit, not {n} of {bits}")

import numpy as np
import pytest

from qsnn.hw.core.synapses import SynapseArray
from qsnn.hw.plan.latency import synapse_latency
from tests.simulation import waveform

GROUPS = 12
# pe, simd, bits, steps, merge, words
SHAPES = [(1, 1, 1, 1, False, 1), (1, 1, 8, 1, False, 4), (3, 5, 4, 1, False, 2),
          (2, 4, 1, 8, False, 3), (1, 3, 1, 2, False, 1), (4, 2, 1, 5, False, 5),
          (1, 1, 1, 1, True, 1), (1, 4, 1, 8, True, 3), (3, 2, 1, 3, True, 2),
          (2, 1, 1, 4, True, 4), (2, 3, 3, 1, False, 2), (2, 2, 2, 1, False, 1),
          (1, 6, 8, 1, False, 3), (2, 7, 2, 1, False, 4)]
LATENCY = {(1, 1, 1): 1, (5, 1, 1): 3, (8, 1, 4): 5, (1, 2, 1): 3, (2, 8, 1): 3, (3, 8, 1): 4,
           (16, 8, 1): 6}  # simd, bits, steps


def packed(values, bits):
    """Numbers as one word, the first in the lowest bits."""
    return sum(int(value) << (index * bits) for index, value in enumerate(values.flat))


@pytest.mark.parametrize("gaps", [False, True], ids=["rush", "gaps"])
@pytest.mark.parametrize("pe, simd, bits, steps, merge, words", SHAPES)
def test_sums(pe, simd, bits, steps, merge, words, gaps):
    rng = np.random.default_rng(steps)
    high = (1 << bits) - 1
    x = rng.integers(0, high + 1, size=(GROUPS, words, simd, steps))
    w = rng.integers(0, 2, size=(GROUPS, words, pe, simd))
    x[3], w[3] = high, 1  # the largest sum, and the same from zeros that meet -1
    x[4], w[4] = 0, 0
    # x where the weight is +1, else its complement; [group, pe, step]
    leaves = np.where(w[..., None] == 1, x[:, :, None], high - x[:, :, None])
    expected = leaves.sum(axis=(1, 3))
    if bits > 1:  # a pair that begins with -1 gives one more
        expected += (w[:, :, :, ::2] == 0).sum(axis=(1, 3))[..., None]
    if merge:
        expected = expected.sum(axis=2, keepdims=True)
    lanes = expected.shape[2]

    dut = SynapseArray(pe=pe, simd=simd, bits=bits, steps=steps, merge=merge,
                       sum_max=int(expected.max()))
    assert dut.lanes == lanes
    assert dut.latency == synapse_latency(simd, bits, steps if merge else 1)
    rows, ends = [], []
    for group in range(GROUPS):
        for word in range(words):
            row = {"valid": 1, "first": word == 0, "x": packed(x[group, word], bits),
                   "w": packed(w[group, word], 1)}
            for _ in range(rng.integers(3) if gaps else 0):
                rows.append(row | {"valid": 0, "first": 1, "w": 0})
            rows.append(row)
        ends.append(len(rows) - 1)
    rows += [{"valid": 0}] * dut.latency
    late = [0] * dut.weight_delay + [row.get("w", 0) for row in rows]
    rows = [row | {"w": word} for row, word in zip(rows, late, strict=False)]
    seen = [list(sums) for sums, in waveform(dut, rows, "sums")]
    for group, end in enumerate(ends):
        # until the next word's result, whenever that arrives
        following = next((n for n in range(end + 1, len(rows)) if rows[n]["valid"]),
                         len(rows) - dut.latency)
        for cycle in range(end, following):
            assert seen[cycle + dut.latency] == expected[group].flatten().tolist(), (group, cycle)


@pytest.mark.parametrize("shape, latency", LATENCY.items())
def test_latency(shape, latency):
    assert synapse_latency(*shape) == latency

"""Pools against numpy, with gaps between beats."""

import numpy as np
import pytest

from qsnn.hw.core.pool import Pool
from tests.simulation import waveform


@pytest.mark.parametrize("kind", ["max", "sum"])
@pytest.mark.parametrize("size, beats, lanes, steps", [
    (2, 1, 1, 1), (2, 3, 2, 1), (3, 2, 1, 4), (2, 4, 3, 2), (4, 1, 5, 3)])
@pytest.mark.parametrize("gaps", [False, True])
def test_squares(kind, size, beats, lanes, steps, gaps):
    rng = np.random.default_rng(beats)
    squares, pixels = 4, size * size
    spikes = rng.integers(0, 2, size=(squares, pixels, beats, lanes * steps))
    spikes[0], spikes[1] = 1, 0  # the largest sums, and none
    bits = pixels.bit_length() if kind == "sum" else 1
    dut = Pool(pixels=pixels, beats=beats, lanes=lanes, steps=steps, bits=bits)
    rows = []
    for beat in spikes.reshape(-1, lanes * steps):
        if gaps:
            rows += [{"valid": 0, "spikes": int(rng.integers(1 << lanes * steps))}] * int(
                rng.integers(3))
        rows.append({"valid": 1, "spikes": int(beat @ (1 << np.arange(lanes * steps)))})
    seen = waveform(dut, rows + [{"valid": 0}] * 2, "o_valid", "o")
    expected = spikes.sum(axis=1) if kind == "sum" else spikes.max(axis=1)
    found = [word for valid, word in seen if valid]
    assert found == [sum(int(number) << bits * index for index, number in enumerate(value))
                     for square in expected for value in square]
    # a result comes a cycle behind its square's last beat of that channel
    assert [n for n, row in enumerate(seen) if row[0]] == [
        cycle + dut.latency for number, cycle in enumerate(
            n for n, row in enumerate(rows) if row["valid"])
        if number // beats % pixels == pixels - 1]

"""A serial line as a list of levels, one a clock cycle: what a sender puts on it."""

import numpy as np

__all__ = ["line", "read_line"]


def line(data, bit, *, phase=0.0, stop=1, gap=0.0):
    """Levels of bytes whose bits last ``bit`` cycles, which need not be whole.

    phase  part of a cycle by which the first edge comes late
    stop   level of the stop bits
    gap    bits of silence after each byte
    """
    bits, starts, now = [], [], phase
    for byte in data:
        for level in [0, *(byte >> k & 1 for k in range(8)), stop]:
            bits.append(level)
            starts.append(now)
            now += bit
        now += gap * bit
        if gap:
            bits.append(1)
            starts.append(now - gap * bit)
    cycles = np.arange(int(np.ceil(now)))
    index = np.searchsorted(starts, cycles, side="right") - 1
    return [1 if k < 0 else bits[k] for k in index]


def read_line(levels, divisor):
    """The bytes of a line whose bits are exact, each sampled in its middle."""
    data, cycle = [], 0
    while cycle < len(levels):
        if levels[cycle]:
            cycle += 1
            continue
        samples = [levels[cycle + divisor // 2 + k * divisor] for k in range(10)]
        assert samples[0] == 0 and samples[9] == 1, f"cycle {cycle}: not a frame of 10 bits"
        data.append(sum(bit << k for k, bit in enumerate(samples[1:9])))
        cycle += 9 * divisor + divisor // 2
    return data

"""Nested loops as they count, and the order in which a convolution reads its input."""

from itertools import product

import numpy as np
import pytest

from qsnn.hw.core.window import Walker, WindowSchedule
from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.network import plan
from tests.networks import random_maps
from tests.simulation import run, waveform


@pytest.mark.parametrize("distances", [(0,), (0, 3, 9)])
@pytest.mark.parametrize("loops, starts, modulus", [
    ([(1, (5,))], [2], 7), ([(3, (1,)), (2, (4,)), (1, (9,))], [0], 11),
    ([(2, (1, 1, 0)), (1, (7, 7, 7)), (3, (2, 0, 1)), (1, (6, 0, 0))], [5, -1, -1], 6),
    ([(4, (0, 1, 0)), (2, (3, 0, -2)), (1, (12, 0, 0))], [1, 0, 3], 16)])
def test_walker(loops, starts, modulus, distances):
    """Three rounds of the outermost loop, with pauses."""
    rng = np.random.default_rng(0)
    dut = Walker(loops, starts, modulus, distances)
    expected = []
    for outer in range(3):
        for indices in product(*(range(count) for count, _ in reversed(loops[:-1]))):
            counts = [*reversed(indices), outer]
            numbers = [start + sum(count * step[index] for count, (_, step) in
                                   zip(counts, loops, strict=True))
                       for index, start in enumerate(starts)]
            # the outermost loop only moves the first number
            expected.append([*((numbers[0] + distance) % modulus for distance in distances),
                             *numbers[1:]])
    rows, steps = [], []
    for step in rng.integers(0, 2, size=4 * len(expected)):
        steps.append(step)
        rows.append({"step": int(step)})
    seen = waveform(dut, rows, *(f"n{index}" for index in range(len(starts))))
    place = 0
    for step, (ring, *numbers) in zip(steps, seen, strict=True):
        numbers = [*ring, *numbers]
        if place < len(expected):
            assert numbers == expected[place], place
        place += step
    assert place >= len(expected)


def reads(layer, stage):
    """For each word of an image: (row, column, chunk) or None for padding, weights, flags.

    The first of them is a tuple over the pixels that are read at once.
    """
    window, words = stage.window, []
    (high, wide), (down, right), (above, left) = window.pool_size, window.stride, window.padding
    for unit, column in product(range(window.units), range(window.out_width // wide)):
        for row_in, column_in in product(range(high), range(wide)):
            y0 = (unit * high + row_in) * down - above
            x0 = (column * wide + column_in) * right - left
            for group, plane, ky, kx, chunk in product(
                    range(stage.groups), range(stage.planes), range(window.kernel[0]),
                    range(window.kernel[1]), range(window.chunks)):
                inside = 0 <= y0 + ky < layer.height and 0 <= x0 + kx < layer.width
                word = (plane * window.kernel[0] + ky) * window.kernel[1] + kx
                word = word * window.chunks + chunk
                words.append(((y0 + ky, x0 + kx, chunk) if inside else None,
                              group * stage.reads + word,
                              word == 0, word > 0 and word % stage.words == 0,
                              word == stage.reads - 1))
    blocks = [words[start:start + stage.reads * stage.groups]
              for start in range(0, len(words), stage.reads * stage.groups)]
    return [(tuple(place for place, *_ in at_once), *at_once[0][1:])
            for start in range(0, len(blocks), stage.pixels)
            for at_once in zip(*blocks[start:start + stage.pixels], strict=True)]


@pytest.mark.parametrize("words, image, folding", [
    ("c3k3", (4, 5, 1), (2, 1)), ("c4k2s2w2", (5, 7, 4), (1, 2)),
    ("c2k3-p2", (6, 5, 2), (1, 1)), ("c4k4s3p2-p2", (9, 8, 1), (4, 1)),
    ("c5k1s3", (7, 8, 3), (2, 3)), ("c3k3", (4, 6, 1), (3, 1, 3)),
    ("c3k3", (5, 4, 2), (3, 2, 4)), ("c4k2s2w2", (5, 8, 2), (4, 1, 5)),
    ("c2k3-p2", (6, 8, 1), (2, 1, 2)), ("c2k3-p2", (6, 8, 1), (2, 1, 4)),
    ("c2k3-p2", (5, 9, 1), (2, 1, 8)), ("c2k4s3p2-p3", (26, 17, 1), (2, 1, 9)),
    ("c2k1x5s1x2p0x2-p1x2", (1, 21, 1), (2, 1)), ("c3k2x4s3x1p1x3-p2x3", (11, 10, 2), (3, 1, 3)),
    ("c3k1x3", (1, 8, 2), (3, 1, 4)), ("c2k5x2s1x2p4x0w2-p3x1", (7, 9, 1), (2, 1, 3))])
@pytest.mark.parametrize("every_unit", [False, True])
def test_order(words, image, folding, every_unit):
    """Two images, with everything there: each word once, in order, no cycle without a reason."""
    description = random_maps(np.random.default_rng(1), words=words, image=image, time_steps=1)
    pe, simd, pixels = (*folding, 1)[:3]
    foldings = [Folding(pe, simd, pixels=pixels)] + [Folding(1, 1)] * (len(description.layers) - 1)
    stage, layer = plan(description, foldings).stages[0], description.layers[0]
    dut = WindowSchedule(stage, every_unit)
    expected, window, seen, units = reads(layer, stage), stage.window, [], [0, 0]

    async def testbench(ctx):
        ctx.set(dut.available, 1)
        ctx.set(dut.room, 1)
        for _ in range(2 * stage.image_cycles + 1):
            if ctx.get(dut.valid):
                seen.append(tuple(ctx.get(getattr(dut, name)) for name in (
                    "word", "blank", "weight", "first", "scale", "last")))
            units[0] += ctx.get(dut.begin)
            units[1] += ctx.get(dut.take)
            await ctx.tick()

    run(dut, testbench)
    assert len(seen) == 2 * len(expected)
    # a unit more has begun in the last cycle
    assert units == [2 * stage.units + 1, 2 * stage.units + 1 if every_unit else 3]
    ring = window.rows * window.width * window.chunks
    for number, (found, wanted) in enumerate(zip(seen, expected * 2, strict=True)):
        place, *rest = wanted
        assert found[2:] == tuple(rest), number
        for pixel, read in enumerate(place):
            assert found[1] >> pixel & 1 == (read is None), number
            if read is not None:
                row = number // len(expected) * layer.height + read[0]
                address = (row * window.width + read[1]) * window.chunks + read[2]
                assert found[0][pixel] == address % ring, number


def test_waits():
    """Nothing is read before it is there, and nothing begun without room for the result."""
    description = random_maps(np.random.default_rng(2), words="c3k3", image=(4, 4, 1))
    stage = plan(description, [Folding(3, 1), Folding(1, 1)]).stages[0]
    for missing in ("available", "room"):
        dut = WindowSchedule(stage, True)
        rows = [{"available": 1, "room": 1} | {missing: 0}] * 5 + [{missing: 1}]
        rows += [{missing: 0}] * (2 * stage.unit_cycles)
        seen = waveform(dut, rows, "begin", "valid")
        assert [n for n, row in enumerate(seen) if row[0]] == [5]
        valid = [n for n, row in enumerate(seen) if row[1]]
        assert valid[0] == 6 and len(valid) == len(stage.places) // stage.units * stage.reads

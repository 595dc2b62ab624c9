"""The harness: scores as the network gives them, digests as numpy computes them."""

import numpy as np
import pytest

from qsnn.hw.board.harness import Harness, digests
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.line import input_beats
from qsnn.hw.plan.network import plan
from qsnn.model import golden
from tests.networks import random_description, random_foldings, random_pixels
from tests.simulation import run

IMAGES = 12


def simulate(dut, pixels, stall=0):
    """Scores [N, classes] and digests."""
    first, classes = dut.plan.stages[0], dut.plan.stages[-1].n_out
    padded = np.full((len(pixels), dut.beats * dut.pixels), (1 << first.bits) - 1)  # not zeros
    padded[:, :pixels.shape[1]] = pixels
    found, bits = [], []

    async def send(ctx):
        for beat in padded.reshape(-1, dut.pixels):
            for _ in range(stall):
                await ctx.tick()
            ctx.set(dut.i.payload, sum(int(p) << (first.bits * k) for k, p in enumerate(beat)))
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def receive(ctx):
        while len(found) < dut.result_bytes * classes * len(pixels):
            _, _, valid, byte = await ctx.tick().sample(dut.result_valid, dut.result)
            if valid:
                found.append(byte)
        ctx.set(dut.finish, 1)
        for _ in range(32 * (len(dut.plan.stages) - 1)):
            bits.append(ctx.get(dut.digest))
            await ctx.tick()

    run(dut, send, receive, cycles=400_000)
    beats = np.array(found).reshape(-1, dut.result_bytes) @ (1 << 8 * np.arange(dut.result_bytes))
    width = len(dut.network.o.payload.score)
    scores = beats & (1 << width) - 1
    scores -= (scores >> (width - 1)) << width
    return (scores.reshape(-1, classes),
            (np.array(bits).reshape(-1, 32) @ (1 << np.arange(32))).tolist())


@pytest.mark.parametrize("seed", range(5))
def test_random(seed):
    rng = np.random.default_rng(seed)
    description = random_description(rng)
    dut = Harness(description, random_foldings(rng, description))
    pixels = random_pixels(rng, description, IMAGES)
    expected = golden.infer(description, pixels, trace=True)
    scores, found = simulate(dut, pixels, stall=seed % 2)
    assert np.array_equal(scores, expected.scores)
    assert found == digests(description, dut.plan, expected)


def test_digest_sees_one_bit():
    """Of any membrane or spike, padded neurons or not, words above 32 bits too."""
    rng = np.random.default_rng(1)
    description = random_description(rng, widths=(6, 15, 3), membrane_bits=8, time_steps=2)
    layout = plan(description, choose_folding(description, pe="8,1", simd="1,8"))
    assert layout.stages[0].lanes * (8 + 2) > 32 and layout.stages[0].neurons == 16
    expected = golden.infer(description, random_pixels(rng, description, 3), trace=True)
    good = digests(description, layout, expected)
    for values in (expected.spikes[0], expected.membranes[0]):
        for index in rng.integers(values.size, size=20):
            values.reshape(-1)[index] ^= 1
            assert digests(description, layout, expected) != good
            values.reshape(-1)[index] ^= 1
    assert digests(description, layout, expected) == good


@pytest.mark.parametrize("pe, simd, cycles, pixels, beats", [
    ("1,1", "5,1", 80, 1, 50), ("1,1", "16,1", 24, 2, 24), ("8,2", "48,8", 9, 6, 8),
    ("8,2", "16,8", 9.5, 8, 6), ("4,1", "10,4", 15, 5, 10)])
def test_as_few_pins_as_keep_up(pe, simd, cycles, pixels, beats):
    description = random_description(np.random.default_rng(2), widths=(48, 8, 2), time_steps=1,
                                     input_bits=2)
    layout = plan(description, choose_folding(description, pe=pe, simd=simd))
    assert layout.cycles == cycles
    assert input_beats(layout) == (pixels, beats)

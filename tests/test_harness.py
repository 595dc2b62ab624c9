"""The harness: scores as the network gives them, digests as numpy computes them."""

import numpy as np
import pytest

from qsnn.hw.board.harness import Harness, StreamHarness, digests
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import Folding, SerialFolding
from qsnn.hw.plan.line import input_beats
from qsnn.hw.plan.network import plan
from qsnn.model import golden
from qsnn.model.streams import classify
from tests.networks import random_description, random_foldings, random_pixels
from tests.simulation import run
from tests.streams import random_stream
from tests.test_serial import beats

IMAGES = 6


def pins(dut, pixels):
    """What the pins take of images, beat by beat."""
    bits = dut.plan.stages[0].bits
    padded = np.full((len(pixels), dut.beats * dut.pixels), (1 << bits) - 1)  # not zeros
    padded[:, :pixels.shape[1]] = pixels
    return [sum(int(p) << (bits * k) for k, p in enumerate(beat))
            for beat in padded.reshape(-1, dut.pixels)]


def simulate(dut, payloads, count, stall=0):
    """Scores [count, classes] and digests; ``stall`` cycles before each beat."""
    classes, stages = dut.plan.stages[-1].n_out, dut.plan.stages
    found, bits = [], []

    async def send(ctx):
        for payload in payloads:
            for _ in range(stall):
                await ctx.tick()
            ctx.set(dut.i.payload, payload)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def receive(ctx):
        while len(found) < dut.result_bytes * classes * count:
            _, _, valid, byte = await ctx.tick().sample(dut.result_valid, dut.result)
            if valid:
                found.append(byte)
        ctx.set(dut.finish, 1)
        for _ in range(32 * (len(stages) - 1)):
            bits.append(ctx.get(dut.digest))
            await ctx.tick()

    # one beat after the other, each through the whole network
    run(dut, send, receive, cycles=1000 + len(payloads) * (stall + dut.plan.latency + 2))
    beats = np.array(found).reshape(-1, dut.result_bytes) @ (1 << 8 * np.arange(dut.result_bytes))
    width = len(dut.network.o.payload.score)
    scores = beats & (1 << width) - 1
    scores -= (scores >> (width - 1)) << width
    return (scores.reshape(-1, classes),
            (np.array(bits).reshape(-1, 32) @ (1 << np.arange(32))).tolist())


def check(dut, description, payloads, expected, stall=0):
    scores, found = simulate(dut, payloads, len(expected.labels), stall)
    assert np.array_equal(scores, expected.scores)
    assert found == digests(description, dut.plan, expected)


@pytest.mark.parametrize("seed", range(5))
def test_random(seed):
    rng = np.random.default_rng(seed)
    hidden = rng.integers(1, 9, size=rng.integers(1, 4))  # more would take minutes here
    description = random_description(rng, widths=(rng.integers(1, 13), *hidden,
                                                  rng.integers(2, 6)))
    dut = Harness(description, random_foldings(rng, description))
    pixels = random_pixels(rng, description, IMAGES)
    check(dut, description, pins(dut, pixels), golden.infer(description, pixels, trace=True),
          stall=seed % 2)


@pytest.mark.parametrize("parallel", [1, 2])
def test_serial_layers_behind_parallel_ones(parallel):
    rng = np.random.default_rng(10)
    description = random_description(rng, widths=(9, 7, 6, 3), time_steps=4)
    foldings = [Folding(3, 4), Folding(2, 3), Folding(1, 2)]
    foldings[parallel:] = [SerialFolding(2, 3, sparse) for sparse in (True, False)[parallel - 1:]]
    dut = Harness(description, foldings)
    pixels = random_pixels(rng, description, IMAGES)
    expected = golden.infer(description, pixels, trace=True)
    assert all(0 < rate < 1 for rate in expected.rates)
    handed = expected.spikes[parallel - 1]  # from one schedule to the other: the order shows
    assert (handed != handed[:, ::-1]).mean() > 0.1
    check(dut, description, pins(dut, pixels), expected, stall=parallel % 2)


@pytest.mark.parametrize("stall", [0, 40])
def test_stream(stall):
    """Samples of steps through a few pins; with pauses in which the network sleeps."""
    rng = np.random.default_rng(3)
    description = random_stream(rng, words=[(6, 2, True), (5, 1, False)])
    dut = StreamHarness(description, [SerialFolding(4, 5), SerialFolding(2, 3),
                                      SerialFolding(1, 4, False)])
    samples = (rng.random((8, 7, description.n_in)) < 0.4).astype(np.uint8)
    steps = samples.reshape(-1, description.n_in)
    last = np.arange(len(steps)) % 7 == 6
    shape = dut.network.i.payload.shape()
    words = [shape.const(payload).as_bits()
             for step in beats(dut.network, steps, last, last) for payload in step]
    payloads = [word >> 8 * k & 255 for word in words for k in range(dut.beats)]
    expected = classify(description, samples, trace=True)
    assert all(0 < rate < 1 for rate in expected.rates) and len(set(expected.labels)) > 1
    check(dut, description, payloads, expected, stall)


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

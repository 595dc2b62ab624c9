"""Encoders in gateware against those of the golden model."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.serial.encoders import BeatEncoder, Crossings, RhythmEncoder
from model.encoders import Rhythm, crossings, pairs


def run(component, bench):
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("shift, levels", [(0, (1,)), (3, (1, 2, 4, 8)), (5, (1, 3))])
def test_crossings(shift, levels):
    rng = np.random.default_rng(shift)
    x = np.cumsum(rng.integers(-40, 41, 300))
    x[100:110] = rng.choice([-2048, 2047], 10)  # as far as a step can go
    begins = [0, 57, 200]
    expected = np.concatenate([
        crossings(part[None], shift=shift, levels=levels, width=12)[0]
        for part in np.split(x, begins[1:])])
    dut = Crossings(shift=shift, levels=levels, width=12)
    found = []

    async def bench(ctx):
        for index, value in enumerate(x.tolist()):
            for _ in range(int(rng.integers(0, 2))):
                ctx.set(dut.valid, 0)
                await ctx.tick()
            ctx.set(dut.valid, 1)
            # the first one of all begins by itself
            ctx.set(dut.begin, int(index in begins[1:]))
            ctx.set(dut.x, value)
            await ctx.tick()
            assert ctx.get(dut.o_valid)
            found.append(ctx.get(dut.o))
    run(dut, bench)
    assert found == (expected @ (1 << np.arange(2 * len(levels)))).tolist()
    assert len(set(found)) > 2


def test_rhythm():
    rng = np.random.default_rng(0)
    intervals = rng.choice([0, 1, 150, 250, 280, 300, 330, 400, 1022, 1023, 1024, 65535], 400)
    intervals[0] = intervals[200] = 0
    begins = {0, 100, 200, 300}
    golden, expected = None, []
    for index, interval in enumerate(intervals.tolist()):
        golden = Rhythm() if index in begins else golden
        expected.append(int(golden(interval) @ (1 << np.arange(6))))
    dut = RhythmEncoder(Rhythm())
    found = []

    async def bench(ctx):
        for index, interval in enumerate(intervals.tolist()):
            ctx.set(dut.valid, 1)
            ctx.set(dut.begin, int(index in begins and index > 0))
            ctx.set(dut.interval, interval)
            await ctx.tick()
            ctx.set(dut.valid, 0)
            await ctx.tick()
            found.append(ctx.get(dut.o))
    run(dut, bench)
    assert found == expected and len(set(found)) > 4


@pytest.mark.parametrize("simd", [4, 8, 16, 7])
def test_beats(simd):
    """Samples of beats become the frames of their steps, with gaps on both sides."""
    rng = np.random.default_rng(simd)
    length, beats = 12, 5
    samples = rng.integers(0, 2048, (beats, length))
    intervals = rng.integers(100, 500, beats)
    rhythm = Rhythm()
    steps = crossings(pairs(samples), shift=3, levels=(1, 2, 4, 8, 16), width=17)
    early = np.stack([rhythm(interval) for interval in intervals.tolist()])
    steps = np.concatenate([steps, early[:, None].repeat(length // 2, axis=1)], axis=2)
    dut = BeatEncoder(shift=3, levels=(1, 2, 4, 8, 16), simd=simd)
    words = -(-16 // simd)
    padded = np.zeros((*steps.shape[:2], words * simd), int)
    padded[:, :, :16] = steps
    expected = []
    for beat in range(beats):
        for step in range(length // 2):
            for word in padded[beat, step].reshape(words, simd):
                expected.append((int(word @ (1 << np.arange(simd))), step == length // 2 - 1))
    found = []

    async def feed(ctx):
        for beat in range(beats):
            for at in range(length):
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(dut.i.payload, {
                    "sample": int(samples[beat, at]), "begin": int(at == 0), "fresh": 0,
                    "end": int(at == length - 1), "interval": int(intervals[beat])})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def bench(ctx):
        while len(found) < len(expected):
            ctx.set(dut.o.ready, int(rng.random() < 0.5))
            _, _, valid, ready, word, emit, clear = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.p.word, dut.o.p.emit, dut.o.p.clear)
            if valid and ready:
                found.append((word, bool(emit)))
                assert emit == clear
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(feed, background=True)
    simulator.run_until(20e-3)
    assert found == expected

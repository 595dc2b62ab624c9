"""Encoders in gateware against those of the golden model."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from qsnn.hw.serial.encoders import BeatEncoder, Crossings, RhythmEncoder, Unusual
from qsnn.model.encoders import Rhythm, Usual, crossings
from qsnn.model.recordings import BEAT, TASKS, encode_beats


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


def test_unusual():
    rng = np.random.default_rng(1)
    pieces, length = 9, 5
    x = np.cumsum(rng.integers(-30, 31, (pieces, length)), axis=1)
    x[4], x[6] = -4096, [4095, -4096, 4095, -4096, 4095]
    expected = np.concatenate([Usual(levels=(3, 20, 90), shift=2)(part) for part in (x[:7], x[7:])])
    dut = Unusual(levels=(3, 20, 90), shift=2, width=13, length=length)
    found = []

    async def bench(ctx):
        for number, piece in enumerate(x.tolist()):
            for at, value in enumerate(piece):
                for _ in range(int(rng.integers(0, 3))):
                    ctx.set(dut.valid, 0)
                    await ctx.tick()
                ctx.set(dut.valid, 1)
                ctx.set(dut.begin, int(at == 0))
                ctx.set(dut.fresh, int(at == 0 and number == 7))
                ctx.set(dut.x, value)
                await ctx.tick()
                found.append(ctx.get(dut.o))
    run(dut, bench)
    assert found == (expected.reshape(-1, 6) @ (1 << np.arange(6))).tolist()
    assert len(set(found)) > 4


@pytest.mark.parametrize("simd", [4, 8, 16, 7])
def test_beats(simd):
    """Samples of two patients become the frames of their steps, with gaps on both sides.

    A board sleeps where nothing is busy: the encoder is, exactly while words of samples that it has
    taken are still to come.
    """
    rng = np.random.default_rng(simd)
    beats, steps = 4, TASKS["ecg"].steps
    samples = 1000 + np.cumsum(rng.integers(-60, 61, (beats, 128)), axis=1)
    intervals, records = rng.integers(100, 500, beats), np.array([7, 7, 7, 9])
    spikes = encode_beats(samples, intervals, records)
    samples = samples[:, BEAT]
    words = -(-spikes.shape[2] // simd)
    padded = np.zeros((*spikes.shape[:2], words * simd), int)
    padded[:, :, :spikes.shape[2]] = spikes
    expected = [(int(word @ (1 << np.arange(simd))), step == steps - 1) for beat in padded
                for step, row in enumerate(beat) for word in row.reshape(words, simd)]
    dut = BeatEncoder(simd=simd)
    found, waits = [], set()

    async def feed(ctx):
        for beat in range(beats):
            for at in range(2 * steps):
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(dut.i.payload, {
                    "sample": int(samples[beat, at]), "begin": int(at == 0),
                    "fresh": int(beat in (0, 3)),
                    "end": int(at == 2 * steps - 1),
                    "interval": int(intervals[beat])})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def bench(ctx):
        samples = 0
        while len(found) < len(expected):
            ctx.set(dut.o.ready, int(rng.random() < 0.5))
            _, _, valid, ready, word, emit, clear, taken, busy = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.p.word, dut.o.p.emit, dut.o.p.clear,
                dut.i.valid & dut.i.ready, dut.busy)
            assert busy == (samples // 2 * words > len(found))
            waits.add(busy)
            samples += taken
            if valid and ready:
                found.append((word, bool(emit)))
                assert emit == clear
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(feed, background=True)
    simulator.run()
    assert found == expected and waits == {0, 1}

# amaranth: UnusedElaboratable=no
"""The encoder of sound in gateware against the golden model: every spike, and every cycle."""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.serial.audio import SoundEncoder, reached
from qsnn.model import audio
from qsnn.model.audio import BANDS, LEVELS, Band, levels_of
from qsnn.model.recordings import TASKS
from tests.simulation import run, waveform

FEW = (BANDS[0], BANDS[7], BANDS[10])  # a k each, and shifts to the left


@pytest.fixture
def golden(monkeypatch):
    """Spikes of a sound, with other frames and bands than the golden model has."""
    def spikes(samples, frame, bands, levels):
        monkeypatch.setattr(audio, "FRAME", frame)
        monkeypatch.setattr(audio, "BANDS", bands)
        monkeypatch.setattr(audio, "LEVELS", levels)
        return audio.sound(np.asarray(samples, np.int16)[None])[0]
    return spikes


def words_of(spikes, simd):
    """(word, whether its step is the last one) of the steps of a recording."""
    words = -(-spikes.shape[1] // simd)
    padded = np.zeros((len(spikes), words * simd), int)
    padded[:, :spikes.shape[1]] = spikes
    return [(sum(bit << place for place, bit in enumerate(word)), step == len(spikes) - 1)
            for step, row in enumerate(padded) for word in row.reshape(words, simd).tolist()]


def simulate(dut, recordings, count, *, gap=0.0, stall=0.0, reset_after=0):
    """The words that come of recordings; and the cycles from a sample to the next.

    It is busy exactly while a sample is at work, or words of frames that it has taken are still to
    come. reset_after: cycles of other samples, and a reset, go before them.
    """
    rng = np.random.default_rng(0)
    found, times, cycle, reset = [], [], 0, Signal()
    words, ends = -(-dut.inputs // dut.simd), [
        at % dut.frame == dut.frame - 1 or at == len(recording) - 1
        for recording in recordings for at in range(len(recording))]

    async def feed(ctx):
        if reset_after:
            ctx.set(dut.i.payload, {"sample": -12345, "end": 0})
            ctx.set(dut.i.valid, 1)
            for _ in range(reset_after):
                await ctx.tick()
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
        for recording in recordings:
            for at, sample in enumerate(recording):
                while rng.random() < gap:
                    await ctx.tick()
                ctx.set(dut.i.payload, {"sample": int(sample), "end": at == len(recording) - 1})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def watch(ctx):
        nonlocal cycle
        held = None
        for _ in range(reset_after and reset_after + 1):
            await ctx.tick()
        while len(found) < count or ctx.get(dut.busy):
            ctx.set(dut.o.ready, int(rng.random() >= stall))
            _, _, taken, valid, ready, word, emit, clear, busy = await ctx.tick().sample(
                dut.i.valid & dut.i.ready, dut.o.valid, dut.o.ready, dut.o.p.word, dut.o.p.emit,
                dut.o.p.clear, dut.busy)
            works = bool(times) and cycle - times[-1] <= len(dut.program)
            assert busy == (works or sum(ends[:len(times)]) * words > len(found))
            if taken:
                times.append(cycle)
            cycle += 1
            assert emit == clear and (busy or not valid)
            assert held is None or (valid, word, emit) == held, "changed while it waited"
            held = (valid, word, emit) if valid and not ready else None
            if valid and ready:
                found.append((word, bool(emit)))

    run(dut, watch, background=[feed], cycles=400_000, reset=reset)
    return found, np.diff(times)


@pytest.mark.parametrize("simd, gap, stall", [(4, 0, 0), (8, 0.9, 0.5), (7, 0, 0.98), (18, 0.5, 0),
                                              (1, 0, 0.5), (32, 0, 0)])
def test_recordings(golden, simd, gap, stall):
    """Noise, silence and the largest steps; recordings of whole frames in a row."""
    rng = np.random.default_rng(simd)
    frame, levels = 6, (4, 5, 11, 24, 29, 33)
    loud = rng.choice([-32768, 32767], 4 * frame)
    recordings = [loud, np.zeros(frame, int), rng.integers(-300, 301, 3 * frame),
                  np.tile([32767, -32768], frame), rng.integers(-32768, 32768, 2 * frame),
                  np.repeat([-32768, 32767], frame)]
    expected = [golden(samples, frame, FEW, levels) for samples in recordings]
    dut = SoundEncoder(simd=simd, bands=FEW, levels=levels, frame=frame)
    assert dut.inputs == 18
    expected = sum((words_of(spikes, simd) for spikes in expected), [])
    found, cycles = simulate(dut, recordings, len(expected), gap=gap, stall=stall)
    assert found == expected and len(set(found)) > 3
    if not gap and not stall:
        assert (cycles == dut.cycles).all()


@pytest.mark.parametrize("cycles", [2, 100, 301, 302, 303])
def test_reset(golden, cycles):
    """After one in the middle of a sample, a recording begins; with a sample at once."""
    samples = np.random.default_rng(cycles).integers(-3000, 3001, 8)
    levels = (10, 20, 22, 24, 26)
    dut = SoundEncoder(simd=5, bands=FEW, levels=levels, frame=4)
    expected = words_of(golden(samples, 4, FEW, levels), 5)
    assert simulate(dut, [samples], len(expected), reset_after=cycles)[0] == expected


def test_quiet(golden):
    """Sums of a few units, which show every rounding."""
    samples = np.random.default_rng(0).integers(-9, 10, 100)
    levels = (4, 5, 6, 7, 8, 9)
    dut = SoundEncoder(simd=18, bands=FEW, levels=levels, frame=2)
    expected = words_of(golden(samples, 2, FEW, levels), 18)
    assert simulate(dut, [samples], len(expected))[0] == expected
    assert len(set(expected)) > 20


def test_an_early_end(monkeypatch):
    """``end`` is the end of a frame and a recording, wherever it comes."""
    rng = np.random.default_rng(1)
    monkeypatch.setattr(audio, "BANDS", FEW)
    monkeypatch.setattr(audio, "FRAME", 1)  # the size of each sample alone
    recordings = [rng.integers(-2000, 2001, length) for length in (5, 1, 8, 2, 1, 11)]
    levels, expected = (10, 20, 25), []
    for samples in recordings:
        sizes = audio.loudness(samples.astype(np.int16)[None])[0]
        sums = np.add.reduceat(sizes, np.arange(0, len(samples), 4))
        expected += words_of((levels_of(sums)[:, :, None] >= levels).reshape(len(sums), -1), 5)
    dut = SoundEncoder(simd=5, bands=FEW, levels=levels, frame=4)
    assert simulate(dut, recordings, len(expected))[0] == expected


@pytest.mark.parametrize("band", BANDS, ids=lambda band: band.centre)
def test_bands(golden, band):
    """A loud tone in each, after a sample that nothing goes before."""
    times = np.arange(40)
    tone = np.round(32767 * np.cos(2 * np.pi * band.centre / 8000 * times)).astype(int)
    levels = (20, 22, 25, 26, 27, 31, 34, 35, 36, 37, 38)
    dut = SoundEncoder(simd=11, bands=(band,), levels=levels, frame=20)
    expected = words_of(golden(tone, 20, (band,), levels), 11)
    found, cycles = simulate(dut, [tone], len(expected))
    assert found == expected
    assert (cycles == dut.cycles).all()


def test_all_bands(golden):
    """Two recordings through all of them, in short frames."""
    rng = np.random.default_rng(3)
    times = np.arange(40)
    speech = sum(np.round(9000 * np.sin(2 * np.pi * pitch / 8000 * times + pitch))
                 for pitch in (396, 1165, 2791)).astype(int)
    recordings = [speech, rng.integers(-200, 201, 20)]
    dut = SoundEncoder(simd=8, frame=20)
    expected = sum((words_of(golden(samples, 20, BANDS, LEVELS), 8) for samples in recordings), [])
    found, cycles = simulate(dut, recordings, len(expected))
    assert found == expected
    assert (cycles == dut.cycles).all()


def test_as_long_as_it_is(golden):
    """Two frames of 160 samples, as loud as a tone can be."""
    sound = np.round(32767 * np.sin(2 * np.pi * 225 / 8000 * np.arange(320))).astype(int)
    levels = (*LEVELS, 42, 44, 45)
    dut = SoundEncoder(simd=9, bands=FEW, levels=levels)
    expected = words_of(golden(sound, 160, FEW, levels), 9)
    assert simulate(dut, [sound], len(expected))[0] == expected


def test_size():
    """What the network before it is made for, and the time between samples at 12 MHz."""
    dut = SoundEncoder(simd=8)
    assert (dut.frame, dut.inputs) == (160, TASKS["spoken-digits"].inputs)
    assert dut.cycles == 427 < 12_000_000 // 8_000
    assert len(dut.program) <= 512  # a block RAM of an iCE40 is enough


class Reached(wiring.Component):
    """The logic of one level."""

    i: In(24)
    o: Out(1)

    def __init__(self, level):
        self.level = level
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(reached(self.i, self.level))
        return m


@pytest.mark.parametrize("level", [4, 5, 18, 25, 34, 48, 49])
def test_levels(level):
    rng = np.random.default_rng(level)
    edge = 1 << np.arange(24)
    numbers = np.concatenate([edge, edge - 1, 3 * edge, 3 * edge - 1,
                              rng.integers(0, 1 << 24, 50) >> rng.integers(0, 24, 50)])
    numbers = numbers[numbers < 1 << 24]
    found = waveform(Reached(level), [{"i": int(number)} for number in numbers], "o")
    assert [row[0] for row in found] == (levels_of(numbers) >= level).astype(int).tolist()


@pytest.mark.parametrize("options, message", [
    ({"frame": 1}, r"^A frame has 2 to 255 samples, not 1$"),
    ({"bands": [Band(99, 1, ((1, 0),))]}, r"^Band 99: k must be 2 or more, and no shift twice$"),
    ({"bands": [Band(99, 2, ((1, 3), (1, 3)))]}, r"^Band 99: k must be 2 or more"),
    ({"levels": (3, 9)}, r"^Levels begin at 4 or above, not at 3$"),
])
def test_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        SoundEncoder(simd=4, **options)

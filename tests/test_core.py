"""A network for streams at a serial line: records, lost bytes, sleep."""

import numpy as np
import pytest

from qsnn.hw.link.stream import RecordReader, RecordWriter, StreamBoard
from qsnn.hw.plan.folding import SerialFolding
from qsnn.model import streams
from tests.simulation import run
from tests.streams import random_stream

DIVISOR = 5


def records(values, width):
    """The bytes of records, as a host sends them."""
    count = -(-width // 7)
    return [[(value >> 7 * place & 0x7F) | (0x80 if place == 0 else 0) for place in range(count)]
            for value in values]


@pytest.mark.parametrize("width", [1, 7, 8, 31])
def test_reader(width):
    """Whole records come out; of those that lost a byte or have one too many, what is whole."""
    rng = np.random.default_rng(width)
    values = [int(value) for value in rng.integers(0, 1 << width, 30)]
    sent, expected = [], []
    for number, raw in enumerate(records(values, width)):
        fault = number % 3
        if fault == 1 and len(raw) > 1:  # a byte is lost
            raw = raw[:-1] if number % 2 else raw[1:]
        else:
            expected.append(values[number])
            raw = raw + [5] * (fault == 2)  # a byte of nobody
        sent += raw
    dut, found = RecordReader(width), []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for byte in [*sent, None, None]:
            ctx.set(dut.valid, int(byte is not None))
            ctx.set(dut.byte, byte or 0)
            *_, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                found.append(payload)
        assert not ctx.get(dut.lost)
    run(dut, bench)
    assert found == expected


def read(width, pace, ready, values):
    """(records that are taken, whether one was lost); a byte comes every ``pace`` cycles.

    ready: whether they are taken, a flag for each cycle, then always.
    """
    dut, found, lost = RecordReader(width), [], []
    raw = [byte for record in records(values, width) for byte in record]

    async def bench(ctx):
        waiting = None
        for cycle in range(max(pace * len(raw), len(ready)) + 4):
            at, off = divmod(cycle, pace)
            ctx.set(dut.valid, int(off == 0 and at < len(raw)))
            ctx.set(dut.byte, raw[at] if at < len(raw) else 0)
            ctx.set(dut.o.ready, int(cycle >= len(ready) or ready[cycle]))
            *_, valid, taken, payload = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload)
            assert waiting is None or (valid and payload == waiting), "changed while it waited"
            waiting = payload if valid and not taken else None
            if valid and taken:
                found.append(payload)
        lost.append(ctx.get(dut.lost))
    run(dut, bench)
    return found, bool(lost[0])


@pytest.mark.parametrize("width, pace", [(31, 2), (31, 6), (20, 3), (8, 2), (7, 4)])
def test_reader_waits(width, pace):
    """One record is taken in the time of each, at random and at the end: nothing is lost."""
    rng = np.random.default_rng(width)
    values = [int(value) for value in rng.integers(0, 1 << width, 40)]
    time = pace * -(-width // 7)
    for last in (False, True):
        ready = np.zeros((len(values) + 2, time), int)
        places = np.full(len(ready), time - 1) if last else rng.integers(0, time, len(ready))
        ready[np.arange(len(ready)), places] = 1
        assert read(width, pace, ready.ravel().tolist(), values) == (values, False)


@pytest.mark.parametrize("width, pace", [(31, 6), (20, 3), (7, 4)])
def test_reader_loses_whole_records(width, pace):
    """Not taken for so long: the first of all that came is there, and the last; and it says so."""
    values = [int(value) for value in np.random.default_rng(0).integers(0, 1 << width, 9)]
    time = pace * -(-width // 7)
    assert read(width, pace, [0] * (2 * time), values) == (values, False)
    found, lost = read(width, pace, [0] * (5 * time), values)
    assert (found, lost) == (values[:1] + values[4:], True)


@pytest.mark.parametrize("width", [3, 7, 20])
def test_writer(width):
    rng = np.random.default_rng(width)
    values = [int(value) for value in rng.integers(0, 1 << width, 12)]
    dut, found = RecordWriter(width), []
    expected = sum(records(values, width), [])

    async def feed(ctx):
        for value in values:
            ctx.set(dut.i.payload, value)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)

    async def bench(ctx):
        while len(found) < len(expected):
            ctx.set(dut.o.ready, int(rng.random() < 0.5))
            *_, valid, ready, byte = await ctx.tick().sample(dut.o.valid, dut.o.ready,
                                                             dut.o.payload)
            if valid and ready:
                found.append(byte)
    run(dut, bench, background=[feed])
    assert found == expected


def test_board():
    """Steps in and results out over the line; between them the core sleeps, and forgets nothing."""
    rng = np.random.default_rng(3)
    description = random_stream(rng, words=[(6, 2, True)])
    foldings = [SerialFolding(3, 32), SerialFolding(1, 6)]
    dut = StreamBoard(description, foldings, clock_hz=DIVISOR * 1_000_000, baud=1_000_000)
    steps = 12
    x = (rng.random((steps, description.n_in)) < 0.4).astype(np.uint8)
    emit = np.arange(steps) % 4 == 3
    golden = streams.run(description, x[None], emit=np.flatnonzero(emit))
    assert dut.network.plan.stages[0].in_words == 1
    words = [int(row @ (1 << np.arange(len(row)))) | int(flag) << 32
             for row, flag in zip(x.astype(int), emit, strict=True)]
    sent = sum(records(words, 34), [])
    size = len(dut.network.o.payload.as_value())
    count = -(-size // 7)
    received, asleep = [], 0

    async def send(ctx):
        ctx.set(dut.rx, 1)
        await ctx.tick().repeat(20)
        for byte in sent:
            for bit in [0, *(byte >> place & 1 for place in range(8)), 1]:
                ctx.set(dut.rx, bit)
                await ctx.tick().repeat(DIVISOR)
            await ctx.tick().repeat(40)

    async def receive(ctx):
        nonlocal asleep
        while len(received) < int(emit.sum()) * description.outputs * count:
            *_, tx, busy = await ctx.tick().sample(dut.tx, dut.busy)
            asleep += not busy
            if not tx:
                byte = 0
                await ctx.tick().repeat(DIVISOR // 2)
                for place in range(8):
                    await ctx.tick().repeat(DIVISOR)
                    byte |= ctx.get(dut.tx) << place
                await ctx.tick().repeat(DIVISOR)
                received.append(byte)
    run(dut, receive, background=[send])
    scores = []
    for start in range(0, len(received), count):
        raw = received[start:start + count]
        assert [byte >> 7 for byte in raw] == [1] + [0] * (count - 1)
        value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(raw))
        width = len(dut.network.o.p.score)
        score = value & (1 << width) - 1
        scores.append(score - (score >> width - 1 << width))
    assert scores == golden.scores[0].ravel().tolist()
    assert asleep > 1000


@pytest.mark.parametrize("asked", [False, True])
def test_a_board_whose_record_was_lost_stays_lit(asked):
    """A result of each step is more than the line carries, and none of them is nothing."""
    rng = np.random.default_rng(3)
    description = random_stream(rng, words=[(6, 2, True)])
    dut = StreamBoard(description, [SerialFolding(3, 32), SerialFolding(1, 6)],
                      clock_hz=DIVISOR * 1_000_000, baud=1_000_000)
    raw = sum(records([1 | int(asked) << 32] * 30, 34), [])
    assert description.outputs * len(records([0], len(dut.network.o.payload.as_value()))[0]) > 5

    async def bench(ctx):
        for byte in raw:
            for bit in [0, *(byte >> place & 1 for place in range(8)), 1]:
                ctx.set(dut.rx, bit)
                await ctx.tick().repeat(DIVISOR)
        await ctx.tick().repeat(200 * len(raw))
        assert ctx.get(dut.tx) and ctx.get(dut.busy) == asked
    run(dut, bench, cycles=40_000)

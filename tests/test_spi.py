# amaranth: UnusedElaboratable=no
"""Bytes at the pins, at the edge of what is promised; then a core that is asked over them."""

import random
from collections import deque

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator
from amaranth.utils import ceil_log2

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.emit.build import find_network
from qsnn.hw.link import protocol
from qsnn.hw.link.accelerator import AcceleratorCore
from qsnn.hw.link.protocol import REPLY, Frame, Hello, Request, Splitter, Status, encode
from qsnn.hw.link.spi import Spi
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.estimate import core_estimate, inbox_bytes
from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.line import SCK_CYCLES
from qsnn.model import golden
from qsnn.model.description import load
from tests.networks import random_description, random_pixels
from tests.spi import Master

PHASES = [0.0, 0.001, 0.3, 0.5, 0.999]
FASTEST = 3  # cycles of SCK: what the logic stands with no pads and no wires


def draw(seed, count=6):
    """Bytes whose bits are all alike, and others."""
    return [0x80, 0xFF, 0x55, 0xAA, 1, 0x7F, 0xFE,
            *map(int, np.random.default_rng(seed).integers(1, 256, size=count))]


def run(master, send, waits=None):
    """(bytes that the slave has received, MISO of each cycle); it is given bytes to send.

    ``waits``: cycles that each of these comes after the one before it was taken.
    """
    dut, received, miso = Spi(), [], []
    waiting = deque(zip(send, waits or [0] * len(send), strict=True))

    async def cycles(ctx):
        wait = waiting[0][1] if waiting else 0
        for levels in master.levels():
            for pin, level in zip((dut.cs, dut.sck, dut.mosi), levels, strict=True):
                ctx.set(pin, level)
            valid = bool(waiting) and wait == 0
            wait -= wait > 0
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, waiting[0][0] if valid else 0xFF)
            if ctx.get(dut.o.valid):
                received.append(ctx.get(dut.o.p.data))
                assert not ctx.get(dut.o.p.bad)
            if ctx.get(dut.i.ready):
                assert valid
                waiting.popleft()
                wait = waiting[0][1] if waiting else 0
            await ctx.tick()
            miso.append(ctx.get(dut.miso))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(cycles)
    simulator.run()
    return received, miso


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("period", [FASTEST, SCK_CYCLES, 7.3, 41.7])
def test_both_ways(period, phase):
    master = Master(period, phase=phase)
    there, back = draw(1), draw(2)
    master.transfer(there[:9])
    master.transfer(there[9:], gap=5.5)
    received, miso = run(master, back)
    assert received == there and master.read(miso) == back


@pytest.mark.parametrize("high", [1, 2])
def test_uneven_clock(high):
    """Levels of one cycle."""
    for phase in PHASES:
        master = Master(FASTEST, high=high / FASTEST, phase=phase)
        master.transfer(draw(1))
        received, miso = run(master, draw(2))
        assert received == draw(1) and master.read(miso) == draw(2)


def test_too_fast_is_seen():
    """The tests above can fail: at a twentieth less there is a phase where MISO comes too late."""
    def good(period, high=0.5):
        masters = [Master(period, high=high, phase=phase) for phase in PHASES]
        for master in masters:
            master.transfer(draw(1))
            received, miso = run(master, draw(2))
            yield received == draw(1), master.read(miso) == draw(2)

    assert not all(sent for _, sent in good(0.95 * FASTEST))
    assert not all(came for came, _ in good(FASTEST, high=0.9 / FASTEST))


@pytest.mark.parametrize("seed", range(5))
def test_any_times(seed):
    """Transfers of any length, gaps and speed; the slave's bytes come when they come."""
    source = random.Random(seed)
    master, there = Master(3), []
    for _ in range(12):
        master.period = source.choice([3, 4, 6, 6.5, 9.1]) + source.random()
        master.now += 10 * source.random()
        there.append([source.randrange(256) for _ in range(source.randrange(6))])
        master.transfer(there[-1], gap=source.choice([0, 20 * source.random()]))
    back = [source.randrange(1, 256) for _ in range(20)]
    received, miso = run(master, back, [source.choice([2, 30, 100]) for _ in back])
    assert received == sum(there, [])
    said = [byte for byte in master.read(miso) if byte]  # zeros in between mean nothing
    assert said == back[:len(said)] and len(said) > 5


@pytest.mark.parametrize("period", [FASTEST, SCK_CYCLES])
def test_bytes_that_follow_each_other(period):
    """A byte that is there seven bits after the last one was taken is in time; then a 0 comes."""
    master = Master(period)
    master.transfer(bytes(26))
    for wait, pause in ((0, []), (7 * period - 1, []), (7 * period, [0])):
        _, miso = run(master, draw(3), [0] + 12 * [wait])
        expected = sum(([byte, *pause] for byte in draw(3)), [])
        assert master.read(miso) == expected + (26 - len(expected)) * [0]


def test_nothing_to_say():
    master = Master(SCK_CYCLES)
    master.transfer(draw(1))
    received, miso = run(master, [])
    assert received == draw(1) and not any(miso)


def test_miso_rests_while_the_master_reads():
    """It changes two to three cycles after SCK has risen, and nowhere else while CS is low."""
    for phase in PHASES:
        master = Master(20.0, phase=phase)
        master.transfer(draw(1))
        _, miso = run(master, draw(2))
        rises = np.array([time for times in master.reads for time in times])
        changes = [cycle for cycle in range(1, len(miso)) if miso[cycle] != miso[cycle - 1]
                   and cycle > rises[0]]
        assert len(changes) > 40
        for cycle in changes:
            late = cycle - rises[rises <= cycle][-1]
            assert 2 <= late < 3


@pytest.mark.parametrize("bits", range(8))
def test_chip_select_cuts_a_byte(bits):
    """It is lost, both of it; not one that had not begun. The next transfer is whole."""
    for period, phase in ((FASTEST, 0.3), (SCK_CYCLES, 0.999), (17.1, 0.0)):
        master = Master(period, phase=phase)
        master.transfer([0x12, 0x34, 0xFF], bits=bits)
        master.transfer([0x56, 0x78])
        received, miso = run(master, [0xA1, 0xB2, 0xC3, 0xD4, 0xE5])
        assert received == [0x12, 0x34, 0x56, 0x78]
        assert master.read(miso) == [0xA1, 0xB2, *([0xD4, 0xE5] if bits else [0xC3, 0xD4])]


def test_clock_for_another_device():
    """SCK means nothing while CS is high."""
    master = Master(SCK_CYCLES)
    for _ in range(11):
        master.edges += [(master.now, 1, 1, 1), (master.now + 3, 1, 0, 1)]
        master.now += 6
    master.transfer([0x9A])
    received, miso = run(master, [0xBC])
    assert received == [0x9A] and master.read(miso) == [0xBC]


def ask(raw, *, bits=None, poll=0):
    """The lines of a transfer and then one of zeros, at the fastest clock."""
    master = Master(SCK_CYCLES, phase=0.4)
    master.transfer(raw, bits=bits)
    master.now += 200
    master.transfer(bytes(poll))
    return master


def converse(core, masters):
    """Bytes that come back over all these transfers."""
    back, lit = [], []

    async def cycles(ctx):
        for master in masters:
            miso = []
            for levels in master.levels():
                for pin, level in zip((core.cs, core.sck, core.mosi), levels, strict=True):
                    ctx.set(pin, level)
                await ctx.tick()
                miso.append(ctx.get(core.miso))
                lit.append(ctx.get(core.busy))
            back.append(bytes(master.read(miso)))

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(cycles)
    simulator.run()
    assert not lit[0] and any(lit) and not lit[-1]
    return back


def test_core():
    """A network at its pins; a request with a flipped bit and one that loses a byte come again."""
    rng = np.random.default_rng(5)
    description = random_description(rng, widths=(12, 6, 3), time_steps=2, input_bits=4)
    core = AcceleratorCore(description, [Folding(3, 5), Folding(1, 2)],
                           clock_hz=10_000_000, link="spi")
    images = random_pixels(rng, description, 6).astype(np.uint8)
    asked = [encode(Frame(Request.INFER, k, payload))
             for k, payload in enumerate(protocol.pack_images(core.hello, images))]
    flipped = bytes([asked[1][0], asked[1][1] ^ 0x10, *asked[1][2:]])
    hello, first, second = converse(core, [
        ask(encode(Frame(Request.HELLO, 77)), poll=80),
        ask(asked[0] + flipped + asked[2][:7], bits=5),
        # what follows the byte that was cut short is lost with it
        ask(asked[3] + b"".join(asked[1:]) + encode(Frame(Request.STATUS, 99)), poll=400)])

    def frames(raw):
        splitter = Splitter(256)
        found = splitter.feed(raw)
        assert splitter.bad == 0
        return found

    (greeting,) = frames(hello)
    assert greeting.type == Request.HELLO + REPLY and Hello.unpack(greeting.payload) == core.hello
    *results, status = frames(first) + frames(second)
    assert [frame.sequence for frame in results] == [0, 1, 2, 3, 4, 5]
    expected = golden.infer(description, images)
    for frame in results:
        label, scores = protocol.unpack_result(core.hello, frame.payload)
        assert label == expected.labels[frame.sequence]
        assert scores == expected.scores[frame.sequence].tolist()
    assert Status.unpack(status.payload) == Status(8, 2, 0)


@pytest.mark.parametrize("name", ["mnist-128-b2", "mnist-256-256-b4"])
@pytest.mark.parametrize("cycles", [100, 800, 4000, 100_000])
def test_estimate_of_the_queue(name, cycles):
    """A slower network needs a longer one, until it is so slow that the host waits for it."""
    description = load(find_network(name))
    foldings = choose_folding(description, cycles=cycles)
    core = AcceleratorCore(description, foldings, clock_hz=24_000_000, link="spi")
    assert 1 << ceil_log2(inbox_bytes(core.network.plan, "spi")) == core.link.depth
    assert core.link.depth == (2048 if cycles == 4000 else 1024)
    assert core.hello.window == (1 if cycles == 100_000 else 8)
    _, blocks = core_estimate(BOARDS["icebreaker"], core.network.plan, link="spi")
    assert blocks == core.link.depth // 512 + 1
    Fragment.get(core, None)  # else Amaranth warns of a core that nobody has used

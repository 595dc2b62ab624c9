# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from amaranth.sim import Simulator

from qsnn.hw.link.uart import UartReceiver, UartTransmitter, divisor
from tests.uart import line, read_line

DIVISORS = [5, 8, 13, 26]
IDLE = [1] * 9


def receive(divisor, levels):
    """[(byte, bad)] that a receiver makes of a line."""
    dut = UartReceiver(divisor)
    received = []

    async def testbench(ctx):
        for level in [*IDLE, *levels, *[1] * 2 * divisor]:
            ctx.set(dut.rx, level)
            await ctx.tick()
            if ctx.get(dut.o.valid):
                received.append((ctx.get(dut.o.p.data), ctx.get(dut.o.p.bad)))

    run(dut, testbench)
    return received


def run(dut, *testbenches):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()


def good(data):
    return [(byte, 0) for byte in data]


def draw(seed, count=6):
    """Bytes with those whose bits are all alike, and those with a single edge."""
    return [0, 255, 0x55, 0xAA, 1, 128, 127, 254,
            *map(int, np.random.default_rng(seed).integers(0, 256, size=count))]


@pytest.mark.parametrize("drift", [-0.025, 0, 0.025])
@pytest.mark.parametrize("cycles", DIVISORS)
def test_drift(cycles, drift):
    """A quarter of a bit over a frame, without gaps, from any phase of the clock."""
    for phase in (0.0, 0.3, 0.6, 0.999):
        data = draw(cycles)
        assert receive(cycles, line(data, cycles * (1 + drift), phase=phase)) == good(data)


def test_too_much_drift_is_seen():
    """A stop bit that comes half a bit early or late is not one: the test above can fail."""
    assert receive(16, line([0x00, 0x00], 16 * 1.1)) != good([0, 0])


@pytest.mark.parametrize("cycles", [5, 8, 13])
def test_middle(cycles):
    """Every bit is sampled in its middle: a pulse anywhere else does no harm."""
    data = [0x00, 0xFF, 0x35]
    levels = line(data, cycles, gap=2)
    starts = [12 * cycles * k for k in range(len(data))]
    middle = cycles // 2
    for at in range(cycles):
        hit = levels.copy()
        for start in starts:
            for bit in range(1, 10):
                hit[start + bit * cycles + at] ^= 1
        if at == middle:
            assert receive(cycles, hit) != good(data)
        else:
            assert receive(cycles, hit) == good(data), at


@pytest.mark.parametrize("cycles", DIVISORS)
def test_glitch(cycles):
    """A start bit that is over before its middle is none, and hides no byte right behind it."""
    levels, count = [], 0
    for width in (1, cycles // 2):
        for gap in range(cycles // 2 + 1 - width, 2 * cycles):
            levels += [0] * width + [1] * gap + line([0x5A], 1.02 * cycles) + [1] * cycles
            count += 1
    assert receive(cycles, levels) == good([0x5A] * count)
    assert receive(cycles, [0] * (cycles // 2) + [1] * 20 * cycles) == []


@pytest.mark.parametrize("cycles", DIVISORS)
def test_framing_error(cycles):
    levels = line([0x12], cycles) + line([0x34], cycles, stop=0) + [1] * cycles \
        + line([0x56], cycles)
    assert receive(cycles, levels) == [(0x12, 0), (0x34, 1), (0x56, 0)]


@pytest.mark.parametrize("cycles", DIVISORS)
def test_break(cycles):
    """A line that stays low gives one bad byte, and the next good one after it was high."""
    levels = [0] * 57 * cycles + [1] + line([0xC3], cycles)
    assert receive(cycles, levels) == [(0, 1), (0xC3, 0)]


def transmit(divisor, data, gaps):
    """The line of a transmitter whose bytes come after so many cycles each."""
    dut = UartTransmitter(divisor)
    levels = []

    async def feed(ctx):
        for byte, gap in zip(data, gaps, strict=True):
            for _ in range(gap):
                await ctx.tick()
            ctx.set(dut.i.payload, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(10 * divisor)

    async def watch(ctx):
        async for *_, level in ctx.tick().sample(dut.tx):
            levels.append(level)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    return levels


@pytest.mark.parametrize("cycles", DIVISORS)
def test_transmitter(cycles):
    data = draw(2)
    levels = transmit(cycles, data, [0] * len(data))
    assert read_line(levels, cycles) == data
    assert levels.index(0) + 10 * cycles * len(data) == len(levels)  # without gaps
    gaps = [int(gap) for gap in np.random.default_rng(3).integers(0, 15 * cycles, len(data))]
    levels = transmit(cycles, data, gaps)
    assert read_line(levels, cycles) == data
    assert receive(cycles, levels) == good(data)


def test_divisor():
    assert divisor(12_000_000, 1_000_000) == 12
    assert divisor(50_000_000, 115_200) == 434
    with pytest.raises(ValueError, match="^3,000,000 baud needs a clock of 15,000,000 Hz or more, "
                                         "not 10,000,000$"):
        divisor(10_000_000, 3_000_000)
    with pytest.raises(ValueError, match="^3,000,000 baud cannot be made from 16,000,000 Hz: "
                                         "the nearest is 3,200,000$"):
        divisor(16_000_000, 3_000_000)


@pytest.mark.parametrize("component", [UartReceiver, UartTransmitter])
def test_too_fast(component):
    with pytest.raises(ValueError, match="^a bit takes 5 cycles or more, not 4$"):
        component(4)

"""Amaranth's simulator, as the tests of single units need it."""

from operator import attrgetter

from amaranth.hdl import ClockDomain, Module, ResetSignal
from amaranth.sim import Simulator

__all__ = ["run", "waveform"]


def run(dut, *testbenches, background=(), reset=None, cycles=20_000):
    """Simulate until the last testbench returns; more cycles are a failure, not a hang."""
    m = Module()
    m.domains.sync = ClockDomain()  # here, for units that have no register
    if reset is not None:
        m.d.comb += ResetSignal().eq(reset)
    m.submodules.dut = dut

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)
    for _ in range(2 * cycles):  # both edges of the clock
        if not simulator.advance():
            return
    raise AssertionError(f"not done after {cycles} cycles")


def waveform(dut, rows, *outputs):
    """Each row {input: value} is there for a cycle; the outputs in that cycle, one list a row.

    ``port.member`` is a member of a port.
    """
    seen = []

    async def testbench(ctx):
        for row in rows:
            for name, value in row.items():
                ctx.set(attrgetter(name)(dut), value)
            seen.append([ctx.get(attrgetter(name)(dut)) for name in outputs])
            await ctx.tick()

    run(dut, testbench, cycles=len(rows) + 1)
    return seen

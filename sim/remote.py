"""An engine at its pins, compiled by Verilator: behind a pseudo-terminal, its memory's model at it.
"""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.link.engine import EngineCore
from qsnn.hw.link.remote import RemoteEngine
from qsnn.sim.link import CYCLES, SILENCE, SOURCE, Simulated, open_simulated
from qsnn.sim.memory import PINS, sdram_parameters
from qsnn.sim.program import compiled

__all__ = ["EngineBench", "compile_remote", "open_remote"]

SIMULATED_BITS = 22  # of a chip's places: so many columns count


class EngineBench(wiring.Component):
    """An :class:`qsnn.hw.link.engine.EngineCore` and the checking model of its memory chip.

    The chip has the clock turned over; where the core takes data ``late``, as it is.
    """

    rx: In(1, init=1)
    tx: Out(1)
    busy: Out(1)

    def __init__(self, core):
        super().__init__()
        self.core = core

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        if core.memory_hz:
            m.domains.memory = memory = ClockDomain()
            m.d.comb += [memory.clk.eq(ClockSignal()), memory.rst.eq(ResetSignal())]
        pins = core.memory
        places = core.chip.row_bits + core.chip.BANK_BITS + core.chip.column_bits
        parameters = sdram_parameters(core.chip, core.memory_hz or core.clock_hz,
                                      SIMULATED_BITS=min(SIMULATED_BITS, places), POSTPONED=2)
        m.submodules.chip = Instance(
            "sdram", *(("p", name, value) for name, value in parameters.items()),
            i_clk=ClockSignal() if core.late else ~ClockSignal(),
            i_dq_i=pins.dq_o, o_dq_o=pins.dq_i,
            **{f"i_{name}": getattr(pins, name) for name in PINS})
        m.d.comb += [core.rx.eq(self.rx), self.tx.eq(core.tx), self.busy.eq(core.busy)]
        return m


def compile_remote(place, shape, chip, *, clock_hz, late=0, memory_hz=None):
    """The engine of a shape as :class:`qsnn.sim.link.Simulated`, in the folder ``place``.

    Its line has five cycles a bit. Where the chip has a clock of its own, it is as fast as the
    other one here, and its times are of ``memory_hz``: what crosses needs no ratio, and
    :mod:`qsnn.sim.engine` has others. Raises :class:`qsnn.sim.tools.SimulationError`.
    """
    core = EngineCore(shape, chip, clock_hz=clock_hz, baud=clock_hz // CYCLES["uart"], late=late,
                      memory_hz=memory_hz)
    sources = {"remote.v": to_verilog(EngineBench(core), "remote"),
               **{name: (SOURCE.parent / name).read_text() for name in ("sdram.v", SOURCE.name)},
               "line.h": (SOURCE.parent / "uart.h").read_text()}
    return Simulated(place, compiled(place, "remote", sources, top="remote"), {})


def open_remote(port):
    """The engine behind the port of a simulation."""
    return RemoteEngine(open_simulated(port, "uart"), name=port, silence=SILENCE)

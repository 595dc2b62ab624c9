"""Memory controllers side by side with checking models of their chips, compiled by Verilator."""

import subprocess
from pathlib import Path

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.memory.sdram import COUNT_BITS
from qsnn.sim.program import compiled
from qsnn.sim.tools import SimulationError

__all__ = ["SdramBench", "compile_bench", "run_bench", "sdram_parameters"]

FOLDER = Path(__file__).parent
PINS = ("cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm", "dq_oe")
PERIOD = 1_000_000_000_000  # picoseconds a second


def sdram_parameters(chip, clock_hz, **others):
    """Parameters of ``sdram.v`` for a chip at a clock."""
    times = {name: round(1000 * getattr(chip, f"{name.lower()}_ns"))
             for name in ("TRCD", "TRP", "TRAS", "TRC", "TRRD", "TRFC", "TWR", "TMRD")}
    return {"WIDTH": chip.width, "ROW_BITS": chip.row_bits, "COLUMN_BITS": chip.column_bits,
            "ADDRESS_BITS": chip.address_bits, "PERIOD": PERIOD // clock_hz, **times,
            "REFRESH": round(1000 * chip.refresh_ns), "PAUSE": chip.pause_us * 1_000_000,
            "CAS2_PERIOD": PERIOD // chip.cas2_hz, "CAS3_PERIOD": PERIOD // chip.cas3_hz, **others}


class SdramBench(wiring.Component):
    """An SDRAM's controller and the model of its chip, with plain ports.

    The chip has the clock turned over; where the controller takes data ``late``, as it is.
    parameters: of the model, beside those of the chip. stricter: other parameters for more models
    at the same pins, whose complaints are bits of ``complaints`` and end nothing.
    """

    data: In(32)
    data_valid: In(1)
    data_ready: Out(1)
    word: Out(32)
    word_valid: Out(1)
    word_ready: In(1)
    length: In(COUNT_BITS)
    go: In(1)
    rewind: In(1)
    written: Out(COUNT_BITS)
    complaints: Out(16)

    def __init__(self, controller, *, late=0, stricter=(), **parameters):
        super().__init__()
        self.controller, self.late = controller, late
        self.parameters = sdram_parameters(controller.chip, controller.clock_hz, **parameters)
        self.stricter = [self.parameters | {"FATAL": 0} | others for others in stricter]

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = core = self.controller
        data, complaints = [], []
        for index, parameters in enumerate([self.parameters, *self.stricter]):
            data.append(Signal(core.chip.width, name=f"data_{index}"))
            complaints.append(Signal(name=f"complaint_{index}"))
            m.submodules[f"chip_{index}"] = Instance(
                "sdram", *(("p", name, value) for name, value in parameters.items()),
                i_clk=ClockSignal() if self.late else ~ClockSignal(),
                i_dq_i=core.pins.dq_o, o_dq_o=data[-1], o_error=complaints[-1],
                **{f"i_{name}": getattr(core.pins, name) for name in PINS})
        m.d.comb += [core.pins.dq_i.eq(data[0]), self.complaints.eq(Cat(complaints[1:]))]
        m.d.comb += [
            core.write.payload.eq(self.data), core.write.valid.eq(self.data_valid),
            self.data_ready.eq(core.write.ready), core.length.eq(self.length),
            core.go.eq(self.go), core.rewind.eq(self.rewind), self.written.eq(core.written),
            self.word.eq(core.o.payload), self.word_valid.eq(core.o.valid),
            core.o.ready.eq(self.word_ready),
        ]
        return m


def compile_bench(place, name, bench, models=("sdram.v",)):
    """A program of a bench and the models of its chips. Raises :class:`SimulationError`."""
    sources = {f"{name}.v": to_verilog(bench, name),
               **{file: (FOLDER / file).read_text() for file in (*models, "memory.cpp")}}
    return compiled(Path(place), name, sources, top=name)


def run_bench(program, *commands):
    """(words, cycles) of each read. Raises :class:`SimulationError` with what a model says."""
    done = subprocess.run([program.resolve()], input="\n".join(commands), text=True,
                          capture_output=True)
    if done.returncode:
        raise SimulationError((done.stdout + done.stderr).strip())
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()
            if line[0].isdigit()]

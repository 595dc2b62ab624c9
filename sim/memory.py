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

__all__ = ["CheckedBench", "FlashBench", "SdramBench", "compile_bench", "flash_image",
           "run_bench", "sdram_parameters"]

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


class Bench(wiring.Component):
    """The ports that ``memory.cpp`` has of a memory."""

    data: In(32)
    data_valid: In(1)
    data_ready: Out(1)
    word: Out(32)
    word_valid: Out(1)
    word_ready: In(1)
    length: In(COUNT_BITS)
    go: In(1)
    rewind: In(1)
    complaints: Out(16)

    def read(self, m, core):
        """Wire what all sources have."""
        m.submodules.core = core
        m.d.comb += [core.length.eq(self.length), core.go.eq(self.go),
                     core.o.ready.eq(self.word_ready), self.word.eq(core.o.payload),
                     self.word_valid.eq(core.o.valid)]


class SdramBench(Bench):
    """An SDRAM's controller and the model of its chip, with plain ports.

    The chip has the clock turned over; where the controller takes data ``late``, as it is.
    parameters: of the model, beside those of the chip. stricter: other parameters for more models
    at the same pins, whose complaints are bits of ``complaints`` and end nothing.
    """

    def __init__(self, controller, *, late=0, stricter=(), **parameters):
        super().__init__()
        self.controller, self.late = controller, late
        self.parameters = sdram_parameters(controller.chip, controller.clock_hz, **parameters)
        self.stricter = [self.parameters | {"FATAL": 0} | others for others in stricter]

    def elaborate(self, platform):
        m = Module()
        core = self.controller
        self.read(m, core)
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
            self.data_ready.eq(core.write.ready), core.rewind.eq(self.rewind),
        ]
        return m


class CheckedBench(SdramBench):
    """The same with an :class:`qsnn.hw.memory.check.ImageCheck` in front of the consumer."""

    present: In(1)
    good: Out(1)
    bad: Out(1)

    def __init__(self, controller, check, **parameters):
        super().__init__(controller, **parameters)
        self.check = check

    def read(self, m, core):
        m.submodules.core, m.submodules.check = core, self.check
        wiring.connect(m, core.o, self.check.i)
        m.d.comb += [
            core.length.eq(self.check.length), core.go.eq(self.check.read),
            self.check.present.eq(self.present), self.check.go.eq(self.go),
            self.check.o.ready.eq(self.word_ready), self.word.eq(self.check.o.payload),
            self.word_valid.eq(self.check.o.valid), self.good.eq(self.check.good),
            self.bad.eq(self.check.bad)]


class FlashBench(Bench):
    """A flash's reader and the model of its chip, whose image begins at the byte ``start``.

    Where the reader takes bits ``late``, they come a cycle later. parameters: of the model.
    """

    def __init__(self, reader, *, start, **parameters):
        super().__init__()
        self.reader, self.start = reader, start
        chip = reader.chip
        self.parameters = {
            "PERIOD": PERIOD // reader.clock_hz, "SIZE": chip.size, "DUMMY": chip.dummy,
            "CONTINUOUS": chip.continuous >> 4 & 3, "WRITE_STATUS": chip.write_status,
            "TSCK": PERIOD // chip.clock_hz, "RELEASE": 1000 * chip.release_ns,
            "RESET": 1000 * chip.reset_ns, "DESELECT": 1000 * chip.deselect_ns, **parameters}

    def elaborate(self, platform):
        m = Module()
        core, data, late = self.reader, Signal(4), Signal(4)
        self.read(m, core)
        m.d.sync += late.eq(data)
        m.d.comb += [core.start.eq(self.start),
                     core.pins.io_i.eq(late if core.late else data)]
        m.submodules.chip = Instance(
            "flash", *(("p", name, value) for name, value in self.parameters.items()),
            i_clk=ClockSignal(), i_cs_n=core.pins.cs_n, i_io_i=core.pins.io_o,
            i_io_oe=core.pins.io_oe, o_io_o=data,
            i_sck=Mux(ClockSignal(), core.pins.sck[0], core.pins.sck[1]))
        return m


def flash_image(seed, words, start, size):
    """Text of ``flash.hex``: the words that ``memory.cpp`` expects from the byte ``start`` on."""
    image = b"".join(_word(seed, index).to_bytes(4, "little") for index in range(words))
    memory = bytearray(b"\xff" * size)
    for index, byte in enumerate(image):
        memory[(start + index) % size] = byte
    return "\n".join(f"{byte:02x}" for byte in memory)


def _word(seed, index):
    """As ``mix`` in ``memory.cpp``."""
    mask = (1 << 64) - 1
    x = (seed << 32 | index) + 0x9E3779B97F4A7C15 & mask
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
    return (x ^ x >> 31) & 0xFFFFFFFF


def compile_bench(place, name, bench, models=("sdram.v",)):
    """A program of a bench and the models of its chips.

    Raises :class:`qsnn.sim.tools.SimulationError`.
    """
    sources = {f"{name}.v": to_verilog(bench, name),
               **{file: (FOLDER / file).read_text() for file in (*models, "memory.cpp")}}
    return compiled(Path(place), name, sources, top=name)


def run_bench(program, *commands, folder=None):
    """(words, cycles) of each read, run in a folder.

    Raises :class:`qsnn.sim.tools.SimulationError` with what a model says, or the program.
    """
    done = subprocess.run([program.resolve()], input="\n".join(commands), text=True,
                          capture_output=True, cwd=folder)
    if done.returncode:
        raise SimulationError((done.stdout + done.stderr).strip())
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()
            if line[0].isdigit()]

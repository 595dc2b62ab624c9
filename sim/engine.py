"""Programs on the emitted engine, compiled by Verilator: scores, spikes and membranes against the
golden model."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.engine.engine import Engine
from qsnn.hw.engine.system import EngineSystem
from qsnn.hw.memory.crossing import MemoryClock
from qsnn.model import golden
from qsnn.sim.memory import PINS, sdram_parameters
from qsnn.sim.program import compiled, workspace
from qsnn.sim.tools import SimulationError

__all__ = ["EngineBench", "EngineOutcome", "compile_engine", "run_engine"]

HERE = Path(__file__).parent


class EngineBench(wiring.Component):
    """An engine with an SDRAM's controller and the model of its chip, as ``engine.cpp`` drives it.

    The chip has the clock turned over; where the controller takes data ``late``, as it is.
    bits: of the words that the model keeps, as a power of two.
    """

    def __init__(self, shape, controller, bits=20):
        self.system = EngineSystem(shape, controller, most=1 << bits)
        self.clock = "memory" if isinstance(controller, MemoryClock) else "sync"
        self.late = controller.late
        self.parameters = sdram_parameters(controller.chip, controller.clock_hz,
                                           SIMULATED_BITS=bits + 32 // controller.chip.width - 1)
        members = self.system.signature.members
        super().__init__({
            **{name: member for name, member in members.items()
               if name not in ("pins", "write", "rewind")},
            "program": members["write"]})

    def elaborate(self, platform):
        m = Module()
        m.submodules.system = system = self.system
        pins, data = system.pins, Signal(self.system.source.chip.width)
        clock = ClockSignal(self.clock)
        m.submodules.chip = Instance(
            "sdram", *(("p", name, value) for name, value in self.parameters.items()),
            i_clk=clock if self.late else ~clock, i_dq_i=pins.dq_o, o_dq_o=data,
            **{f"i_{name}": getattr(pins, name) for name in PINS})
        m.d.comb += pins.dq_i.eq(data)
        for name, member in self.signature.members.items():
            inner, outer = getattr(system, "write" if name == "program" else name), getattr(
                self, name)
            if not member.is_port:
                wiring.connect(m, *((wiring.flipped(outer), inner) if member.flow is In
                                    else (inner, wiring.flipped(outer))))
            else:
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        return m


@dataclass(frozen=True)
class EngineOutcome:
    """What the Verilog gave for images.

    mismatches   name -> labels, scores, spikes and membranes of each hidden layer that differ
    first, pace  cycles until the first batch's last score; from one batch to the next, or None
    last_pace    from the last but one to the last
    works        the part of the cycles since then in which the array had a word
    waits        in which it waited for weights
    """

    labels: np.ndarray
    scores: np.ndarray
    mismatches: dict
    first: int
    pace: float | None
    last_pace: int | None
    works: float
    waits: float

    @property
    def ok(self):
        return not any(self.mismatches.values())


def compile_engine(shape, place, controller=None, core_hz=None, verilog=None):
    """The program that sends images through an engine's Verilog, in the folder ``place``.

    controller: :class:`qsnn.hw.memory.sdram.SdramController`, whose chip's model is beside it; else
    words of programs come from the testbench. core_hz: the clock of the core, where the
    controller, a :class:`qsnn.hw.memory.crossing.MemoryClock`, has another one. verilog: of the
    engine alone, in place of what is emitted.
    """
    top = EngineBench(shape, controller) if controller else Engine(shape)
    model = {"sdram.v": (HERE / "sdram.v").read_text()} if controller else {}
    crossing = isinstance(controller, MemoryClock)
    widths = {"RATIO": round(1000 * controller.clock_hz / core_hz) if crossing else 0,
              "MEMORY": int(controller is not None), "TRACE_BITS": shape.beat * shape.steps,
              "MEMBRANE_BITS": shape.beat * (shape.membrane_bits + 1)}
    source = (HERE / "engine.cpp").read_text()
    for name, width in widths.items():
        source = re.sub(rf"\b{name}\b", str(width), source)
    return compiled(place, "engine", {
        "engine.v": verilog or to_verilog(top, "engine"), "engine.cpp": source, **model,
        "words.h": (HERE / "words.h").read_text()}, top="engine")


def run_engine(program_file, program, pixels, *, stalls=0, seed=0, trace=True):
    """Images [N, n_in] through an engine: an :class:`EngineOutcome`.

    program_file: of :func:`compile_engine`. stalls: of 256 cycles, in which memory, pixels and
    results wait. trace: compare spikes and membranes as well. N must be a multiple of the batch.
    """
    description, count = program.description, len(pixels)
    if count % program.batch:
        raise SimulationError(f"{count} images are no whole batches of {program.batch}")
    with workspace(HERE) as work:
        (work / "program.bin").write_bytes(program.tobytes())
        (work / "images.bin").write_bytes(pixels.astype(np.uint8).tobytes())
        traces = ["spikes.bin", "membranes.bin"] if trace else ["-", "-"]
        done = subprocess.run(
            [str(Path(program_file).resolve()), "program.bin", "images.bin", "results.bin", *traces,
             *map(str, (count, program.batch, description.outputs, stalls, seed))],
            cwd=work, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SimulationError(f"the engine's simulation ended: {done.stderr.strip()[-300:]}")
        facts = json.loads(done.stdout)
        results = np.fromfile(work / "results.bin", "<u8")
        found = [np.fromfile(work / name, np.uint32) if trace else None
                 for name in ("spikes.bin", "membranes.bin")]
    scores = (results & 0xFFFFFFFF).astype(np.uint32).view(np.int32).astype(np.int64)
    scores = scores.reshape(count, description.outputs)
    labels = (results >> np.uint64(32) & np.uint64(0xFFFF)).astype(np.int64)
    labels = labels.reshape(count, -1)[:, -1]
    expected = golden.infer(description, pixels, trace=trace)
    mismatches = {"labels": int((labels != expected.labels).sum()),
                  "scores": int((scores != expected.scores).sum())}
    if trace:
        for index, (spikes, membranes) in enumerate(_beats(program, *found, count)):
            mismatches[f"spikes of layer {index}"] = int(
                (spikes != expected.spikes[index]).sum())
            mismatches[f"membranes of layer {index}"] = int(
                (membranes != expected.membranes[index]).sum())
    batches = count // program.batch
    pace = (facts["end"] - facts["first"]) / (batches - 1) if batches > 1 else None
    after = max(1, facts["end"] - facts["first"])
    return EngineOutcome(labels, scores, mismatches, facts["first"], pace,
                         facts["end"] - facts["before"] if batches > 1 else None,
                         facts["works"] / after, facts["waits"] / after)


def _beats(program, spikes, membranes, count):
    """For each hidden layer (spikes, membranes) [N, T, n_out] of what the engine gave."""
    shape, description = program.shape, program.description
    beat, steps, bits = shape.beat, shape.steps, shape.membrane_bits + 1
    spikes = _fields(spikes, beat * steps, 1).reshape(-1, beat, steps)
    membranes = _fields(membranes, beat * bits, bits).reshape(-1, steps, beat)
    membranes = membranes - (membranes >> bits - 1 << bits)
    batches = count // program.batch
    share = program.share
    whole = [_order(shape, layer, program.batch >> share, 1 << share, index == 0)
             for index, layer in enumerate(description.hidden)]
    sizes = [len(order) for order in whole]
    spikes = spikes.reshape(batches, sum(sizes), beat, steps).transpose(0, 1, 3, 2)
    membranes = membranes.reshape(batches, sum(sizes), steps, beat)
    start = 0
    for layer, size, order in zip(description.hidden, sizes, whole, strict=True):
        yield tuple(_placed(values[:, start:start + size], layer, order, program.batch, count,
                            description.time_steps, 1 << share, kind)
                    for values, kind in ((spikes, np.uint8), (membranes, np.int16)))
        start += size


def _order(shape, layer, sets, beside, pixels):
    """(image, position, first channel, single) of each beat: groups, sets of images, positions,
    channels. Those of pixels are of a single image, others of all ``beside`` each other."""
    groups = -(-layer.channels // shape.pe)
    if layer.kind == "convolution":
        rows, columns = (1, 1) if layer.pool == "sum" else layer.pool_size
        positions = [(y + dy) * layer.out_width + x + dx
                     for y in range(0, layer.out_height, rows)
                     for x in range(0, layer.out_width, columns)
                     for dy in range(rows) for dx in range(columns)]
    else:
        positions = [0]
    return [(several * beside + lane, position, group * shape.pe + beat * shape.beat, pixels)
            for group in range(groups) for several in range(sets) for position in positions
            for lane in (range(beside) if pixels else [0]) for beat in range(shape.beats)]


def _placed(values, layer, order, batch, count, time_steps, beside, kind):
    """Beats [batches, beats, steps, beat] -> [N, T, n_out]."""
    beat, each = values.shape[-1], values.shape[2] // beside
    images, positions, channels, single = np.array(order).T
    padded = int(channels.max()) + beat
    found = np.zeros((len(values), batch, int(positions.max()) + 1, padded, each), kind)
    for image in range(1 if single[0] else beside):
        # the lanes of an image; of pixels all lanes say the same of one
        part = values[:, :, image * each:(image + 1) * each]
        for lane in range(beat):
            found[:, images + image, positions, channels + lane] = part[:, :, :, lane]
    found = found[:, :, :, :layer.channels, :time_steps].reshape(count, -1, time_steps)
    return found.transpose(0, 2, 1)


def _fields(words, total, width):
    """Fields of ``width`` bits of values that take whole 32-bit words each."""
    each = -(-total // 32)
    bits = np.unpackbits(words.view(np.uint8).reshape(-1, 4 * each), axis=1, bitorder="little")
    bits = bits[:, :total].reshape(-1, width)
    return bits @ (1 << np.arange(width)).astype(np.int64)

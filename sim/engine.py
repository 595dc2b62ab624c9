"""Programs on the emitted engine, compiled by Verilator: scores, spikes and membranes against the
golden model."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.engine.engine import Engine
from qsnn.model import golden
from qsnn.sim.program import compiled, workspace
from qsnn.sim.tools import SimulationError

__all__ = ["EngineOutcome", "compile_engine", "run_engine"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class EngineOutcome:
    """What the Verilog gave for images.

    mismatches   name -> labels, scores, spikes and membranes of each hidden layer that differ
    first, pace  cycles until the first batch's last score; from one batch to the next, or None
    last_pace    from the last but one to the last
    works        the part of all cycles in which the array had a word
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


def compile_engine(shape, place):
    """The program that sends images through an engine's Verilog, in the folder ``place``."""
    widths = {"TRACE_BITS": shape.beat * shape.steps,
              "MEMBRANE_BITS": shape.beat * (shape.membrane_bits + 1)}
    source = (HERE / "engine.cpp").read_text()
    for name, width in widths.items():
        source = source.replace(name, str(width))
    return compiled(place, "engine", {
        "engine.v": to_verilog(Engine(shape), "engine"), "engine.cpp": source,
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
        (work / "program.bin").write_bytes(program.tobytes()[:-4])
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
    return EngineOutcome(labels, scores, mismatches, facts["first"], pace,
                         facts["end"] - facts["before"] if batches > 1 else None,
                         facts["works"] / facts["cycles"], facts["waits"] / facts["cycles"])


def _beats(program, spikes, membranes, count):
    """For each hidden layer (spikes, membranes) [N, T, n_out] of what the engine gave."""
    shape, description = program.shape, program.description
    beat, steps, bits = shape.beat, shape.steps, shape.membrane_bits + 1
    spikes = _fields(spikes, beat * steps, 1).reshape(-1, beat, steps)
    membranes = _fields(membranes, beat * bits, bits).reshape(-1, steps, beat)
    membranes = membranes - (membranes >> bits - 1 << bits)
    batches = count // program.batch
    share = shape.share(description.time_steps)
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
        rows, columns = layer.pool_size
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

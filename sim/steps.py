"""Streams of steps through the emitted Verilog, compiled by Verilator, against the golden model.

As :mod:`sim.compiled` does it for images: labels, class scores and a CRC-32 of every layer's spikes
and membranes over all steps.
"""

import json
import zlib
from dataclasses import dataclass

import numpy as np

from hw.build import foldings_of
from hw.serial.plan import serial_plan
from hw.serial.timing import finish_times, word_counts
from hw.stages import ceil_div
from model import streams
from sim.compiled import compile_model, unpack_results, watch
from sim.tools import SimulationError

__all__ = ["Steps", "pack_steps", "simulate_steps"]

CHUNK = 1 << 16  # steps that the golden model goes at once


@dataclass(frozen=True)
class Steps:
    """What the Verilog gave, and where it differs from the golden model.

    labels, scores  of each result
    steps, cycles   steps that went through, and cycles that they took
    planned         cycles that they should take, see :mod:`hw.serial.timing`
    rates           firing rate of each hidden layer
    reads           words that each layer read, on average a step; and if all had been read
    mismatches      name -> number of labels, of scores, and of checksums that differ
    """

    labels: np.ndarray
    scores: np.ndarray
    steps: int
    cycles: int
    planned: int
    rates: tuple
    reads: tuple
    mismatches: dict

    @property
    def ok(self):
        return not any(self.mismatches.values())


def pack_steps(facts, x, emit, clear):
    """Steps [T, n_in] as input beats in whole little-endian 32-bit words; and beats of each step.

    emit, clear: [T] bool.
    """
    port = facts["ports"]["i__payload"]
    fields, words = port["fields"], port["words_per_step"]
    simd, steps = fields["word"]["width"], len(x)
    padded = np.zeros((steps, words, simd), np.uint8)
    padded.reshape(steps, -1)[:, :x.shape[1]] = x
    size = ceil_div(port["width"], 32) * 4
    if facts["events"]:
        chosen = padded.any(axis=2)
        chosen[~chosen.any(axis=1), -1] = True  # a step without a spike is one beat
    else:
        chosen = np.ones((steps, words), bool)
    step, index = np.nonzero(chosen)
    last = np.append(step[1:] != step[:-1], True)
    bits = np.zeros((len(step), size * 8), np.uint8)
    bits[:, fields["word"]["offset"]:][:, :simd] = padded[step, index]
    values = {"emit": emit[step] & last, "clear": clear[step] & last, "index": index, "end": last}
    for name in fields.keys() - {"word"}:
        field = fields[name]
        for bit in range(field["width"]):
            bits[:, field["offset"] + bit] = values[name].astype(np.int64) >> bit & 1
    packed = np.packbits(bits, axis=1, bitorder="little")
    return packed.tobytes(), chosen.sum(axis=1)


def simulate_steps(folder, facts, description, x, emit, clear, *, waves=None,
                   progress=lambda results: None):
    """Send steps [T, n_in] through the Verilog of a build folder, compare, return :class:`Steps`.

    emit, clear: [T] bool; the last step emits, and everything is behind it when it has.
    """
    emit, clear = (np.asarray(flags, bool) for flags in (emit, clear))
    if not len(x) or not emit[-1]:
        raise SimulationError("the last step of a stream must emit: its result ends the simulation")
    program = compile_model(folder, facts, waves=waves is not None)
    work = program.parent
    beats, arrivals = pack_steps(facts, x, emit, clear)
    (work / "beats.bin").write_bytes(beats)
    command = [str(program.resolve()), "beats.bin", "results.bin", str(int(emit.sum())),
               str(int(arrivals.sum())), str(description.classes)]
    if waves is not None:
        command.append(str(waves))
    measured = json.loads(watch(command, work, progress))
    scores, labels, framed = unpack_results(facts, np.fromfile(work / "results.bin", dtype="<u8"))

    golden = _Golden(description, serial_plan(description, foldings_of(facts)))
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        golden.go(x[part], emit[part], clear[part])
    expected, counts, planned = golden.result(arrivals)
    mismatches = {"labels": int((labels != expected.argmax(axis=1)).sum()),
                  "scores": int((scores != expected).sum()), "framing": int(not framed)}
    for index in range(len(description.hidden)):
        for name in ("spikes", "membranes"):
            mismatches[f"layer {index} {name}"] = int(
                measured[name][index] != golden.checksums[name][index])
    # from the first beat to the last class: the readout's result waits for the score unit
    return Steps(labels=labels, scores=scores, steps=len(x), cycles=measured["cycles"],
                 planned=planned, rates=tuple(rate / len(x) for rate in golden.rates),
                 reads=tuple((float(count.mean()), stage.words) for count, stage in zip(
                     counts, golden.plan.stages, strict=True)), mismatches=mismatches)


class _Golden:
    """The golden model over a long stream, a chunk at a time: checksums, and words read."""

    def __init__(self, description, plan):
        self.description, self.plan = description, plan
        hidden = len(description.hidden)
        self.state, self.scores = None, []
        self.checksums = {"spikes": [0] * hidden, "membranes": [0] * hidden}
        self.rates = [0.0] * hidden
        self.spikes = [[] for _ in range(hidden)]
        self.x, self.clears = [], []

    def go(self, x, emit, clear):
        found = streams.run(self.description, x[None], emit=np.flatnonzero(emit),
                            clear=np.flatnonzero(clear), state=self.state, trace=True)
        self.state = found.state
        self.scores.append(found.scores[0])
        self.x.append(x)
        self.clears.append(clear)
        for index, layer in enumerate(self.description.hidden):
            spikes = np.ascontiguousarray(found.spikes[index][0])
            membranes = found.membranes[index][0].astype(np.uint8) & (
                (1 << layer.membrane_bits) - 1)
            for name, values in (("spikes", spikes), ("membranes", membranes)):
                self.checksums[name][index] = zlib.crc32(np.ascontiguousarray(values).tobytes(),
                                                         self.checksums[name][index])
            self.rates[index] += float(spikes.mean()) * len(x)
            self.spikes[index].append(np.packbits(spikes, axis=1))

    def result(self, arrivals):
        """Scores, words that each layer read at each step, cycles planned."""
        clears = np.concatenate(self.clears)
        x = np.concatenate(self.x)
        counts = []
        for layer, stage, fired in zip(self.description.layers, self.plan.stages,
                                       [*self.spikes, None], strict=True):
            spikes = None
            if fired is not None:
                spikes = np.unpackbits(np.concatenate(fired), axis=1, count=layer.n_out)
            counts.append(word_counts(stage, x, spikes, clears))
            x = spikes
        finish = finish_times(self.plan, counts, arrivals)
        # score and queue, then a class a cycle
        classes = self.description.classes
        stage = self.plan.stages[-1]
        planned = int(finish[-1, -1]) + 4 + 1 - (stage.neurons - classes)
        return np.concatenate(self.scores), counts, planned

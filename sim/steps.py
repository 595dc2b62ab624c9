"""Streams of steps through the emitted Verilog, compiled by Verilator, against the golden model.

As :mod:`qsnn.sim.compiled` does it for images: labels, class scores and a CRC-32 of every layer's
spikes and membranes over all steps.
"""

import json
import zlib
from dataclasses import dataclass

import numpy as np

from qsnn.hw.emit.build import foldings_of
from qsnn.hw.plan.serial import serial_plan
from qsnn.hw.plan.stages import ceil_div
from qsnn.hw.plan.steps import finish_times, word_counts
from qsnn.model import streams
from qsnn.model.recordings import BEAT
from qsnn.sim.compiled import compile_model, unpack_results, watch
from qsnn.sim.tools import SimulationError

__all__ = ["Steps", "pack_beats", "pack_fields", "pack_sounds", "pack_steps", "simulate_steps"]

CHUNK = 1 << 16  # steps that the golden model goes at once


@dataclass(frozen=True)
class Steps:
    """What the Verilog gave, and where it differs from the golden model.

    labels, scores  of each result
    steps, cycles   steps that went through, and cycles that they took
    planned         cycles that they should take, see :mod:`qsnn.hw.plan.steps`; 0 behind an encoder
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
    if facts.get("encoder"):
        raise SimulationError(f"this Verilog has the encoder {facts['encoder']} in front: it takes "
                              "a signal and no steps")
    simd, steps = fields["word"]["width"], len(x)
    padded = np.zeros((steps, words, simd), np.uint8)
    padded.reshape(steps, -1)[:, :x.shape[1]] = x
    if facts["events"]:
        chosen = padded.any(axis=2)
        chosen[~chosen.any(axis=1), -1] = True  # a step without a spike is one beat
    else:
        chosen = np.ones((steps, words), bool)
    step, index = np.nonzero(chosen)
    last = np.append(step[1:] != step[:-1], True)
    values = {"emit": emit[step] & last, "clear": clear[step] & last, "index": index, "end": last}
    bits = {f"word {bit}": {"offset": fields["word"]["offset"] + bit, "width": 1}
            for bit in range(simd)}
    values |= {name: padded[step, index, bit] for bit, name in enumerate(bits)}
    fields = {name: field for name, field in fields.items() if name != "word"} | bits
    return pack_fields(fields, values, port["width"], len(step)), chosen.sum(axis=1)


def pack_beats(facts, samples, intervals, records):
    """Heart beats as input of the encoder ``ecg``, see
    :func:`qsnn.model.recordings.encode_beats`.
    """
    port = facts["ports"]["i__payload"]
    fields = port["fields"]
    seen = samples[:, BEAT].astype(np.int64)
    count, length = seen.shape
    values = {"sample": seen.ravel(), "interval": np.repeat(intervals.astype(np.int64), length)}
    at = np.arange(count * length) % length
    fresh = np.append(True, records[1:] != records[:-1])
    values |= {"begin": at == 0, "end": at == length - 1, "fresh": np.repeat(fresh, length)}
    return pack_fields(fields, values, port["width"], count * length)


def pack_sounds(facts, samples):
    """Sounds int16 [N, T] as input of the encoder ``spoken-digits``, a recording each."""
    port = facts["ports"]["i__payload"]
    last = np.arange(samples.size) % samples.shape[1] == samples.shape[1] - 1
    values = {"sample": samples.ravel(), "end": last}
    return pack_fields(port["fields"], values, port["width"], samples.size)


def pack_fields(fields, values, width, count):
    """Fields, numbers [count] each, as beats in whole little-endian 32-bit words."""
    words = np.zeros((count, ceil_div(width, 32) * 32), np.uint8)
    for name, field in fields.items():
        for bit in range(field["width"]):
            words[:, field["offset"] + bit] = values[name].astype(np.int64) >> bit & 1
    return np.packbits(words, axis=1, bitorder="little").tobytes()


def simulate_steps(folder, facts, description, x, emit, clear, *, signal=None, waves=None,
                   progress=lambda results: None):
    """Send steps [T, n_in] through the Verilog of a build folder, compare, return :class:`Steps`.

    emit, clear: [T] bool; the last step emits, and everything is behind it when it has. signal:
    beats of :func:`pack_beats` or :func:`pack_sounds` that go in where the Verilog has an encoder,
    which must make these steps of them.
    """
    emit, clear = (np.asarray(flags, bool) for flags in (emit, clear))
    if not len(x) or not emit[-1]:
        raise SimulationError("the last step of a stream must emit: its result ends the simulation")
    program = compile_model(folder, facts, waves=waves is not None)
    work = program.parent
    arrivals = None
    if signal is None:
        signal, arrivals = pack_steps(facts, x, emit, clear)
    (work / "beats.bin").write_bytes(signal)
    size = ceil_div(facts["ports"]["i__payload"]["width"], 32) * 4
    command = [str(program.resolve()), "beats.bin", "results.bin", str(int(emit.sum())),
               str(len(signal) // size), str(description.classes)]
    if waves is not None:
        command.append(str(waves))
    measured = json.loads(watch(command, work, progress))
    scores, labels, framed = unpack_results(facts, np.fromfile(work / "results.bin", dtype="<u8"))

    golden = _Golden(description, serial_plan(description, foldings_of(facts)))
    each = _sample_steps(emit, clear)
    for start in range(0, len(x), CHUNK // (each or 1) * (each or 1)):
        part = slice(start, start + CHUNK // (each or 1) * (each or 1))
        golden.go(x[part], emit[part], clear[part], each)
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


def _sample_steps(emit, clear):
    """Steps of a sample, where all are as long and end with both commands; else 0."""
    ends = np.flatnonzero(emit)
    each = int(ends[0]) + 1
    alike = (emit == clear).all() and len(emit) == each * len(ends)
    return each if alike and each <= CHUNK and (ends % each == each - 1).all() else 0


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

    def go(self, x, emit, clear, each):
        if each:  # nothing is left behind a sample: all of them at once
            found = streams.run(self.description, x.reshape(-1, each, x.shape[1]),
                                emit=[each - 1], clear=[each - 1], trace=True)
        else:
            found = streams.run(self.description, x[None], emit=np.flatnonzero(emit),
                                clear=np.flatnonzero(clear), state=self.state, trace=True)
            self.state = found.state
        self.scores.append(found.scores.reshape(-1, self.description.classes))
        self.x.append(x)
        self.clears.append(clear)
        for index, layer in enumerate(self.description.hidden):
            spikes, membranes = (values[index].reshape(-1, layer.n_out)
                                 for values in (found.spikes, found.membranes))
            membranes = membranes.astype(np.uint8) & ((1 << layer.membrane_bits) - 1)
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
        if arrivals is None:
            return np.concatenate(self.scores), counts, 0
        finish = finish_times(self.plan, counts, arrivals)
        # score and queue, then a class a cycle
        classes = self.description.classes
        stage = self.plan.stages[-1]
        planned = int(finish[-1, -1]) + 4 + 1 - (stage.neurons - classes)
        return np.concatenate(self.scores), counts, planned

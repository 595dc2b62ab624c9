"""Streams of steps through the emitted Verilog, compiled by Verilator, against the golden model.

As :mod:`qsnn.sim.compiled` does it for images: labels, class scores and a CRC-32 of every layer's
spikes and membranes over all steps.
"""

from dataclasses import dataclass

import numpy as np

from qsnn.hw.emit.build import foldings_of
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.steps import finish_times, word_counts
from qsnn.hw.plan.window import ceil_div
from qsnn.model import streams
from qsnn.model.golden import labels_of, pooled
from qsnn.sim.beats import pack_steps, unpack_results
from qsnn.sim.compiled import Checksums, compile_model, differing, run_program
from qsnn.sim.tools import SimulationError

__all__ = ["Steps", "simulate_steps"]

CHUNK = 1 << 16  # steps that the golden model goes at once


@dataclass(frozen=True)
class Steps:
    """What the Verilog gave, and where it differs from the golden model.

    labels, scores  of each result
    expected        labels of the golden model
    steps, cycles   steps that went through, and cycles that they took
    planned         cycles that they should take, see :mod:`qsnn.hw.plan.steps`; 0 behind an encoder
    rates           firing rate of each hidden layer
    reads           words that each layer read, on average a step; and if all had been read
    mismatches      name -> number of labels, of scores, and of checksums that differ
    """

    labels: np.ndarray
    scores: np.ndarray
    expected: np.ndarray
    steps: int
    cycles: int
    planned: int
    rates: tuple
    reads: tuple
    mismatches: dict

    @property
    def ok(self):
        return not any(self.mismatches.values())

    @property
    def pace(self):
        """Cycles from one step to the next, and no latency."""
        return self.cycles / self.steps, None

    def rows(self, facts):
        """(name, value) of what a table says beside accuracy and mismatches."""
        planned = f" (planned {self.planned / self.steps:.1f})" if self.planned else ""
        return [("steps", f"{self.steps:,}"),
                ("firing rates", " ".join(f"{rate:.3f}" for rate in self.rates)),
                ("words read a step", ", ".join(f"{read:.1f} of {words}"
                                                for read, words in self.reads)),
                ("cycles per step", f"{self.cycles / self.steps:.1f}{planned}")]


def simulate_steps(folder, facts, description, x, emit, clear, *, signal=None, waves=None,
                   progress=lambda results: None):
    """Send steps [T, n_in] through the Verilog of a build folder, compare, return :class:`Steps`.

    emit, clear: [T] bool; the last step emits, and everything is behind it when it has. signal:
    beats of :func:`qsnn.sim.beats.pack_heartbeats` or :func:`qsnn.sim.beats.pack_sounds` that go in
    where the Verilog has an encoder, which must make these steps of them.
    """
    emit, clear = (np.asarray(flags, bool) for flags in (emit, clear))
    if not len(x) or not emit[-1]:
        raise SimulationError("the last step of a stream must emit: its result ends the simulation")
    program = compile_model(folder, facts, waves=waves)
    arrivals = None
    if signal is None:
        signal, arrivals = pack_steps(facts, x, emit, clear)
    size = ceil_div(facts["ports"]["i_payload"]["width"], 32) * 4
    measured, results = run_program(
        program, folder, signal, (int(emit.sum()), len(signal) // size, description.outputs),
        progress, waves)
    scores, labels, framed = unpack_results(facts, results)

    golden = _Golden(description, plan(description, foldings_of(facts)))
    each = _sample_steps(emit, clear)
    for start in range(0, len(x), CHUNK // (each or 1) * (each or 1)):
        part = slice(start, start + CHUNK // (each or 1) * (each or 1))
        golden.go(x[part], emit[part], clear[part], each)
    expected, counts, planned = golden.result(arrivals)
    mismatches = {"labels": int((labels != labels_of(expected)).sum()),
                  "scores": int((scores != expected).sum()), "framing": int(not framed)}
    mismatches |= differing(measured, golden.checksums)
    # from the first beat to the last class: the readout's result waits for the score unit
    return Steps(labels=labels, scores=scores, expected=labels_of(expected), steps=len(x),
                 cycles=measured["cycles"],
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
        self.checksums = Checksums(description)
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
        self.scores.append(found.scores.reshape(-1, self.description.outputs))
        self.x.append(x)
        self.clears.append(clear)
        self.checksums.add(found.spikes, found.membranes)
        for index, layer in enumerate(self.description.hidden):
            spikes = found.spikes[index].reshape(-1, layer.n_out)
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
            x = pooled(layer, spikes) if layer.kind == "convolution" else spikes
        if arrivals is None:
            return np.concatenate(self.scores), counts, 0
        finish = finish_times(self.plan, counts, arrivals)
        # score and queue, then a class a cycle
        classes = self.description.outputs
        stage = self.plan.stages[-1]
        planned = int(finish[-1, -1]) + 4 + 1 - (stage.neurons - classes)
        return np.concatenate(self.scores), counts, planned

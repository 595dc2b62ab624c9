"""A recording that is played through a simulated core at its own pace, compared as it goes.

The core gets the samples of each beat's window, and is looked at after each of its steps. What it
gave is compared with the golden model there and then: every input, spike, membrane and score.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from qsnn.model import streams

__all__ = ["Beat", "Decision", "Golden", "Moment", "Player", "Recording", "Totals", "summary"]

LATE = 0.5  # seconds behind the pace, from which on it is given up


@dataclass(frozen=True, eq=False)
class Recording:
    """Beats of one patient in their order; or recordings of anything, one behind the other.

    name       of the recording, for people
    samples    [N, S], around each beat: what is drawn, and what an encoder in the Verilog takes
    intervals  [N], before each beat, in ticks; 0: unknown
    labels     [N], what a cardiologist says, or whoever is ``judge``
    classes    name of each class
    inputs     (name, number) of groups of what the encoder gives, in order
    encoded    spikes that the encoder must give, uint8 [N, steps, n_in]
    seen       samples of a beat that the core gets, as many for each step
    peak       sample in which the beat is
    rate       samples a second
    ticks      of an interval, a second
    unit       what a sample counts: (name, number of it, that of zero); 0 of it: nothing
    title, what, judge  of what, what one is called, and who knows its class
    encoded_before  whether the core gets the spikes, and no samples
    """

    name: str
    samples: np.ndarray
    intervals: np.ndarray
    labels: np.ndarray
    classes: tuple
    inputs: tuple
    encoded: np.ndarray
    seen: slice
    peak: int = 50
    rate: float = 180.0
    ticks: float = 360.0
    unit: tuple = ("mV", 200, 1024)
    title: str = "ECG"
    what: str = "beat"
    judge: str = "cardiologist"
    encoded_before: bool = False

    @property
    def steps(self):
        """Steps of a beat."""
        return self.encoded.shape[1]

    @property
    def peaks(self):
        """When each beat is, in seconds from the first sample on."""
        gaps = np.where(self.intervals > 0, self.intervals, self.ticks)[1:]
        return self.peak / self.rate + np.concatenate([[0], np.cumsum(gaps)]) / self.ticks

    def pace(self):
        """When the steps of each beat begin and end, seconds [N] and [N].

        They end with the last sample. Where a window begins before the one before it ends, its
        samples wait until then, and come faster.
        """
        first = self.peaks + (self.seen.start - self.peak) / self.rate
        end = first + (self.seen.stop - self.seen.start) / self.rate
        return np.maximum(first, np.concatenate([first[:1], end[:-1]])), end

    @property
    def length(self):
        """Seconds."""
        return float(self.peaks[-1] + (self.samples.shape[1] - self.peak) / self.rate)


@dataclass(frozen=True, eq=False)
class Beat:
    """A beat begins. number: from 0 on, over all rounds; at: its peak, in seconds; samples: all."""

    number: int
    index: int
    at: float
    samples: np.ndarray
    truth: int


@dataclass(frozen=True, eq=False)
class Moment:
    """A step is through. at: seconds; samples: those of the step; step:
    :class:`qsnn.sim.live.Step`.
    """

    beat: int
    place: int
    at: float
    samples: np.ndarray
    step: object
    wrong: int


@dataclass(frozen=True, eq=False)
class Decision:
    """A beat is through."""

    beat: int
    label: int
    truth: int
    scores: np.ndarray


@dataclass
class Totals:
    """What there has been so far.

    seconds   of the recording
    cycles    that the core was busy
    most      of a step
    clock     lowest, in Hz, at which each step was done before the next one came
    compared  values; and those that were unlike the golden model, by name
    lags      how often the simulation was too slow for its pace
    classes   (truth, label) -> beats
    """

    beats: int = 0
    right: int = 0
    steps: int = 0
    seconds: float = 0.0
    cycles: int = 0
    last: int = 0
    most: int = 0
    clock: float = 0.0
    compared: int = 0
    wrong: Counter = field(default_factory=Counter)
    lags: int = 0
    classes: Counter = field(default_factory=Counter)

    @property
    def mismatches(self):
        return self.wrong.total()

    def busy(self, clock):
        """Share of the cycles at that clock, in Hz."""
        return self.cycles / (clock * self.seconds) if self.seconds else 0.0


class Golden:
    """The golden model of a beat: what each step must be."""

    def __init__(self, description, recording):
        self.description, self.recording = description, recording

    def beat(self, index):
        """One :class:`qsnn.model.streams.StreamResult` of a stream that is cleared behind it."""
        steps = self.recording.encoded[index]
        last = [len(steps) - 1]
        return streams.run(self.description, steps[None], emit=last, clear=last, trace=True)


class Player:
    """Plays a recording through a core.

    Parameters
    ----------
    core : :class:`qsnn.sim.live.LiveCore`
    recording : :class:`Recording`
    golden : :class:`Golden`
    speed : float
        Of the recording; 0: as fast as it goes.
    beats : int
        Stop after so many; 0: at the end of the recording, or never where it is repeated.
    repeat : bool
        Begin anew at its end.
    """

    def __init__(self, core, recording, golden, *, speed=1.0, beats=0, repeat=False):
        self.core, self.recording, self.golden = core, recording, golden
        self.speed, self.beats, self.repeat = speed, beats, repeat
        self.totals = Totals()
        self.now = 0.0  # seconds of the recording

    def play(self):
        """The :class:`Beat`, its :class:`Moment` of each step, and its :class:`Decision`, ..."""
        recording = self.recording
        starts, ends = (times.tolist() for times in recording.pace())
        peaks, count = recording.peaks.tolist(), len(recording.labels)
        self.begun = time.monotonic()
        number = 0
        while (not self.beats or number < self.beats) and (
                number < count or self.repeat or self.beats):
            index, past = number % count, number // count * recording.length
            self._wait(past + starts[index])
            yield Beat(number, index, past + peaks[index], recording.samples[index],
                       int(recording.labels[index]))
            yield from self._steps(number, index, past + starts[index], past + ends[index])
            number += 1

    def _steps(self, number, index, start, end):
        recording, totals = self.recording, self.totals
        golden, steps = self.golden.beat(index), recording.steps
        seen = recording.samples[index, recording.seen].astype(np.int64).reshape(steps, -1)
        for place, samples in enumerate(seen):
            at = start + (place + 1) * (end - start) / steps
            self._wait(at)
            if recording.encoded_before:
                step = self.core.take(recording.encoded[index, place], result=place == steps - 1)
            else:
                first, last = (np.arange(len(samples)) == edge for edge in (0, len(samples) - 1))
                step = self.core.step(
                    result=place == steps - 1, sample=samples, begin=first & (place == 0),
                    end=last & (place == steps - 1), fresh=first & (place == 0) & (index == 0),
                    interval=int(recording.intervals[index]))
            wrong = self._compare(step, recording.encoded[index, place], golden, place)
            totals.steps += 1
            totals.cycles += step.busy
            totals.last, totals.most = step.busy, max(totals.most, step.busy)
            totals.clock = max(totals.clock, step.busy * steps / (end - start))
            totals.seconds = at
            if step.label is not None:
                truth = int(recording.labels[index])
                totals.beats += 1
                totals.right += step.label == truth
                totals.classes[truth, step.label] += 1
            yield Moment(number, place, at, samples, step, wrong)
        yield Decision(number, step.label, truth, step.scores)

    def _compare(self, step, inputs, golden, place):
        """Count what differs."""
        pairs = {"inputs": (step.inputs, inputs)}
        for index, (spikes, membranes) in enumerate(zip(step.spikes, step.membranes, strict=True)):
            pairs[f"layer {index} spikes"] = spikes, golden.spikes[index][0, place]
            pairs[f"layer {index} membranes"] = membranes, golden.membranes[index][0, place]
        if step.label is not None:
            pairs["scores"] = step.scores, golden.scores[0, 0]
            pairs["labels"] = np.array([step.label]), golden.labels[0]
        wrong = 0
        for name, (found, expected) in pairs.items():
            differing = int((found != expected).sum())
            self.totals.compared += found.size
            self.totals.wrong[name] += differing
            wrong += differing
        return wrong

    def _wait(self, at):
        """Until that second of the recording."""
        if self.speed:
            left = self.begun + at / self.speed - time.monotonic()
            if left > 0:
                time.sleep(left)
            elif left < -LATE:
                self.begun -= left  # from here on again
                self.totals.lags += 1
        self.now = at


def summary(description, recording, totals, clock):
    """What there has been, as a table for people."""
    rows = [
        ("network", f"{description.shape}, {description.hidden[0].membrane_bits}-bit membranes"),
        ("recording", f"{recording.name}, {totals.seconds:,.1f} s of it"),
        (f"{recording.what}s", f"{totals.beats:,}, {totals.steps:,} steps"),
    ]
    if totals.beats:
        rows += [("right", f"{totals.right:,} of {totals.beats:,}, "
                           f"{totals.right / totals.beats:.1%}")]
        for truth, name in enumerate(recording.classes):
            labels = Counter({label: count for (of, label), count in totals.classes.items()
                              if of == truth})
            if labels:
                rows.append((f"  {name}", f"{labels[truth]:,} of {labels.total():,}"))
    rows += [("mismatches", f"{totals.mismatches:,} of {totals.compared:,} values"),
             *((f"  {name}", f"{count:,}") for name, count in totals.wrong.items())]
    if totals.steps:
        rows += [
            ("cycles a step", f"{totals.cycles / totals.steps:,.1f}, at most {totals.most:,}"),
            (f"busy at {clock / 1e6:g} MHz", f"{totals.busy(clock):.3%} of the time, idle "
                                             f"{1 - totals.busy(clock):.3%}"),
            ("lowest clock", f"{totals.clock / 1e3:,.1f} kHz has each step done before the next"),
        ]
    if totals.lags:
        rows.append(("pace", f"the simulation was too slow for it, {totals.lags:,} times"))
    lines = [f"{name:<22}{value}" for name, value in rows]
    lines.append("equal: every input, spike, membrane and score" if not totals.mismatches
                 else "NOT EQUAL: the Verilog differs from the golden model")
    return "\n".join(lines)

"""Streams in the golden model: steps without an end, and the state between them.

At each step a network takes ``x_t``, the spikes of its inputs, and all layers advance by that
step. The sums of a layer see some earlier steps too, and its own spikes of the step before::

    S_t = sum_d sum_i w[d, i] x_(t-d)[i]  +  sum_j r[j] spike_(t-1)[j]          d = 0 .. taps - 1

``r`` has as many bits as ``w``. A convolution sees this step alone, with the sums and the pooling
of :mod:`qsnn.model.golden`; the inputs of a layer behind a sum pooling have several bits.

The neurons are those of :mod:`qsnn.model.golden`; nothing is cleared from one step to the next. The
readout adds what it gets, its total leaks where it has a leak, and saturates where a window of
steps could not have come to more::

    total_t = clamp(stays(total_(t-1)) + (S_t << frac), -limit, limit)
                                               limit = window * largest S_t << frac

Two commands come with a step. **emit**: behind the step, the readout gives a result, ::

    score = total + bias                  label = first class with the largest score

and its total is 0; one that leaks stays, and forgets as it does. **clear**: behind the step,
everything is as it was at the very start: membranes, what the taps have seen, spikes and totals are
0. A sample of a data set ends with both.
"""

from dataclasses import dataclass

import numpy as np

from qsnn.model.golden import (
    Result,
    Synapses,
    labels_of,
    layer_sums,
    neuron_step,
    pooled,
    synaptic_sum,
    total_step,
)

__all__ = ["State", "StreamResult", "classify", "run"]

MAX_NUMBERS = 1 << 22  # inputs that are looked at at once, at least one sample's


@dataclass(frozen=True, eq=False)
class State:
    """What stays from step to step, of N streams.

    membranes  per hidden layer [N, n_out] int64
    seen       per hidden layer [N, taps - 1, n_in] uint8: its inputs, the last step's first
    spikes     per hidden layer [N, n_out] uint8, of the last step
    total      [N, outputs] int64, of the readout, in units of 2**-frac synapses
    """

    membranes: tuple
    seen: tuple
    spikes: tuple
    total: np.ndarray

    @classmethod
    def start(cls, description, streams=1):
        """Nothing has been yet."""
        check_stream(description)
        hidden = description.hidden

        def zeros(*shape, dtype=np.uint8):
            return np.zeros((streams, *shape), dtype)
        return cls(membranes=tuple(zeros(layer.n_out, dtype=np.int64) for layer in hidden),
                   seen=tuple(zeros(layer.taps - 1, layer.n_in) for layer in hidden),
                   spikes=tuple(zeros(layer.n_out) for layer in hidden),
                   total=zeros(description.outputs, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class StreamResult:
    """What N streams give for T steps, E of which emit.

    labels     [N, E] int64
    scores     [N, E, outputs] int64
    rates      firing rate of each hidden layer
    state      :class:`State` behind the last step
    spikes     per hidden layer [N, T, n_out] uint8, or None where no trace was asked for
    membranes  per hidden layer [N, T, n_out] int16, after the step, likewise
    """

    labels: np.ndarray
    scores: np.ndarray
    rates: tuple
    state: State
    spikes: tuple | None = None
    membranes: tuple | None = None


def check_stream(description):
    if not description.stream:
        raise ValueError("a network for images has no stream of steps: its time_steps are "
                         f"{description.time_steps}, not 0")


def run(description, steps, *, emit=(), clear=(), state=None, trace=False):
    """Advance N streams by T steps.

    steps: spikes [N, T, n_in], 0 or 1. emit, clear: the steps, 0 .. T-1, that have the command.
    state: where the streams are; None: at their start. Raises ``ValueError``.
    """
    state = state or State.start(description, len(steps))
    steps = check_steps(description, steps, len(state.total))
    count, length, _ = steps.shape
    emits, clears = (_flags(name, at, length) for name, at in (("emit", emit), ("clear", clear)))
    x, traces, ends = steps, [], []
    for layer, q, seen, last in zip(description.hidden, state.membranes, state.seen, state.spikes,
                                    strict=True):
        inputs, seen = _tapped(layer, x, seen, clears)
        sums = layer_sums(layer, inputs.reshape(count * length, -1)).reshape(count, length, -1)
        own = Synapses(layer.recurrent, 1) if layer.recurrent is not None else None
        spikes = np.empty((count, length, layer.n_out), np.uint8)
        membranes = np.empty((count, length, layer.n_out), np.int16)
        for t in range(length):
            total = sums[:, t] + own(last) if own else sums[:, t]
            q, fire = neuron_step(layer, q, total)
            spikes[:, t], membranes[:, t], last = fire, q, fire
            if clears[t]:
                q, last = np.zeros_like(q), np.zeros_like(fire)
        traces.append((spikes, membranes))
        ends.append((q, seen, last.astype(np.uint8)))
        x = spikes
        if layer.kind == "convolution":
            x = pooled(layer, x.reshape(-1, layer.n_out)).reshape(count, length, -1)
    total, scores = _read(description.readout, x, state.total, emits, clears)
    spikes, membranes = zip(*traces, strict=True)
    return StreamResult(
        labels=labels_of(scores), scores=scores,
        rates=tuple(float(layer.mean()) if layer.size else 0.0 for layer in spikes),
        state=State(*zip(*ends, strict=True), total),
        spikes=spikes if trace else None, membranes=membranes if trace else None)


def classify(description, samples, *, trace=False):
    """Samples [N, T, n_in], each from a start of its own, as a
    :class:`qsnn.model.golden.Result`.
    """
    samples = check_steps(description, samples, len(samples))
    length = samples.shape[1]
    if not len(samples) or not length:
        raise ValueError("there must be at least one sample of one step")
    widest = max(max(layer.taps * layer.n_in, layer.n_out) for layer in description.hidden)
    batch = max(1, MAX_NUMBERS // (length * widest))
    parts = [run(description, samples[start:start + batch], emit=[length - 1],
                 clear=[length - 1], trace=trace) for start in range(0, len(samples), batch)]
    weights = [min(batch, len(samples) - start) for start in range(0, len(samples), batch)]
    scores = np.concatenate([part.scores[:, 0] for part in parts])
    rates = tuple(float(np.average(rates, weights=weights))
                  for rates in zip(*(part.rates for part in parts), strict=True))

    def joined(name):
        return tuple(np.concatenate(layer) for layer in zip(
            *(getattr(part, name) for part in parts), strict=True)) if trace else None
    return Result(labels=labels_of(scores), scores=scores, rates=rates,
                  spikes=joined("spikes"), membranes=joined("membranes"))


def check_steps(description, steps, streams):
    """The steps as an array of bytes, or a ``ValueError`` that says what is wrong with them."""
    check_stream(description)
    steps = np.asarray(steps)
    if steps.ndim != 3 or steps.shape[2] != description.n_in or len(steps) != streams:
        raise ValueError(f"steps must have shape [{streams}, T, {description.n_in}], "
                         f"not {list(steps.shape)}")
    if steps.dtype.kind not in "iub" or steps.size and not 0 <= steps.min() <= steps.max() <= 1:
        raise ValueError("the inputs of a stream are spikes: whole numbers, 0 or 1")
    return steps.astype(np.uint8)


def _flags(name, at, length):
    at = np.asarray(at, dtype=np.int64).reshape(-1)
    if at.size and not 0 <= at.min() <= at.max() < length:
        raise ValueError(f"{name} names steps beyond 0 .. {length - 1}")
    flags = np.zeros(length, bool)
    flags[at] = True
    return flags


def _tapped(layer, x, seen, clears):
    """What the neurons see [N, T, taps * n_in], and what the steps after these will have seen."""
    length, before = x.shape[1], layer.taps - 1
    history = np.concatenate([seen[:, ::-1], x], axis=1)
    since = np.full(length + 1, before)  # steps behind the last clear, and before each step
    for t in range(length):
        since[t + 1] = 0 if clears[t] else min(since[t] + 1, before)
    parts = [history[:, before - tap:before - tap + length] * (since[:-1] >= tap)[:, None]
             for tap in range(layer.taps)]
    seen = history[:, length:][:, ::-1] * (np.arange(before) < since[-1])[:, None]
    return np.concatenate(parts, axis=2), seen


def _read(readout, x, total, emits, clears):
    """Total behind the last step, and scores [N, E, outputs]."""
    sums = synaptic_sum(readout.weights, x)
    scores = []
    for t in range(x.shape[1]):
        total = total_step(readout, total, sums[:, t])
        if emits[t]:
            scores.append(total + readout.bias)
        if clears[t] or emits[t] and not readout.leaky:
            total = np.zeros_like(total)
    empty = np.zeros((len(x), 0, readout.n_out), np.int64)
    return total, np.stack(scores, axis=1) if scores else empty

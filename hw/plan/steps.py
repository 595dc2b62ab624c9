"""Cycles of a stream, exactly: from the words that each step has in each layer."""

import numpy as np

from qsnn.hw.plan.window import ceil_div

__all__ = ["finish_times", "word_counts"]


def words_with_spikes(x, simd):
    """[T, n] of 0 and 1 -> how many words of SIMD have a spike at each step, [T]."""
    words = ceil_div(x.shape[1], simd)
    padded = np.zeros((len(x), words * simd), bool)
    padded[:, :x.shape[1]] = x
    return padded.reshape(len(x), words, simd).any(axis=2).sum(axis=1)


def word_counts(stage, x, spikes, clears):
    """Words that a layer reads at each step of a stream from its start, [T] int64.

    x, spikes: what it takes and what it fires, [T, n] of 0 and 1; clears: [T] bool.
    """
    steps = len(x)
    if stage.sparse:
        inputs = words_with_spikes(x, stage.simd)
        own = words_with_spikes(spikes, stage.simd) if stage.recurrent else np.zeros(steps, int)
    else:
        inputs, own = np.full(steps, stage.in_words), np.full(steps, stage.own_words)
    counts = inputs.copy()
    born = np.maximum.accumulate(np.where(np.concatenate([[True], clears[:-1]]),
                                          np.arange(steps), 0)) if steps else np.zeros(0, int)
    for back in range(1, stage.taps):
        seen = np.arange(steps) - back >= born
        counts[seen] += inputs[np.flatnonzero(seen) - back]
    seen = np.arange(steps) - 1 >= born
    counts[seen] += own[np.flatnonzero(seen) - 1]
    return counts


def finish_times(plan, counts, arrivals):
    """When each step is through each layer, where the source never waits: [layers, T] int64.

    counts: of each layer, see :func:`word_counts`. arrivals: beats in which each step arrives. The
    cycle in which the first beat is there is 0; a step is through in the cycle of its last result.
    """
    stages = plan.stages
    cycles = [stage.step_cycles(count) for stage, count in zip(stages, counts, strict=True)]
    steps = len(arrivals)
    finish = np.zeros((len(stages), steps), np.int64)
    begin = [-1] * len(stages)  # of the step before
    ready = [0] * len(stages)  # first cycle in which a layer can begin another one
    last_beat = -1
    for t in range(steps):
        # a step's first beat goes in when the layer has begun the step before
        first = max(last_beat + 1, begin[0] + 1)
        last_beat = first + arrivals[t] - 1
        there = last_beat + 1
        for k in range(len(stages)):
            room = begin[k + 1] + 1 if k + 1 < len(stages) else 0
            start = max(there, ready[k], room)
            begin[k], ready[k] = start, start + int(cycles[k][t])
            finish[k, t] = ready[k] - 1
            there = ready[k]
    return finish

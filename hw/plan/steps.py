"""Cycles of a stream, exactly: from the words that each step has in each layer."""

import numpy as np

from qsnn.hw.plan.timing import map_times

__all__ = ["finish_times", "word_counts"]


def words_with_spikes(x, stage, pixel):
    """[T, n] of whole numbers -> how many words of SIMD are not 0 at each step, [T].

    pixel: as in :class:`qsnn.hw.plan.serial.SerialStage`, of these numbers.
    """
    real, padded = pixel
    x = np.pad(x.reshape(len(x), -1, real), ((0, 0), (0, 0), (0, padded - real)))
    x = x.reshape(len(x), -1)
    x = np.pad(x, ((0, 0), (0, -x.shape[1] % stage.simd)))
    return x.reshape(len(x), -1, stage.simd).any(axis=2).sum(axis=1)


def word_counts(stage, x, spikes, clears):
    """Words that a layer reads at each step of a stream from its start, [T] int64.

    x, spikes: what it takes and what it fires, [T, n]; clears: [T] bool. A convolution reads all.
    """
    steps = len(x)
    if stage.window:
        return np.full(steps, stage.words)
    if stage.sparse:
        inputs, own = words_with_spikes(x, stage, stage.pixel), np.zeros(steps, int)
        if stage.recurrent:
            own = words_with_spikes(spikes, stage, (stage.n_out,) * 2)
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


class _Line:
    """Serial layers, one behind the other: when steps are through them.

    stages, counts  of these layers, see :func:`word_counts`
    """

    whole = True  # a writer takes a credit for each step

    def __init__(self, stages, counts):
        self.cycles = [stage.step_cycles(count) for stage, count in zip(stages, counts,
                                                                        strict=True)]
        self.begin = [-1] * len(stages)  # of the step before
        self.ready = [0] * len(stages)  # first cycle in which a layer can begin another one
        self.begins, self.finish = [], []  # of the first layer; of all, for each step

    def free(self, step):
        """Cycle from which the first word of a step may come; None if that is not known yet."""
        # when the step before it is begun
        if step > len(self.begins):
            return None
        return self.begins[step - 1] + 1 if step else 0

    def arrive(self, there):
        """The next step is whole, and can be begun in this cycle."""
        step, begin, ready = len(self.begins), self.begin, self.ready
        for k, cycles in enumerate(self.cycles):
            room = begin[k + 1] + 1 if k + 1 < len(begin) else 0
            begin[k] = max(there, ready[k], room)
            there = ready[k] = begin[k] + int(cycles[step])
        self.begins.append(begin[0])
        self.finish.append([cycle - 1 for cycle in ready])


def finish_times(plan, counts, arrivals):
    """When each step is through each layer, where the source never waits: [layers, T] int64.

    counts: of each layer, see :func:`word_counts`. arrivals: beats in which each step arrives. The
    cycle in which the first beat is there is 0; a step is through in the cycle of its last result.
    """
    stages, maps = plan.stages, plan.parallel
    line = _Line(stages[maps:], counts[maps:])
    if maps:
        through, start = map_times(stages[:maps], len(arrivals), line)
        return np.concatenate([through, np.array(line.finish).T - start])
    last_beat = -1
    for step, beats in enumerate(arrivals):
        last_beat = max(last_beat + 1, line.free(step)) + int(beats) - 1
        line.arrive(last_beat + 1)
    return np.array(line.finish).T

"""Choosing PE, SIMD and sparsity of a stream's layers from the activity of recordings.

Wide words are rarely without a spike, narrow ones need many PEs to be as fast: what pays depends on
the firing rate, and on how spikes lie beside each other. So the words of recordings are counted.
"""

import numpy as np

from qsnn.hw.plan.folding import FoldingError, SerialFolding
from qsnn.hw.plan.serial import serial_stages
from qsnn.hw.plan.steps import word_counts
from qsnn.model import streams

__all__ = ["SPARED_WORDS", "activity", "choose_for_activity", "step_counts"]

SPARED_WORDS = 0.1  #: of all words: with fewer to leave out, a layer goes through all of them


def activity(description, samples):
    """What each layer takes and fires in samples [N, T, n_in], one after the other, and clears.

    ([layers + 1] of uint8 [N * T, n], bool [N * T])
    """
    count, length, _ = samples.shape
    spikes = streams.classify(description, samples, trace=True).spikes
    rows = [values.reshape(count * length, -1) for values in (samples, *spikes)]
    return rows, np.arange(count * length) % length == length - 1


def step_counts(stages, rows, clears):
    """Words that each layer reads at each step, see :func:`activity`."""
    return [word_counts(stage, x, fired, clears)
            for stage, x, fired in zip(stages, rows, [*rows[1:], None], strict=True)]


def choose_for_activity(description, samples, units):
    """The foldings with PE * SIMD of at most ``units`` in each layer that need the fewest cycles.

    A layer is sparse where that leaves out at least :data:`SPARED_WORDS` of its words. Raises
    :class:`qsnn.hw.plan.folding.FoldingError` for a network with convolutions.
    """
    if description.input_map:
        raise FoldingError("activity says nothing of convolutions, which read every word: leave "
                           "out --activity, and say --cycles")
    rows, clears = activity(description, samples)
    chosen = []  # from the last layer to the first: lanes depend on what takes the spikes
    for index in reversed(range(len(description.layers))):
        layer = description.layers[index]
        fired = rows[index + 1] if index + 1 < len(rows) else None
        simd, found = 1, []
        while simd <= min(units, 64) and simd < 2 * layer.n_in:
            pe = min(layer.n_out, units // simd)
            for sparse in (True, False):
                folding = SerialFolding(pe, simd, sparse)
                stage = serial_stages(description.layers[index:], [folding, *chosen], index)[0]
                counts = word_counts(stage, rows[index], fired, clears)
                found.append((float(stage.step_cycles(counts).mean()), pe * simd, simd, folding,
                              float(counts.mean()) / stage.words))
            simd *= 2
        best = min(found, key=lambda entry: entry[:3])
        folding = best[3]
        if folding.sparse and best[4] > 1 - SPARED_WORDS:
            folding = min((entry for entry in found if not entry[3].sparse),
                          key=lambda entry: entry[:3])[3]
        chosen.insert(0, folding)
    return chosen

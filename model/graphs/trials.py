"""Layers of integers on samples: how much of the float network's spikes they give."""

import numpy as np

from qsnn.model.golden import layer_sums, membranes_of, neuron_step, per_neuron, synapses_of

__all__ = ["Trial", "sums_of"]


class Trial:
    """A layer run on samples: its spikes [N, T, n], how many are not the float network's.

    cost: by how many spikes a neuron's count for a sample is off, which decides; a spike that
    comes at another step counts a tenth. costs: of each channel. how: what the
    caller keeps of it.
    """

    def __init__(self, layer, sums, wanted, steps, how=()):
        self.layer, self.how, count = layer, how, len(sums)
        self.spikes, clipped = np.empty((count, steps, layer.n_out), bool), 0
        q, own = np.zeros((count, layer.n_out), np.int64), layer.recurrent
        for t in range(steps):
            now = (sums if sums.ndim == 2 else sums[:, t]).astype(np.int64)
            if own is not None and t:
                now = now + self.spikes[:, t - 1].astype(np.int64) @ own.T.astype(np.int64)
            before = q
            q, self.spikes[:, t] = neuron_step(layer, q, now)
            clipped += self._clipped(before, now, self.spikes[:, t])
        self.clipped, self.wanted = clipped / self.spikes.size, rows_of(layer, wanted)
        differ = (self.spikes != self.wanted).sum(axis=(0, 1))
        counts = (found.sum(axis=1, dtype=np.int64) for found in (self.spikes, self.wanted))
        off = abs(next(counts) - next(counts)).sum(axis=0)
        self.differ, self.cost = int(differ.sum()), int(off.sum()) + int(differ.sum()) / 10
        self.costs = (off + differ / 10).reshape(-1, layer.channels).sum(axis=0)

    def _clipped(self, q, sums, fired):
        """How many membranes the range has changed."""
        layer = self.layer
        given = sums << layer.frac
        if layer.current:
            given = given + layer.current.stays(q >> layer.membrane_bits)
            q = membranes_of(layer, q)
        acc = (q * layer.leak[0] << (layer.shift - layer.leak[1])) + given
        q = acc + per_neuron(layer, layer.bias) >> layer.shift
        after = 0 if layer.bias_fired is None else (
            acc + per_neuron(layer, layer.bias_fired) >> layer.shift)
        q = np.where(fired, after, q)
        return int(((q < layer.q_range[0]) | (q > layer.q_range[1])).sum())


def sums_of(layer, x):
    """Sums of the synapses of x [N, n] or [N, T, n], without the layer's own spikes."""
    synapses = synapses_of(layer)
    if x.ndim == 2:
        return layer_sums(layer, x, synapses).astype(np.int32)
    return np.stack([layer_sums(layer, x[:, t], synapses).astype(np.int32)
                     for t in range(x.shape[1])], axis=1)


def rows_of(layer, spikes):
    """Spikes [N, T, ...] of a graph in the order, and of the neurons, of the layer."""
    if spikes.ndim == 3:
        return spikes
    spikes = np.moveaxis(spikes, 2, -1)[:, :, :layer.out_height, :layer.out_width]
    return spikes.reshape(*spikes.shape[:2], -1)

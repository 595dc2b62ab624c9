"""Equality of the quantized torch network and its integers: every spike, every membrane.

Also the small file that keeps what ``eval()`` needs of a trained network, a few bits a weight less
than a checkpoint, so that the comparison can be repeated without training again.
"""

from dataclasses import dataclass

import numpy as np
import torch

from qsnn.model.golden import scores_of
from qsnn.model.inference import infer

__all__ = ["Comparison", "compare", "trace"]

MAX_TRACED = 1 << 26  # spikes at once: bounds the memory of the traces


@dataclass(frozen=True)
class Comparison:
    """Numbers of values that differ between torch and the golden model.

    images     images compared
    spikes     of each hidden layer, over images, time steps and neurons
    membranes  likewise
    sums       of the output layer, over images and classes
    """

    images: int
    spikes: tuple
    membranes: tuple
    sums: int

    @property
    def equal(self):
        return not (any(self.spikes) or any(self.membranes) or self.sums)


def compare(net, description, pixels):
    """Run both on integer pixels [N, inputs]; ``net`` is in ``eval()`` and ``float64``."""
    spikes = np.zeros(len(net.hidden), dtype=int)
    membranes = np.zeros(len(net.hidden), dtype=int)
    sums = 0
    traced = sum(layer.n_out for layer in description.layers[:-1]) * net.config.time_steps
    count = max(1, MAX_TRACED // traced)  # images at once
    for start in range(0, len(pixels), count):
        batch = pixels[start:start + count]
        result = infer(description, batch, trace=True)
        torch_spikes, torch_membranes, torch_sums = trace(net, batch)
        spikes += [int((a != b).sum())
                   for a, b in zip(result.spikes, torch_spikes, strict=True)]
        membranes += [int((a != b).sum())
                      for a, b in zip(result.membranes, torch_membranes, strict=True)]
        sums += int((result.scores != scores_of(description.readout, torch_sums)).sum())
    return Comparison(len(pixels), tuple(spikes.tolist()), tuple(membranes.tolist()), sums)


@torch.no_grad()
def trace(net, pixels):
    """Spikes and membranes per hidden layer [N, T, n], sums of the classes [T, N, classes]."""
    sums = []
    hook = net.output.register_forward_hook(lambda *call: sums.append(call[-1]))
    for layer in net.hidden:
        layer.trace = []
    net(torch.tensor(pixels, dtype=net.bias.dtype))
    hook.remove()
    spikes, membranes = zip(*(layer.trace.pop() for layer in net.hidden), strict=True)
    for layer in net.hidden:
        layer.trace = None
    return ([s.transpose(0, 1).numpy() for s in spikes],
            [q.transpose(0, 1).numpy() for q in membranes],
            sums[0].to(torch.int64).numpy())

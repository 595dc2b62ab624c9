"""Weights that are rounded by what their inputs are, and not each for itself.

Of weights of a few bits much is lost, but not all of it is seen: what counts is what a neuron's
sum is off. Each weight is rounded in turn, and those that follow make up for its error as far as
their inputs come along with its own (Frantar et al., GPTQ, arXiv 2210.17323; Hassibi and Stork's
optimal brain surgeon). Numbers, and so widths and circuits, are of the same kind.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from qsnn.model.layers import Convolution

__all__ = ["MAX_SYNAPSES", "compensated", "moments"]

MAX_SYNAPSES = 2048  # of a neuron: the square of it is inverted
ROWS = 20_000  # inputs of a neuron that moments are taken of
DAMPING = 0.01  # of the mean square of an input, added to each: a few samples are not all there is


def moments(layer, x):
    """Mean products [n, n] of what the n synapses of a neuron take, over some of the samples.

    x: inputs of the layer, [N, n_in] or [N, T, n_in].
    """
    steps = x.reshape(-1, x.shape[-1])
    places = layer.out_height * layer.out_width if isinstance(layer, Convolution) else 1
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), 1 + 4 * ROWS // places)).astype(int)
    steps = steps[chosen]
    if places > 1:
        (down, right), (rows, columns) = layer.padding, layer.kernel
        maps = np.pad(steps.reshape(len(steps), layer.height, layer.width, -1),
                      ((0, 0), (down, down), (right, right), (0, 0)))
        windows = sliding_window_view(maps, (rows, columns), axis=(1, 2))
        windows = windows[:, ::layer.stride[0], ::layer.stride[1]][:, :layer.out_height,
                                                                   :layer.out_width]
        steps = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, layer.weights[0].size)
    steps = steps[steps.any(axis=1)][:4 * ROWS].astype(np.float64)
    return steps.T @ steps / max(1, len(steps))


def compensated(weights, scales, products, bits):
    """Odd numbers [n_out, n] within ``bits``, and their scales, for floats [n_out, n].

    scales: first ones, [n_out]; products: those of :func:`moments`.
    """
    high, n = (1 << bits) - 1, len(products)
    damped = products + np.eye(n) * max(DAMPING * np.trace(products) / n, 1e-12)
    order = np.argsort(-np.diag(products), kind="stable")  # what matters most is rounded first
    upper = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    left, numbers = weights[:, order].astype(np.float64), np.empty(weights.shape, np.int16)
    for at, column in enumerate(order):
        found = np.clip(2 * np.floor(left[:, at] / (2 * scales)) + 1, -high, high)
        error = (left[:, at] - scales * found) / upper[at, at]
        left[:, at + 1:] -= error[:, None] * upper[at, at + 1:]
        numbers[:, column] = found
    size = (numbers @ damped * numbers).sum(axis=1)
    scales = (weights @ damped * numbers).sum(axis=1) / np.maximum(size, 1e-30)
    return numbers, np.maximum(scales, 1e-30)

"""The golden model: the one place where the arithmetic of a network is defined.

PyTorch in eval mode, the Amaranth simulation, the emitted Verilog and every later stage must give
these integers: every spike and every membrane, at every time step.

All numbers are exact integers. ``>>`` is arithmetic: it rounds towards minus infinity. Weights
``w`` are -1 or +1, or odd numbers of more bits; spikes are 0 or 1; a membrane ``q`` has ``b`` bits
and starts at 0.

**Sum of synapses**, in units of one synapse::

    S = sum_i w_i x_i                       x: pixels 0 .. 2**input_bits - 1, or spikes

An image is shown at every time step, so the first layer computes its sums once and uses them
``T`` times. Layers after it take the spikes that the layer before gave at the same step.

**Convolution**: a neuron at row ``y`` and column ``x`` has the synapses of its channel, and they
take a square of the input map; what lies outside the map is 0::

    S[y, x, c] = sum_ijk w[c, i, j, k] * map[y * stride + i - padding, x * stride + j - padding, k]

With a skip, what an earlier layer gave at the same step is added: its spike of the same channel,
or a 1 x 1 convolution of its channels; ``2**shift`` of :class:`qsnn.model.layers.Skip` times::

    S[y, x, c] += map'[y * stride', x * stride', c] << shift'
    S[y, x, c] += sum_k w'[c, k] * map'[y * stride', x * stride', k] << shift'

**Pooling** comes after the neurons: of each square of spikes, one if any neuron fires (max), or
how many do (sum). The next layer's ``x`` is that number.

**Neuron**, in units of ``2**-frac`` synapses, with the membrane step ``2**shift`` units::

    acc  = (q << (shift - 1)) + (S << frac)      half the membrane stays: the leak is exact
    fire = acc >= theta                          greater *or equal* fires
    q'   = 0                                     if it fires: reset comes before quantization
           clamp((acc + beta) >> shift)          else, into q_range

``theta`` and ``beta`` are integers of each neuron. ``beta`` contains half a membrane step, so the
shift rounds to nearest and ties go up. ``q_range`` is 0 .. 2**b - 1, or -2**(b-1) .. 2**(b-1) - 1
where the layer is signed. There is no overflow anywhere: widths hold the worst case, see
``acc_range``, ``threshold_range`` and ``bias_range`` of :class:`qsnn.model.layers.Spiking`.
Neurons of a channel share ``theta`` and ``beta``.

In a **stream** each step has inputs of its own and nothing ends: :mod:`qsnn.model.streams`.

**Readout**: it accumulates and does not fire::

    score = ((sum_t S_t) << frac) + bias         an integer of each class
    label = first class with the largest score   ties go to the lower class

Why folding loses nothing: with batch norm ``gain * S + offset``, threshold 1 and membrane step
``gain * 2**(shift - frac)`` (all per channel, gain > 0 after flipping the channel's weights),
dividing the float neuron by its gain gives ``acc + f >= 1/gain`` for an integer ``acc`` and a real
``f``; so ``theta = ceil(1/gain - f)`` and ``beta = floor(f + 2**(shift-1))`` (times ``2**frac``)
are exact, not approximations. :mod:`qsnn.model.export` computes them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Result", "infer", "neuron_step", "synaptic_sum"]

BATCH = 1000  # images at once: bounds the memory and stays in the cache
MAX_NUMBERS = 1 << 25  # that an array has: large maps are computed with fewer images at once


@dataclass(frozen=True, eq=False)
class Result:
    """What a network gives for N images.

    labels     [N] int64
    scores     [N, classes] int64
    rates      firing rate of each hidden layer: mean of its spikes
    spikes     per hidden layer [N, T, n_out] uint8, or None where no trace was asked for
    membranes  per hidden layer [N, T, n_out] int16, after the step, likewise
    """

    labels: np.ndarray
    scores: np.ndarray
    rates: tuple
    spikes: tuple | None = None
    membranes: tuple | None = None


def synaptic_sum(weights, x):
    """S of every neuron: weights [n_out, n_in], x [..., n_in] -> int64 [..., n_out].

    The product runs in floats because that is what BLAS is fast in. It is exact: every partial
    sum is an integer below 2**24 for float32, or else below 2**53.
    """
    largest = weights.shape[1] * int(abs(weights).max()) * max(1, int(x.max(initial=0)))
    kind = np.float32 if largest < 1 << 24 else np.float64
    return (x.astype(kind) @ weights.T.astype(kind)).astype(np.int64)


def layer_sums(layer, x):
    """S of a layer without its skip: inputs [N, n_in] -> int64 [N, n_out]."""
    if layer.kind != "convolution":
        return synaptic_sum(layer.weights, x)
    maps = np.pad(x.reshape(-1, layer.height, layer.width, layer.channels_in),
                  ((0, 0), *[(layer.padding,) * 2] * 2, (0, 0)))
    windows = sliding_window_view(maps, (layer.kernel,) * 2, axis=(1, 2))
    windows = windows[:, ::layer.stride, ::layer.stride][:, :layer.out_height, :layer.out_width]
    rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, layer.fan_in)
    weights = layer.weights.reshape(layer.channels, -1)
    return synaptic_sum(weights, rows).reshape(len(x), -1)


def skip_sums(layer, source, x):
    """What a skip adds: outputs [N, n_outputs] of the source layer -> int64 [N, n_out]."""
    skip = layer.skip
    maps = x.reshape(-1, *source.output_map)[:, ::skip.stride, ::skip.stride]
    maps = maps[:, :layer.out_height, :layer.out_width]
    added = maps.astype(np.int64) if skip.weights is None else synaptic_sum(skip.weights, maps)
    return added.reshape(len(x), -1) << skip.shift


def pooled(layer, spikes):
    """What the next layer takes of a layer's spikes: [N, n_out] -> uint8 [N, n_outputs]."""
    if layer.output_bits == 1 and layer.n_outputs == layer.n_out:
        return spikes.astype(np.uint8)
    height, width, channels = layer.output_map
    size = layer.pool_size
    squares = spikes.reshape(-1, height, size, width, size, channels)
    found = squares.any(axis=(2, 4)) if layer.pool == "max" else squares.sum(axis=(2, 4))
    return found.astype(np.uint8).reshape(len(spikes), -1)


def per_neuron(layer, values):
    """Thresholds or biases of the channels, one for every neuron."""
    return np.tile(values, layer.n_out // len(values))


def neuron_step(layer, q, sums):
    """One time step of the neurons of a layer: membranes and sums -> (membranes, spikes)."""
    acc = (q << (layer.shift - 1)) + (sums << layer.frac)
    fire = acc >= per_neuron(layer, layer.threshold)
    quantized = np.clip((acc + per_neuron(layer, layer.bias)) >> layer.shift, *layer.q_range)
    return np.where(fire, 0, quantized), fire


def infer(description, pixels, *, trace=False):
    """Run images through a network.

    pixels: integers [N, n_in], each 0 .. 2**input_bits - 1. Raises ``ValueError`` otherwise.
    trace: also return the spikes and membranes of every hidden layer and time step.

    Streams are :mod:`qsnn.model.streams`'; :func:`qsnn.model.inference.infer` takes both.
    """
    pixels = check_pixels(description, pixels)
    most = max(layer.n_out * max(layer.fan_in if layer.kind == "convolution" else 1,
                                 description.time_steps) for layer in description.layers)
    batch = min(BATCH, max(1, MAX_NUMBERS // most))
    batches = [_infer(description, pixels[start:start + batch])
               for start in range(0, len(pixels), batch)]
    scores, spikes, membranes = (list(part) for part in zip(*batches, strict=True))
    scores = np.concatenate(scores)
    rates = tuple(sum(int(layer.sum()) for layer in parts) / sum(layer.size for layer in parts)
                  for parts in zip(*spikes, strict=True))
    return Result(
        labels=scores.argmax(axis=1),  # numpy's argmax is the first maximum
        scores=scores, rates=rates,
        spikes=_join(spikes, np.uint8) if trace else None,
        membranes=_join(membranes, np.int16) if trace else None)


def check_pixels(description, pixels):
    """The pixels as an array, or a ``ValueError`` that says what is wrong with them."""
    if not description.time_steps:
        raise ValueError("a stream has no images: it takes steps, see qsnn.model.streams")
    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or pixels.shape[1] != description.n_in or not len(pixels):
        raise ValueError(f"images must have shape [N, {description.n_in}] with N >= 1, "
                         f"not {list(pixels.shape)}")
    if pixels.dtype.kind not in "iu":
        raise ValueError(f"pixels must be integers, not {pixels.dtype}")
    high = (1 << description.input_bits) - 1
    if pixels.min() < 0 or pixels.max() > high:
        raise ValueError(f"pixels must lie in 0 .. {high}, "
                         f"found {pixels.min()} .. {pixels.max()}")
    return pixels


def _infer(description, pixels):
    """Scores [N, classes], spikes and membranes per hidden layer as lists over T of [N, n_out]."""
    steps, layers = description.time_steps, description.layers
    all_spikes, all_membranes, outputs = [], [], []  # outputs: per layer and step, pooled
    sums = [layer_sums(layers[0], pixels)] * steps
    for index, layer in enumerate(description.hidden):
        q = np.zeros_like(sums[0])
        spikes, membranes = [], []
        for t in range(steps):
            q, fire = neuron_step(layer, q, sums[t])
            spikes.append(fire)
            membranes.append(q)
        all_spikes.append(np.stack(spikes, axis=1))
        all_membranes.append(np.stack(membranes, axis=1).astype(np.int16))
        outputs.append([pooled(layer, fire) for fire in spikes])
        following = layers[index + 1]
        sums = [layer_sums(following, x) for x in outputs[-1]]
        if following.skip:
            source = following.skip.source
            sums = [total + skip_sums(following, layers[source], x)
                    for total, x in zip(sums, outputs[source], strict=True)]
    scores = (sum(sums) << description.readout.frac) + description.readout.bias
    return scores, all_spikes, all_membranes


def _join(batches, dtype):
    return tuple(np.concatenate(parts).astype(dtype) for parts in zip(*batches, strict=True))

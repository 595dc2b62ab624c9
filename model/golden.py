"""The golden model: the one place where the arithmetic of a network is defined.

PyTorch in eval mode, the Amaranth simulation, the emitted Verilog and every later stage must give
these integers: every spike and every membrane, at every time step.

All numbers are exact integers. ``>>`` is arithmetic: it rounds towards minus infinity. Weights
``w`` are -1 or +1, or numbers of more bits, odd ones or all, see :mod:`qsnn.model.codes`; spikes
are 0 or 1; a membrane ``q`` has ``b`` bits and starts at 0.

**Sum of synapses**, in units of one synapse::

    S = sum_i w_i x_i                       x: pixels 0 .. 2**input_bits - 1, or spikes

An image is shown at every time step, so the first layer computes its sums once and uses them
``T`` times. Layers after it take the spikes that the layer before gave at the same step.

**Convolution**: a neuron at row ``y`` and column ``x`` has the synapses of its channel, and they
take a rectangle of the input map; what lies outside the map is 0. Strides and paddings are pairs,
of rows and of columns::

    S[y, x, c] = sum_ijk w[c, i, j, k] * map[y * stride_y + i - padding_y,
                                             x * stride_x + j - padding_x, k]

With a skip, what an earlier layer gave at the same step is added: its spike of the same channel,
or a 1 x 1 convolution of its channels; ``2**shift`` of :class:`qsnn.model.layers.Skip` times::

    S[y, x, c] += map'[y * stride'_y, x * stride'_x, c] << shift'
    S[y, x, c] += sum_k w'[c, k] * map'[y * stride'_y, x * stride'_x, k] << shift'

**Pooling** comes after the neurons: of each rectangle of spikes, one if any neuron fires (max), or
how many do (sum). The next layer's ``x`` is that number.

**Neuron**, in units of ``2**-frac`` synapses, with the membrane step ``2**shift`` units::

    acc  = ((q * m) << (shift - k)) + (S << frac)    m / 2**k of the membrane stays: exactly
    fire = acc >= theta                              greater *or equal* fires
    q'   = 0                                         if it fires: reset comes before quantization
           clamp((acc + beta) >> shift)              else, into q_range

The leak is of the layer: ``m`` is odd and below ``2**k``, and ``shift`` at least ``k``. Q-SNN's is
1/2, ``m = 1`` and ``k = 1``; with ``m = 1`` and ``k = 0`` nothing leaks. Where the layer resets by
subtraction, a neuron that fires keeps what it has beyond the float threshold::

    q'   = clamp((acc + beta_fired) >> shift)        if it fires

With a **current**, a second state ``i`` of each neuron that is never reset (CubaLIF), sums go
through it first. It has a leak, a step and a bias of its own::

    a    = ((i * m_i) << (shift_i - k_i)) + (S << frac)
    acc  = ((q * m) << (shift - k)) + a                  then as above
    i'   = clamp((a + beta_i) >> shift_i)

What such a neuron keeps is written as one number, ``(i << b) + (q mod 2**b)``.

``theta``, ``beta`` and ``beta_fired`` are integers of each neuron. ``beta`` contains half a
membrane step, so the shift rounds to nearest and ties go up; ``beta_fired`` is that less a
threshold. ``q_range`` is 0 .. 2**b - 1, or -2**(b-1) .. 2**(b-1) - 1 where the layer is signed.
There is no overflow anywhere: widths hold the worst case, see ``acc_range``, ``threshold_range``
and ``bias_range`` of :class:`qsnn.model.layers.Spiking`. Neurons of a channel share these integers.

In a **stream** each step has inputs of its own and nothing ends: :mod:`qsnn.model.streams`.

**Readout**: it accumulates and does not fire::

    score = ((sum_t S_t) << frac) + bias         an integer of each class
    label = first class with the largest score   ties go to the lower class

Its total may leak, and then the last membrane of a neuron that does not fire is the score (LI). A
total begins at 0, in units of ``2**-frac`` synapses; what stays is rounded, ties go up::

    total' = ((total * m + 2**(k-1)) >> k) + (S << frac)      m / 2**k stays; k >= 1
    score  = total + bias                                     after the last step

Without a leak this is the same as above. A total stays within ``total_limit << frac`` of
:class:`qsnn.model.layers.Readout`, and saturates there; in an image it never comes to that.

With one output there are two classes, as if that of class 0 were always 0::

    label = 1 if score > 0 else 0                a tie goes to the lower class here too

Why folding loses nothing: with batch norm ``gain * S + offset``, threshold 1 and membrane step
``gain * 2**(shift - frac)`` (all per channel, gain > 0 after flipping the channel's weights),
dividing the float neuron by its gain gives ``acc + f >= 1/gain`` for an integer ``acc`` and a real
``f``; so ``theta = ceil(1/gain - f)`` and ``beta = floor(f + 2**(shift-1))`` (times ``2**frac``)
are exact, not approximations; ``beta_fired = floor(f - 1/gain + 2**(shift-1))`` likewise.
:mod:`qsnn.model.export` computes them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Result", "infer", "labels_of", "membranes_of", "neuron_step", "scores_of",
           "synaptic_sum", "total_step"]

BATCH = 1000  # images at once
MAX_NUMBERS = 1 << 20  # that an array has: bounds the memory and stays in the cache


@dataclass(frozen=True, eq=False)
class Result:
    """What a network gives for N images.

    labels     [N] int64
    scores     [N, outputs] int64
    rates      firing rate of each hidden layer: mean of its spikes
    spikes     per hidden layer [N, T, n_out] uint8, or None where no trace was asked for
    membranes  per hidden layer [N, T, n_out] int16, after the step, likewise
    """

    labels: np.ndarray
    scores: np.ndarray
    rates: tuple
    spikes: tuple | None = None
    membranes: tuple | None = None


class Synapses:
    """Weights [n_out, n_in] as floats, because that is what BLAS is fast in; turned into them once.

    high: the largest input. The sums are exact: every partial sum is an integer of at most ``n_in``
    times the largest weight times ``high``, below 2**24 for float32, or else below 2**53.
    """

    def __init__(self, weights, high):
        largest = weights.shape[1] * int(abs(weights).max()) * max(1, high)
        self.weights = weights.T.astype(np.float32 if largest < 1 << 24 else np.float64)

    def __call__(self, x):
        """S of every neuron: x [..., n_in] -> int64 [..., n_out]."""
        rows = x.reshape(-1, len(self.weights))  # of more axes NumPy makes many small products
        sums = (rows.astype(self.weights.dtype, copy=False) @ self.weights).astype(np.int64)
        return sums.reshape(*x.shape[:-1], self.weights.shape[1])


def synapses_of(layer):
    """:class:`Synapses` of a layer, its skip's not among them: [channels, fan_in]."""
    return Synapses(layer.weights.reshape(-1, layer.fan_in), (1 << layer.input_bits) - 1)


def synaptic_sum(weights, x):
    """S of every neuron: weights [n_out, n_in], x [..., n_in] -> int64 [..., n_out]."""
    return Synapses(weights, int(x.max(initial=0)))(x)


def layer_sums(layer, x, synapses=None):
    """S of a layer without its skip: inputs [N, n_in] -> int64 [N, n_out].

    synapses: :func:`synapses_of` the layer, where they are kept for many calls.
    """
    synapses = synapses or synapses_of(layer)
    if layer.kind != "convolution":
        return synapses(x)
    sums = np.empty((len(x), layer.out_height, layer.out_width, layer.channels), np.int64)
    # a row of numbers for each position: as many images at once as MAX_NUMBERS allows, or lines
    line = layer.out_width * layer.fan_in
    lines = max(1, min(layer.out_height, MAX_NUMBERS // line))
    images = max(1, MAX_NUMBERS // (layer.out_height * line))
    for first in range(0, len(x), images):
        part = slice(first, first + images)
        windows = _windows(layer, x[part].astype(synapses.weights.dtype))
        for top in range(0, layer.out_height, lines):
            rows = windows[:, top:top + lines]
            sums[part, top:top + lines] = synapses(rows.reshape(*rows.shape[:3], layer.fan_in))
    return sums.reshape(len(x), -1)


def _windows(layer, x):
    """What the neurons see: a view [N, out_height, out_width, *kernel, channels_in]."""
    down, right = layer.stride
    maps = np.pad(x.reshape(-1, layer.height, layer.width, layer.channels_in),
                  ((0, 0), *((side, side) for side in layer.padding), (0, 0)))
    windows = sliding_window_view(maps, layer.kernel, axis=(1, 2))
    windows = windows[:, ::down, ::right][:, :layer.out_height, :layer.out_width]
    return windows.transpose(0, 1, 2, 4, 5, 3)


def skip_sums(layer, source, x):
    """What a skip adds: outputs [N, n_outputs] of the source layer -> int64 [N, n_out]."""
    skip = layer.skip
    maps = x.reshape(-1, *source.output_map)[:, ::skip.stride[0], ::skip.stride[1]]
    maps = maps[:, :layer.out_height, :layer.out_width]
    added = maps.astype(np.int64) if skip.weights is None else synaptic_sum(skip.weights, maps)
    return added.reshape(len(x), -1) << skip.shift


def pooled(layer, spikes):
    """What the next layer takes of a layer's spikes: [N, n_out] -> uint8 [N, n_outputs]."""
    if layer.output_bits == 1 and layer.n_outputs == layer.n_out:
        return spikes.astype(np.uint8)
    height, width, channels = layer.output_map
    rows, columns = layer.pool_size
    squares = spikes.reshape(-1, height, rows, width, columns, channels)
    found = squares.any(axis=(2, 4)) if layer.pool == "max" else squares.sum(axis=(2, 4))
    return found.astype(np.uint8).reshape(len(spikes), -1)


def per_neuron(layer, values):
    """Thresholds or biases of the channels, one for every neuron."""
    return np.tile(values, layer.n_out // len(values))


def neuron_step(layer, held, sums):
    """One time step of the neurons of a layer: membranes and sums -> (membranes, spikes).

    With a current, membranes have it above them, see :attr:`qsnn.model.layers.Spiking.held_bits`.
    """
    given, current = sums << layer.frac, layer.current
    if current is None:
        return _fire(layer, held, given)
    bits, q = layer.membrane_bits, membranes_of(layer, held)
    given = current.stays(held >> bits) + given
    i = np.clip((given + per_neuron(layer, current.bias)) >> current.shift, *current.range)
    q, fire = _fire(layer, q, given)
    return (i << bits) + (q & (1 << bits) - 1), fire


def membranes_of(layer, held):
    """The membranes alone, of neurons that have a current above them."""
    q = held & (1 << layer.membrane_bits) - 1
    return q - (q >> (layer.membrane_bits - 1) << layer.membrane_bits) if layer.signed else q


def _fire(layer, q, given):
    """Membranes and what they are given, in units -> (membranes, spikes)."""
    m, k = layer.leak
    acc = (q * m << (layer.shift - k)) + given
    fire = acc >= per_neuron(layer, layer.threshold)

    def quantized(bias):
        return np.clip((acc + per_neuron(layer, bias)) >> layer.shift, *layer.q_range)
    after = 0 if layer.bias_fired is None else quantized(layer.bias_fired)
    return np.where(fire, after, quantized(layer.bias)), fire


def infer(description, pixels, *, trace=False):
    """Run images through a network.

    pixels: integers [N, n_in], each 0 .. 2**input_bits - 1. Raises ``ValueError`` otherwise.
    trace: also return the spikes and membranes of every hidden layer and time step.

    Streams are :mod:`qsnn.model.streams`'; :func:`qsnn.model.inference.infer` takes both.
    """
    pixels = check_pixels(description, pixels)
    count, steps, hidden = len(pixels), description.time_steps, description.hidden
    synapses = [synapses_of(layer) for layer in description.layers]
    scores = np.empty((count, description.outputs), np.int64)
    fired = np.zeros(len(hidden), np.int64)  # spikes of each layer, of all images and steps
    spikes, membranes = (
        tuple(np.empty((count, steps, layer.n_out), kind) for layer in hidden) if trace else None
        for kind in (np.uint8, np.int16))
    widest = max(max(layer.n_in, layer.n_out) for layer in description.layers)
    batch = max(1, min(BATCH, MAX_NUMBERS // (steps * widest)))
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        kept = [(spikes[index][part], membranes[index][part]) for index in range(len(hidden))
                ] if trace else None
        scores[part], found = _infer(description, synapses, pixels[part], kept)
        fired += found
    rates = tuple(int(number) / (count * steps * layer.n_out)
                  for number, layer in zip(fired, hidden, strict=True))
    return Result(labels=labels_of(scores), scores=scores, rates=rates, spikes=spikes,
                  membranes=membranes)


def labels_of(scores):
    """Labels int64 [...] of scores [..., outputs]."""
    if scores.shape[-1] == 1:
        return (scores[..., 0] > 0).astype(np.int64)
    return scores.argmax(axis=-1)  # numpy's argmax is the first maximum


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


def _infer(description, synapses, pixels, kept):
    """Scores [N, outputs] of some images, and how many spikes each hidden layer had.

    kept: of each hidden layer the spikes and the membranes [N, T, n_out] to fill in, or None.
    """
    steps, layers = description.time_steps, description.layers
    fired, outputs = [], []  # outputs: of each layer [T * N, n_outputs], what the next one takes
    # an image is the same at every step
    sums = [layer_sums(layers[0], pixels, synapses[0])] * steps
    for index, layer in enumerate(description.hidden):
        q = np.zeros_like(sums[0])
        spikes = np.empty((steps, *q.shape), bool)
        for t in range(steps):
            q, spikes[t] = neuron_step(layer, q, sums[t])
            if kept:
                kept[index][0][:, t], kept[index][1][:, t] = spikes[t], q
        fired.append(int(np.count_nonzero(spikes)))
        outputs.append(pooled(layer, spikes.reshape(-1, layer.n_out)))
        following = layers[index + 1]
        total = layer_sums(following, outputs[-1], synapses[index + 1])
        if following.skip:
            source = following.skip.source
            total += skip_sums(following, layers[source], outputs[source])
        sums = total.reshape(steps, len(pixels), -1)
    return scores_of(description.readout, sums), fired


def total_step(readout, total, sums):
    """The totals of a readout after a time step: totals before it and sums int64 [..., outputs]."""
    m, k = readout.leak
    limit = readout.total_limit << readout.frac
    stays = (total * m + (1 << k >> 1)) >> k
    return np.clip(stays + (sums << readout.frac), -limit, limit)


def scores_of(readout, sums):
    """Scores of an image: sums of all its time steps [T, ..., outputs] -> int64 [..., outputs]."""
    total = np.zeros_like(sums[0])
    for now in sums:
        total = total_step(readout, total, now)
    return total + readout.bias

"""From a graph of floats to a description of integers, layer by layer, with a report.

Of each layer the weights become odd numbers with a scale for each channel, or stay the integers
that they are, of a layer that was trained with such. Thresholds and biases follow exactly, and what
is free, the step of a membrane, whether it may be negative, and how exactly its leak is kept, is
what gives most of the float network's spikes on some samples.
Nothing is trained.
"""

from dataclasses import dataclass

import numpy as np

from qsnn.model.description import Description, Readout
from qsnn.model.golden import pooled
from qsnn.model.graphs.blocks import blocks_of
from qsnn.model.graphs.floats import Floats
from qsnn.model.graphs.graph import GraphError, check
from qsnn.model.graphs.integers import (
    codes_of,
    leaks,
    numbers_of,
)
from qsnn.model.graphs.report import LayerReport, Report, kept_text, weights_text
from qsnn.model.graphs.trials import Trial, sums_of
from qsnn.model.inference import infer
from qsnn.model.layers import MAX_MEMBRANE, MAX_TIME_STEPS, WEIGHT_BITS, DescriptionError
from qsnn.model.leak import leak_text, worth

__all__ = ["Bits", "Quantized", "floats_of", "quantize"]

READOUT_FRAC = 2  # fraction bits of the scores
LEAKY_FRAC = 6  # of totals that leak, and are rounded at each step
WORTH = 0.9  # a dearer choice costs at most this part of a simpler one, see Trial
WIDER, MAX_WIDER = (0, 1, -1, 2), 6  # steps of a membrane that are tried: so many powers of two
CLIPPED = 0.02  # of the membranes: where more are, wider ranges are tried too
ENOUGH = 20  # samples to choose much by: by fewer it would be those samples'
RAISED = tuple(sign * part for part in (1 / 32, 1 / 16, 1 / 8, 1 / 4) for sign in (1, -1))


@dataclass(frozen=True)
class Bits:
    """Bits of an import.

    weights   of hidden layers, 1, 2, 4 or 8
    first     of the first layer's weights; None: as the others, 8 where those have 1 or 2
    last      of the last layer's, likewise
    membranes 2 to 8
    signed    whether membranes may be negative; None: where that gives more of the float's spikes
    leak      (m, k) for all layers; None: chosen for each
    """

    weights: int = 4
    first: int | None = None
    last: int | None = None
    membranes: int = 4
    signed: bool | None = None
    leak: tuple | None = None

    def __post_init__(self):
        for name in ("weights", "first", "last"):
            value = getattr(self, name)
            check(value in WEIGHT_BITS or (name != "weights" and value is None),
                  f"{name}: weights have 1, 2, 4 or 8 bits, not {value!r}")
        check(self.membranes in range(2, MAX_MEMBRANE + 1), f"membranes have 2 to {MAX_MEMBRANE} "
              f"bits, not {self.membranes!r}")

    def of(self, index, count):
        """Bits of the weights of a layer among so many."""
        edge = self.weights if self.weights >= 4 else 8
        if index == 0:
            return self.first or edge
        return (self.last or edge) if index == count - 1 else self.weights


@dataclass(frozen=True, eq=False)
class Quantized:
    """description, and the :class:`~qsnn.model.graphs.report.Report` of how it came.

    floats, last  for a training that begins with it: of each layer of neurons, and the block of a
                  last layer that only adds, or None
    """

    description: Description
    report: Report
    floats: tuple
    last: object


def quantize(graph, time_steps, inputs, labels=None, *, bits=None, input_bits=8, scale=None,
             offset=0.0):
    """A :class:`Quantized` of a :class:`~qsnn.model.graphs.graph.Graph`.

    time_steps  T, 1 .. 64: how often an image is shown; 0: a stream of spikes
    inputs      samples to choose by, as :func:`qsnn.model.data.load` gives them: pixels
                0 .. 2**input_bits - 1 [N, n]; of a stream spikes [N, steps * n]. Some hundred
    labels      [N], for the accuracy in the report, or None
    scale, offset  an input of the graph is ``pixel * scale + offset``; without, the largest pixel
                is 1

    Raises :class:`~qsnn.model.graphs.graph.GraphError`: one sentence on what cannot be, and where.
    """
    bits = bits or Bits()
    check(type(time_steps) is int and 0 <= time_steps <= MAX_TIME_STEPS, "time steps must be 1 to "
          f"{MAX_TIME_STEPS}, or 0 for a stream, not {time_steps!r}")
    stream = time_steps == 0
    check(type(input_bits) is int and 1 <= input_bits <= 8, f"input_bits must be 1 to 8, not "
          f"{input_bits!r}")
    input_bits = 1 if stream else input_bits
    scale = 1 / ((1 << input_bits) - 1) if scale is None else scale
    check(0 < scale < float("inf") and np.isfinite(offset), "scale must be above 0, and offset a "
          "number")
    check(not stream or (scale, offset) == (1, 0), "spikes of a stream are 0 and 1: they have no "
          "scale")
    blocks = blocks_of(graph)
    inputs = _samples(graph, inputs, stream, input_bits)
    spiking = blocks[-1].neuron is not None
    floats = graph.run(floats_of(graph, inputs, scale, offset), time_steps or None)
    reports, layers, kept, x = [], [], [], inputs
    for index, block in enumerate(blocks if spiking else blocks[:-1]):
        first = index == 0
        layer, report, x, own = _hidden(
            block, bits.of(index, len(blocks)), bits, x, floats.spikes[block.neuron.name],
            steps=inputs.shape[1] if stream else time_steps, stream=stream,
            scale=scale if first else block.unit, offset=offset if first else 0.0,
            input_bits=input_bits if first else layers[-1].output_bits)
        layers.append(layer)
        reports.append(report)
        kept.append(own)
    steps = inputs.shape[1] if stream else time_steps
    layers.append(_count(blocks[-1], stream, steps) if spiking else _readout(
        blocks[-1], bits.of(len(blocks) - 1, len(blocks)), layers[-1].output_bits, steps, stream))
    last = "the readout counts spikes" if spiking else _last_text(blocks[-1], layers[-1])
    try:
        description = Description(time_steps=time_steps, layers=layers)
    except DescriptionError as error:
        raise GraphError(f"the network cannot be built: {error}") from None
    result = infer(description, inputs.reshape(len(inputs), -1))
    return Quantized(description, Report(
        layers=tuple(reports), last=last, notes=graph.notes, samples=len(inputs), steps=steps,
        same_labels=int((result.labels == floats.labels).sum()),
        correct=None if labels is None else (int((floats.labels == labels).sum()),
                                             int((result.labels == labels).sum()))),
        tuple(kept), None if spiking else blocks[-1])


def _samples(graph, inputs, stream, input_bits):
    """Integers [N, n] of images, [N, T, n] of a stream."""
    inputs, size = np.asarray(inputs), int(np.prod(graph.inputs))
    check(inputs.dtype.kind in "iub", f"inputs must be integers, not {inputs.dtype}")
    inputs = inputs.astype(np.int64)
    check(inputs.ndim >= 2 and len(inputs) and inputs[0].size % size == 0 and (
        stream or inputs[0].size == size), f"the network takes {size} numbers"
        f"{' a step' * stream}, samples have {inputs[0].size if len(inputs) else 'none'}")
    high = (1 << input_bits) - 1
    check(inputs.min() >= 0 and inputs.max() <= high, f"inputs must lie in 0 .. {high}")
    return inputs.reshape(len(inputs), -1, size) if stream else inputs.reshape(len(inputs), size)


def floats_of(graph, inputs, scale, offset):
    """What the graph takes: maps have their channels first there, and last in data sets."""
    x = inputs * scale + offset
    if len(graph.inputs) == 1:
        return x
    channels, height, width = graph.inputs
    return np.moveaxis(x.reshape(*x.shape[:-1], height, width, channels), -1, -3)


def _hidden(block, weight_bits, bits, x, wanted, *, steps, stream, scale, offset, input_bits):
    """(layer, report, what the next layer takes, floats) of a block; x: what it takes itself."""
    neuron = block.neuron
    check(neuron.recurrent is None or stream, f"{neuron.name}: spikes that return to their layer "
          "need a stream: time steps 0")
    floats, best, sums = Floats(block, scale, offset), None, {}

    def trial(width, leak, choice, raised=0.0):
        """width: bits, code, and whether weights are rounded by what the samples are."""
        layer = floats.layer(*width, leak, input_bits, bits.membranes, choice, raised)
        if width not in sums:
            sums[width] = sums_of(layer, x)
        return Trial(layer, sums[width], wanted, steps, (width, leak, choice, raised))

    def tried(width, leak, wider):
        choices = floats.choices(width, leak, bits.membranes, bits.signed, wider)
        return min((trial(width, leak, choice) for choice in choices), key=lambda one: one.cost)

    def least(width, leak):
        found = tried(width, leak, WIDER)
        for wider in range(max(WIDER) + 1, MAX_WIDER):
            other = tried(width, leak, [wider]) if found.clipped > CLIPPED else found
            if other.cost >= found.cost:
                break
            found = other
        return found

    for width in codes_of(floats.joined, weight_bits):
        width = *width, False
        for leak in [bits.leak] if bits.leak else leaks(float(np.mean(floats.leak))):
            found = least(width, leak)
            best = found if best is None or found.cost < WORTH * best.cost else best
    if best.cost and len(x) >= ENOUGH and floats.follow(best.layer, x):
        (bits_, code, _), leak, *_ = best.how
        found = least((bits_, code, True), leak)
        best = found if found.cost < best.cost else best  # no circuit is dearer by it
    best = _tuned(best, trial)
    floats.taken, floats.raised = best.how[0], best.how[3]
    layer, spikes = best.layer, best.spikes
    rates = spikes.mean(axis=(0, 1)).reshape(-1, layer.channels).mean(axis=0)
    outputs = pooled(layer, spikes.reshape(-1, layer.n_out)).reshape(*spikes.shape[:2], -1)
    scales, error = floats.lost(*best.how[0])
    return layer, LayerReport(
        name=neuron.name, leak=float(np.mean(floats.leak)), spread=float(np.ptp(floats.leak)),
        taken=layer.leak, reset=layer.reset, weight_bits=layer.weight_bits,
        membrane_bits=layer.membrane_bits, signed=layer.signed, shift=layer.shift, frac=layer.frac,
        scales=(float(scales.min()), float(scales.max())), error=error,
        theta=(int(layer.threshold.min()), int(layer.threshold.max())), clipped=best.clipped,
        differ=best.differ, spikes=spikes.size, rate=float(rates.mean()),
        float_rate=float(best.wanted.mean()), silent=int((rates == 0).sum()),
        always=int((rates == 1).sum()), channels=layer.channels,
        current=layer.current and (float(np.mean(floats.leak_in)), layer.current.leak,
                                   layer.current.bits),
        weight_code=layer.weight_code), outputs, floats


def _tuned(best, trial):
    """The trial with thresholds that make up for what the channels lose on average.

    Weights, and membranes whose range ends, make a channel fire more or less often than the float
    network's. Channels do not depend on each other, so each has the best of a few thresholds.
    """
    if not best.cost or len(best.spikes) < ENOUGH:
        return best
    raised, costs = np.zeros(len(best.costs)), best.costs
    for part in RAISED:
        found = trial(*best.how[:3], part).costs
        raised, costs = np.where(found < costs, part, raised), np.minimum(found, costs)
    other = trial(*best.how[:3], raised)  # those of a recurrent layer do depend
    return other if other.cost < WORTH * best.cost else best


def _count(block, stream, steps):
    """A readout that counts the spikes of the last neurons: 2 * count - all of them."""
    classes = block.outputs[0]
    check(block.outputs == (classes,), f"{block.neuron.name}: classes are a row of neurons")
    window = max(8, 2 * steps) if stream else Readout.window_of(steps)
    return Readout(weights=2 * np.eye(classes, dtype=np.int8) - 1, window=window, frac=0,
                   bias=np.zeros(classes, np.int64))


def _last_text(block, layer):
    """What became of the weights of a last layer that only adds."""
    flat, integers = block.weight.flatten(), layer.weights.flatten().astype(np.float64)
    lost = flat - integers * (flat @ integers / max(integers @ integers, 1))
    error = float(np.linalg.norm(lost) / max(np.linalg.norm(flat), 1e-300))
    leaks = "" if block.leak is None else (
        f", leak {np.mean(block.leak.leak):.4g} as {leak_text(layer.leak)}")
    return (f"{block.name}: readout, weights of "
            f"{weights_text(layer.weight_bits, layer.weight_code)} ({kept_text(error)}){leaks}")


def _readout(block, weight_bits, input_bits, steps, stream):
    """A last layer that only adds; one scale for all classes, so that scores compare."""
    flat = block.weight.reshape(1, -1)
    weight_bits, code = codes_of(flat, weight_bits)[0]
    numbers, scale = numbers_of(flat, weight_bits, code)
    window = max(8, 2 * steps) if stream else Readout.window_of(steps)
    leak, bias, frac = (1, 0), block.bias, READOUT_FRAC
    if block.leak is not None:
        check(np.ptp(block.leak.leak) == np.ptp(block.leak.gain) == 0, f"{block.leak.name}: its "
              "classes leak by different parts, or count differently: give them one of each")
        leak = leaks(float(np.mean(block.leak.leak)))[-1]
        bias, frac = bias + block.leak.rest / np.mean(block.leak.gain), LEAKY_FRAC
    bias = np.rint(bias * worth(leak, steps) / (scale[0] * block.unit) * 2 ** frac)
    limit = Readout.bias_limit(block.weight.shape[1], frac, input_bits, weight_bits, window, code)
    try:
        return Readout(weights=numbers.reshape(block.weight.shape), weight_bits=weight_bits,
                       weight_code=code, window=window, input_bits=input_bits, frac=frac, leak=leak,
                       bias=np.clip(bias, -limit, limit).astype(np.int64))
    except DescriptionError as error:
        raise GraphError(f"{block.name}: {error}") from None

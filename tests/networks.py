"""Random small networks whose neurons are neither silent nor always on."""

from dataclasses import replace

import numpy as np

from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.stages import StagePlan
from qsnn.hw.plan.window import window_of
from qsnn.model import golden
from qsnn.model.architecture import ArchitectureError, layers_of
from qsnn.model.codes import CODES
from qsnn.model.description import (
    MAX_SHIFT,
    Convolution,
    Current,
    Description,
    FullyConnected,
    Readout,
    Skip,
)

LEAKS = [(1, 1), (1, 1), (1, 0), (3, 2), (15, 4), (61, 6), (255, 8), (43, 7)]
# words of layers whose weights are integers: time steps, image, foldings
INTEGERS = {
    "integers": ("fc5w4i-fc6w2i", 3, (1, 7, 1), [(2, 3), (3, 4), (2, 2)]),
    "integers-one": ("fc3w8i-fc2w4i", 1, (1, 1, 1), [(1, 1), (2, 2), (1, 1)]),
    "integers-maps": ("c4k3w4i-a2-c3k2p0w2i-fc4w4i", 2, (4, 4, 2),
                      [(2, 2), (3, 2), (2, 3), (1, 4)]),
    "integers-pixels": ("c4k3w4i-c3k2w2i-p2", 3, (3, 6, 1), [(4, 1, 3), (3, 4, 2), (1, 3)]),
}
PROBES = 32  # images that the thresholds are fitted to


def random_description(rng, *, widths=None, time_steps=None, membrane_bits=None, input_bits=None,
                       signed=None):
    """Draw a valid :class:`~qsnn.model.description.Description` from a ``numpy.random.Generator``.

    widths         (inputs, hidden, ..., classes); if not given, 1 to 3 small hidden layers, each
                   with a leak and a reset of its own
    time_steps     1 .. 64; drawn up to 8, and up to 32 in one of nine
    membrane_bits  2 .. 8, of every layer; drawn for each layer
    input_bits     1 .. 8, bits of a pixel
    signed         of every layer; drawn for each layer

    A neuron's threshold is a value that its accumulator took on random images, so it fires at
    some of them and the boundary ``acc == theta`` occurs; about one in eight always or never
    fires, and about one in eight has a bias that drives its membrane into one end. Every second
    readout has two equal classes, and one in eight a single output.
    """
    general = widths is None
    if widths is None:
        hidden = rng.integers(1, 17, size=rng.integers(1, 4))
        widths = (rng.integers(1, 25), *hidden, rng.integers(1, 9))
    widths = [int(n) for n in widths]
    time_steps = random_steps(rng, 8) if time_steps is None else time_steps
    input_bits = int(rng.integers(1, 9)) if input_bits is None else input_bits
    pixels = _pixels(rng, PROBES, widths[0], input_bits)

    layers, x = [], np.repeat(pixels[None], time_steps, axis=0)  # x [T, PROBES, n_in]
    for n_in, n_out in zip(widths, widths[1:-1], strict=False):
        layer, x = _hidden(
            rng, FullyConnected, x, [], weights=random_weights(rng, (n_out, n_in)),
            input_bits=input_bits,
            membrane_bits=int(rng.integers(2, 9)) if membrane_bits is None else membrane_bits,
            signed=bool(rng.integers(2)) if signed is None else signed,
            **(random_neuron(rng) if general else {}))
        layers.append(layer)
        input_bits = 1
    layers.append(_readout(rng, time_steps, widths[-2], widths[-1], general=general))
    return Description(time_steps=time_steps, layers=layers)


def random_neuron(rng):
    """Leak and reset of a layer."""
    return {"leak": LEAKS[rng.integers(len(LEAKS))],
            "reset": str(rng.choice(["zero", "zero", "subtract"])),
            "current": rng.random() < 0.3}


def random_current(rng, spread, build):
    """A current whose range is about ``spread`` units; ``build`` makes a layer that has it."""
    m, k = LEAKS[rng.integers(len(LEAKS))]
    bits = int(rng.integers(2, 9))
    shift = min(max(spread.bit_length() - bits + int(rng.integers(0, 3)), k), MAX_SHIFT)

    def current(bias):
        return Current(bits=bits, leak=(m, k), shift=shift, bias=bias)
    layer = build(current(np.zeros(1, int)))
    low, high = layer.current_bias_range
    step = 1 << shift
    bias = np.clip(rng.integers(-step, 2 * step + 1, size=len(layer.weights)), low, high)
    return current(_some(rng, bias, (low, high)))


def random_words(rng):
    """Height, width and channels of small images, and words of a network that begins with a
    convolution: kernels, strides, paddings, pools, skips and bits of weights as they come."""
    while True:
        image = (*(int(side) for side in rng.integers(3, 11, size=2)), int(rng.integers(1, 4)))
        if rng.integers(4) == 0:  # a window of a sensor
            image = (1, int(rng.integers(4, 30)), image[2])
        words = []
        for index in range(rng.integers(1, 4)):
            kernel = int(rng.integers(1, 5))
            columns = kernel if rng.integers(2) else int(rng.integers(1, 6))
            channels = int(rng.integers(1, 9))
            word = f"c{channels}k{kernel}x{columns}"
            word += rng.choice(["", "", "", "s2", "s1x2", "s2x1"])
            if rng.integers(2):
                word += f"p{rng.integers(kernel)}x{rng.integers(columns)}"
            skip = f"+{rng.integers(index - 1)}" if index > 1 and rng.integers(3) else ""
            word += skip or rng.choice(["", "", "", "w2", "w4", "w8"])
            words.append(word + "i" * (word[-2:] in ("w2", "w4", "w8") and channels % 2))
            if rng.random() < 0.4:
                words.append(rng.choice(["p2", "a2", "p3", "p1x2", "p2x1", "a2x3", "p1x3"]))
        if rng.integers(3) == 0:
            channels = rng.choice([channels, int(rng.integers(1, 7))])  # those before, often
            words.append(f"r{channels}" + rng.choice(["", "s2", "k1x3", "k1x3s1x2"]))
        if rng.integers(2):
            words.append(f"fc{rng.integers(1, 12)}")
        try:
            return image, [str(word) for word in words], layers_of(words, image)
        except ArchitectureError:
            pass  # a map that is too small, a skip that does not fit: drawn again


def random_maps(rng, *, words=None, image=None, time_steps=None, membrane_bits=None,
                input_bits=None, classes=None):
    """A description with convolutions; the rest as in :func:`random_description`.

    Where the classes are given, the readout has weights of 1 bit.
    """
    if words is None:
        image, _, architecture = random_words(rng)
        general = True
    else:
        general = False
        architecture = layers_of(words, image)
    time_steps = random_steps(rng, 4) if time_steps is None else time_steps
    input_bits = int(rng.integers(1, 9)) if input_bits is None else input_bits
    pixels = _pixels(rng, PROBES, int(np.prod(image)), input_bits)
    layers, outputs, x = [], [], np.repeat(pixels[None], time_steps, axis=0)
    for spec in architecture:
        shape = dict(input_bits=input_bits, weight_bits=spec.weight_bits,
                     weight_code=spec.weight_code,
                     membrane_bits=int(rng.integers(2, 9)) if membrane_bits is None
                     else membrane_bits, signed=bool(rng.integers(2)),
                     **(random_neuron(rng) if general else {}))
        if spec.kernel:
            skip = spec.skip is not None and Skip(
                source=spec.skip, stride=spec.skip_stride, shift=int(rng.integers(0, 4)),
                weights=random_weights(rng, (spec.channels, spec.skip_channels))
                if spec.skip_kernel else None)
            weights = random_weights(rng, (spec.channels, *spec.kernel, spec.inputs[2]),
                               spec.weight_bits, spec.weight_code)
            layer, spikes = _hidden(
                rng, Convolution, x, [layers, outputs], weights=weights, height=spec.inputs[0],
                width=spec.inputs[1], stride=spec.stride, padding=spec.padding, pool=spec.pool,
                pool_size=spec.pool_size, skip=skip or None, **shape)
            x = np.stack([golden.pooled(layer, fired) for fired in spikes])
        else:
            weights = random_weights(rng, (spec.channels, spec.inputs[0]), spec.weight_bits,
                               spec.weight_code)
            layer, x = _hidden(rng, FullyConnected, x, [], weights=weights, **shape)
        layers.append(layer)
        outputs.append(x)
        input_bits = layer.output_bits
    bits = 1 if classes else int(rng.choice([1, 1, 1, 2, 8]))
    layers.append(_readout(rng, time_steps, x.shape[2], classes or int(rng.integers(1, 9)),
                           input_bits, bits, general=general))
    return Description(time_steps=time_steps, layers=layers)


def integer_network(rng, name):
    """A network of :data:`INTEGERS`, its readout's weights too, and its foldings."""
    words, time_steps, image, foldings = INTEGERS[name]
    description = random_maps(rng, words=words, image=image, time_steps=time_steps, classes=3)
    return (with_integer_readout(rng, description),
            [Folding(pe, simd, pixels=sum(more) or 1) for pe, simd, *more in foldings])


# widths, time steps, bits of a pixel, leak of the readout, foldings
LEAKY = {
    "leaky": ((5, 6, 4), 3, 4, (15, 4), [(3, 2), (2, 4)]),
    "leaky-one": ((3, 2, 1), 1, 1, (1, 1), [(1, 1), (1, 1)]),
    "leaky-long": ((4, 5, 3), 25, 3, (43, 7), [(5, 4), (1, 5)]),
    "leaky-all": ((4, 3, 3), 2, 2, (255, 8), [(3, 4), (3, 3)]),
}


def leaky_network(rng, name):
    """A network of :data:`LEAKY`, and its foldings."""
    widths, time_steps, input_bits, leak, foldings = LEAKY[name]
    description = random_description(rng, widths=widths, time_steps=time_steps,
                                     input_bits=input_bits)
    return with_leaky_readout(description, leak), [Folding(*pair) for pair in foldings]


def with_leaky_readout(description, leak):
    """The same with a readout whose totals leak."""
    *hidden, last = description.layers
    return replace(description, layers=[*hidden, replace(last, leak=leak)])


def with_integer_readout(rng, description):
    """The same with a readout of integers, -8 .. 7."""
    *hidden, last = description.layers
    weights = random_weights(rng, last.weights.shape, 4, "integer")
    return replace(description, layers=[*hidden, replace(
        last, weights=weights, weight_bits=4, weight_code="integer")])


def random_foldings(rng, description):
    """Any PE and SIMD that a layer can have, those that pad included."""
    foldings, padded, before = [], None, None  # channels of the layer before, with padding
    for index, layer in enumerate(description.layers):
        n_in = layer.n_in
        if layer.kind == "convolution":
            n_in = layer.channels_in if index == 0 else padded
        elif before is not None:
            n_in = before.n_outputs // before.channels * padded
        pe, simd = int(rng.integers(1, layer.channels + 1)), int(rng.integers(1, n_in + 1))
        while index == 0 and layer.kind == "convolution" and n_in % simd:
            simd -= 1
        pixels = 1
        if layer.kind == "convolution" and rng.random() < 0.4:  # several pixels, of all channels
            pe, pixels = layer.channels, int(rng.choice(window_of(layer).pixel_choices))
        foldings.append(Folding(pe, simd, pixels=pixels))
        padded, before = -(-layer.channels // pe) * pe, layer
    return foldings


def area(description, foldings):
    """Synapses of all steps that work at once: what Verilog, and its compilation, grow with."""
    return description.time_steps * sum(
        folding.pe * folding.simd * folding.pixels for folding in foldings)


def random_small(rng, most=800):
    """A network and foldings that a simulator compiles in seconds."""
    description = random_description(rng)
    while True:
        foldings = random_foldings(rng, description)
        if area(description, foldings) <= most:
            return description, foldings


def random_small_maps(rng, latency, most=500):
    """The same with convolutions, that need no more cycles for an image."""
    while True:
        description = random_maps(rng)
        foldings = random_foldings(rng, description)
        if area(description, foldings) <= most and plan(description, foldings).latency <= latency:
            return description, foldings


def stage_of(layer, padding=0, simd=1, steps=1):
    """A :class:`qsnn.hw.plan.stages.StagePlan` for a layer alone, which has no map."""
    readout = layer.kind == "readout"
    return StagePlan(pe=1, simd=simd, n_in=layer.n_in + padding, n_out=layer.n_out,
                     bits=layer.input_bits, steps=steps, readout=readout,
                     sequence=1 if readout else steps, lanes=1, planes=layer.weight_bits,
                     pixel=(layer.n_in, layer.n_in + padding))


def random_pixels(rng, description, count):
    """Images for a network, dark and bright ones, noisy ones and black and white ones."""
    return _pixels(rng, count, description.n_in, description.input_bits)


def random_steps(rng, usual):
    """Time steps of an image, up to the usual number or, now and then, many more."""
    steps = int(rng.integers(1, usual + 2))
    return steps if steps <= usual else int(rng.integers(9, 33))


def _pixels(rng, count, n_in, bits):
    """[count, n_in]: in an image, pixels are drawn, extreme or zero, in its own proportions."""
    high = (1 << bits) - 1
    noise = rng.integers(0, high + 1, size=(count, n_in))
    zero, extreme = rng.random((2, count, 1))
    image = np.where(rng.random((count, n_in)) < extreme, high, noise)
    return np.where(rng.random((count, n_in)) < zero, 0, image)


def random_weights(rng, shape, bits=1, code="odd"):
    code = CODES[code]
    return (code.step * rng.integers(1 << bits, size=shape) + code.range(bits)[0]).astype(np.int16)


def _hidden(rng, kind, x, before, current=False, **shape):
    """A layer fitted to its inputs [T, PROBES, n_in], and the spikes that it answers.

    before: all layers before it and their outputs, where a skip may come from.
    """
    blank = np.zeros(len(shape["weights"]), np.int64)
    plain = kind(threshold=blank, bias=blank, shift=MAX_SHIFT, frac=0,
                 bias_fired=blank if shape.get("reset") == "subtract" else None, **shape)
    sums = np.stack([golden.layer_sums(plain, inputs) for inputs in x])
    if plain.skip:
        layers, outputs = before
        source = plain.skip.source
        sums += np.stack([golden.skip_sums(plain, layers[source], given)
                          for given in outputs[source]])
    _, k = shape.get("leak", (1, 1))
    subtracts = shape.get("reset") == "subtract"
    frac = int(rng.choice([0, 0, 0, 1, 2, 5, 8]))
    # the membrane's range is about as wide as the sums are, up to a factor of four
    spread = max(int(np.abs(sums).max()), 1) << frac
    shift = int(spread).bit_length() - shape["membrane_bits"] + int(rng.integers(-1, 3))
    shift = min(max(shift, k), MAX_SHIFT)

    def build(threshold, bias, fired):
        return kind(threshold=threshold, bias=bias, shift=shift, frac=frac,
                    bias_fired=fired if subtracts else None, current=between, **shape)

    zeros, between = np.zeros(len(shape["weights"]), np.int64), None
    if current:
        between = random_current(rng, spread, lambda given: kind(
            threshold=blank, bias=blank, shift=shift, frac=frac, bias_fired=plain.bias_fired,
            current=replace(given, bias=blank), **shape))
    ranges = build(zeros, zeros, zeros)  # the ranges depend on the shape alone
    step = 1 << shift
    bias = rng.integers(-step, 2 * step + 1, size=zeros.shape)  # around half a step
    bias = _some(rng, np.clip(bias, *ranges.bias_range), ranges.bias_range)

    never = build(np.full_like(zeros, ranges.threshold_range[1]), bias, bias)
    accs = [accumulated(never, held, s) for held, s in zip(_run(never, sums)[0], sums, strict=True)]
    # neurons of a channel share their threshold: [T * PROBES * neurons of a channel, channels]
    accs = np.concatenate(accs).reshape(-1, len(zeros))
    threshold = accs[rng.integers(len(accs), size=zeros.shape), np.arange(len(zeros))]
    fired = np.clip(bias - threshold, *ranges.bias_range) if subtracts else None
    if subtracts:
        fired = _some(rng, fired, ranges.bias_range)
    layer = build(_some(rng, threshold, ranges.threshold_range), bias, fired)
    return layer, _run(layer, sums)[1]


def accumulated(layer, held, sums):
    """What is compared with the thresholds, of what neurons have kept."""
    given = sums << layer.frac
    q = held
    if layer.current:
        size = 1 << layer.membrane_bits
        given = given + layer.current.stays(held // size)
        q = held % size
        q = np.where(q > layer.q_range[1], q - size, q)
    m, k = layer.leak
    return (q * m << (layer.shift - k)) + given


def _run(layer, sums):
    """Membranes before each step and spikes after it, [T, PROBES, n_out] each."""
    q, membranes, spikes = np.zeros_like(sums[0]), [], []
    for s in sums:
        membranes.append(q)
        q, fire = golden.neuron_step(layer, q, s)
        spikes.append(fire)
    return membranes, np.stack(spikes).astype(np.int64)


def _some(rng, values, ends):
    """The values, about one in eight of them replaced by an end of its range."""
    return np.where(rng.random(values.shape) < 1 / 8, rng.choice(ends, size=values.shape), values)


def _readout(rng, time_steps, n_in, classes, input_bits=1, weight_bits=1, *, general):
    frac, window = int(rng.integers(0, 9)), Readout.window_of(time_steps)
    limit = n_in << frac  # a bias of the size of a score
    code = "integer" if general and weight_bits > 1 and classes % 2 else "odd"
    weights = random_weights(rng, (classes, n_in), weight_bits, code)
    bias = rng.integers(-limit, limit + 1, size=classes)
    if general:  # those of a shape stay the networks that benchmarks measured
        most = Readout.bias_limit(n_in, frac, input_bits, weight_bits, window, code)
        bias = _some(rng, bias, (-most, most))
    if classes > 1 and rng.integers(2):  # twins, whose scores tie
        first, second = rng.choice(classes, size=2, replace=False)
        weights[second], bias[second] = weights[first], bias[first]
    return Readout(weights=weights, frac=frac, bias=bias, input_bits=input_bits,
                   weight_bits=weight_bits, weight_code=code, window=window,
                   leak=readout_leak(classes) if general else (1, 0))


def readout_leak(classes):
    """That of one in three."""
    return LEAKS[classes % len(LEAKS)] if classes % 3 == 0 else (1, 0)

import tracemalloc
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from qsnn.model import golden
from qsnn.model.description import Convolution, Description, FullyConnected, Readout
from tests.networks import random_description, random_maps, random_pixels


def window_sum(layer, x, neuron):
    """S of a neuron of a convolution, the skip apart: loops over its rectangle."""
    place, channel = divmod(neuron, layer.channels)
    y, column = divmod(place, layer.out_width)
    total = 0
    for i in range(layer.kernel[0]):
        for j in range(layer.kernel[1]):
            row = y * layer.stride[0] + i - layer.padding[0]
            col = column * layer.stride[1] + j - layer.padding[1]
            if 0 <= row < layer.height and 0 <= col < layer.width:
                for k in range(layer.channels_in):
                    total += int(layer.weights[channel, i, j, k]) * x[
                        (row * layer.width + col) * layer.channels_in + k]
    return total


def skip_sum(layer, source, x, neuron):
    """What the skip adds to it."""
    place, channel = divmod(neuron, layer.channels)
    y, column = divmod(place, layer.out_width)
    _, width, channels = source.output_map
    start = (y * layer.skip.stride[0] * width + column * layer.skip.stride[1]) * channels
    if layer.skip.weights is None:
        return x[start + channel] * 2 ** layer.skip.shift
    return sum(int(layer.skip.weights[channel, k]) * x[start + k]
               for k in range(channels)) * 2 ** layer.skip.shift


def pooled(layer, out):
    """What the next layer takes."""
    if layer.kind != "convolution" or layer.pool == "none":
        return out
    (high, wide), result = layer.pool_size, []
    for y in range(layer.out_height // high):
        for column in range(layer.out_width // wide):
            for channel in range(layer.channels):
                square = [out[((y * high + i) * layer.out_width + column * wide + j)
                              * layer.channels + channel]
                          for i in range(high) for j in range(wide)]
                result.append(sum(square) if layer.pool == "sum" else max(square))
    return result


def naive(net, image):
    """Scores, label, and spikes and membranes per hidden layer and step: loops over integers."""
    spikes = [[] for _ in net.hidden]
    membranes = [[[0] * layer.n_out] for layer in net.hidden]
    totals = [0] * net.outputs
    stays = Fraction(net.readout.leak[0], 2 ** net.readout.leak[1])
    for _ in range(net.time_steps):
        x, outputs = [int(pixel) for pixel in image], []
        for layer, fired, kept in zip(net.hidden, spikes, membranes, strict=True):
            out, after = [], []
            for j in range(layer.n_out):
                if layer.kind == "convolution":
                    total = window_sum(layer, x, j)
                    if layer.skip:
                        total += skip_sum(layer, net.layers[layer.skip.source],
                                          outputs[layer.skip.source], j)
                else:
                    total = sum(int(layer.weights[j, i]) * x[i] for i in range(layer.n_in))
                # what stays of the membrane, in units: a part of q * 2**shift
                before, channel = kept[-1][j], j % layer.channels
                given = total * 2 ** layer.frac
                if layer.current:
                    i, before = divmod(before, 2 ** layer.membrane_bits)
                    if layer.signed and before >= 2 ** (layer.membrane_bits - 1):
                        before -= 2 ** layer.membrane_bits
                    current = layer.current
                    given += Fraction(i * 2 ** current.shift * current.leak[0],
                                      2 ** current.leak[1])
                    i = (given + int(current.bias[channel])) // 2 ** current.shift
                    most = 2 ** (current.bits - 1)
                    i = min(max(i, -most), most - 1)
                acc = Fraction(before * 2 ** layer.shift * layer.leak[0], 2 ** layer.leak[1])
                acc += given
                fires = acc >= int(layer.threshold[channel])
                bias = layer.bias
                if fires and layer.reset == "subtract":
                    bias = layer.bias_fired
                q = (acc + int(bias[channel])) // 2 ** layer.shift
                low = -(2 ** (layer.membrane_bits - 1)) if layer.signed else 0
                high = low + 2 ** layer.membrane_bits - 1
                out.append(int(fires))
                q = 0 if fires and layer.reset == "zero" else min(max(q, low), high)
                after.append(i * 2 ** layer.membrane_bits + q % 2 ** layer.membrane_bits
                             if layer.current else q)
            fired.append(out)
            kept.append(after)
            x = pooled(layer, out)
            outputs.append(x)
        for k in range(net.outputs):
            total = sum(int(net.readout.weights[k, i]) * x[i] for i in range(len(x)))
            # the nearest number to what stays, ties up
            totals[k] = floor(totals[k] * stays + Fraction(1, 2)) + total * 2 ** net.readout.frac
    scores = [total + int(b) for total, b in zip(totals, net.readout.bias, strict=True)]
    label = 0
    for k in range(net.outputs):
        if scores[k] > scores[label]:
            label = k
    if net.outputs == 1:
        label = 1 if scores[0] > 0 else 0
    return scores, label, spikes, [kept[1:] for kept in membranes]


def assert_naive(net, pixels):
    result = golden.infer(net, pixels, trace=True)
    for n, image in enumerate(pixels):
        scores, label, spikes, membranes = naive(net, image)
        assert result.scores[n].tolist() == scores
        assert result.labels[n] == label
        for layer in range(len(net.hidden)):
            assert result.spikes[layer][n].tolist() == spikes[layer]
            assert result.membranes[layer][n].tolist() == membranes[layer]
    return result


@pytest.mark.parametrize("seed", range(100))
def test_naive(seed):
    rng = np.random.default_rng(seed)
    net = random_description(rng)
    assert_naive(net, random_pixels(rng, net, 8))


@pytest.mark.parametrize("seed", range(60))
def test_naive_maps(seed):
    rng = np.random.default_rng(seed)
    net = random_maps(rng)
    assert_naive(net, random_pixels(rng, net, 2))


def test_random_maps_have_everything():
    """Of what the tests above and those of the hardware say that they try."""
    layers = [layer for seed in range(60)
              for layer in random_maps(np.random.default_rng(seed)).layers]
    maps = [layer for layer in layers if layer.kind == "convolution"]
    assert {layer.kernel for layer in maps} >= {(1, 1), (3, 3), (1, 3), (4, 2), (1, 5)}
    assert {layer.stride for layer in maps} == {(1, 1), (2, 2), (1, 2), (2, 1)}
    assert {layer.pool for layer in maps} == {"none", "max", "sum"}
    assert {layer.pool_size for layer in maps} >= {(2, 2), (3, 3), (1, 2), (2, 1), (2, 3)}
    assert {padding[axis] for padding in {layer.padding for layer in maps}
            for axis in range(2)} >= {0, 1, 2, 3}
    assert any(layer.height == 1 < layer.out_width for layer in maps)
    assert any(padding[0] != padding[1] for padding in {layer.padding for layer in maps})
    assert {layer.weight_bits for layer in maps} == {1, 2, 4, 8}
    assert {layer.weight_bits for layer in layers if layer.kind == "readout"} == {1, 2, 8}
    skips = [layer.skip for layer in maps if layer.skip]
    assert {skip.weights is None for skip in skips} == {True, False}
    assert {skip.stride for skip in skips} >= {(1, 1), (2, 2), (1, 2)}
    assert len({skip.shift for skip in skips}) == 4
    assert any(layer.input_bits > 1 for layer in layers if layer.kind == "readout")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("membrane_bits", range(2, 9))
def test_naive_bits(membrane_bits, signed):
    rng = np.random.default_rng(membrane_bits)
    for input_bits in range(1, 9):
        net = random_description(rng, widths=(5, 4, 3, 2), time_steps=9 - input_bits,
                                 membrane_bits=membrane_bits, input_bits=input_bits, signed=signed)
        assert_naive(net, random_pixels(rng, net, 4))


@pytest.mark.parametrize("shift", [1, 2, 12, 24])
@pytest.mark.parametrize("frac", range(9))
def test_naive_units(shift, frac):
    """Every unit against small and giant membrane steps, biases over their whole range."""
    rng = np.random.default_rng(shift)
    for signed in (False, True):
        shape = dict(weights=rng.choice([-1, 1], size=(6, 4)), input_bits=3, membrane_bits=3,
                     signed=signed, shift=shift, frac=frac)
        zeros = np.zeros(6, int)
        ranges = FullyConnected(threshold=zeros, bias=zeros, **shape)
        layer = FullyConnected(threshold=rng.integers(*ranges.threshold_range, 6, endpoint=True),
                               bias=rng.integers(*ranges.bias_range, 6, endpoint=True), **shape)
        net = Description(time_steps=6, layers=[layer, Readout(
            weights=rng.choice([-1, 1], size=(3, 6)), bias=rng.integers(-48, 49, 3), frac=frac)])
        assert_naive(net, random_pixels(rng, net, 6))


def test_activity():
    """Random networks are worth testing with: they spike, they stay silent, membranes move."""
    rates, inside = [], []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        net = random_description(rng)
        result = golden.infer(net, random_pixels(rng, net, 50), trace=True)
        rates += result.rates
        inside += [np.mean((q > layer.q_range[0]) & (q < layer.q_range[1]))
                   for layer, q in zip(net.hidden, result.membranes, strict=True)]
    assert np.mean([0.1 < rate < 0.9 for rate in rates]) > 0.8
    assert np.mean(inside) > 0.25


def neuron(*, theta=100, beta=0, fired=None, shift=1, frac=0, bits=2, signed=False, inputs=16,
           **fields):
    """A layer of one neuron; all its weights are +1."""
    return FullyConnected(weights=np.ones((1, inputs), int), threshold=np.array([theta]),
                          bias=np.array([beta]), input_bits=4, membrane_bits=bits, signed=signed,
                          bias_fired=None if fired is None else np.array([fired]), shift=shift,
                          frac=frac, **fields)


def step(layer, q, total):
    membranes, spikes = golden.neuron_step(layer, np.array([q]), np.array([total]))
    return int(membranes[0]), bool(spikes[0])


def test_fires_at_threshold():
    """acc = q * 2**(shift - 1) + S * 2**frac = 3 * 2 + 5 * 4 = 26."""
    for theta, fires in ((25, True), (26, True), (27, False)):
        assert step(neuron(theta=theta, shift=2, frac=2), 3, 5)[1] is fires
    for theta, fires in ((-19, False), (-20, True), (-21, True)):
        assert step(neuron(theta=theta, shift=2, frac=2), 0, -5)[1] is fires


def test_bias_is_not_compared_with_threshold():
    assert step(neuron(theta=6, beta=100), 0, 5) == (3, False)
    assert step(neuron(theta=5, beta=-100), 0, 5) == (0, True)


@pytest.mark.parametrize("signed, low, high", [(False, 0, 7), (True, -4, 3)])
def test_clamps_at_both_ends(signed, low, high):
    """A membrane of 3 bits with a step of 4: acc + beta = 4 q .. 4 q + 3 gives q."""
    layer = neuron(bits=3, signed=signed, shift=2)
    for total, q in [(4 * high + 3, high), (4 * high + 4, high), (4 * high, high),
                     (4 * high - 1, high - 1), (4 * low, low), (4 * low - 1, low),
                     (4 * low + 3, low), (4 * low + 4, low + 1), (-99, low), (99, high)]:
        assert step(layer, 0, total) == (q, False)


def test_reset_comes_before_quantization():
    """A neuron that fires is at 0 afterwards, whatever bias and clamping would have made of it."""
    assert step(neuron(theta=4, beta=50), 3, 4) == (0, True)
    assert step(neuron(theta=-9, beta=-90, signed=True, bits=3), -4, -2) == (0, True)


def test_shift_rounds_towards_minus_infinity():
    layer = neuron(bits=4, signed=True, shift=2)
    assert [step(layer, 0, total)[0] for total in (-8, -7, -5, -4, -3, -1, 0, 3, 4)] == [
        -2, -2, -2, -1, -1, -1, 0, 0, 1]
    half = neuron(bits=4, signed=True, shift=2, beta=2)  # to nearest, ties go up
    assert [step(half, 0, total)[0] for total in (-7, -6, -5, -3, -2, 1, 2, 5, 6)] == [
        -2, -1, -1, -1, 0, 0, 1, 1, 2]


def test_leak_is_exact():
    """Half of an odd membrane is not rounded: with a step of 2 units it is q units."""
    assert step(neuron(theta=4, shift=1), 3, 1)[1] is True
    assert step(neuron(theta=5, shift=1), 3, 1)[1] is False
    assert step(neuron(theta=-3, shift=1, signed=True, bits=3), -3, 0)[1] is True
    assert step(neuron(theta=-2, shift=1, signed=True, bits=3), -3, 0)[1] is False


def test_leaks_are_exact():
    """15/16 of a membrane of 5 steps of 16 units is 75 units; of 3 without a leak, 48."""
    for q, leak, units in ((5, (15, 4), 75), (-5, (15, 4), -75), (3, (1, 0), 48), (7, (3, 2), 84)):
        for theta, fires in ((units, True), (units + 1, False)):
            layer = neuron(theta=theta, shift=4, signed=True, bits=4, leak=leak)
            assert step(layer, q, 0)[1] is fires


def test_reset_by_subtraction():
    """A neuron that fires keeps what it has beyond: here 6 units of a threshold of 20."""
    fields = dict(theta=20, beta=2, shift=2, signed=True, bits=4, reset="subtract")
    assert step(neuron(**fields, fired=2 - 20), 0, 26) == (2, True)  # 26 - 20 = 6: 1.5 steps, up
    assert step(neuron(**fields, fired=-100), 0, 26) == (-8, True)  # down to the end
    assert step(neuron(**fields, fired=2 - 20), 0, 19) == (5, False)


def readout_of(weights, bias, *, time_steps=1, frac=0):
    """A network whose hidden neurons repeat the bits of the image at every step."""
    n = len(weights[0])
    eye = np.full((n, n), -1) + 2 * np.eye(n, dtype=int)
    # the neuron's own pixel counts 1, the others -1: with one pixel set, only its neuron fires
    layer = FullyConnected(weights=eye, threshold=np.ones(n, int), bias=np.zeros(n, int),
                           input_bits=1, membrane_bits=2, signed=False, shift=1, frac=0)
    return Description(time_steps=time_steps, layers=[
        layer, Readout(weights=np.array(weights), bias=np.array(bias), frac=frac)])


def test_ties_go_to_the_first_class():
    image = np.array([[1, 0]])
    for weights, bias, label in [
            ([[1, 1], [1, 1], [1, 1]], [0, 0, 0], 0),
            ([[-1, 1], [1, 1], [1, -1]], [0, 0, 0], 1),
            ([[-1, 1], [1, 1], [1, -1]], [2, 0, 0], 0),
            ([[-1, 1], [1, 1], [1, -1]], [1, 0, 1], 2),
            ([[-1, 1], [-1, 1], [-1, -1]], [-5, -4, -4], 1)]:
        assert golden.infer(readout_of(weights, bias), image).labels.tolist() == [label]


def test_one_output():
    """Above 0 is class 1; 0 is a tie, which the lower class has."""
    images = np.array([[1, 0], [0, 1]])
    for bias, labels in ((0, [0, 1]), (1, [0, 1]), (2, [1, 1]), (-1, [0, 0])):
        net = readout_of([[-1, 1]], [bias])
        result = golden.infer(net, images)
        assert result.scores.tolist() == [[bias - 1], [bias + 1]]
        assert result.labels.tolist() == labels
        # as of a pair whose first score is always 0
        pair = np.pad(result.scores, ((0, 0), (1, 0)))
        assert pair.argmax(axis=1).tolist() == labels
        assert (net.outputs, net.classes, net.shape) == (1, 2, "2-2-1")


def test_scores_add_up_over_time():
    net = readout_of([[1, -1], [-1, 1]], [3, -5], time_steps=8, frac=3)
    result = golden.infer(net, np.array([[1, 0], [0, 1], [0, 0]]))
    assert result.scores.tolist() == [[67, -69], [-61, 59], [3, -5]]
    assert result.rates == (16 / 48,)


def test_largest_sums_are_exact():
    """The widest layer with the brightest image loses nothing."""
    weights = np.ones((2, 1 << 16), np.int8)
    weights[1, 0] = -1
    x = np.full((1, 1 << 16), 255, np.uint8)
    assert golden.synaptic_sum(weights, x).tolist() == [[255 << 16, (255 << 16) - 510]]


def test_types():
    net = random_description(np.random.default_rng(0))
    pixels = random_pixels(np.random.default_rng(1), net, 3)
    result = golden.infer(net, pixels, trace=True)
    assert result.labels.dtype == result.scores.dtype == np.int64
    for layer, spikes, membranes in zip(net.hidden, result.spikes, result.membranes, strict=True):
        assert spikes.dtype == np.uint8 and membranes.dtype == np.int16
        assert spikes.shape == membranes.shape == (3, net.time_steps, layer.n_out)
    plain = golden.infer(net, pixels)
    assert plain.spikes is None and plain.membranes is None
    np.testing.assert_array_equal(plain.scores, result.scores)
    for dtype in (np.uint8, np.int16, np.uint64):
        np.testing.assert_array_equal(golden.infer(net, pixels.astype(dtype)).scores, plain.scores)


def test_images_are_independent():
    """Many images at once give what each of them gives alone, across the ends of batches."""
    rng = np.random.default_rng(3)
    net = random_description(rng, widths=(12, 9, 7, 4), time_steps=5)
    pixels = random_pixels(rng, net, 2500)
    together = golden.infer(net, pixels, trace=True)
    assert len(together.labels) == 2500
    for n in (*range(0, 2500, 97), 999, 1000, 1998, 1999, 2000, 2499):
        alone = golden.infer(net, pixels[n:n + 1], trace=True)
        np.testing.assert_array_equal(alone.scores[0], together.scores[n])
        assert alone.labels[0] == together.labels[n]
        for a, b in zip(alone.spikes + alone.membranes, together.spikes + together.membranes,
                        strict=True):
            np.testing.assert_array_equal(a[0], b[n])
    rates = [spikes.mean() for spikes in together.spikes]
    np.testing.assert_allclose(together.rates, rates, rtol=1e-12)


@pytest.mark.parametrize("numbers", [1, 50, 1000])
def test_pieces_of_maps(monkeypatch, numbers):
    """Many images at once, or a few lines of one: the same integers."""
    rng = np.random.default_rng(5)
    for _ in range(6):
        net = random_maps(rng)
        pixels = random_pixels(rng, net, 4)
        with monkeypatch.context() as patch:
            patch.setattr(golden, "MAX_NUMBERS", numbers)
            pieces = golden.infer(net, pixels, trace=True)
        whole = golden.infer(net, pixels, trace=True)
        assert pieces.rates == whole.rates
        for a, b in zip((pieces.scores, *pieces.spikes, *pieces.membranes),
                        (whole.scores, *whole.spikes, *whole.membranes), strict=True):
            np.testing.assert_array_equal(a, b)


def peak_of(net, pixels, **options):
    """Bytes that a call takes at most, beside what was there."""
    tracemalloc.start()
    try:
        golden.infer(net, pixels, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_without_a_trace(monkeypatch):
    """It follows from the size of a batch, not from the number of images."""
    monkeypatch.setattr(golden, "MAX_NUMBERS", 1 << 16)
    rng = np.random.default_rng(6)
    net = random_description(rng, widths=(4, 1000, 2), time_steps=8)
    pixels = random_pixels(rng, net, 2000)
    spikes = 2000 * 8 * 1000
    assert peak_of(net, pixels) < spikes // 4
    assert peak_of(net, pixels, trace=True) > 3 * spikes  # the measure sees what is kept


def test_memory_of_a_large_map(monkeypatch):
    """Not every synapse of an image is there at once."""
    monkeypatch.setattr(golden, "MAX_NUMBERS", 1 << 16)
    ones = np.ones((1, 15, 15, 1), np.int8)
    layer = Convolution(weights=ones, threshold=np.ones(1, int), bias=np.zeros(1, int), height=256,
                        width=256, padding=7, input_bits=1, membrane_bits=2, signed=False, shift=1,
                        frac=0, pool="max", pool_size=8)
    net = Description(time_steps=1, layers=(layer, Readout(
        weights=np.ones((2, 1024), np.int8), bias=np.zeros(2, int), frac=0)))
    assert peak_of(net, np.ones((1, 1 << 16), np.uint8)) < layer.n_out * layer.fan_in


def test_weights_become_floats_once(monkeypatch):
    """For each layer and call, however many batches and time steps there are."""
    net = random_description(np.random.default_rng(7), widths=(4, 3, 3, 2), time_steps=4)
    pixels = random_pixels(np.random.default_rng(8), net, 3 * golden.BATCH)
    made, real = [], golden.Synapses
    monkeypatch.setattr(golden, "Synapses", lambda *args: made.append(args) or real(*args))
    golden.infer(net, pixels)
    assert len(made) == len(net.layers)


@pytest.mark.parametrize("pixels, sentence", [
    (np.zeros(4, int), "images must have shape [N, 4] with N >= 1, not [4]"),
    (np.zeros((2, 5), int), "images must have shape [N, 4] with N >= 1, not [2, 5]"),
    (np.zeros((0, 4), int), "images must have shape [N, 4] with N >= 1, not [0, 4]"),
    (np.zeros((1, 2, 2), int), "images must have shape [N, 4] with N >= 1, not [1, 2, 2]"),
    (np.zeros((1, 4)), "pixels must be integers, not float64"),
    (np.zeros((1, 4), bool), "pixels must be integers, not bool"),
    (np.array([[0, 0, 0, 8]]), "pixels must lie in 0 .. 7, found 0 .. 8"),
    (np.array([[0, -1, 0, 7]]), "pixels must lie in 0 .. 7, found -1 .. 7"),
    (np.array([[0, 0, 0, 1 << 63]], np.uint64),
     "pixels must lie in 0 .. 7, found 0 .. 9223372036854775808"),
])
def test_wrong_pixels(pixels, sentence):
    net = random_description(np.random.default_rng(0), widths=(4, 3, 2), input_bits=3)
    with pytest.raises(ValueError) as caught:
        golden.infer(net, pixels)
    assert str(caught.value) == sentence

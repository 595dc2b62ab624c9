"""Streams in the golden model: by hand, in pieces, in torch, in files."""

import numpy as np
import pytest
import torch

from qsnn.model import streams
from qsnn.model.description import Description, DescriptionError, load, save
from qsnn.model.equality import compare
from qsnn.model.export import fold
from qsnn.model.inference import infer
from qsnn.model.layers import Convolution, FullyConnected, Readout, Skip
from qsnn.model.qsnn import QSNN, Config
from qsnn.model.weights import load_net, save_net
from tests.networks import random_description
from tests.streams import random_map_stream, random_steps, random_stream


def label_of(scores):
    """The first class with the largest score; of one score, whether it is above 0."""
    return scores.index(max(scores)) if len(scores) > 1 else int(scores[0] > 0)


def by_hand(description, x, emit, clear):
    """Every spike, membrane and score of one stream, neuron by neuron as the page says it."""
    hidden = description.hidden
    seen, q, fired = {}, [[0] * layer.n_out for layer in hidden], {}
    total = [0] * description.outputs
    spikes, membranes = [[] for _ in hidden], [[] for _ in hidden]
    scores, begin = [], 0
    for t in range(len(x)):
        now = x[t].tolist()
        for index, layer in enumerate(hidden):
            seen[index, t] = now
            row, state = [], []
            for neuron in range(layer.n_out):
                at, channel = divmod(neuron, layer.channels)
                total_in = 0
                for tap in range(layer.taps):
                    if layer.kind == "convolution":
                        total_in += window_sum(layer, now, at, channel)
                    elif t - tap >= begin:
                        for i, spike in enumerate(seen[index, t - tap]):
                            total_in += int(layer.weights[neuron, tap * layer.n_in + i]) * spike
                if layer.recurrent is not None and t - 1 >= begin:
                    for other, spike in enumerate(fired[index]):
                        total_in += int(layer.recurrent[neuron, other]) * spike
                before, given, current = q[index][neuron], total_in << layer.frac, layer.current
                if current:
                    i, before = divmod(before, 1 << layer.membrane_bits)
                    before -= (before > layer.q_range[1]) << layer.membrane_bits
                    given += i * current.leak[0] << current.shift - current.leak[1]
                    i = (given + int(current.bias[channel])) >> current.shift
                    i = min(max(i, current.range[0]), current.range[1])
                acc = (before * layer.leak[0] << layer.shift - layer.leak[1]) + given
                fire = acc >= int(layer.threshold[channel])
                low, high = layer.q_range
                subtracts = layer.reset == "subtract"
                bias = layer.bias_fired if fire and subtracts else layer.bias
                kept = min(max((acc + int(bias[channel])) >> layer.shift, low), high)
                row.append(int(fire))
                kept = 0 if fire and not subtracts else kept
                state.append((i << layer.membrane_bits) + kept % (1 << layer.membrane_bits)
                             if current else kept)
            q[index], fired[index] = state, row
            spikes[index].append(row)
            membranes[index].append(state)
            now = squares(layer, row) if layer.kind == "convolution" else row
        readout = description.readout
        for c in range(description.outputs):
            added = sum(int(w) * s for w, s in zip(readout.weights[c], now, strict=True))
            (m, k), limit = readout.leak, readout.total_limit << readout.frac
            total[c] = (2 * total[c] * m + 2 ** k) // 2 ** (k + 1) + (added << readout.frac)
            total[c] = min(max(total[c], -limit), limit)
        if emit[t]:
            scores.append([total[c] + int(readout.bias[c]) for c in range(description.outputs)])
        if emit[t] and readout.leak == (1, 0) or clear[t]:
            total = [0] * description.outputs
        if clear[t]:
            q, begin = [[0] * layer.n_out for layer in hidden], t + 1
    return spikes, membranes, scores


def window_sum(layer, now, at, channel):
    """S of a neuron of a convolution."""
    row, column = divmod(at, layer.out_width)
    total = 0
    for i in range(layer.kernel[0]):
        for j in range(layer.kernel[1]):
            y = row * layer.stride[0] + i - layer.padding[0]
            x = column * layer.stride[1] + j - layer.padding[1]
            if 0 <= y < layer.height and 0 <= x < layer.width:
                for k in range(layer.channels_in):
                    number = now[(y * layer.width + x) * layer.channels_in + k]
                    total += int(layer.weights[channel, i, j, k]) * number
    return total


def squares(layer, row):
    """What a pooling gives."""
    (rows, columns), (height, width, channels) = layer.pool_size, layer.output_map
    found = []
    for y in range(height):
        for x in range(width):
            for k in range(channels):
                fired = [row[((y * rows + i) * layer.out_width + x * columns + j) * channels + k]
                         for i in range(rows) for j in range(columns)]
                found.append(sum(fired) if layer.pool == "sum" else int(any(fired)))
    return found


@pytest.mark.parametrize("draw, seed", [
    *((random_stream, seed) for seed in range(12)),
    *((random_map_stream, seed) for seed in range(12))])
def test_by_hand(draw, seed):
    rng = np.random.default_rng(seed)
    description = draw(rng)
    x, emit, clear = random_steps(rng, description, 60 if draw is random_stream else 12)
    found = streams.run(description, x[None], emit=np.flatnonzero(emit),
                        clear=np.flatnonzero(clear), trace=True)
    spikes, membranes, scores = by_hand(description, x, emit, clear)
    for index in range(len(description.hidden)):
        assert found.spikes[index][0].tolist() == spikes[index]
        assert found.membranes[index][0].tolist() == membranes[index]
    assert found.scores[0].tolist() == scores
    assert found.labels[0].tolist() == [label_of(row) for row in scores]


@pytest.mark.parametrize("draw", [random_stream, random_map_stream])
def test_random_streams_are_lively(draw):
    rates = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        description = draw(rng)
        x, _, _ = random_steps(rng, description, 200)
        rates += streams.run(description, x[None]).rates
    assert 0.1 < np.mean(rates) < 0.6 and np.mean(np.array(rates) > 0.02) > 0.7


@pytest.mark.parametrize("seed", range(6))
def test_pieces(seed):
    """A stream cut anywhere, its state carried on, gives what the whole one gives."""
    rng = np.random.default_rng(seed)
    description = random_stream(rng)
    samples = [random_steps(rng, description, 300) for _ in range(3)]
    x, (_, emit, clear) = np.stack([sample[0] for sample in samples]), samples[0]
    whole = streams.run(description, x, emit=np.flatnonzero(emit),
                        clear=np.flatnonzero(clear), trace=True)
    cuts = [0, 1, 2, *sorted(rng.integers(3, 300, 5).tolist()), 300]
    state, parts = None, []
    for first, end in zip(cuts, cuts[1:], strict=False):
        part = streams.run(description, x[:, first:end], emit=np.flatnonzero(emit[first:end]),
                           clear=np.flatnonzero(clear[first:end]), state=state, trace=True)
        state = part.state
        parts.append(part)
    for name in ("spikes", "membranes"):
        for index in range(len(description.hidden)):
            pieces = np.concatenate([getattr(part, name)[index] for part in parts], axis=1)
            assert (pieces == getattr(whole, name)[index]).all()
    assert (np.concatenate([part.scores for part in parts], axis=1) == whole.scores).all()
    assert all((a == b).all() for a, b in zip(state.membranes, whole.state.membranes, strict=True))


@pytest.mark.parametrize("count, at_once, batches", [
    (1, 9, [1]), (1, 1, [1]), (7, 9, [7]), (7, 3, [3, 3, 1]), (7, 1, [1] * 7), (7, 0, [1] * 7)])
def test_classify(monkeypatch, count, at_once, batches):
    """Each sample begins anew and is what it is alone, however many are looked at at once."""
    rng = np.random.default_rng(4)
    description = random_stream(rng, words=[(5, 3, True), (6, 1, False)])
    samples = np.stack([random_steps(rng, description, 8)[0] for _ in range(count)])
    widest = max(max(layer.fan_in, layer.n_out) for layer in description.hidden)
    monkeypatch.setattr(streams, "MAX_NUMBERS", 8 * widest * at_once)
    sizes, run = [], streams.run
    monkeypatch.setattr(streams, "run", lambda net, steps, **options: (
        sizes.append(len(steps)) or run(net, steps, **options)))
    found = streams.classify(description, samples, trace=True)
    assert sizes == batches
    plain = streams.classify(description, samples)
    assert plain.spikes is None and plain.membranes is None
    last = [t == 7 for t in range(8)]
    hand = [by_hand(description, sample, last, last) for sample in samples]
    for index in range(2):
        assert found.spikes[index].tolist() == [spikes[index] for spikes, _, _ in hand]
        assert found.membranes[index].tolist() == [membranes[index] for _, membranes, _ in hand]
        assert found.spikes[index].any()
    scores = [scores[0] for _, _, scores in hand]
    assert found.scores.tolist() == plain.scores.tolist() == scores
    assert found.labels.tolist() == plain.labels.tolist() == [label_of(row) for row in scores]
    np.testing.assert_allclose(plain.rates, [spikes.mean() for spikes in found.spikes], rtol=1e-12)
    assert plain.rates == found.rates


@pytest.mark.parametrize("shape", [(0, 8), (3, 0)])
def test_classify_nothing(shape):
    description = random_stream(np.random.default_rng(0))
    with pytest.raises(ValueError, match="^there must be at least one sample of one step$"):
        streams.classify(description, np.zeros((*shape, description.n_in), np.uint8))


def test_clear_forgets_everything():
    rng = np.random.default_rng(1)
    description = random_stream(rng, words=[(9, 3, True), (6, 2, True)])
    x, _, _ = random_steps(rng, description, 50)
    alone = streams.run(description, x[None, 20:], emit=[29], trace=True)
    after = streams.run(description, x[None], emit=[49], clear=[19], trace=True)
    assert (after.spikes[1][0, 20:] == alone.spikes[1][0]).all()
    assert (after.scores == alone.scores).all()
    kept = streams.run(description, x[None], emit=[49], trace=True)
    assert (kept.spikes[0][0, 20:] != alone.spikes[0][0]).any()


def test_total_saturates():
    rng = np.random.default_rng(2)
    fields = dict(input_bits=1, membrane_bits=2, signed=False, shift=1, frac=0)
    always = FullyConnected(weights=np.ones((3, 2), np.int8), threshold=np.full(3, -2),
                            bias=np.zeros(3, int), **fields)
    readout = Readout(weights=np.array([[1, 1, 1], [-1, -1, -1]], np.int8), bias=np.array([0, 5]),
                      frac=1, window=9)
    description = Description(time_steps=0, layers=(always, readout))
    x = rng.integers(0, 2, (1, 40, 2)).astype(np.uint8)
    found = streams.run(description, x, emit=[5, 39])
    assert found.scores[0].tolist() == [[36, -31], [54, -49]]  # six steps; then 27, the limit


@pytest.mark.parametrize("image, words, last_bits", [
    ((5, 5, 2), ("c6k3w4", "a2", "c4k3p1", "12w2t2r"), 8), ((6, 4, 1), ("c8k3s2",), 1),
    ((6, 6, 1), ("c4k3", "a3"), 4)])
def test_torch_maps(tmp_path, image, words, last_bits):
    check_torch(tmp_path, Config(
        inputs=int(np.prod(image)), image=image, hidden=words, classes=4, input_bits=1,
        time_steps=9, membrane_bits=3, stream=True, last_bits=last_bits))


@pytest.mark.parametrize("words, last_bits", [
    (("24t4", "16r"), 1), (("fc20r", "12t3r"), 1), (("30",), 1), (("20w8t2r", "12w2"), 4),
    (("fc16w4r",), 8)])
def test_torch(tmp_path, words, last_bits):
    check_torch(tmp_path, Config(
        inputs=10, hidden=words, classes=4, input_bits=1, time_steps=15, membrane_bits=3,
        stream=True, last_bits=last_bits))


def check_torch(tmp_path, config):
    """A network that trained a little: torch and the integers agree in every spike."""
    torch.manual_seed(0)
    net = QSNN(config)
    x = (torch.rand(64, config.time_steps * config.inputs) < 0.3).float()
    y = torch.randint(0, 4, (64,))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(20):
        loss, _, _ = net.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if getattr(net.hidden[0], "own", None):
        assert net.hidden[0].own.weight.grad.abs().sum() > 0
    net.double().eval()
    description, samples = fold(net), x.numpy().astype(np.uint8)
    assert description.stream and compare(net, description, samples).equal
    save(description, tmp_path / "net.qsnn")
    assert load(tmp_path / "net.qsnn").hash == description.hash
    save_net(net, tmp_path / "net.safetensors")
    assert compare(load_net(tmp_path / "net.safetensors"), description, samples).equal
    result = infer(description, samples, trace=True)
    assert result.spikes[0].shape == (64, config.time_steps, description.hidden[0].n_out)
    assert all(0 < rate < 1 for rate in result.rates)


def test_recurrence_is_not_the_identity():
    """The layer's own spikes make a difference; a network without them fires otherwise."""
    rng = np.random.default_rng(3)
    description = random_stream(rng, words=[(12, 1, True)])
    layer = description.hidden[0]
    fields = {name: getattr(layer, name) for name in (
        "weights", "threshold", "bias", "input_bits", "membrane_bits", "signed", "shift", "frac")}
    other = Description(time_steps=0, layers=(
        FullyConnected(recurrent=-layer.recurrent, **fields), description.readout))
    x, _, _ = random_steps(rng, description, 100)
    a, b = (streams.run(net, x[None], trace=True).spikes[0] for net in (description, other))
    assert (a != b).any()


NEURONS = dict(threshold=np.ones(3, int), bias=np.zeros(3, int), input_bits=1, membrane_bits=2,
               signed=False, shift=1, frac=0)


def layer(**changes):
    return FullyConnected(**dict(weights=np.ones((3, 4), np.int8), **NEURONS) | changes)


def convolution(**changes):
    return Convolution(**dict(weights=np.ones((3, 1, 1, 3), np.int8), height=1, width=1, **NEURONS)
                       | changes)


READOUT = dict(weights=np.ones((2, 3), np.int8), bias=np.zeros(2, int), frac=0)


@pytest.mark.parametrize("make, sentence", [
    (lambda: layer(taps=3), "4 synapses are no whole number for each of 3 taps"),
    (lambda: layer(taps=0), "taps must be 1 .. 256, not 0"),
    (lambda: layer(recurrent=np.ones((3, 2), np.int8)),
     "recurrent weights of 3 neurons have shape (3, 2)"),
    (lambda: layer(recurrent=np.zeros((3, 3), np.int8)), "weights must be -1 or +1"),
    (lambda: Readout(window=7, **READOUT), "window must be 8 .. 65536, not 7"),
    (lambda: Description(time_steps=4, layers=(layer(taps=2), Readout(**READOUT))),
     "layer 0 sees earlier steps"),
    (lambda: Description(time_steps=4, layers=(layer(), Readout(window=9, **READOUT))),
     "an image of 4 time steps has a readout with window 8, not 9"),
    (lambda: Description(time_steps=0, layers=(layer(input_bits=2), Readout(**READOUT))),
     "a stream has inputs of 1 bit"),
    (lambda: Description(time_steps=0, layers=(
        layer(), Convolution(weights=np.ones((3, 1, 1, 1), np.int8), height=1, width=1, **NEURONS),
        Readout(**READOUT))), "layer 1 is a convolution and cannot follow a fully connected layer"),
    (lambda: Description(time_steps=0, layers=(
        convolution(), convolution(), convolution(skip=Skip(source=0, stride=1, shift=0)),
        Readout(**READOUT))), "layer 2 has a skip: only a network for images has those"),
])
def test_wrong_networks(make, sentence):
    with pytest.raises(DescriptionError) as caught:
        make()
    assert sentence in str(caught.value)


def test_wrong_steps():
    description = random_stream(np.random.default_rng(0))
    for steps, sentence in (
            (np.zeros((1, 5, description.n_in + 1), np.uint8), "steps must have shape"),
            (np.full((1, 5, description.n_in), 2), "0 or 1"),
            (np.zeros((1, 5, description.n_in)), "0 or 1")):
        with pytest.raises(ValueError, match=sentence):
            streams.run(description, steps)
    with pytest.raises(ValueError, match="beyond"):
        streams.run(description, np.zeros((1, 5, description.n_in), np.uint8), emit=[5])
    with pytest.raises(ValueError, match="has no stream"):
        streams.run(random_description(np.random.default_rng(0)), np.zeros((1, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="samples must have shape"):
        infer(description, np.zeros((2, description.n_in * 2 + 1), np.uint8)
              if description.n_in > 1 else np.zeros((2, 0), np.uint8))


def test_wrong_configs():
    good = dict(inputs=4, hidden=("fc8",), input_bits=1, stream=True)
    for changes, sentence in (
            (dict(stream=False, hidden=("fc8r",)), "only a stream"),
            (dict(hidden=("fc8w3",)), "weights have 1, 2, 4 or 8 bits, not 3"),
            (dict(input_bits=2), "a stream has inputs of 1 bit"),
            (dict(image=(2, 2, 1), hidden=("r4", "r4")), "a residual block adds"),
            (dict(image=(2, 2, 1), hidden=("c4k1", "r4")), "layer 2 has a skip: only"),
            (dict(time_steps=4097), "time_steps must be 1 to 4096"),
            (dict(hidden=("fc8t257",)), "1 to 256 taps"),
            (dict(hidden=("c8k3",)), "needs images")):
        with pytest.raises(ValueError, match=sentence):
            Config(**good | changes)

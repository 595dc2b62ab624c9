import numpy as np
import pytest
import torch

from qsnn.model import golden
from qsnn.model.architecture import layers_of
from qsnn.model.description import DescriptionError, Readout
from qsnn.model.export import READOUT_FRAC, fold
from qsnn.model.qsnn import MIN_GAIN, QSNN, Config, paired
from tests.networks import random_steps, random_words


def random_net(seed, gains=(MIN_GAIN, -MIN_GAIN), **config):
    """A network in eval mode whose batch norms have seen data; ``seed`` draws what is not given.

    Gains are of both signs and all sizes, ``gains`` among them; some channels see no variance,
    or so much that they are dead.
    """
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    config = Config(**dict(
        inputs=int(rng.integers(2, 40)), classes=int(rng.integers(1, 11)),
        hidden=rng.integers(2, 24, size=rng.integers(1, 4)).tolist(),
        input_bits=int(rng.integers(1, 9)), time_steps=random_steps(rng, 8),
        membrane_bits=int(rng.integers(2, 9)), signed=bool(rng.integers(2)),
        standardize=bool(rng.integers(2)),
        leak=str(rng.choice(["1/2", "1", "3/4", "15/16", "61/64", "255/256"])),
        reset=str(rng.choice(["zero", "subtract"])),
        current=str(rng.choice(["none", "none", "7/8", "1", "61/64"]))) | config)

    def normal(like, mean=0.0, deviation=1.0):
        return torch.randn(like.shape, generator=generator, dtype=like.dtype) * deviation + mean

    net = QSNN(config).double()
    with torch.no_grad():
        net.bias.copy_(normal(net.bias))
        net.output.weight.copy_(normal(net.output.weight))
        for layer in net.hidden:
            layer.synapses.weight.copy_(normal(layer.synapses.weight))
            layer.norm.momentum = 1.0  # the statistics of the one batch below
            layer.norm.weight.copy_(normal(layer.norm.weight, mean=0.5))
            layer.norm.bias.copy_(normal(layer.norm.bias, mean=0.2, deviation=0.5))
        net.train()
        net(images(rng, config, 64))
        for layer in net.hidden:
            n = len(layer.norm.weight)
            for value in gains:
                layer.norm.weight[rng.integers(n)] = value
            layer.norm.bias[rng.integers(n)] = 3.3  # always fires
            layer.norm.running_var[rng.integers(n)] = 0
            layer.norm.running_var[rng.integers(n)] = 1e9
            # around the step that the training would choose, and inside the format
            layer.log_step += int(rng.integers(-2, 3))
            layer.log_step.clamp_(layer.least_step, 23)
    return net.eval()


def images(rng, config, count):
    return torch.from_numpy(rng.integers(
        0, 1 << config.input_bits, size=(count, config.inputs)).astype(np.float64))


@torch.no_grad()
def run_torch(net, pixels):
    """Sums of the classes over time [B, classes], spikes and membranes [B, T, n] per layer."""
    for layer in net.hidden:
        layer.trace = []
    logits, _ = net(pixels)
    sums = torch.round((logits - net.bias) / net.log_scale.exp()).sum(0)
    spikes, membranes = zip(*(layer.trace.pop() for layer in net.hidden), strict=True)
    return (sums.numpy(), [s.transpose(0, 1).numpy() for s in spikes],
            [q.transpose(0, 1).numpy() for q in membranes])


def assert_equal(net, seed=0, count=200):
    pixels = images(np.random.default_rng(seed), net.config, count)
    sums, spikes, membranes = run_torch(net, pixels)
    net_of_integers = fold(net)
    result = golden.infer(net_of_integers, pixels.numpy().astype(int), trace=True)
    for index in range(len(net.hidden)):
        np.testing.assert_array_equal(result.spikes[index], spikes[index])
        np.testing.assert_array_equal(result.membranes[index], membranes[index])
    readout = net_of_integers.readout
    np.testing.assert_array_equal(result.scores, sums * 2 ** readout.frac + readout.bias)
    return result


@pytest.mark.parametrize("seed", range(60))
def test_random(seed):
    assert_equal(random_net(seed), seed)


def random_maps_net(seed):
    rng = np.random.default_rng(seed)
    image, words, _ = random_words(rng)
    return random_net(seed, image=image, inputs=int(np.prod(image)), hidden=words,
                      last_bits=int(rng.choice([1, 2, 4, 8])))


@pytest.mark.parametrize("seed", range(60))
def test_random_maps(seed):
    net = random_maps_net(seed)
    assert_equal(net, seed, count=40)
    # the words that describe it give the same layers again
    image, *words, _ = fold(net).shape.split("-")
    assert image == "x".join(map(str, net.config.image))
    assert layers_of(words, net.config.image) == net.config.layers


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(2, 9))
def test_bits(bits, signed):
    """Every width of membranes with every width of pixels; the layers are alive."""
    rates = []
    for input_bits in range(1, 9):
        net = random_net(bits, inputs=20, hidden=(24, 24), membrane_bits=bits, signed=signed,
                         input_bits=input_bits, time_steps=4)
        rates += assert_equal(net, seed=input_bits).rates
    assert 0.1 < min(rates) and max(rates) < 0.9


@pytest.mark.parametrize("log_step", range(-7, 12))
def test_steps(log_step):
    """All membrane steps below, at and above one synapse."""
    net = random_net(1, inputs=30, hidden=(20, 20), membrane_bits=8, signed=True, input_bits=8,
                     leak="1/2", current="none")
    for layer in net.hidden:
        layer.log_step.fill_(log_step)
    assert_equal(net)
    for layer in fold(net).hidden:
        assert layer.shift - layer.frac == log_step
        assert layer.shift == 1 or layer.frac == 0


def test_units_of_a_long_leak():
    """They are fine enough for 1/256 of a membrane, and refused where they would not be."""
    net = random_net(2, inputs=30, hidden=(20, 20), membrane_bits=8, leak="1,255/256",
                     current="none")
    for layer, log_step in zip(net.hidden, (-1, 3), strict=True):
        layer.log_step.fill_(log_step)
    assert_equal(net)
    assert [(layer.shift, layer.frac) for layer in fold(net).hidden] == [(0, 1), (8, 5)]
    net.hidden[1].log_step.fill_(-1)
    with pytest.raises(DescriptionError, match="^frac must be 0 .. 8, not 9$"):
        fold(net)


def test_negative_gain_flips_weights():
    net = random_net(0, hidden=(2,))
    with torch.no_grad():
        net.hidden[0].norm.weight.copy_(torch.tensor([0.7, -0.7]))
    layer = fold(net).hidden[0]
    weights = net.hidden[0].synapses.integer_weight().detach().numpy()
    np.testing.assert_array_equal(layer.weights, weights * [[1], [-1]])
    assert_equal(net)


def test_bias_of_a_class_is_rounded():
    net = random_net(0, classes=4, time_steps=3)
    unit = np.exp(net.log_scale.item()) / 2 ** READOUT_FRAC / 3  # a logit bias of one unit
    with torch.no_grad():
        net.bias.copy_(torch.tensor([1.4, 1.6, -1.4, -1.6]) * unit)
    assert fold(net).readout.bias.tolist() == [1, 2, -1, -2]
    with torch.no_grad():
        net.bias.copy_(torch.tensor([1e9, -1e9, 0.0, 0.0]) * unit)
    limit = Readout.bias_limit(net.config.hidden[-1], READOUT_FRAC)
    assert fold(net).readout.bias.tolist() == [limit, -limit, 0, 0]


def test_labels_follow_the_logits():
    """Wherever two logits are further apart than the rounding of their biases."""
    compared = 0
    for seed in range(11):
        net = random_net(seed, **{"classes": 1} if seed == 10 else {})
        pixels = images(np.random.default_rng(seed), net.config, 200)
        with torch.no_grad():
            logits = paired(net(pixels)[0].sum(0))
        labels = golden.infer(fold(net), pixels.numpy().astype(int)).labels
        best = logits.topk(2)
        clear = best.values[:, 0] - best.values[:, 1] > net.log_scale.exp() / 2 ** READOUT_FRAC
        np.testing.assert_array_equal(labels[clear], best.indices[:, 0].numpy()[clear])
        compared += int(clear.sum())
    assert compared > 1000


@pytest.mark.parametrize("change, what", [
    (dict(membrane_bits=0), "with float membranes"),
    (dict(dynamic=True), "whose membranes depend on the batch")])
def test_what_has_no_integers(change, what):
    with pytest.raises(DescriptionError, match=f"^a network {what} has no integers: train it with "
                                               "2 to 8 membrane bits and the static quantizer$"):
        fold(QSNN(Config(inputs=3, hidden=(2,), **change)))


@pytest.mark.parametrize("log_step, sentence", [
    (-8, "^frac must be 0 .. 8, not 9$"), (25, "^shift must be 1 .. 24, not 25$")])
def test_steps_out_of_range_are_refused(log_step, sentence):
    net = random_net(0, leak="1/2", current="none")
    net.hidden[0].log_step.fill_(log_step)
    with pytest.raises(DescriptionError, match=sentence):
        fold(net)


def test_tiny_gains():
    for seed in range(10):
        assert_equal(random_net(seed, gains=(0.0, 1e-5, -1e-5)))


def test_one_input():
    assert_equal(random_net(0, inputs=1, standardize=True))


def test_fitted_steps_are_in_range():
    net = random_net(0, inputs=4, hidden=(4,), membrane_bits=8, input_bits=1)
    with torch.no_grad():
        net.hidden[0].norm.weight.fill_(4.0)
    net.hidden[0].fit_step()
    assert_equal(net)

"""Quantizers, gradients, the neuron, and each half of WS-DR, against their formulas."""

import math

import pytest
import torch
import torch.nn.functional as F

from qsnn.model.qsnn import (
    QSNN,
    BinaryLinear,
    Config,
    SpikingLinear,
    binarize,
    fire,
    lif_step,
    quantize_by_maximum,
    quantize_membrane,
    standardize,
)


def gradient(function, x):
    """The derivative of each element of ``function(x)`` times a weight that tells them apart."""
    x = x.clone().requires_grad_()
    scale = torch.arange(1.0, x.numel() + 1).view_as(x)
    (function(x) * scale).sum().backward()
    return x.grad / scale


torch.set_num_threads(1)  # small tensors, and exactly repeatable

GRID = torch.linspace(-3, 3, 241)


@pytest.mark.parametrize("t", [0.1, 0.5, 1.0, 3.0, 10.0])
def test_binarize(t):
    w = torch.cat([GRID, torch.tensor([0.0, -0.0, 1e-30, -1e-30])])
    assert binarize(w, torch.tensor(t)).tolist() == [1.0 if x >= 0 else -1.0 for x in w.tolist()]
    expected = [max(1 / t, 1) * t * (1 - math.tanh(t * x) ** 2) for x in w.tolist()]
    sharp = torch.tensor(t, dtype=torch.float64)
    torch.testing.assert_close(gradient(lambda x: binarize(x, sharp), w), torch.tensor(expected))


def test_fire():
    u = torch.cat([GRID, torch.tensor([1.0, math.nextafter(1, 0)])])
    assert fire(u).tolist() == [float(x >= 1) for x in u.tolist()]
    expected = [max(0.0, 1 - abs(x - 1)) for x in u.tolist()]
    torch.testing.assert_close(gradient(fire, u), torch.tensor(expected))


@pytest.mark.parametrize("low, high", [(0, 3), (-2, 1), (-8, 7), (0, 255)])
@pytest.mark.parametrize("step", [0.25, 0.3])
def test_quantize_membrane(low, high, step):
    u = torch.arange(-128, 129) / 32  # halves of a step are among the values: they go up
    step = torch.tensor(step)

    def quantize(x):
        return quantize_membrane(x, step, low, high)

    nearest = [math.floor(x + 0.5) for x in (u / step).tolist()]
    clamped = torch.tensor([float(min(max(n, low), high)) for n in nearest])
    assert torch.equal(quantize(u), clamped * step)
    assert gradient(quantize, u).tolist() == [float(low <= n <= high) for n in nearest]


@pytest.mark.parametrize("bits", [2, 4])
def test_quantize_by_maximum(bits):
    """2**bits levels from -1 to 1, the largest of the batch at one of their ends."""
    u = torch.tensor([-3.0, -0.7, 0.1, 0.4, 2.0], dtype=torch.float64)
    found = quantize_by_maximum(u, bits)
    levels = torch.linspace(-1, 1, 2 ** bits, dtype=torch.float64)
    scaled = torch.tanh(u) / math.tanh(3)
    nearest = levels[(scaled[:, None] - levels).abs().argmin(1)]
    torch.testing.assert_close(found, nearest)
    assert found[0] == -1
    # what a membrane becomes depends on the others
    assert quantize_by_maximum(u[2:3], bits) == 1 != found[2]
    assert (gradient(lambda v: quantize_by_maximum(v, bits), u) > 0).all()
    assert quantize_by_maximum(torch.zeros(1), 3).abs().item() == pytest.approx(1 / 7)


def test_lif_step():
    """Leak, threshold, quantization and reset of one step, and which of them carry a gradient."""
    def quantize(x):
        return torch.floor(x * 4 + 0.5) / 4 + (x - x.detach())
    u = torch.tensor([0.5, 0.5, -1.0, 2.0], requires_grad=True)
    current = torch.tensor([0.75, 0.7, 0.3, -0.6], requires_grad=True)
    after, spike = lif_step(u, current, quantize)
    assert spike.tolist() == [1, 0, 0, 0]  # 1.0 fires
    assert after.tolist() == [0, 1.0, -0.25, 0.5]  # 0.95 is rounded after it did not fire
    after.sum().backward()
    assert current.grad.tolist() == [0, 1, 1, 1]  # the reset itself has none
    assert u.grad.tolist() == [0, 0.5, 0.5, 0.5]


def test_spike_carries_the_surrogate():
    current = torch.tensor([0.4, 1.0, 1.7], requires_grad=True)
    lif_step(torch.zeros(3), current, lambda x: x)[1].sum().backward()
    torch.testing.assert_close(current.grad, torch.tensor([0.4, 1.0, 0.3]))


def test_standardize():
    w = torch.randn(5, 40, dtype=torch.float64) * 3 + 7
    s = standardize(w)
    torch.testing.assert_close(s.mean(1), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(s.std(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(s, (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True))
    assert standardize(torch.ones(2, 1)).tolist() == [[0], [0]]  # one weight has no deviation


@pytest.mark.parametrize("on", [True, False])
def test_weight_half_of_wsdr(on):
    """On, the signs of a channel are balanced whatever its mean; off, they are the weights' own."""
    layer = BinaryLinear(200, 3, on)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, 200) + 3)
    signs = layer.integer_weight()
    assert set(signs.unique().tolist()) <= {-1.0, 1.0}
    expected = standardize(layer.weight) if on else layer.weight
    assert torch.equal(signs, torch.where(expected >= 0, 1.0, -1.0))
    assert (signs.mean().abs() < 0.2) == on
    # the gradient goes through the standardisation: it cannot move the mean of a channel
    (signs * torch.randn(3, 200)).sum().backward()
    assert (layer.weight.grad.sum(1).abs().max() < 1e-4) == on


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_spike_half_of_wsdr(weight):
    """The loss is the cross-entropy plus lambda times the mean square of (rate - 1/2)."""
    torch.manual_seed(0)
    net = QSNN(Config(inputs=12, hidden=(9, 7), classes=3, rate_weight=weight)).eval()
    x, y = torch.randint(0, 256, (20, 12)).float(), torch.randint(0, 3, (20,))
    loss, mean, rates = net.loss(x, y)
    logits, again = net(x)
    task = torch.nn.functional.cross_entropy(logits.mean(0), y)
    expected = task + weight * sum((rate - 0.5) ** 2 for rate in again) / 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(mean, logits.mean(0))
    assert not rates.requires_grad


def test_one_output():
    """The loss is the binary cross-entropy, and the sign is what is counted as right."""
    torch.manual_seed(1)
    net = QSNN(Config(inputs=12, hidden=(9,), classes=1)).eval()
    x, y = torch.randint(0, 256, (32, 12)).float(), torch.arange(32) % 2
    logit = net(x)[0].mean(0)[:, 0]
    loss, logits, _ = net.loss(x, y)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logit, y.float()))
    assert logits.argmax(1).tolist() == (logit > 0).tolist()


def test_rate_term_pulls_rates_to_one_half():
    rates = {}
    for weight in (0.0, 30.0):
        torch.manual_seed(0)
        net = QSNN(Config(inputs=16, hidden=(24, 24), classes=2, rate_weight=weight))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(100):  # new images each time: far from the bound on every processor
            x = torch.randint(0, 256, (64, 16)).float()
            y = (x[:, 0] > 128).long()
            loss, _, rate = net.loss(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rates[weight] = (rate - 0.5).abs().max().item()
    assert rates[30.0] < 0.1 < 0.25 < rates[0.0]


def test_sharpness_reaches_every_layer():
    net = QSNN(Config(inputs=4, hidden=(3, 2)))
    net.set_sharpness(2.5)
    layers = [layer.synapses for layer in net.hidden] + [net.output]
    assert [layer.sharpness for layer in layers] == [2.5] * 3


@pytest.mark.parametrize("bits, signed, low, high", [
    (2, False, 0, 3), (2, True, -2, 1), (8, False, 0, 255), (8, True, -128, 127)])
def test_q_range(bits, signed, low, high):
    layer = SpikingLinear(2, 2, Config(membrane_bits=bits, signed=signed))
    assert layer.q_range == (low, high)


def test_steps_follow_the_median_gain():
    """The range just reaches the typical threshold, until the steps are frozen."""
    layer = SpikingLinear(4, 3, Config(membrane_bits=2))
    with torch.no_grad():
        layer.norm.weight.copy_(torch.tensor([1.0, -0.25, 0.01]))
        layer.norm.running_var.fill_(16.0)
    layer.fit_step()  # gains 1/4, 1/16, 1/400: the median threshold is 16 synapses, in 4 levels
    assert layer.log_step.item() == 2
    layer.signed = True  # half of the 4 levels are below 0
    layer.fit_step()
    assert layer.log_step.item() == 3
    layer.train()
    layer.log_step_frozen = True
    layer.log_step.fill_(5)
    layer(torch.randn(1, 8, 4))
    assert layer.log_step.item() == 5
    layer.log_step_frozen = False
    layer(torch.randn(1, 8, 4))
    assert layer.log_step.item() != 5


def test_frozen_norms_keep_their_statistics():
    layer = SpikingLinear(4, 3, Config())
    layer.train()
    layer.norm.eval()
    layer(torch.randn(1, 8, 4) * 9)
    assert layer.norm.running_mean.tolist() == [0] * 3
    layer.norm.train()
    layer(torch.randn(1, 8, 4) * 9)
    assert layer.norm.running_mean.tolist() != [0] * 3


def test_images_are_computed_once_and_shown_at_every_step():
    net = QSNN(Config(inputs=5, hidden=(6, 4), classes=3, time_steps=5)).eval()
    logits, rates = net(torch.randint(0, 256, (7, 5)).float())
    assert logits.shape == (5, 7, 3) and rates.shape == (2,)
    layer = net.hidden[0]
    image = torch.randn(1, 7, 5)
    assert torch.equal(layer(image)[0], layer(image.expand(5, -1, -1))[0])


@pytest.mark.parametrize("values, sentence", [
    (dict(input_bits=9), "^input_bits must be 1 to 8, not 9$"),
    (dict(time_steps=0), "^time_steps must be 1 to 64, not 0$"),
    (dict(membrane_bits=1), "^membrane_bits must be 2 to 8, or 0 for floats, not 1$"),
    (dict(classes=0), "^classes must be 1 to 1024, not 0$"),
    (dict(inputs=0), "^inputs must be 1 to 65536, not 0$"),
    (dict(hidden=()), "^hidden must name at least one layer: spikes come from hidden layers$"),
    (dict(hidden=(0,)), "^layer 0 \\(0\\): 1 to 65536 neurons or channels, not 0$"),
    (dict(hidden=(1.5,)), "^'1.5' is not a layer: "),
    (dict(last_bits=3), "^last_bits must be 1, 2, 4 or 8, not 3$"),
    (dict(image=(28, 28, 3)), "^image must be height, width and channels with 784 pixels, not "),
    (dict(rate_weight=-1), "^rate_weight must be 0 to 1000, not -1$"),
    (dict(dynamic=True, membrane_bits=0), "^dynamic quantizes membranes: they need 2 to 8 bits"),
])
def test_wrong_config(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Config(**values)

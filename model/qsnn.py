"""Quantized spiking network in PyTorch: quantizers, neuron, layers, network and loss.

The method is Q-SNN (Wei et al., ACM MM 2024, arXiv 2406.13672) with one change: the membrane
quantizer is static, so that hardware can build it. The paper divides by the maximum of the batch
at every time step, a number that no hardware knows.

Everything here is arranged so that :mod:`model.export` can turn it into integers *without
rounding anything*: the sum ``S`` of a neuron's synapses is an integer; batch normalisation, the
sign of its gain and the threshold 1.0 become integers per channel; the step of a membrane is a
power of two in units of one synapse. In ``eval()`` and ``float64`` the forward pass below gives
the same spikes and the same membranes as :mod:`model.golden`, and a test holds it to that. (Only
where a membrane lies exactly on the threshold, or half-way between two steps, may float64 round
to the other side: a trained batch norm never puts it there, an untrained one with whole means can.)
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from model.description import MAX_FRAC, MAX_SHIFT

__all__ = ["QSNN", "Config", "binarize", "fire", "lif_step", "quantize_membrane", "standardize"]

MIN_GAIN = 1e-3  # smallest |gamma| of a channel: keeps the membrane step positive


class _Binarize(torch.autograd.Function):
    """sign(w) with the annealed gradient k*t*(1 - tanh(t*w)^2), k = max(1/t, 1)."""

    @staticmethod
    def forward(ctx, w, t):
        ctx.save_for_backward(w)
        ctx.t = t
        return torch.where(w >= 0, 1.0, -1.0).to(w.dtype)

    @staticmethod
    def backward(ctx, grad):
        (w,) = ctx.saved_tensors
        return grad * max(1 / ctx.t, 1.0) * ctx.t * (1 - torch.tanh(ctx.t * w) ** 2), None


class _Fire(torch.autograd.Function):
    """u >= 1 with the triangular surrogate gradient max(0, 1 - |u - 1|)."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 1).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        (u,) = ctx.saved_tensors
        return grad * (1 - (u - 1).abs()).clamp(min=0)


class _Quantize(torch.autograd.Function):
    """step * clamp(floor(u / step + 1/2), low, high); the gradient passes where nothing clamps."""

    @staticmethod
    def forward(ctx, u, step, low, high):
        q = torch.floor(u / step + 0.5)
        ctx.save_for_backward((q >= low) & (q <= high))
        return q.clamp(low, high) * step

    @staticmethod
    def backward(ctx, grad):
        (inside,) = ctx.saved_tensors
        return grad * inside, None, None, None


binarize = _Binarize.apply
fire = _Fire.apply
quantize_membrane = _Quantize.apply


def standardize(w):
    """Zero mean and unit variance of each output channel: the weight half of WS-DR.

    It maximises the entropy of the binary weights. The paper's power-of-two scale of a channel
    is not kept: the batch norm that follows would cancel it exactly.
    """
    centred = w - w.mean(dim=1, keepdim=True)
    correction = min(w.shape[1] - 1, 1)  # the deviation of one weight is 0
    return centred / (centred.std(dim=1, keepdim=True, correction=correction) + 1e-8)


def lif_step(u, current, quantize):
    """One time step of a leaky integrate-and-fire neuron: (membrane, current) -> (membrane, spike).

    Leak 1/2, threshold 1, hard reset to 0, and only then quantization, as in the paper. The reset
    does not carry a gradient.
    """
    u = u / 2 + current
    spike = fire(u)
    return quantize(u) * (1 - spike.detach()), spike


@dataclass(frozen=True)
class Config:
    """Shape and method of a network.

    inputs          pixels of an image
    hidden          neurons of each hidden layer
    classes         classes of the output layer
    input_bits      bits of a pixel, 1 to 8; pixels are integers 0 .. 2**input_bits - 1
    time_steps      T, 1 to 8; the same image is shown at every step
    membrane_bits   b, 2 to 8, or 0 for a float membrane (ablation only: it has no integers)
    signed          whether a membrane may be below its resting potential 0
    standardize     weight half of WS-DR
    rate_weight     spike half of WS-DR: lambda of the firing-rate term; 0 switches it off
    """

    inputs: int = 784
    hidden: tuple = (256, 256)
    classes: int = 10
    input_bits: int = 8
    time_steps: int = 4
    membrane_bits: int = 2
    signed: bool = False
    standardize: bool = True
    rate_weight: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, values in (("input_bits", range(1, 9)), ("time_steps", range(1, 9)),
                             ("membrane_bits", (0, *range(2, 9))), ("classes", range(2, 1025)),
                             ("inputs", range(1, 65537))):
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be {values[0]} to {values[-1]}, "
                                 f"not {getattr(self, name)!r}")
        if not all(isinstance(n, int) and 1 <= n <= 65536 for n in self.hidden):
            raise ValueError(f"hidden must be widths of 1 to 65536, not {self.hidden!r}")
        if not self.hidden:
            raise ValueError("hidden must name at least one layer: spikes come from hidden layers")
        if self.rate_weight < 0:
            raise ValueError(f"rate_weight must not be negative, it is {self.rate_weight!r}")

    def asdict(self):
        return asdict(self)


class BinaryLinear(nn.Module):
    """Sum of +-1 weights times inputs, an exact integer: [..., n_in] -> [..., n_out]."""

    def __init__(self, n_in, n_out, standardized):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / math.sqrt(n_in))
        self.standardized = standardized
        self.sharpness = 0.1  # t of the gradient of sign, annealed to 10 by the training

    def binary_weight(self):
        """The weights as +1.0 and -1.0, [n_out, n_in]."""
        w = standardize(self.weight) if self.standardized else self.weight
        return binarize(w, self.sharpness)

    def forward(self, x):
        return x @ self.binary_weight().T


class SpikingLinear(nn.Module):
    """Fully connected layer of LIF neurons: synapses, batch norm, membrane, threshold, reset.

    ``forward`` takes spikes [T, B, n_in], or one image [1, B, n_in] whose sums are computed once
    and reused at all T steps, and returns the spikes [T, B, n_out].
    """

    def __init__(self, n_in, n_out, config):
        super().__init__()
        self.synapses = BinaryLinear(n_in, n_out, config.standardize)
        self.norm = nn.BatchNorm1d(n_out)
        self.time_steps = config.time_steps
        self.bits = config.membrane_bits
        self.signed = config.signed
        self.register_buffer("log_step", torch.tensor(0))  # membrane step: 2**log_step synapses
        self.log_step_frozen = False
        self.trace = None  # a list: forward appends the membranes as integers, [T, B, n_out]

    @property
    def q_range(self):
        """Smallest and largest membrane, in steps."""
        low = -(1 << (self.bits - 1)) if self.signed else 0
        return low, low + (1 << self.bits) - 1

    def gamma(self):
        """The scales of the batch norm, kept away from 0 with their signs, [n_out]."""
        gamma = self.norm.weight
        return torch.where(gamma < 0, -1.0, 1.0) * gamma.abs().clamp(min=MIN_GAIN)

    def gain(self):
        """What one synapse adds to a membrane whose threshold is 1: gamma / sigma, [n_out]."""
        return self.gamma() * torch.rsqrt(self.norm.running_var + self.norm.eps)

    def normalize(self, sums):
        """The batch norm with the scales of :meth:`gamma`: [..., n_out] -> [..., n_out]."""
        norm = self.norm
        return F.batch_norm(sums.flatten(0, -2), norm.running_mean, norm.running_var, self.gamma(),
                            norm.bias, norm.training, norm.momentum, norm.eps).view_as(sums)

    @torch.no_grad()
    def fit_step(self):
        """Choose the membrane step so that the range just reaches the typical threshold."""
        median = (1 / self.gain().abs()).median()
        levels = self.q_range[1] + 1
        log_step = int(torch.round(torch.log2(median / levels)))
        self.log_step.fill_(min(max(log_step, 1 - MAX_FRAC), MAX_SHIFT))

    def forward(self, x):
        sums = self.synapses(x)  # [T or 1, B, n_out]
        current = self.normalize(sums).expand(self.time_steps, -1, -1)
        if self.bits:
            if self.training and not self.log_step_frozen:
                self.fit_step()
            step = self.gain().detach().abs() * 2.0 ** self.log_step
            low, high = self.q_range
        u = torch.zeros_like(current[0])
        spikes, membranes = [], []
        for t in range(self.time_steps):
            u, spike = lif_step(u, current[t], (
                lambda v: quantize_membrane(v, step, low, high)) if self.bits else lambda v: v)
            spikes.append(spike)
            if self.trace is not None:
                membranes.append(torch.round(u / step).to(torch.int64) if self.bits else u)
        if self.trace is not None:
            self.trace.append(torch.stack(membranes))
        return torch.stack(spikes)


class QSNN(nn.Module):
    """Fully connected Q-SNN: hidden layers that spike, an output layer that accumulates."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        widths = (config.inputs, *config.hidden)
        self.hidden = nn.ModuleList(
            SpikingLinear(a, b, config) for a, b in zip(widths, widths[1:], strict=False))
        self.output = BinaryLinear(widths[-1], config.classes, config.standardize)
        self.bias = nn.Parameter(torch.zeros(config.classes))  # in units of the logits
        scale = math.log(2.0 / math.sqrt(widths[-1]))
        self.log_scale = nn.Parameter(torch.tensor(scale))  # one for all classes: keeps the argmax

    def forward(self, pixels):
        """Pixels 0 .. 2**input_bits - 1, [B, inputs] -> logits [T, B, classes], rates."""
        x = pixels.unsqueeze(0)  # [1, B, inputs]: direct coding, computed once
        rates = []
        for layer in self.hidden:
            x = layer(x)  # [T, B, n]
            rates.append(x.mean())
        return self.output(x) * self.log_scale.exp() + self.bias, torch.stack(rates)

    def loss(self, pixels, labels, label_smoothing=0.0):
        """Mean cross-entropy of the time steps + lambda * mean (firing rate - 1/2)^2."""
        logits, rates = self(pixels)
        mean = logits.mean(0)
        task = F.cross_entropy(mean, labels, label_smoothing=label_smoothing)
        return task + self.config.rate_weight * ((rates - 0.5) ** 2).mean(), mean, rates.detach()

    def set_sharpness(self, t):
        """Set t of the gradient of sign in every layer."""
        for module in self.modules():
            if isinstance(module, BinaryLinear):
                module.sharpness = t

    def freeze_steps(self):
        """Keep the membrane steps from here on."""
        for layer in self.hidden:
            layer.log_step_frozen = True

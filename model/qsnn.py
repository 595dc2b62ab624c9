"""Quantized spiking network in PyTorch: quantizers, neuron, layers, network and loss.

The method is Q-SNN (Wei et al., ACM MM 2024, arXiv 2406.13672) with one change: the membrane
quantizer is static, so that hardware can build it. The paper divides by the maximum of the batch
at every time step, a number that no hardware knows.

Everything here is arranged so that :mod:`qsnn.model.export` can turn it into integers *without
rounding anything*: the sum ``S`` of a neuron's synapses is an integer; batch normalisation, the
sign of its gain and the threshold 1.0 become integers per channel; the step of a membrane is a
power of two in units of one synapse. In ``eval()`` and ``float64`` the forward pass below gives
the same spikes and the same membranes as :mod:`qsnn.model.golden`, and a test holds it to that.
(Only where a membrane lies exactly on the threshold, or half-way between two steps, may float64
round to the other side: a trained batch norm never puts it there, an untrained one with whole
means can.)
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from qsnn.model.codes import CODES
from qsnn.model.config import Config
from qsnn.model.layers import MAX_FRAC, MAX_SHIFT
from qsnn.model.leak import NO_LEAK, leak_of, worth

__all__ = ["QSNN", "Config", "binarize", "fire", "integrate", "lif_step", "paired",
           "quantize_by_maximum", "quantize_membrane", "quantize_weight", "standardize"]

TAUGHT = 0.8  # part of the loss that follows a teacher
TEMPERATURE = 4.0  # what logits are divided by where a teacher is followed
MIN_GAIN = 1e-3  # smallest |gamma| of a channel: keeps the membrane step positive


def _signs(w):
    """-1 where a number is below 0, else 1; made without a number from the CPU, which a recording
    of a GPU's work does not take."""
    return (w >= 0).to(w.dtype) * 2 - 1


class _Binarize(torch.autograd.Function):
    """sign(w) with the annealed gradient k*t*(1 - tanh(t*w)^2), k = max(1/t, 1)."""

    @staticmethod
    def forward(ctx, w, t):
        ctx.save_for_backward(w)
        ctx.t = t
        return _signs(w)

    @staticmethod
    def backward(ctx, grad):
        (w,) = ctx.saved_tensors
        peak = (1 / ctx.t).clamp(min=1)
        return grad * peak * ctx.t * (1 - torch.tanh(ctx.t * w) ** 2), None


class _QuantizeWeight(torch.autograd.Function):
    """The nearest odd number in -(2**bits-1) .. 2**bits-1 to ``w * 2**bits / 3``.

    Or, with the code integer, the nearest whole one in -(2**(bits-1)-1) .. 2**(bits-1)-1 to half of
    that: as many above 0 as below, since a negative gain flips them. Three standard deviations of a
    channel's weights are the range; the gradient passes inside it.
    """

    @staticmethod
    def forward(ctx, w, bits, code):
        _, high = CODES[code].range(bits)
        scaled = w * ((1 << bits) / 6)
        q = 2 * torch.floor(scaled) + 1 if code == "odd" else torch.floor(scaled + 0.5)
        ctx.save_for_backward(q.abs() <= high)
        return q.clamp(-high, high)

    @staticmethod
    def backward(ctx, grad):
        (inside,) = ctx.saved_tensors
        return grad * inside, None, None


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


def quantize_weight(w, bits, code="odd"):
    """Weights of several bits, by the code of their numbers."""
    return _QuantizeWeight.apply(w, bits, code)


def quantize_by_maximum(u, bits):
    """The paper's quantizer: tanh, divided by the largest of the batch, 2**bits levels of -1 .. 1.

    No hardware knows the largest of a batch. The gradient passes the rounding.
    """
    scaled = torch.tanh(u)
    scaled = scaled / scaled.detach().abs().max().clamp(min=1e-8)
    levels = (1 << bits) - 1
    q = 2 * torch.round((scaled / 2 + 0.5) * levels) / levels - 1
    return scaled + (q - scaled).detach()


def standardize(w):
    """Zero mean and unit variance of each output channel: the weight half of WS-DR.

    It maximises the entropy of the binary weights. The paper's power-of-two scale of a channel
    is not kept: the batch norm that follows would cancel it exactly.
    """
    centred = w - w.mean(dim=1, keepdim=True)
    correction = min(w.shape[1] - 1, 1)  # the deviation of one weight is 0
    return centred / (centred.std(dim=1, keepdim=True, correction=correction) + 1e-8)


def lif_step(u, current, quantize, leak=0.5, subtract=False):
    """One time step of a leaky integrate-and-fire neuron: (membrane, current) -> (membrane, spike).

    Threshold 1, reset to 0, and only then quantization, as in the paper. The reset does not carry
    a gradient.

    leak      part of the membrane that stays
    subtract  whether the reset takes the threshold off, in place of everything
    """
    u = u * leak + current
    spike = fire(u)
    if subtract:
        return quantize(u - spike.detach()), spike
    return quantize(u) * (1 - spike.detach()), spike


def integrate(current, steps, quantize, dtype, neuron=(0.5, False), recurrence=None,
              membranes=None, between=None):
    """Spikes of neurons over time: [T or 1, B, ..., channels] -> [T, B, ..., channels].

    dtype       of the spikes; membranes are float32 at least
    neuron      leak and subtract of :func:`lif_step`
    recurrence  what the spikes of a step add to the next one's currents, as a function of them
    membranes   a list that gets the membrane after each step; with a current, both
    between     leak and quantizer of a current, through which they go: CubaLIF; None: without
    """
    work = torch.promote_types(current.dtype, torch.float32)
    u = i = torch.zeros_like(current[0], dtype=work)
    spikes = []
    for t in range(steps):
        now = current[t if len(current) > 1 else 0].to(work)
        if recurrence and spikes:
            now = now + recurrence(spikes[-1])
        if between is not None:
            now = i * between[0] + now
            i = between[1](now)
        u, spike = lif_step(u, now, quantize, *neuron)
        spikes.append(spike.to(dtype))
        if membranes is not None:
            membranes.append(u if between is None else (u, i))
    return torch.stack(spikes)


def integrate_quantized(current, steps, step, low, high, dtype, neuron=(0.5, False), between=None):
    """:func:`integrate` with membranes of ``low`` .. ``high`` steps: tensors and numbers alone.

    between: leak of a current, membrane steps of one of its own, its smallest and largest.
    """
    return integrate(current, steps, lambda u: quantize_membrane(u, step, low, high), dtype, neuron,
                     between=_quantizing(between, step))


def _quantizing(between, step):
    """A current for :func:`integrate`, of numbers as :func:`integrate_quantized` has them."""
    if between is None:
        return None
    leak, size, low, high = between
    return leak, lambda i: quantize_membrane(i, step * size, low, high)


class BinaryLinear(nn.Module):
    """Sum of weights times inputs, an exact integer: [..., n_in] -> [..., n_out].

    The weights are -1 and +1, or numbers of more bits and a code, see :func:`quantize_weight`; or,
    with 0 bits, floats.
    """

    def __init__(self, n_in, n_out, standardized, bits=1, code="odd"):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / math.sqrt(n_in))
        self.standardized = standardized
        self.bits, self.code = bits, code
        # t of the gradient of sign, annealed to 10 by the training
        self.register_buffer("sharpness", torch.tensor(0.1, dtype=torch.float64), persistent=False)

    def integer_weight(self):
        """The quantized weights, as floats, [n_out, n_in]."""
        w = standardize(self.weight) if self.standardized else self.weight
        if not self.bits:
            return w
        if self.bits == 1:
            return binarize(w, self.sharpness)
        return quantize_weight(w, self.bits, self.code)

    def forward(self, x):
        return x @ self.integer_weight().T.to(x.dtype)


class BinaryConvolution(BinaryLinear):
    """The same over the windows of maps: [B, C, H, W] -> [B, channels, H', W'].

    The weights are kept as [channels, rows * columns * C], the order of the integers.
    """

    def __init__(self, layer, standardized):
        self.shape = (*layer.kernel, layer.inputs[2])
        super().__init__(math.prod(self.shape), layer.channels, standardized, layer.weight_bits,
                         layer.weight_code)
        self.stride, self.padding = layer.stride, layer.padding

    def forward(self, x):
        weight = self.integer_weight().unflatten(1, self.shape).permute(0, 3, 1, 2)
        return F.conv2d(x, weight.to(x.dtype), stride=self.stride, padding=self.padding)


class _Spiking(nn.Module):
    """Layer of LIF neurons: synapses, batch norm, membrane, threshold, reset.

    ``forward`` takes what the layer before gave [T, B, ...], or one image [1, B, ...] whose sums
    are computed once and reused at all T steps. It returns what the next layer takes [T, B, ...]
    and the firing rate.
    """

    def __init__(self, synapses, channels, config):
        super().__init__()
        self.synapses = synapses
        self.norm = nn.BatchNorm1d(channels)
        self.time_steps = config.time_steps
        self.bits = config.membrane_bits
        self.leak, self.reset = (1, 1), config.reset
        self.current = None  # the leak of a current, (m, k)
        self.current_place, self.finest = config.current_place, 1  # see Config
        self.signed, self.dynamic = config.signed, config.dynamic
        self.rectified = config.rectified
        self.spike_dtype = None  # that of the sums; or a shorter one, which holds spikes as well
        self.neurons = integrate_quantized
        self.register_buffer("log_step", torch.tensor(0))  # membrane step: 2**log_step synapses
        self.log_step_frozen = False
        self.pinned = False  # it was given, and stays
        self.positive = False  # gains stay positive: a negative one flips weights, not spikes
        self.rate_term = config.rate_weight > 0  # whether the rate has a gradient
        # a list: forward appends spikes and membranes, as integers, [T, B, n_out] each
        self.trace = None

    @property
    def q_range(self):
        """Smallest and largest membrane, in steps."""
        low = -(1 << (self.bits - 1)) if self.signed else 0
        return low, low + (1 << self.bits) - 1

    def gamma(self):
        """The scales of the batch norm, kept away from 0 with their signs, [n_out]."""
        gamma = self.norm.weight
        if self.positive:
            return gamma.clamp(min=MIN_GAIN)
        return _signs(gamma) * gamma.abs().clamp(min=MIN_GAIN)

    def gain(self):
        """What one synapse adds to a membrane whose threshold is 1: gamma / sigma, [n_out]."""
        return self.gamma() * torch.rsqrt(self.norm.running_var + self.norm.eps)

    def normalize(self, sums):
        """The batch norm with the scales of :meth:`gamma`; axis 1 has the channels."""
        norm = self.norm
        return F.batch_norm(sums, norm.running_mean, norm.running_var, self.gamma(),
                            norm.bias, norm.training, norm.momentum, norm.eps)

    @property
    def neuron(self):
        """What :func:`lif_step` takes of it."""
        m, k = self.leak
        return m / (1 << k), self.reset == "subtract"

    @property
    def between(self):
        """What :func:`integrate_quantized` takes of a current."""
        if self.current is None:
            return None
        m, k = self.current
        half = 1 << (self.bits - 1)
        return m / (1 << k), 1 << self.current_place, -half, half - 1

    @property
    def least_step(self):
        """Smallest membrane step that integers can have, as a power of two of synapses."""
        return self.finest - MAX_FRAC

    @torch.no_grad()
    def fit_step(self):
        """Choose the membrane step so that the range just reaches the typical threshold."""
        ordered = (1 / self.gain().abs()).sort().values
        median = ordered[(len(ordered) - 1) // 2]
        levels = self.q_range[1] + 1
        log_step = torch.round(torch.log2(median / levels))
        largest = MAX_SHIFT - (self.current_place if self.current else 0)
        self.log_step.copy_(log_step.clamp(self.least_step, largest))

    def pin_step(self, log_step):
        """Keep this membrane step, whatever the gains become."""
        self.log_step.fill_(log_step)
        self.pinned = True

    def step_size(self):
        """The membrane step of each channel, in units of the threshold."""
        return self.gain().detach().abs() * 2.0 ** self.log_step

    @property
    def quantized(self):
        """Whether membranes have steps of their own, as hardware has them."""
        return bool(self.bits) and not (self.dynamic or self.rectified)

    def quantize(self, u):
        """Membranes as they are kept until the next time step."""
        if self.dynamic:
            return quantize_by_maximum(u, self.bits)
        return quantize_membrane(u, self.step_size(), *self.q_range) if self.quantized else u

    def recurrence(self, gain):
        return None

    def run(self, sums, shape, gain=None):
        """Spikes [T, B, channels, ...] of sums [T * B, channels, ...]; ``shape``: T or 1, and B.

        gain: of the layer's own spikes, where it takes them.
        """
        recurrence, dtype = self.recurrence(gain), self.spike_dtype or sums.dtype
        membranes = None if self.trace is None else []
        # float32 at least: spikes depend on the last bit; channels last, as they lie in memory
        sums = sums.to(torch.promote_types(sums.dtype, torch.float32))
        current = self.normalize(sums).movedim(1, -1).unflatten(0, shape)
        places, current = current.shape[1:-1], current.flatten(1, -2)
        if self.training and self.quantized and not (self.log_step_frozen or self.pinned):
            self.fit_step()
        if self.rectified:
            spikes = F.relu(current).to(dtype)
        elif self.quantized and recurrence is None and membranes is None:
            spikes = self.neurons(current, self.time_steps, self.step_size(), *self.q_range, dtype,
                                  self.neuron, self.between)
        else:
            between = _quantizing(self.between, self.step_size())
            spikes = integrate(current, self.time_steps, self.quantize, dtype, self.neuron,
                               recurrence, membranes, between)
        spikes = spikes.unflatten(1, places)
        if membranes is not None:
            membranes = self._held(membranes).unflatten(1, places)
            self.trace.append((spikes.flatten(2), membranes.flatten(2)))
        return spikes.movedim(-1, 2)

    def _held(self, membranes):
        """Membranes of all steps, as integers where they are some; currents above them."""
        if not self.quantized:
            return torch.stack(membranes)

        def whole(values, step):
            return torch.round(torch.stack(values) / step).to(torch.int64)
        if self.current is None:
            return whole(membranes, self.step_size())
        membranes, currents = zip(*membranes, strict=True)
        currents = whole(currents, self.step_size() * (1 << self.current_place))
        return (currents << self.bits) + whole(membranes, self.step_size()) % (1 << self.bits)

    def respond(self, sums, shape, gain=None):
        """Spikes and firing rate for the sums of :meth:`run`."""
        spikes = self.run(sums, shape, gain)
        dtype = torch.promote_types(spikes.dtype, torch.float32)
        return spikes, (spikes if self.rate_term else spikes.detach()).mean(dtype=dtype)


def rows(maps):
    """Maps [T, B, C, H, W] as the integers have them, [T, B, H * W * C]; rows stay."""
    return maps if maps.ndim == 3 else maps.permute(0, 1, 3, 4, 2).flatten(2)


class SpikingLinear(_Spiking):
    """Fully connected layer; maps are taken as rows. weights: their bits and code, where not 1."""

    def __init__(self, n_in, n_out, config, *weights):
        super().__init__(BinaryLinear(n_in, n_out, config.standardize, *weights), n_out, config)

    def forward(self, x):
        sums = self.synapses(rows(x))  # [T or 1, B, n_out]
        return self.respond(sums.flatten(0, 1), sums.shape[:2])


class SpikingTemporal(_Spiking):
    """Fully connected layer of a stream: it sees earlier inputs, and may see its own spikes.

    The batch norm has the statistics of the inputs' sums alone; what the layer's own spikes add
    is scaled as they are, so one gain still holds for all synapses of a neuron.
    """

    def __init__(self, layer, config):
        n_in, n_out = layer.inputs[0] * layer.taps, layer.channels
        shared = config.standardize, layer.weight_bits, layer.weight_code
        super().__init__(BinaryLinear(n_in, n_out, *shared), n_out, config)
        self.taps = layer.taps
        self.own = BinaryLinear(n_out, n_out, *shared) if layer.recurrent else None

    def forward(self, x):
        steps, x = len(x), rows(x)
        if self.taps > 1:
            padded = F.pad(x, (0, 0, 0, 0, self.taps - 1, 0))
            x = torch.cat([padded[self.taps - 1 - tap:][:steps] for tap in range(self.taps)], 2)
        sums = self.synapses(x)
        gain = None
        if self.own is not None:
            gain = self.gain()
            if self.norm.training:
                variance = sums.detach().flatten(0, 1).var(0, unbiased=False)
                gain = self.gamma() * torch.rsqrt(variance + self.norm.eps)
        return self.respond(sums.flatten(0, 1), sums.shape[:2], gain)

    def recurrence(self, gain):
        """What the spikes of the last step add to the currents, as a function of them."""
        if gain is None:
            return None
        weight = self.own.integer_weight().T * gain
        return lambda spikes: spikes @ weight


class SpikingConvolution(_Spiking):
    """Convolution, with what a skip adds to its sums, and pooling: maps are [T, B, C, H, W].

    A skip counts 2**shift synapses, so that it has about the variance of the convolution. One
    batch norm follows the sum: its gains need no ratio, which would not be an integer.
    """

    def __init__(self, layer, config):
        super().__init__(BinaryConvolution(layer, config.standardize), layer.channels, config)
        self.layer = layer
        self.skip_synapses = None
        if layer.skip is not None:
            terms = 1
            self.positive = not layer.skip_kernel
            if layer.skip_kernel:
                terms = layer.skip_channels
                self.skip_synapses = BinaryLinear(terms, layer.channels, config.standardize)
            self.skip_shift = max(0, round(math.log2(self.synapses.weight.shape[1] / terms) / 2))

    def forward(self, x, skip=None):
        maps = x.flatten(0, 1)
        sums = self.synapses(maps)
        height, width = self.layer.positions
        sums = sums[:, :, :height, :width]
        if skip is not None:
            down, right = self.layer.skip_stride
            added = skip.flatten(0, 1)[:, :, ::down, ::right][:, :, :height, :width]
            if self.skip_synapses is not None:
                added = self.skip_synapses(added.movedim(1, -1)).movedim(-1, 1)
            sums = sums + added * 2.0 ** self.skip_shift
        spikes, rate = self.respond(sums, x.shape[:2])
        return self.pooled(spikes), rate

    def pooled(self, spikes):
        """What the next layer takes of the spikes [T, B, C, H, W]."""
        size, maps = self.layer.pool_size, spikes.flatten(0, 1)
        if self.layer.pool == "max":
            maps = F.max_pool2d(maps, size)
        elif self.layer.pool == "sum":
            maps = F.avg_pool2d(maps, size, divisor_override=1)
        return maps.unflatten(0, spikes.shape[:2])


def paired(logits):
    """Logits of all classes: of one output [B, 1] those of two, of which the first is always 0."""
    return F.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits


class QSNN(nn.Module):
    """Q-SNN: hidden layers that spike, an output layer that accumulates."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.hidden = nn.ModuleList(
            SpikingConvolution(layer, config) if layer.kernel else
            SpikingTemporal(layer, config) if config.stream else
            SpikingLinear(layer.inputs[0], layer.channels, config, layer.weight_bits,
                          layer.weight_code)
            for layer in config.layers)
        for layer, leak, current, finest in zip(self.hidden, config.leaks, config.currents,
                                                config.finest, strict=True):
            layer.leak, layer.current, layer.finest = leak, current, finest
        for layer, step in zip(self.hidden, config.steps, strict=bool(config.steps)):
            layer.pin_step(step)
        inputs = math.prod(config.layers[-1].outputs)
        self.output = BinaryLinear(inputs, config.classes, config.standardize,
                                   0 if config.rectified else config.last_bits, config.last_code)
        self.register_buffer("lasting", None, persistent=False)
        leak = leak_of(config.readout_leak)
        if leak != NO_LEAK:  # what is left at the end of each step, on average 1
            steps = config.time_steps
            lasting = (leak[0] / 2.0 ** leak[1]) ** torch.arange(
                steps - 1, -1, -1, dtype=torch.float64)
            self.lasting = (lasting * steps / worth(leak, steps)).view(-1, 1, 1)
        self.bias = nn.Parameter(torch.zeros(config.classes))  # in units of the logits
        # one for all classes: keeps the argmax
        self.log_scale = nn.Parameter(torch.tensor(self.first_log_scale(config)))

    @staticmethod
    def first_log_scale(config):
        """What makes the first logits of a network some units large."""
        last = config.layers[-1]
        weight = 1 / CODES[config.last_code].unit(config.last_bits)  # its magnitude
        pooled = math.sqrt(math.prod(last.pool_size)) if last.pool == "sum" else 1
        return math.log(2.0 / math.sqrt(math.prod(last.outputs)) / weight / pooled)

    def forward(self, pixels):
        """Pixels 0 .. 2**input_bits - 1, [B, inputs] -> logits [T, B, classes], rates.

        Or the spikes of all steps of samples, [B, T * inputs].
        """
        x = pixels.unsqueeze(0)  # [1, B, inputs]: direct coding, computed once
        if self.config.stream:
            x = pixels.unflatten(1, (self.config.time_steps, -1)).transpose(0, 1)
        if self.config.image:
            x = x.unflatten(2, self.config.image).permute(0, 1, 4, 2, 3)  # channels last in memory
        rates, outputs = [], []
        for layer, shape in zip(self.hidden, self.config.layers, strict=True):
            x, rate = layer(x) if shape.skip is None else layer(x, outputs[shape.skip])
            outputs.append(x)
            rates.append(rate)
        logits = self.output(rows(x).to(pixels.dtype)) * self.log_scale.exp() + self.bias
        if self.lasting is not None:
            logits = logits * self.lasting.to(logits.dtype)
        return logits, torch.stack(rates)

    def loss(self, pixels, labels, label_smoothing=0.0, taught=None):
        """Mean cross-entropy of the time steps + lambda * mean (firing rate - 1/2)^2.

        labels: [B], or the part of each class, [B, classes].
        taught: logits of a teacher, [B, classes]. Most of the loss is then the cross-entropy with
        what it says, both softened (Hinton, Vinyals and Dean, arXiv 1503.02531).
        """
        logits, rates = self(pixels)
        mean = paired(logits.mean(0))
        task = F.cross_entropy(mean, labels, label_smoothing=label_smoothing)
        if taught is not None:
            softened = F.cross_entropy(mean / TEMPERATURE, F.softmax(taught / TEMPERATURE, 1))
            task = (1 - TAUGHT) * task + TAUGHT * TEMPERATURE ** 2 * softened
        return task + self.config.rate_weight * ((rates - 0.5) ** 2).mean(), mean, rates.detach()

    def set_sharpness(self, t):
        """Set t of the gradient of sign in every layer."""
        for module in self.modules():
            if isinstance(module, BinaryLinear):
                module.sharpness.fill_(t)

    def run_on(self, device, compiled=False):
        """Move to ``device``, cpu or cuda, and return self.

        compiled: whether ``torch.compile`` makes one loop of neurons. On a CPU, of each layer's
        batch norm too: three times as fast for convolutions, and it needs a C++ compiler. On a
        GPU all layers share one loop: to compile takes seconds, not minutes. There maps of spikes
        have 16 bits, which are exact, and so are products and most sums of them.
        """
        short = device != "cpu" and not self.config.stream
        if device != "cpu":
            torch.backends.cudnn.benchmark = True  # batches have one size
        if compiled:  # once a layer and state of its schedules; else PyTorch gives up
            torch._dynamo.config.recompile_limit = 8 * len(self.hidden)
        loop = integrate_quantized
        if compiled and device != "cpu":
            loop = torch.compile(integrate_quantized, dynamic=True)
        for layer in self.hidden:
            layer.neurons, layer.spike_dtype = loop, torch.bfloat16 if short else None
            layer.__dict__.pop("respond", None)
            if compiled and device == "cpu":
                layer.respond = torch.compile(layer.respond, dynamic=False)
        return self.to(device)

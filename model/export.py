"""Fold a trained network into its description: floats become integers here, once.

Nothing is approximated for hidden layers: see the last paragraph of :mod:`qsnn.model.golden`. The
bias of a class is the one number that is rounded, to ``READOUT_FRAC`` fraction bits.
"""

from dataclasses import replace

import torch

from qsnn.model.alike import difference, steps_of
from qsnn.model.config import TrainingError
from qsnn.model.description import (
    Convolution,
    Current,
    Description,
    DescriptionError,
    FullyConnected,
    Readout,
    Skip,
)
from qsnn.model.leak import NO_LEAK, leak_of, worth
from qsnn.model.qsnn import QSNN, SpikingConvolution, SpikingTemporal

__all__ = ["fold", "lean", "pinned"]

LEAKY_FRAC = 6  # of totals that leak: they are rounded at each step
READOUT_FRAC = 2  # fraction bits of the scores: breaks ties between classes as the floats would


@torch.no_grad()
def fold(net):
    """The :class:`~qsnn.model.description.Description` of a :class:`~qsnn.model.qsnn.QSNN`."""
    if not net.config.has_integers:
        what = "whose membranes depend on the batch" if net.config.dynamic else \
            "with float membranes"
        raise DescriptionError(f"a network {what} has no integers: train it with 2 to 8 membrane "
                               "bits and the static quantizer")
    bits = [net.config.input_bits, *(layer.output_bits for layer in net.config.layers)]
    layers = [_fold_hidden(layer, b) for layer, b in zip(net.hidden, bits, strict=False)]
    return Description(time_steps=0 if net.config.stream else net.config.time_steps,
                       layers=(*layers, _fold_readout(net, bits[-1])))


@torch.no_grad()
def lean(net, offsets):
    """Add whole numbers to the scores of the classes, which have ``READOUT_FRAC`` fraction bits.

    What is rare is found more often then, or less: a bias is what a threshold would be.
    """
    leak = leak_of(net.config.readout_leak)
    unit = net.log_scale.exp() / 2 ** _frac(leak) / worth(leak, net.config.time_steps)
    net.bias += torch.tensor(offsets) * unit


def pinned(config, description, name):
    """The :class:`~qsnn.model.config.Config` of a training whose network fits the circuit of this.

    Raises :class:`~qsnn.model.config.TrainingError` where nothing but weights would not do.
    """
    steps = steps_of(description)
    if None in steps:
        raise TrainingError(f"{name}: layer {steps.index(None)} has units that training does not "
                            "make; choose another --like")
    if len(steps) == len(config.layers):  # else the shape is what differs
        config = replace(config, steps=steps)
    with torch.random.fork_rng(devices=[]):
        found = difference(fold(QSNN(config).eval()), description)
    if found:
        raise TrainingError(f"this training would not fit the circuit of {name}: {found}; train "
                            "what it has, or leave out --like")
    return config


def _fold_hidden(layer, input_bits):
    gain = layer.gain().double()
    norm = layer.norm
    offset = norm.bias.double() - gain * norm.running_mean.double()
    sign = torch.where(gain < 0, -1, 1).unsqueeze(1)
    log_step = int(layer.log_step)
    # the leak divides the step by 2**k: units are fine enough when that is one unit or more
    frac = max(layer.finest - log_step, 0)
    shift = log_step + frac
    unit = 2.0 ** frac
    shared = dict(weights=_integers(layer.synapses.integer_weight() * sign),
                  input_bits=input_bits, weight_bits=layer.synapses.bits,
                  weight_code=layer.synapses.code, membrane_bits=layer.bits, signed=layer.signed,
                  shift=shift, frac=frac, leak=layer.leak, reset=layer.reset)
    kind = FullyConnected
    if isinstance(layer, SpikingTemporal):
        shared["taps"] = layer.taps
        shared["recurrent"] = layer.own and _integers(layer.own.integer_weight() * sign)
    if isinstance(layer, SpikingConvolution):
        kind, shape = Convolution, layer.layer
        shared |= dict(height=shape.inputs[0], width=shape.inputs[1], stride=shape.stride,
                       padding=shape.padding, pool=shape.pool, pool_size=shape.pool_size,
                       weights=shared["weights"].reshape(-1, *layer.synapses.shape))
        if shape.skip is not None:
            synapses = layer.skip_synapses
            shared["skip"] = Skip(
                source=shape.skip, stride=shape.skip_stride, shift=layer.skip_shift,
                weights=synapses and _integers(synapses.integer_weight() * sign))
    bias = offset / gain.abs() * unit
    theta = torch.ceil(unit / gain.abs() - bias)
    half = 2.0 ** (shift - 1)
    values = {"threshold": theta, "bias": torch.floor(bias + half)}
    if layer.reset == "subtract":
        values["bias_fired"] = torch.floor(bias - unit / gain.abs() + half)
    if layer.current is not None:
        place = shift + layer.current_place
        shared["current"] = Current(bits=layer.bits, leak=layer.current, shift=place,
                                    bias=torch.zeros(len(theta), dtype=torch.int64).numpy())
        between = torch.floor(bias + 2.0 ** (place - 1))
    # the ranges depend on the shape alone: a layer of zeros knows them
    zeros = torch.zeros(len(theta), dtype=torch.int64).numpy()
    ranges = kind(**dict.fromkeys(values, zeros), **shared)
    limits = {"threshold": ranges.threshold_range}
    if layer.current is not None:
        shared["current"] = replace(shared["current"], bias=_saturate(
            between, ranges.current_bias_range))
    return kind(**{name: _saturate(value, limits.get(name, ranges.bias_range))
                   for name, value in values.items()}, **shared)


def _fold_readout(net, input_bits):
    scale = float(net.log_scale.double().exp())
    leak = leak_of(net.config.readout_leak)
    frac = _frac(leak)
    bias = net.bias.double() * worth(leak, net.config.time_steps) / scale * 2.0 ** frac
    bits = net.output.bits
    # a sample of a stream may be as long again, and its sums still fit
    window = Readout.window_of((1 + net.config.stream) * net.config.time_steps)
    limit = Readout.bias_limit(net.output.weight.shape[1], frac, input_bits, bits, window,
                               net.output.code)
    return Readout(weights=_integers(net.output.integer_weight()), input_bits=input_bits,
                   window=window, weight_bits=bits, weight_code=net.output.code,
                   bias=_saturate(torch.floor(bias + 0.5), (-limit, limit)),
                   frac=frac, leak=leak)


def _frac(leak):
    return READOUT_FRAC if leak == NO_LEAK else LEAKY_FRAC


def _integers(weights):
    return weights.to(torch.int16).numpy()


def _saturate(values, limits):
    return values.clamp(*limits).to(torch.int64).numpy()

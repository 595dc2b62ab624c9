"""Fold a trained network into its description: floats become integers here, once.

Nothing is approximated for hidden layers: see the last paragraph of :mod:`model.golden`. The bias
of a class is the one number that is rounded, to ``READOUT_FRAC`` fraction bits.
"""

import torch

from model.description import Description, DescriptionError, FullyConnected, Readout

__all__ = ["fold"]

READOUT_FRAC = 2  # fraction bits of the scores: breaks ties between classes as the floats would


@torch.no_grad()
def fold(net):
    """The :class:`~model.description.Description` of a :class:`~model.qsnn.QSNN`."""
    if not net.config.membrane_bits:
        raise DescriptionError("a network with float membranes has no integers: train it with "
                               "2 to 8 membrane bits")
    bits = [net.config.input_bits] + [1] * (len(net.hidden) - 1)
    layers = [_fold_hidden(layer, b) for layer, b in zip(net.hidden, bits, strict=True)]
    return Description(time_steps=net.config.time_steps, layers=(*layers, _fold_readout(net)))


def _fold_hidden(layer, input_bits):
    gain = layer.gain().double()
    norm = layer.norm
    offset = norm.bias.double() - gain * norm.running_mean.double()
    weights = layer.synapses.binary_weight() * torch.where(gain < 0, -1, 1).unsqueeze(1)
    log_step = int(layer.log_step)
    # the leak halves the step, so the units are fine enough when half a step is one unit or more
    frac, shift = max(1 - log_step, 0), max(log_step, 1)
    unit = 2.0 ** frac
    shared = dict(weights=weights.to(torch.int8).numpy(), input_bits=input_bits,
                  membrane_bits=layer.bits, signed=layer.signed, shift=shift, frac=frac)
    bias = offset / gain.abs() * unit
    theta = torch.ceil(unit / gain.abs() - bias)
    beta = torch.floor(bias + 2.0 ** (shift - 1))
    # the ranges depend on the shape alone: a layer of zeros knows them
    zeros = torch.zeros(len(theta), dtype=torch.int64).numpy()
    ranges = FullyConnected(threshold=zeros, bias=zeros, **shared)
    return FullyConnected(threshold=_saturate(theta, ranges.threshold_range),
                          bias=_saturate(beta, ranges.bias_range), **shared)


def _fold_readout(net):
    scale = float(net.log_scale.double().exp())
    bias = net.bias.double() * net.config.time_steps / scale * 2.0 ** READOUT_FRAC
    limit = Readout.bias_limit(net.output.weight.shape[1], READOUT_FRAC)
    return Readout(weights=net.output.binary_weight().to(torch.int8).numpy(),
                   bias=_saturate(torch.floor(bias + 0.5), (-limit, limit)),
                   frac=READOUT_FRAC)


def _saturate(values, limits):
    return values.clamp(*limits).to(torch.int64).numpy()

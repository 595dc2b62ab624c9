"""A checkpoint of an imported network, which ``qsnn train --start`` continues.

Weights of 1 bit need it: what no training has rounded loses a lot there, and gets most of it back
in a few epochs. Weights are the graph's floats, batch norms what makes the neurons those of the
graph for the statistics that the sums have on some samples.
"""

import math
import shlex

import numpy as np
import torch

from qsnn.model.config import Config, Recipe
from qsnn.model.description import layer_words
from qsnn.model.golden import layer_sums, pooled
from qsnn.model.inference import infer, steps_of
from qsnn.model.leak import leak_text
from qsnn.model.reading import Reading
from qsnn.model.training import Training

__all__ = ["config_of", "save_start", "training_command"]

INSIDE = 0.9  # of the half of what lies between two odd numbers: so far a float may be off its own
CENTRE = 0.5  # of a logit: a count of spikes, that its class has 1 and the others not


def config_of(description, steps):
    """The :class:`~qsnn.model.config.Config` of a network like this; steps: of a sample."""
    layers = description.hidden
    words = [word for layer in layers for word in layer_words(layer)]
    return Config(
        inputs=description.n_in, hidden=tuple(words), classes=description.readout.n_out,
        input_bits=description.input_bits, time_steps=steps, stream=description.stream,
        membrane_bits=max(layer.membrane_bits for layer in layers),
        signed=any(layer.signed for layer in layers), standardize=False,
        image=description.input_map, last_bits=description.readout.weight_bits,
        last_code=description.readout.weight_code,
        readout_leak=leak_text(description.readout.leak),
        leak=",".join(leak_text(layer.leak) for layer in layers), reset=layers[0].reset,
        current=",".join(leak_text(layer.current.leak) if layer.current else "none"
                         for layer in layers))


def training_command(config, dataset, start, out, reading=None):
    """The command that continues, for a shell; reading: that an own set was read with."""
    words = ["qsnn", "train", "--start", str(start), "--dataset", dataset,
             "--arch", "-".join(config.hidden), "--bits", str(config.membrane_bits),
             "--last-bits", str(config.last_bits), "--no-standardize"]
    if not config.stream:
        words += ["--time-steps", str(config.time_steps), "--input-bits", str(config.input_bits)]
    words += ["--signed"] * config.signed
    words += ["--last-code", config.last_code] * (config.last_code != Config.last_code)
    words += ["--readout-leak", config.readout_leak] * (
        config.readout_leak != Config.readout_leak)
    words += ["--leak", config.leak] * (set(config.leak.split(",")) != {Config.leak})
    words += ["--reset", config.reset] * (config.reset != Config.reset)
    words += ["--current", config.current] * (set(config.current.split(",")) != {Config.current})
    words = shlex.join([*words, "--epochs", "4", "--out", str(out)])
    return " ".join([words, *(reading.words if reading else [])])


@torch.no_grad()
def save_start(quantized, samples, dataset, path, reading=None):
    """Write the checkpoint; samples as :func:`~qsnn.model.graphs.quantizing.quantize` took them.

    Returns the :class:`~qsnn.model.config.Config` of its network. Raises ``ValueError`` where
    training has no such network.
    """
    description = quantized.description
    x = steps_of(description, samples) if description.stream else samples
    config = config_of(description, x.shape[1] if description.stream else description.time_steps)
    training = Training(config, Recipe(dataset=dataset, shift=0,
                                       reading=reading or Reading()))
    net = training.net
    traced = infer(description, samples, trace=True)
    for index, (module, layer, floats) in enumerate(zip(
            net.hidden, description.hidden, quantized.floats, strict=True)):
        sums = torch.tensor(_sums(layer, x)).double()
        x = pooled(layer, traced.spikes[index].reshape(-1, layer.n_out)).reshape(
            *traced.spikes[index].shape[:2], -1)
        numbers, scales = floats.numbers(*floats.taken)
        weights = floats.joined / scales[:, None]
        if floats.taken[-1]:  # not the nearest ones: training shall begin with them all the same
            weights = np.clip(weights, numbers - INSIDE, numbers + INSIDE)
        weights = torch.tensor(weights) * _unit(layer)
        split = module.synapses.weight.shape[1]
        module.synapses.weight.copy_(weights[:, :split])
        if layer.recurrent is not None:
            module.own.weight.copy_(weights[:, split:])
        # a channel that nothing makes fire has no threshold that could be 1
        level = torch.tensor(floats.level * (1 + floats.raised)).clamp(min=1e-3)
        gain = torch.tensor(floats.gain * scales) / level
        offset = torch.tensor(floats.constant) / level
        norm = module.norm
        norm.running_mean.copy_(sums.mean(0))
        norm.running_var.copy_(sums.var(0, unbiased=False))
        norm.weight.copy_(gain * torch.sqrt(norm.running_var.double() + norm.eps))
        norm.bias.copy_(offset + gain * norm.running_mean.double())
        module.log_step.fill_(layer.shift - layer.frac)
    readout, last = description.readout, quantized.last
    if last is None:  # counts
        net.output.weight.copy_(torch.tensor(readout.weights) * CENTRE)
    else:
        flat = torch.tensor(last.weight)
        scale = float((flat.flatten() * torch.tensor(readout.weights).flatten()).sum()
                      / (torch.tensor(readout.weights).double() ** 2).sum())
        net.output.weight.copy_(flat / scale * _unit(readout))
        rest = 0 if last.leak is None else last.leak.rest / np.mean(last.leak.gain)
        net.bias.copy_(torch.tensor(last.bias + rest))
        net.log_scale.fill_(math.log(scale * last.unit))
    for parameter in net.parameters():
        training.optimizer.state[parameter] = {
            "step": torch.tensor(0.0), "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter)}
    training.save(path)
    return config


def _unit(layer):
    """What a weight of training is where the integer is 1."""
    return layer.code.unit(layer.weight_bits)


def _sums(layer, x):
    """Sums of all steps [..., channels] of what a layer takes, [N, n] or [N, T, n]."""
    return layer_sums(layer, x.reshape(-1, layer.n_in)).reshape(-1, layer.channels)

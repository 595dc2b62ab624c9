"""Equality of the quantized torch network and its integers: every spike, every membrane.

Also the small file that keeps what ``eval()`` needs of a trained network, a few bits a weight less
than a checkpoint, so that the comparison can be repeated without training again.
"""

import json
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as to_safetensors

from qsnn.model.files import write_whole
from qsnn.model.inference import infer
from qsnn.model.qsnn import QSNN, BinaryLinear, Config

__all__ = ["Comparison", "compare", "load_net", "save_net"]

BATCH = 1000  # images at once: bounds the memory of the traces


@dataclass(frozen=True)
class Comparison:
    """Numbers of values that differ between torch and the golden model.

    images     images compared
    spikes     of each hidden layer, over images, time steps and neurons
    membranes  likewise
    sums       of the output layer, over images and classes
    """

    images: int
    spikes: tuple
    membranes: tuple
    sums: int

    @property
    def equal(self):
        return not (any(self.spikes) or any(self.membranes) or self.sums)


def compare(net, description, pixels):
    """Run both on integer pixels [N, inputs]; ``net`` is in ``eval()`` and ``float64``."""
    spikes = np.zeros(len(net.hidden), dtype=int)
    membranes = np.zeros(len(net.hidden), dtype=int)
    sums = 0
    for start in range(0, len(pixels), BATCH):
        batch = pixels[start:start + BATCH]
        result = infer(description, batch, trace=True)
        torch_spikes, torch_membranes, torch_sums = trace(net, batch)
        spikes += [int((a != b).sum())
                   for a, b in zip(result.spikes, torch_spikes, strict=True)]
        membranes += [int((a != b).sum())
                      for a, b in zip(result.membranes, torch_membranes, strict=True)]
        readout = description.readout
        sums += int((result.scores != (torch_sums << readout.frac) + readout.bias).sum())
    return Comparison(len(pixels), tuple(spikes.tolist()), tuple(membranes.tolist()), sums)


@torch.no_grad()
def trace(net, pixels):
    """Spikes and membranes per hidden layer [N, T, n], sums of the classes [N, classes]."""
    sums = []
    hook = net.output.register_forward_hook(lambda *call: sums.append(call[-1]))
    for layer in net.hidden:
        layer.trace = []
    net(torch.tensor(pixels, dtype=net.bias.dtype))
    hook.remove()
    spikes, membranes = zip(*(layer.trace.pop() for layer in net.hidden), strict=True)
    for layer in net.hidden:
        layer.trace = None
    return ([s.transpose(0, 1).numpy() for s in spikes],
            [q.transpose(0, 1).numpy() for q in membranes],
            sums[0].sum(0).to(torch.int64).numpy())


@torch.no_grad()
def save_net(net, path):
    """Write what ``eval()`` needs: quantized weights, batch norms, steps, scale and biases.

    Weights of one bit take one.
    """
    tensors = {}
    synapses = {f"{name}.weight": module for name, module in net.named_modules()
                if isinstance(module, BinaryLinear)}
    for name, value in net.state_dict().items():
        if name in synapses:
            weights, bits = synapses[name].integer_weight().to(torch.int16).numpy(), \
                synapses[name].bits
            tensors[name] = torch.from_numpy(
                np.packbits(weights > 0, axis=1) if bits == 1 else weights)
        elif not name.endswith("num_batches_tracked"):
            tensors[name] = value
    write_whole(path, to_safetensors(
        tensors, metadata={"config": json.dumps(net.config.asdict(), sort_keys=True)}))


def load_net(path):
    """The network of :func:`save_net`, in ``eval()`` and ``float64``."""
    with safe_open(path, framework="pt") as file:
        config = Config(**json.loads(file.metadata()["config"]))
        # the weights are quantized already
        net = QSNN(replace(config, standardize=False)).double()
        state = net.state_dict()
        for name in file.keys():
            value = file.get_tensor(name)
            if value.dtype == torch.uint8:
                bits = np.unpackbits(value.numpy(), axis=1, count=state[name].shape[1])
                value = torch.from_numpy(bits).double() * 2 - 1
            elif value.dtype == torch.int16:  # what is quantized to these numbers
                bits = net.get_submodule(name.removesuffix(".weight")).bits
                value = value.double() * 3 / (1 << bits)
            state[name] = value
    net.load_state_dict(state)
    return net.eval()

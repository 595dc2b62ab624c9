"""A trained network as a small file: what ``eval()`` needs, one bit for a weight of one bit.

A checkpoint has all that a training needs; this has a thirtieth of it, and the comparison of
:mod:`qsnn.model.equality` can be repeated with it, without training again.
"""

import json
from dataclasses import replace

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as to_safetensors

from qsnn.model.codes import CODES
from qsnn.model.config import Config
from qsnn.model.files import write_whole
from qsnn.model.layers import MAX_SHIFT
from qsnn.model.qsnn import QSNN, BinaryLinear

__all__ = ["load_net", "save_net"]


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
        missing = {name for name in state if not name.endswith("num_batches_tracked")} - {
            *file.keys()}
        if missing:
            raise ValueError(f"{path}: {', '.join(sorted(missing)[:3])} are missing")
        for name in file.keys():
            value = file.get_tensor(name)
            if value.dtype == torch.uint8:
                bits = np.unpackbits(value.numpy(), axis=1, count=state[name].shape[1])
                value = torch.from_numpy(bits).double() * 2 - 1
            elif value.dtype == torch.int16:  # what is quantized to these numbers
                module = net.get_submodule(name.removesuffix(".weight"))
                value = value.double() * CODES[module.code].unit(module.bits)
            state[name] = value
    net.load_state_dict(state)
    for layer in net.hidden:
        if not layer.least_step <= int(layer.log_step) <= MAX_SHIFT:
            raise ValueError(f"{path}: a membrane step of 2 ** {int(layer.log_step)} synapses")
    if not all(value.isfinite().all() for value in net.state_dict().values()):
        raise ValueError(f"{path}: numbers that are none")
    return net.eval()

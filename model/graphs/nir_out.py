"""Networks of ours as NIR files, floats that other tools read.

Every threshold is 1, ``r`` is 1 and a step is 1e-4 s; so weights and biases carry the rest.
NIR fires above a threshold, ours at it: the file's is a little below 1. The membranes of a file are
not quantized, and NIR cannot say that ours are: a .qsnn file travels beside it.
"""

import io

import numpy as np

from qsnn.model.files import write_whole
from qsnn.model.graphs.graph import check

__all__ = ["write_nir"]

DT = 1e-4  # seconds of a step, as exporters of frameworks have it
BELOW = 1e-6  # of a threshold of 1
SURE = 2.0  # what a neuron that fires at every step gets, in thresholds


def write_nir(description, path):
    """Write a :class:`~qsnn.model.description.Description` as a NIR file, whole or not at all.

    Inputs are pixels divided by the largest one, or spikes; maps have their channels first. The
    sums of the readout over all steps are the scores. Raises
    :class:`~qsnn.model.graphs.graph.GraphError` for what a line of nodes cannot say, and an
    ``OSError`` that names the file.
    """
    try:
        import h5py
    except ImportError:
        check(False, "NIR files need h5py: pip install 'qsnn-fpga[nir]'")
    nodes, edges = _nodes(description)
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file["version"] = "1.0.8"  # the newest of NIR, whose fields these are
        graph = file.create_group("node")
        graph["type"] = "NIRGraph"
        for name, value in _metadata(description).items():
            graph[f"metadata/{name}"] = value
        for name, fields in nodes.items():
            for field, value in fields.items():
                graph[f"nodes/{name}/{field}"] = value
        graph.create_dataset("edges", data=np.array(edges, object), dtype=h5py.string_dtype())
    write_whole(path, raw.getvalue())


def _metadata(description):
    """For people: no reader is to rely on it."""
    resets = {layer.reset for layer in description.hidden}
    return {"dt": DT, "time_steps": description.time_steps, "reset": "/".join(sorted(resets)),
            "input_bits": description.input_bits, "qsnn": description.hash}


def _nodes(description):
    image = description.input_map
    shape = np.roll(image, 1) if image else [description.n_in]
    nodes, line = {"input": {"type": "Input", "shape": np.array(shape, np.int64)}}, ["input"]
    unit = (1 << description.input_bits) - 1  # an input of 1
    edges = []

    def add(name, kind, **fields):
        nodes[name] = {"type": kind, **fields}
        edges.append((line[-1], name))
        line.append(name)

    maps = image
    for index, layer in enumerate(description.hidden):
        check(layer.skip is None, f"layer {index}: a skip cannot be said by nodes in a line")
        check(getattr(layer, "current", None) is None, f"layer {index}: a current that decays is "
              "not written to NIR yet")
        check(layer.taps == 1, f"layer {index}: inputs of earlier steps cannot be "
              "said by nodes that frameworks read")
        maps = _hidden(add, index, layer, maps, unit)
        unit = 1
        own = layer.recurrent
        if own is not None:
            gain = _gain(layer)[0] / _input_gain(layer)
            nodes[f"own_{index}"] = {
                "type": "Affine", "weight": (own * gain[:, None]).astype(np.float32),
                "bias": np.zeros(len(own), np.float32)}
            edges += [(f"lif_{index}", f"own_{index}"), (f"own_{index}", f"lif_{index}")]
    readout = description.readout
    # of a stream the window is that of two samples
    steps = description.time_steps or readout.window // 2
    if maps:
        _flatten(add, len(description.hidden), maps)
    add("readout", "Affine", weight=_columns(readout.weights, maps).astype(np.float32),
        bias=(readout.bias / 2.0 ** readout.frac / steps).astype(np.float32))
    add("output", "Output", shape=np.array([readout.n_out], np.int64))
    return nodes, edges


def _hidden(add, index, layer, maps, unit):
    """Nodes of a layer; returns the map that they give, (height, width, channels), or None."""
    gain, bias = _gain(layer)
    scale = _input_gain(layer)
    if layer.kind == "convolution":
        weight = layer.weights.transpose(0, 3, 1, 2) * (unit * gain / scale)[:, None, None, None]
        add(f"conv_{index}", "Conv2d", weight=weight.astype(np.float32),
            bias=(bias / scale).astype(np.float32), stride=np.array(layer.stride, np.int64),
            padding=np.array(layer.padding, np.int64), dilation=np.ones(2, np.int64), groups=1,
            input_shape=np.array([layer.height, layer.width], np.int64))
        full = tuple((side + 2 * padding - kernel) // stride + 1
                     for side, padding, kernel, stride in zip(
                         (layer.height, layer.width), layer.padding, layer.kernel, layer.stride,
                         strict=True))
        shape, maps = (layer.channels, *full), layer.output_map
    else:
        if maps:
            _flatten(add, index, maps)
        weight = _columns(layer.weights, maps) * (unit * gain / scale)[:, None]
        add(f"fc_{index}", "Affine", weight=weight.astype(np.float32),
            bias=(bias / scale).astype(np.float32))
        shape, maps = (layer.n_out,), None
    ones = np.ones(shape, np.float32)
    add(f"lif_{index}", "LIF", tau=ones * np.float32(DT / scale), r=ones, v_leak=0 * ones,
        v_threshold=ones * np.float32(1 - BELOW), v_reset=0 * ones)
    if maps and layer.pool != "none":
        size = np.array(layer.pool_size, np.int64)
        add(f"pool_{index}", "SumPool2d", kernel_size=size, stride=size,
            padding=np.zeros(2, np.int64))
        if layer.pool == "max":  # NIR has no maximum; any of some spikes makes this one fire
            ones = np.ones((maps[2], *maps[:2]), np.float32)
            add(f"any_{index}", "LIF", tau=ones * np.float32(2 * DT), r=ones, v_leak=0 * ones,
                v_threshold=ones / 4, v_reset=0 * ones)
    return maps


def _gain(layer):
    """What a synapse and what a step itself adds to a membrane whose threshold is 1, [channels]."""
    unit = 2.0 ** layer.frac
    bias = (layer.bias - 2.0 ** (layer.shift - 1)) / unit
    level = layer.threshold / unit + bias  # a threshold of synapses
    reachable = level > 0
    gain = np.where(reachable, 1 / np.where(reachable, level, 1), 0)
    return gain, np.where(reachable, bias * gain, SURE)


def _input_gain(layer):
    """What NIR's equation makes of an input of 1: 1 - leak with r = 1.

    No leak is one of 2**-20: tools differ in what an IF of NIR is, and in 64 steps it is nothing.
    """
    m, k = layer.leak
    return 1 - m / 2 ** k if k else 2.0 ** -20


def _columns(weights, maps):
    """Columns of rows, columns, channels as channels, rows, columns."""
    if not maps:
        return weights
    return weights.reshape(-1, *maps).transpose(0, 3, 1, 2).reshape(len(weights), -1)


def _flatten(add, index, maps):
    height, width, channels = maps
    # from behind: tools differ in whether the samples are an axis
    add(f"flatten_{index}", "Flatten", start_dim=-3, end_dim=-1,
        input_type=np.array([channels, height, width], np.int64))

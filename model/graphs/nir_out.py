"""Networks of ours as NIR files, floats that other tools read.

Every threshold is 1 and a step is 1e-4 s; so weights and biases carry the rest. ``r`` is 1, as
Norse takes it to be, and tau / dt of neurons with a current or with spikes that return, as snnTorch
and SpikingJelly ask for. NIR fires above a threshold, ours at it: the file's is a little below 1.
The membranes of a file are not quantized, and NIR cannot say that ours are: a .qsnn file travels
beside it.

Inputs of earlier steps (taps) are handed on by neurons: a layer of one neuron for each input and
tap, that of tap ``k`` fires where that of tap ``k - 1`` has fired a step before. It is a layer with
spikes that return like any other, which more tools read than NIR's own node of a delay.
"""

import io

import numpy as np

from qsnn.model.files import write_whole
from qsnn.model.graphs.graph import check
from qsnn.model.leak import worth

__all__ = ["write_nir"]

DT = 1e-4  # seconds of a step, as exporters of frameworks have it
BELOW = 1e-6  # of a threshold of 1
SURE = 2.0  # what a neuron that fires at every step gets, in thresholds
MAX_LINE = 4096  # neurons that hand inputs on: they have the square of it in weights
NO_LEAK = 2.0 ** -20  # what leaks then: tools differ in what an IF of NIR is; in 64 steps nothing


def write_nir(description, path):
    """Write a :class:`~qsnn.model.description.Description` as a NIR file, whole or not at all.

    Inputs are pixels divided by the largest one, or spikes; maps have their channels first. The
    sums of the readout over all steps are the scores, or the last membranes of the LI behind it.
    Raises
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
        check(layer.skip is None, f"layer {index}: a skip cannot be said by nodes in a line: only "
              "networks without one go out, a .qsnn file has it all")
        if layer.taps > 1:
            if maps:
                _flatten(add, f"earlier_{index}", maps)
            edges += _earlier(add, nodes, index, layer, unit)
            unit = 1
        maps = _hidden(add, index, layer, maps, unit)
        unit = 1
        if layer.recurrent is not None:
            edges += _returning(nodes, f"lif_{index}", f"own_{index}",
                                layer.recurrent * _gain(layer)[0][:, None])
    readout = description.readout
    # of a stream the window is that of two samples
    steps = description.time_steps or readout.window // 2
    if maps:
        _flatten(add, len(description.hidden), maps)
    add("readout", "Affine", weight=_columns(readout.weights, maps).astype(np.float32),
        bias=(readout.bias / 2.0 ** readout.frac / worth(readout.leak, steps)).astype(np.float32))
    if readout.leaky:  # r is tau / dt: a sum counts once
        m, k = readout.leak
        ones = np.ones(readout.n_out, np.float32)
        r = 1 / (1 - m / (1 << k))
        add("total", "LI", tau=ones * np.float32(DT * r), r=ones * np.float32(r), v_leak=0 * ones)
    add("output", "Output", shape=np.array([readout.n_out], np.int64))
    return nodes, edges


def _returning(nodes, name, own, weight):
    """Edges of a node that takes the spikes of neurons back to them, a step later."""
    nodes[own] = {"type": "Affine", "weight": weight.astype(np.float32),
                  "bias": np.zeros(len(weight), np.float32)}
    return [(name, own), (own, name)]


def _earlier(add, nodes, index, layer, unit):
    """Neurons that hand the inputs of earlier steps on, those of tap 0 first; their edges."""
    count = layer.taps * layer.n_in
    check(layer.input_bits == 1, f"layer {index}: sums of earlier steps cannot be said by spikes "
          "that are handed on: use max pooling before layers with taps, or layers without taps")
    check(count <= MAX_LINE, f"layer {index}: {layer.taps} taps of {layer.n_in} inputs, at most "
          f"{MAX_LINE:,} in all can be said by spikes that are handed on: use fewer taps")
    add(f"now_{index}", "Affine", weight=np.eye(count, layer.n_in, dtype=np.float32) * unit,
        bias=np.zeros(count, np.float32))
    add(f"line_{index}", "LIF", **_neurons(count, r=2, tau=2 * DT))
    return _returning(nodes, f"line_{index}", f"on_{index}", np.eye(count, k=-layer.n_in))


def _neurons(shape, r, **times):
    """Fields of neurons that are all alike."""
    ones = np.ones(shape, np.float32)
    return {"r": ones * np.float32(r), "v_leak": 0 * ones, "v_reset": 0 * ones,
            "v_threshold": ones * np.float32(1 - BELOW),
            **{name: ones * np.float32(time) for name, time in times.items()}}


def _hidden(add, index, layer, maps, unit):
    """Nodes of a layer; returns the map that they give, (height, width, channels), or None."""
    gain, bias = _gain(layer)
    part = _input_part(layer.leak)
    plain = layer.current is None and layer.recurrent is None
    scale = part if plain else 1  # what r does not take off again
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
        if maps and layer.taps == 1:
            _flatten(add, index, maps)
        weight = _columns(layer.weights, maps) * (unit * gain / scale)[:, None]
        add(f"fc_{index}", "Affine", weight=weight.astype(np.float32),
            bias=(bias / scale).astype(np.float32))
        shape, maps = (layer.n_out,), None
    r = 1 if plain else 1 / part
    if layer.current is None:
        add(f"lif_{index}", "LIF", **_neurons(shape, r, tau=DT / part))
    else:
        syn = _input_part(layer.current.leak)
        fields = _neurons(shape, r, tau_mem=DT / part, tau_syn=DT / syn, w_in=1 / syn)
        rest = _rest(layer) * gain / part
        fields["v_leak"] += rest.astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))
        add(f"lif_{index}", "CubaLIF", **fields)
    if maps and layer.pool != "none":
        size = np.array(layer.pool_size, np.int64)
        add(f"pool_{index}", "SumPool2d", kernel_size=size, stride=size,
            padding=np.zeros(2, np.int64))
        if layer.pool == "max":  # NIR has no maximum; any of some spikes makes this one fire
            ones = np.ones((maps[2], *maps[:2]), np.float32)
            add(f"any_{index}", "LIF", tau=ones * np.float32(2 * DT), r=ones, v_leak=0 * ones,
                v_threshold=ones / 4, v_reset=0 * ones)
    return maps


def _constants(layer):
    """What each step adds to a current, or to a membrane that has none, and to a membrane besides,
    in synapses, [channels].

    beta is the floor of a constant plus half a step: where one constant gives both betas, it is
    the least that does, and nothing is added besides.
    """
    unit = 2.0 ** layer.frac
    own = layer.bias - 2.0 ** (layer.shift - 1)
    if layer.current is None:
        return own / unit, 0 * own
    given = layer.current.bias - 2.0 ** (layer.current.shift - 1)
    alike = abs(own - given) < 1
    both = np.maximum(own, given)
    return np.where(alike, both, given) / unit, np.where(alike, 0, own - given) / unit


def _gain(layer):
    """What a synapse and what a step itself adds to a membrane whose threshold is 1, [channels]."""
    bias, rest = _constants(layer)
    level = layer.threshold / 2.0 ** layer.frac + bias + rest  # a threshold of synapses
    reachable = level > 0
    gain = np.where(reachable, 1 / np.where(reachable, level, 1), 0)
    return gain, np.where(reachable, bias * gain, SURE)


def _rest(layer):
    """What each step adds to a membrane besides its current, in synapses, [channels]."""
    return _constants(layer)[1]


def _input_part(leak):
    """What NIR's equation makes of an input of 1 with r = 1: what leaks, 1 - m / 2**k."""
    m, k = leak
    return 1 - m / 2 ** k if k else NO_LEAK


def _columns(weights, maps):
    """Columns of rows, columns, channels, once or for each tap, as channels, rows, columns."""
    if not maps:
        return weights
    return weights.reshape(-1, *maps).transpose(0, 3, 1, 2).reshape(len(weights), -1)


def _flatten(add, index, maps):
    height, width, channels = maps
    # from behind: tools differ in whether the samples are an axis
    add(f"flatten_{index}", "Flatten", start_dim=-3, end_dim=-1,
        input_type=np.array([channels, height, width], np.int64))

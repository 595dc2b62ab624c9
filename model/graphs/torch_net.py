"""Graphs of PyTorch modules: run once, and written down as they are called.

The layers are ``torch.nn``'s or those that a framework derives from them, the neurons those of
:mod:`qsnn.model.graphs.frameworks`. The order is that of the calls, whatever stands in
``forward``; and each must take what the one before gave, number for number, so that nothing a
module does not say, a ``relu`` between two of them, is lost. Then the spikes of the graph are
compared with those of the net.
"""

import copy
from dataclasses import replace
from math import prod

import numpy as np

from qsnn.model.graphs.frameworks import NEURONS, affine, numbers
from qsnn.model.graphs.graph import (
    Conv,
    Flatten,
    Graph,
    GraphError,
    Leak,
    Neuron,
    Pool,
    check,
)

__all__ = ["from_torch"]

IGNORED = ("Identity", "Dropout", "DropPath")  # they do nothing in eval()
STEPS = 8  # calls of a net that takes one step a call
MOST = 0.02  # part of a layer's spikes that may differ: floats are added in another order


def from_torch(net, sample):
    """The :class:`~qsnn.model.graphs.graph.Graph` of a ``torch.nn.Module``.

    net     its ``eval()`` is what counts. Linear, Conv2d and Conv1d, batch norms after them, pools,
            Flatten, and neurons of snnTorch, SpikingJelly, Norse and Sinabs; Brevitas's quantized
            layers
    sample  what ``net`` takes: a tensor or an array. Some real ones are best, since the spikes of
            the net and of the graph are compared on them; ``notes`` of the graph says how

    Raises :class:`~qsnn.model.graphs.graph.GraphError` with one sentence.
    """
    import torch

    check(isinstance(net, torch.nn.Module), f"a torch.nn.Module is needed, not {type(net)}")
    try:
        sample = torch.as_tensor(sample)
    except (TypeError, ValueError, RuntimeError):
        check(False, f"the sample is {type(sample).__name__}: a tensor or an array is needed, what "
              "the net takes")
    sample = sample.float() if sample.is_floating_point() else sample
    try:
        # its states, its mode and its hooks stay as they are; half floats and double ones do not
        net = copy.deepcopy(net).float()
    except (RuntimeError, TypeError) as error:
        raise GraphError(f"the net cannot be copied ({error}): reset its states first") from None
    modules = _found(net.eval(), "")
    _check_numbers(modules, sample)
    calls = _record(net, modules, sample)
    check(calls, "no layer that is known was called: there is Linear, Conv2d and so on")
    names = list(dict.fromkeys(name for name, _, _ in calls))
    by_name = {name: [(x, y) for other, x, y in calls if other == name] for name in names}
    _check_chain(names, by_name)
    nodes, shape, inputs = [], None, None
    for name in names:
        module, x = modules[name], by_name[name][0][0]
        if shape is None:
            shape = inputs = _first_shape(module, x)
        node = _node(name, module, nodes, shape, x)
        if node is None:
            continue
        if isinstance(node, list):  # a batch norm has changed what was before it
            nodes = node
            continue
        if not isinstance(node, Neuron | Leak | Conv | Pool) and len(shape) == 3:
            if not isinstance(node, Flatten):
                nodes.append(Flatten(name=f"{name}.flatten"))
            shape = (prod(shape),)
        nodes.append(node)
        shape = node.shape(shape) if not isinstance(node, Flatten) else shape
    if nodes and len(inputs) == 1 and not isinstance(nodes[0], Flatten):
        inputs = _flattened(sample, by_name[names[0]], inputs)
        nodes = [Flatten(name="flatten"), *nodes][len(inputs) == 1:]
    if nodes and isinstance(nodes[0], Flatten) and (
            len(inputs) == 1 or 1 in (inputs[0], inputs[1] * inputs[2])):  # it has but one order
        nodes, inputs = nodes[1:], (prod(inputs),)
    graph = Graph(inputs, nodes)
    return replace(graph, notes=tuple(_compare(graph, names, modules, by_name, sample)))


def _kind(module):
    """A name of :data:`LAYERS`, or the package and class of a neuron, or None."""
    for cls in type(module).__mro__:
        package = cls.__module__.partition(".")[0]
        if (package, cls.__name__) in NEURONS:
            return package, cls.__name__
        if cls.__name__ in LAYERS and package in ("torch", "sinabs", "norse"):
            return cls.__name__
    return None


def _found(module, prefix):
    """Modules by name that are known, or have nothing inside; of the known ones, not what is."""
    inside = dict(module.named_children())
    if _kind(module) is not None or not inside:
        return {prefix or "net": module}
    found = {}
    for name, child in inside.items():
        found |= _found(child, f"{prefix}.{name}" if prefix else name)
    return found


def _check_numbers(modules, sample):
    """Of a net that training broke, no layer would give what the next one takes."""
    check(not sample.is_floating_point() or sample.isfinite().all(),
          "the sample has numbers that are none")
    for name, module in modules.items():
        if isinstance(_kind(module), str):
            for field, tensor in module.state_dict().items():
                check(not hasattr(tensor, "is_floating_point") or not tensor.is_floating_point()
                      or tensor.isfinite().all(), f"{name}: {field} has numbers that are none: "
                      "its training has failed, perhaps with too large a learning rate")


def _record(net, modules, sample):
    """(name, input, output) of each call of the modules that do something."""
    calls, kept = [], {name: module for name, module in modules.items()
                       if not type(module).__name__.startswith(IGNORED)}

    def hook(name):
        def listen(module, args, output):
            check(_kind(module) is not None, f"{name}: {type(module).__name__} cannot be built; "
                  f"there is {', '.join(LAYERS)} and neurons of snntorch, spikingjelly, norse and "
                  "sinabs")
            first = output[0] if isinstance(output, tuple | list) else output
            calls.append((name, args[0].detach().clone(), first.detach().clone()))
        return listen

    for name, module in kept.items():
        module.register_forward_hook(hook(name))
    neurons = {name: module for name, module in kept.items() if isinstance(_kind(module), tuple)}
    for module in neurons.values():
        for reset in ("reset_mem", "reset_states", "reset"):
            if callable(getattr(module, reset, None)):
                getattr(module, reset)()
                break
    output = _call(net, sample)
    counts = [sum(name == own for name, _, _ in calls) for own in kept]
    if max(counts, default=0) > 1 or not any(
            _times(neurons[name], x)[1] == "step" for name, x, _ in calls if name in neurons):
        return calls  # the steps are inside
    stateful = any(_kind(module)[0] == "norse" for module in neurons.values())
    for _ in range(STEPS - 1):
        if stateful and not (isinstance(output, tuple) and len(output) == 2):
            return calls
        output = _call(net, sample, *([output[1]] if stateful else []))
    return calls


def _call(net, *inputs):
    import torch
    try:
        with torch.no_grad():
            return net(*inputs)
    except GraphError:
        raise
    except Exception as error:  # noqa: BLE001  whatever the user's own forward raises
        raise GraphError(f"the net does not take this sample of {list(inputs[0].shape)} ({error}):"
                         " does it begin as its data do, with a Flatten before a Linear layer?"
                         ) from None


def _times(module, x):
    """(samples, steps) and their order of what a module of neurons takes in a call."""
    return NEURONS[_kind(module)][1](module, x)


def _check_chain(names, by_name):
    import torch
    for before, name in zip(names, names[1:], strict=False):
        given, taken = [y for _, y in by_name[before]], [x for x, _ in by_name[name]]
        if sum(y.numel() for y in given) != sum(x.numel() for x in taken):
            given, taken = given[:1], taken[:1]  # what is the same at every step comes but once
        given, taken = (torch.cat([part.reshape(-1) for part in parts]) for parts in (given, taken))
        check(not given.isnan().any(), f"{before}: it gives numbers that are none")
        check(given.shape == taken.shape and torch.equal(given, taken.to(given.dtype)),
              f"{name} does not take what {before} gives: between them is something that no "
              "module does, such as a function or a second branch; use modules in a line")


def _first_shape(module, x):
    """Shape of one sample of what the first module takes, (n,) or (C, H, W).

    What has one dimension, (C, L), is a map of a single row.
    """
    kind = _kind(module)
    if kind in ("Conv1d", "AvgPool1d", "MaxPool1d", "AdaptiveAvgPool1d"):
        return x.shape[-2], 1, x.shape[-1]
    if kind in ("Conv2d", "AvgPool2d", "SumPool2d", "MaxPool2d", "BatchNorm2d"):
        return tuple(x.shape[-3:])
    if kind == "Flatten":
        shape = tuple(x.shape[module.start_dim:])
        return shape if len(shape) in (1, 3) else (prod(shape),)
    return tuple(x.shape[-1:])


def _flattened(sample, calls, shape):
    """The map (C, H, W) whose numbers a function made the row of ``shape``, or the shape."""
    mapped = tuple(sample.shape[-3:])
    return mapped if sample.ndim > 3 and prod(mapped) == shape[0] and 1 not in (
        mapped[0], mapped[1] * mapped[2]) and _is_sample(calls, sample) else shape


def _node(name, module, nodes, shape, x):
    kind = _kind(module)
    if isinstance(kind, tuple):
        return NEURONS[kind][0](name, module)
    return LAYERS[kind](name, module, nodes, shape)


def _pair(value):
    return tuple(int(side) for side in value) if isinstance(value, tuple | list) else (
        int(value),) * 2


def _sides(module, name, row):
    """Rows and columns of an attribute; ``row``: what rows have where there is one dimension."""
    value = getattr(module, name, row)
    if not _kind(module).endswith("1d"):
        return _pair(value)
    return row, int(value[0] if isinstance(value, tuple | list) else value)


def _weights(module):
    """Weights and bias as arrays; those of Brevitas as they are quantized."""
    weight = module.quant_weight() if hasattr(module, "quant_weight") else module.weight
    weight = getattr(weight, "value", weight).detach().cpu().numpy().astype(np.float64)
    bias = module.bias
    return weight, np.zeros(len(weight)) if bias is None else bias.detach().cpu().numpy().astype(
        np.float64)


def _linear(name, module, nodes, shape):
    weight, bias = _weights(module)
    return replace(affine(name, module), weight=weight, bias=bias)


def _conv(name, module, nodes, shape):
    check(module.groups == 1, f"{name}: {module.groups} groups; only convolutions with one can be "
          "built")
    check(_sides(module, "dilation", 1) == (1, 1), f"{name}: a dilation of {module.dilation}")
    check(module.padding_mode == "zeros", f"{name}: padding with other numbers than zeros")
    weight, bias = _weights(module)
    if weight.ndim == 3:
        weight = weight[:, :, None]
    padding = module.padding
    if isinstance(padding, str):
        check(padding == "valid" or all(side % 2 for side in weight.shape[2:]),
              f"{name}: padding 'same' of an even kernel is not the same on both sides")
        padding = tuple(side // 2 * (padding == "same") for side in weight.shape[2:])
    else:
        padding = _sides(module, "padding", 0)
    return Conv(name=name, weight=weight, bias=bias, stride=_sides(module, "stride", 1),
                padding=padding)


def _pool(kind):
    def make(name, module, nodes, shape):
        size = _sides(module, "kernel_size", 1)
        stride = size if module.stride is None else _sides(module, "stride", 1)
        padding = _sides(module, "padding", 0) if hasattr(module, "padding") else (0, 0)
        dilation = _sides(module, "dilation", 1) if hasattr(module, "dilation") else (1, 1)
        check(stride == size and padding == (0, 0) and dilation == (1, 1)
              and not getattr(module, "ceil_mode", False),
            f"{name}: pools that overlap, are padded or go beyond the map cannot be built")
        return Pool(name=name, kind=kind, size=size)
    return make


def _adaptive(name, module, nodes, shape):
    wanted = _sides(module, "output_size", 1)
    check(len(shape) == 3 and all(side % to == 0 for side, to in zip(shape[1:], wanted,
                                                                     strict=True)),
          f"{name}: a map of {shape} has no whole pools for {wanted}")
    return Pool(name=name, kind="mean", size=tuple(
        side // to for side, to in zip(shape[1:], wanted, strict=True)))


def _flatten(name, module, nodes, shape):
    return Flatten(name=name)


def _norm(name, module, nodes, shape):
    """The nodes with the batch norm inside the weights before it; mean pools may lie between."""
    at = len(nodes) - 1
    while at >= 0 and isinstance(nodes[at], Pool) and nodes[at].kind == "mean":
        at -= 1
    check(at >= 0 and hasattr(nodes[at], "weight"), f"{name}: a batch norm must follow a linear "
          "layer or a convolution, whose weights take it in")
    check(module.running_var is not None, f"{name}: a batch norm that keeps no statistics")
    count = len(nodes[at].weight)
    ones = np.ones(count)
    gamma, beta = (ones, 0 * ones) if module.weight is None else (
        ones * numbers(module.weight), ones * numbers(module.bias))
    scale = gamma / np.sqrt(ones * numbers(module.running_var) + module.eps)
    weight = nodes[at].weight * scale.reshape(-1, *(1,) * (nodes[at].weight.ndim - 1))
    bias = (nodes[at].bias - numbers(module.running_mean)) * scale + beta
    return [*nodes[:at], replace(nodes[at], weight=weight, bias=bias), *nodes[at + 1:]]


LAYERS = {"Linear": _linear, "Conv2d": _conv, "Conv1d": _conv, "BatchNorm1d": _norm,
          "BatchNorm2d": _norm, "AvgPool2d": _pool("mean"), "SumPool2d": _pool("sum"),
          "MaxPool2d": _pool("max"), "AdaptiveAvgPool2d": _adaptive, "AvgPool1d": _pool("mean"),
          "MaxPool1d": _pool("max"), "AdaptiveAvgPool1d": _adaptive, "Flatten": _flatten}


def _compare(graph, names, modules, by_name, sample):
    """Sentences on how the net's spikes compare; raises where they are others."""
    neurons = [node.name for node in graph.neurons]
    several = [name for name in neurons
               if getattr(getattr(modules[name], "spike_fn", None), "__name__", "") == "MultiSpike"]
    for name in several:
        yield f"{name}: MultiSpike may fire several times a step, here a neuron fires once"
    for name in neurons:
        if getattr(modules[name], "min_v_mem", None) is not None:
            yield f"{name}: the lower bound of its membranes is that of the integers"
    check(neurons, "there are no neurons among the layers")
    x, spikes, steps = _arranged(by_name, names, neurons, modules, graph.inputs)
    if x is None:
        yield "not compared with the net: its samples and steps could not be told apart"
        return
    if not _is_sample(by_name[names[0]], sample):
        yield f"the net changes its samples before {names[0]}: what that layer takes counts here"
    found = graph.run(x.astype(np.float64), steps, np.float64)
    differ = total = 0
    for name in neurons:
        own = found.spikes[name]
        wrong = int((spikes[name].reshape(own.shape) != own).sum())
        check(several or wrong <= MOST * own.size, f"{name}: {wrong} of {own.size} spikes differ "
              "from those of the net on this sample: it does something that its attributes do not "
              "say")
        differ, total = differ + wrong, total + own.size
    yield f"spikes of the net and of its graph on the sample: {differ} of {total} differ"


def _arranged(by_name, names, neurons, modules, inputs):
    """What the first layer takes, [N, ...] or [N, T, ...]; spikes [N, T, ...]; T of the former."""
    spikes = {}
    for name in neurons:
        (count, steps), order = _times(modules[name], by_name[name][0][0])
        outputs = [y.cpu().numpy() > 0 for _, y in by_name[name]]
        if order == "step":
            spikes[name] = np.stack(outputs, axis=1)
        else:
            spikes[name] = outputs[0].swapaxes(0, 1) if order == "TN" else outputs[0]
            spikes[name] = spikes[name].reshape(count, steps, -1)
    count, steps = next(iter(spikes.values())).shape[:2]
    if any(found.shape[:2] != (count, steps) for found in spikes.values()):
        return None, None, None
    taken = [x.cpu().numpy() for x, _ in by_name[names[0]]]
    size = prod(inputs)
    if len(taken) == 1 and taken[0].size == count * size:
        return taken[0].reshape(count, -1), spikes, steps
    if len(taken) == steps and taken[0].size == count * size:
        return np.stack([x.reshape(count, -1) for x in taken], axis=1), spikes, None
    if len(taken) == 1 and taken[0].size == count * steps * size:
        order = _times(modules[neurons[0]], by_name[neurons[0]][0][0])[1]
        x = taken[0].reshape((steps, count, -1) if order == "TN" else (count, steps, -1))
        return x.swapaxes(0, 1) if order == "TN" else x, spikes, None
    return None, None, None


def _is_sample(calls, sample):
    """Whether the first layer takes the sample as it is, at once or step by step."""
    import torch
    taken = torch.cat([x.reshape(-1) for x, _ in calls])
    orders = [sample] + [sample.swapaxes(0, 1)] * (sample.ndim > 1)
    return any(torch.equal(taken[:sample.numel()], order.reshape(-1).to(taken.dtype))
               for order in orders)

"""A graph as layers that a description can have: weights, neurons, then pooling.

What is exact happens here: a mean or sum pool between a convolution and its neurons becomes a
larger kernel, rows that were maps change from channels first to channels last, numbers of neurons
become numbers of channels.
"""

from dataclasses import dataclass, replace

import numpy as np

from qsnn.model.graphs.graph import Affine, Conv, Flatten, Leak, Neuron, Pool, Threshold, check

__all__ = ["Block", "blocks_of"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """A layer to be: its floats, and what its inputs are.

    weight   [channels, ...] as descriptions have it: columns, or rows, columns, channels
    bias     [channels]
    conv     the :class:`~qsnn.model.graphs.graph.Conv`, or None for a row
    neuron   the :class:`~qsnn.model.graphs.graph.Neuron`, or None of a last layer that only adds
    pool     none, max or sum, and its size
    leak     the :class:`~qsnn.model.graphs.graph.Leak` of a last layer whose sums leak, or None
    unit     what one of its inputs counts: 1, or 1/4 after mean pools of 2 x 2
    inputs   shape of the inputs, (n,) or (C, H, W)
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    neuron: Neuron | None
    inputs: tuple
    outputs: tuple
    conv: Conv | None = None
    pool: tuple = ("none", (1, 1))
    leak: Leak | None = None
    unit: float = 1.0

    def of_channels(self, name, value):
        """A field of the neurons as one number a channel [channels]."""
        full = np.broadcast_to(np.asarray(value, np.float64), self.outputs)
        rows = full.reshape(self.outputs[0], -1)
        check((rows == rows[:, :1]).all(), f"{self.neuron.name}: {name} differs within a channel; "
              "neurons of a channel share theirs")
        return rows[:, 0].copy()


def blocks_of(graph):
    """The :class:`Block` of each layer. Raises :class:`~qsnn.model.graphs.graph.GraphError`."""
    nodes, shapes, blocks = list(graph.nodes), list(graph.shapes), []
    rows, unit = None, 1.0  # the map that a row was; what an input counts
    while nodes:
        node, inputs = nodes.pop(0), shapes.pop(0)
        if isinstance(node, Flatten):
            rows = inputs if len(inputs) == 3 else rows
            continue
        check(isinstance(node, Affine | Conv), f"{node.name}: {_what(node)} where a linear layer "
              "or a convolution is needed: each layer of neurons has weights of its own")
        while nodes and isinstance(nodes[0], Pool):
            node, pool = _pooled(node, nodes.pop(0)), shapes.pop(0)
        block = _block(node, inputs, rows, unit)
        rows, unit = None, 1.0
        if not nodes or isinstance(nodes[0], Leak):
            check(isinstance(node, Affine), f"{node.name}: the last layer must be linear, or fire")
            check(blocks, "a network has a layer of neurons before the one that only adds")
            return [*blocks, replace(block, leak=nodes[0] if nodes else None)]
        neuron = nodes.pop(0)
        check(isinstance(neuron, Neuron), f"{neuron.name}: {_what(neuron)} after {node.name}, "
              "where neurons are needed")
        shapes.pop(0)
        block = replace(block, neuron=neuron, outputs=shapes[0])
        check(np.min(neuron.gain) > 0, f"{neuron.name}: a gain that is not above 0")
        if nodes and isinstance(nodes[0], Pool):
            pool = nodes.pop(0)
            shapes.pop(0)
            kind = {"mean": "sum"}.get(pool.kind, pool.kind)
            if nodes and kind == "sum" and isinstance(nodes[0], Threshold | Neuron):
                check(_is_any(nodes[0], 1 if pool.kind == "sum" else 1 / np.prod(pool.size)),
                      f"{nodes[0].name}: a {_what(nodes[0])} that is not 'any spike of a pool'")
                kind = "max"
                nodes.pop(0)
                shapes.pop(0)
            elif pool.kind == "mean":
                unit = 1 / float(np.prod(pool.size))
            block = replace(block, pool=(kind, pool.size) if pool.size != (1, 1) else block.pool)
        blocks.append(block)
    check(blocks, "there is no layer")
    return blocks


def _is_any(node, one):
    """Whether a node gives 1 for what is at least ``one``, and 0 for 0, at every step."""
    if isinstance(node, Threshold):
        return np.min(node.level) >= 0 and np.max(node.level) < one
    return (node.drop is None and node.leak_in is None and node.recurrent is None
            and not np.any(node.v_reset) and not np.any((1 - node.leak) * node.v_leak)
            and np.min(node.threshold) > 0 and np.all(node.threshold < node.gain * one))


def _what(node):
    return type(node).__name__


def _block(node, inputs, rows, unit):
    weight = np.asarray(node.weight, np.float64)
    shared = dict(name=node.name, bias=np.asarray(node.bias, np.float64), neuron=None, unit=unit,
                  inputs=inputs, outputs=(len(weight),))
    if isinstance(node, Conv):
        return Block(weight=weight.transpose(0, 2, 3, 1), conv=node, **shared)
    if rows is not None:  # columns of channels, rows, columns become rows, columns, channels
        weight = weight.reshape(-1, *rows).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return Block(weight=weight, **shared)


def _pooled(conv, pool):
    """A convolution that gives what the pool gives of another one: a larger kernel and stride."""
    check(pool.kind != "max", f"{pool.name}: max pooling before the neurons cannot be built: put "
          "it after them, and train a little more")
    check(isinstance(conv, Conv), f"{pool.name}: pools of what is not a map")
    (height, width), (rows, columns) = pool.size, conv.stride
    kernel = conv.weight.shape[2:]
    weight = np.zeros((*conv.weight.shape[:2], kernel[0] + rows * (height - 1),
                       kernel[1] + columns * (width - 1)))
    for y in range(height):
        for x in range(width):
            weight[:, :, y * rows:y * rows + kernel[0],
                   x * columns:x * columns + kernel[1]] += conv.weight
    part = 1 / (height * width) if pool.kind == "mean" else 1
    return Conv(name=conv.name, weight=weight * part, bias=conv.bias * part * height * width,
                stride=(rows * height, columns * width), padding=conv.padding)

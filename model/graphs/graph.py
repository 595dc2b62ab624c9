"""Graphs: nodes in a line, as plain dataclasses of float arrays, and their interpreter.

Maps are channels x height x width, as all frameworks have them. A neuron at each time step::

    i = leak_in * i + gain_in * x                    only where leak_in is not None, else i = x
    v = leak * v + gain * i + (1 - leak) * v_leak
    fires if v > threshold, or v >= threshold where ``inclusive``
    v = v_reset, or v - drop where that is not None, of those that fired

so ``x`` is the sum of its synapses at this step, its own layer's spikes of the step before among
them where it is recurrent; ``i`` starts at 0 and ``v`` at ``v_reset``.
"""

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from qsnn.model.layers import MAX_WEIGHTS

__all__ = ["Affine", "Conv", "Flatten", "Graph", "GraphError", "Leak", "Neuron", "Pool",
           "Run", "Threshold"]

BATCH = 1 << 22  # numbers that a node may give at once
MAX_NODES = 256
MAX_NUMBERS = 1 << 24  # of a map


class GraphError(ValueError):
    """A graph, or what it was read from, is not one or cannot be used."""


def check(condition, sentence):
    if not condition:
        raise GraphError(sentence)


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine:
    """Sums of weights [n_out, n_in] times inputs, plus a bias [n_out]."""

    name: str
    weight: np.ndarray
    bias: np.ndarray

    def shape(self, inputs):
        check(inputs == (self.weight.shape[1],), f"{self.name}: it takes {self.weight.shape[1]} "
              f"numbers in a row, not {_sides(inputs)}")
        return (len(self.weight),)

    def __call__(self, x):
        return x @ self.weight.T.astype(x.dtype) + self.bias.astype(x.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv:
    """Convolution: weights [channels, channels of the input, rows, columns], a bias [channels].

    stride and padding are pairs, of rows and of columns.
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    stride: tuple = (1, 1)
    padding: tuple = (0, 0)

    def shape(self, inputs):
        channels, of, *kernel = self.weight.shape
        check(len(inputs) == 3 and inputs[0] == of,
              f"{self.name}: it takes a map of {of} channels, not {_sides(inputs)}")
        sides = [(side + 2 * padding - size) // stride + 1 for side, size, stride, padding in zip(
            inputs[1:], kernel, self.stride, self.padding, strict=True)]
        check(min(sides) >= 1, f"{self.name}: a map of {_sides(inputs)} is smaller than its kernel")
        return (channels, *sides)

    def __call__(self, x):
        rows, columns = self.padding
        x = np.pad(x, ((0, 0), (0, 0), (rows, rows), (columns, columns)))
        windows = sliding_window_view(x, self.weight.shape[2:], axis=(2, 3))
        windows = windows[:, :, ::self.stride[0], ::self.stride[1]].transpose(0, 2, 3, 1, 4, 5)
        sums = windows.reshape(*windows.shape[:3], -1) @ self.weight.reshape(
            len(self.weight), -1).T.astype(x.dtype)
        return (sums + self.bias.astype(x.dtype)).transpose(0, 3, 1, 2)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """Pooling of squares, or rectangles, that do not overlap: kind is sum, mean or max."""

    name: str
    kind: str
    size: tuple

    def shape(self, inputs):
        check(len(inputs) == 3, f"{self.name}: it takes a map, not {_sides(inputs)}")
        sides = [side // size for side, size in zip(inputs[1:], self.size, strict=True)]
        check(min(sides) >= 1, f"{self.name}: a map of {_sides(inputs)} is smaller than its pools")
        return (inputs[0], *sides)

    def __call__(self, x):
        (rows, columns), (height, width) = self.size, self.shape(x.shape[1:])[1:]
        x = x[:, :, :height * rows, :width * columns]
        squares = x.reshape(*x.shape[:2], height, rows, width, columns)
        return getattr(squares, self.kind)(axis=(3, 5))


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten:
    """A map as a row of numbers: channels, then rows, then columns."""

    name: str

    def shape(self, inputs):
        return (prod(inputs),)

    def __call__(self, x):
        return x.reshape(len(x), -1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold:
    """1 where a number is greater than ``level``, else 0."""

    name: str
    level: np.ndarray

    def shape(self, inputs):
        _check_spread(self.name, "threshold", self.level, inputs)
        return inputs

    def __call__(self, x):
        return (x > self.level).astype(x.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron:
    """Spiking neurons; the equations are on top of this page.

    leak, gain, threshold, v_leak, v_reset   numbers, or arrays that spread over the map
    drop       what a spike subtracts; None: the membrane becomes ``v_reset``
    inclusive  whether a membrane that equals the threshold fires
    leak_in, gain_in  of a current that decays (CubaLIF); None: there is none
    recurrent  :class:`Affine` that takes the layer's own spikes of the step before, or None
    """

    name: str
    leak: np.ndarray
    gain: np.ndarray
    threshold: np.ndarray
    v_leak: np.ndarray = field(default_factory=lambda: np.zeros(()))
    v_reset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    drop: np.ndarray | None = None
    inclusive: bool = False
    leak_in: np.ndarray | None = None
    gain_in: np.ndarray | None = None
    recurrent: Affine | None = None

    def shape(self, inputs):
        for name in ("leak", "gain", "threshold", "v_leak", "v_reset", "drop", "leak_in",
                     "gain_in"):
            if getattr(self, name) is not None:
                _check_spread(self.name, name, getattr(self, name), inputs)
        spent = self.threshold - self.v_reset if self.drop is None else self.drop
        check(np.min(spent) > 0, f"{self.name}: a threshold that is not above "
              + ("where it resets to" if self.drop is None else "0, by which it resets")
              + ": it would fire without an input")
        if self.recurrent is not None:
            check(self.recurrent.shape(inputs) == inputs,
                  f"{self.recurrent.name}: it must give as many numbers as {self.name} has neurons")
        return inputs

    def run(self, sums, steps):
        """Spikes of all steps: a function of the step that gives sums [N, ...] -> [N, T, ...]."""
        current, v, found = 0, None, []
        kind = sums(0).dtype
        leak, gain, level, v_leak, v_reset, drop, leak_in, gain_in = (
            None if value is None else np.asarray(value, kind) for value in (
                self.leak, self.gain, self.threshold, self.v_leak, self.v_reset, self.drop,
                self.leak_in, self.gain_in))
        rest = (1 - leak) * v_leak
        for t in range(steps):
            x = sums(t)
            if self.recurrent is not None:
                last = found[-1].astype(kind) if found else np.zeros_like(x)
                x = x + self.recurrent(last)
            if leak_in is not None:
                x = current = leak_in * current + gain_in * x
            v = np.broadcast_to(v_reset, x.shape) if v is None else v
            v = leak * v + gain * x + rest
            fired = v >= level if self.inclusive else v > level
            v = np.where(fired, v_reset if drop is None else v - drop, v)
            found.append(fired)
        return np.stack(found, axis=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Leak:
    """Neurons that do not fire, behind a last linear layer: ``v = leak * v + gain * x + rest``.

    ``v`` begins at 0, and the last one is the score. All are numbers, or one a class.
    """

    name: str
    leak: np.ndarray
    gain: np.ndarray
    rest: np.ndarray = field(default_factory=lambda: np.zeros(()))

    def shape(self, inputs):
        for name in ("leak", "gain", "rest"):
            _check_spread(self.name, name, getattr(self, name), inputs)
        return inputs

    def run(self, sums, steps):
        """Membranes of all steps; as :meth:`Neuron.run`."""
        v, found = 0, []
        for t in range(steps):
            x = sums(t)
            leak, gain, rest = (np.asarray(value, x.dtype)
                                for value in (self.leak, self.gain, self.rest))
            v = leak * v + gain * x + rest
            found.append(v)
        return np.stack(found, axis=1)


@dataclass(frozen=True, eq=False)
class Run:
    """What a graph gives for N samples and T steps.

    outputs  of the last node, [N, T, ...]: spikes, sums of a node that does not fire, membranes
    spikes   of each node of neurons by its name, bool [N, T, ...]
    leaks    whether these are membranes of a :class:`Leak`
    """

    outputs: np.ndarray
    spikes: dict
    leaks: bool = False

    @property
    def scores(self):
        """Outputs added over time [N, classes]: counts of spikes, or sums; or the last membranes.
        """
        if self.leaks:
            return self.outputs[:, -1].astype(np.float64).reshape(len(self.outputs), -1)
        return self.outputs.sum(axis=1, dtype=np.float64).reshape(len(self.outputs), -1)

    @property
    def labels(self):
        """The first class with the largest score, [N]; of one score, whether it is above 0."""
        scores = self.scores
        return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(int)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in a line; ``inputs`` is the shape of what the first one takes, (n,) or (C, H, W).

    notes: sentences on what was assumed while it was read, for a report.
    """

    inputs: tuple
    nodes: tuple
    notes: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "inputs", tuple(int(side) for side in self.inputs))
        object.__setattr__(self, "nodes", tuple(self.nodes))
        check(1 <= len(self.nodes) <= MAX_NODES,
              f"{len(self.nodes)} nodes: a network has 1 to {MAX_NODES}")
        check(min(self.inputs, default=0) >= 1 and len(self.inputs) in (1, 3),
              f"inputs of {_sides(self.inputs)}: they are a row (n) or a map (C x H x W)")
        names = [node.name for node in self.nodes]
        check(len(set(names)) == len(names), "two nodes have one name")
        for node in self.nodes[:-1]:
            check(not isinstance(node, Leak), f"{node.name}: neurons that never fire can only be "
                  "the last ones")
        self.shapes  # noqa: B018  each node checks what it takes
        weights = sum(node.weight.size for node in self.nodes if hasattr(node, "weight"))
        check(weights <= MAX_WEIGHTS, f"more than {MAX_WEIGHTS} weights")

    @property
    def shapes(self):
        """Of what each node gives, and before them of the inputs."""
        shapes = [self.inputs]
        for node in self.nodes:
            shapes.append(node.shape(shapes[-1]))
            check(prod(shapes[-1]) <= MAX_NUMBERS, f"{node.name}: {prod(shapes[-1])} numbers")
        return shapes

    @property
    def neurons(self):
        return [node for node in self.nodes if isinstance(node, Neuron)]

    def run(self, inputs, time_steps=None, dtype=np.float32):
        """Run samples: ``[N, *inputs]`` shown ``time_steps`` times, or ``[N, T, *inputs]`` without.

        Returns a :class:`Run`. Raises :class:`GraphError`.
        """
        inputs = np.asarray(inputs)
        lead = 1 if time_steps else 2
        check(inputs.ndim >= lead and prod(inputs.shape[lead:]) == prod(self.inputs)
              and inputs.size, f"inputs have shape {list(inputs.shape)}, not [N, "
              f"{'' if time_steps else 'T, '}{', '.join(map(str, self.inputs))}]")
        steps = time_steps or inputs.shape[1]
        widest = max(prod(shape) for shape in self.shapes)
        count = max(1, BATCH // (widest * steps))
        parts = [self._run(inputs[start:start + count].astype(dtype), steps, bool(time_steps))
                 for start in range(0, len(inputs), count)]
        return Run(np.concatenate([part[0] for part in parts]), {
            node.name: np.concatenate([part[1][node.name] for part in parts])
            for node in self.neurons}, isinstance(self.nodes[-1], Leak))

    def _run(self, x, steps, constant):
        """Outputs and spikes; x is [N, ...] while it is the same at every step, else [N, T, ...]"""
        count, spikes = len(x), {}
        x = x.reshape(*x.shape[:1 if constant else 2], *self.inputs)
        for node in self.nodes:
            if isinstance(node, Neuron):
                found = node.run((lambda t, x=x: x) if constant else lambda t, x=x: x[:, t], steps)
                spikes[node.name] = found
                x, constant = found.astype(x.dtype), False
            elif isinstance(node, Leak):
                x = node.run((lambda t, x=x: x) if constant else lambda t, x=x: x[:, t], steps)
                constant = False
            elif constant:
                x = node(x)
            else:
                y = node(x.reshape(count * steps, *x.shape[2:]))
                x = y.reshape(count, steps, *y.shape[1:])
        return (np.repeat(x[:, None], steps, axis=1) if constant else x), spikes


def _check_spread(node, name, value, shape):
    value = np.asarray(value)
    try:
        fits = np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        fits = False
    check(fits, f"{node}: {name} has shape {_sides(value.shape)}, its neurons {_sides(shape)}")
    check(np.isfinite(value).all(), f"{node}: {name} has numbers that are none")


def _sides(shape):
    return " x ".join(map(str, shape)) or "no axis"

"""Graphs of NIR, the Neuromorphic Intermediate Representation: HDF5 files of versions up to 1.0.

NIR has equations in continuous time and no more. What a framework did with them, in steps, is not
in the file: how a neuron resets, whether it fires at its threshold, how long a step is. So
:data:`SOURCES` has what each framework does, and whatever remains open is asked for.

Files are not trusted, see :mod:`qsnn.model.graphs.hdf5`.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from qsnn.model.graphs.graph import (
    Affine,
    Conv,
    Flatten,
    Graph,
    GraphError,
    Leak,
    Neuron,
    Pool,
    Threshold,
    check,
)
from qsnn.model.graphs.hdf5 import MAX_NAME, contents

__all__ = ["RESETS", "SOURCES", "Source", "read"]

RESETS = ("zero", "subtract", "delayed")
COMPARES = (">", ">=")


@dataclass(frozen=True)
class Source:
    """What a framework does that NIR does not say.

    reset    zero; subtract: the threshold; delayed: the threshold, a step later; None: it has no
             common default, so it is asked for
    compare  > or >=: whether a membrane that equals the threshold fires
    dt       seconds of a step; None: from the constants of the neurons
    exponential  the leak is exp(-dt/tau) in place of 1 - dt/tau
    gain     what a sum is multiplied by, in place of what the file says: "leak" for 1 - leak
    gain_in  the same for the current of a CubaLIF
    """

    reset: str | None = None
    compare: str | None = None
    dt: float | None = None
    exponential: bool = False
    gain: float | str | None = None
    gain_in: float | None = None


#: By the name of the framework that wrote a file, each with its defaults.
SOURCES = {
    "qsnn": Source(reset="zero", compare=">", dt=1e-4),
    "snntorch": Source(reset="delayed", compare=">"),
    "spikingjelly": Source(reset="zero", compare=">="),
    # it writes dt * tau for tau, and a current's gain that it does not have itself
    "norse": Source(reset="zero", compare=">", dt=1e-6, gain_in=1.0),
    # its neurons may fire several times a step, which it does not write down either
    "sinabs": Source(compare=">=", dt=1.0, exponential=True, gain="leak"),
}


def read(path, source=None, *, dt=None, reset=None, compare=None, gain=None):
    """The :class:`~qsnn.model.graphs.graph.Graph` of a file.

    source   name of the framework that wrote it, one of :data:`SOURCES`
    dt, reset, compare, gain  in place of what that framework does, see :class:`Source`

    Raises :class:`~qsnn.model.graphs.graph.GraphError` with one sentence, whatever is wrong.
    """
    check(source in (None, *SOURCES), f"no source {source!r}: there is {', '.join(SOURCES)}")
    check(reset in (None, *RESETS), f"reset must be {', '.join(RESETS)}, not {reset!r}")
    check(compare in (None, *COMPARES), f"compare must be > or >=, not {compare!r}")
    check(dt is None or 0 < dt < float("inf"), f"dt must be above 0, not {dt!r}")
    known = replace(SOURCES.get(source, Source()), **{
        name: value for name, value in dict(dt=dt, reset=reset, compare=compare, gain=gain).items()
        if value is not None})
    try:
        return _graph(*contents(path), known)
    except GraphError as error:
        sentence = str(error)
    # parts of the file may be quoted: nothing that a terminal obeys, and not a page of it
    raise GraphError("".join(c if c.isprintable() else "?" for c in f"{path}: {sentence[:300]}"))


def _line(nodes, edges):
    """Names in order, and of neurons the node of the loop: name -> name."""
    def entry(name):  # a subgraph is entered at its input, left at its output
        return _inside(nodes, name, "Input") if nodes[name]["type"] == "NIRGraph" else name

    def leave(name):
        return _inside(nodes, name, "Output") if nodes[name]["type"] == "NIRGraph" else name

    following = {name: [] for name in nodes}
    for a, b in dict.fromkeys(edges):
        following[leave(a)].append(entry(b))
    loops = {}
    for name, after in following.items():
        for other in after:
            if following[other] == [name] and other != name and "threshold" not in nodes[other]:
                check(name not in loops, f"{name}: two loops lead back to it")
                loops[name] = other
        following[name] = [other for other in after if other != loops.get(name)]
    names, starts = [], [name for name in nodes if "." not in name
                         and nodes[name]["type"] == "Input"]
    check(len(starts) == 1, f"{len(starts)} inputs: a network here has one")
    at = starts[0]
    while following[at]:
        check(len(following[at]) == 1, f"{at} leads to {len(following[at])} nodes: only networks "
              "in a line, with loops at neurons, can be read")
        at = following[at][0]
        check(at not in names and at != starts[0], f"a loop leads back to {at}")
        names.append(at)
    real = [name for name in nodes if nodes[name]["type"] not in ("NIRGraph", "Input", "Output")]
    both = {*names} & {*loops.values()}
    check(not both, f"{min(both, default='')} is in a loop and in the line")
    lost = set(real) - {*names, *loops.values()}
    check(not lost, f"{min(lost, default='')} is not between the input and the output in a line")
    return starts[0], [name for name in names if name in real], loops


def _inside(nodes, name, kind):
    found = [other for other in nodes if nodes[other]["type"] == kind
             and other.rpartition(".")[0] == name]
    check(len(found) == 1, f"{name}: a subgraph with {len(found)} nodes of type {kind}")
    return found[0]


def _graph(nodes, edges, source):
    start, names, loops = _line(nodes, edges)
    made, inputs = [], tuple(_Fields(start, nodes[start]).array("shape", 1).tolist())
    check(len(inputs) in (1, 3) and all(int(n) == n > 0 for n in inputs),
          f"{start}: inputs of shape {list(inputs)[:9]}, not a row [n] or a map [C, H, W]")
    inputs = shape = tuple(map(int, inputs))
    for name in names:
        fields = nodes[name]
        maker = _MAKERS.get(fields["type"])
        check(maker, f"{name}: {fields['type']} is not among {', '.join(_MAKERS)}")
        node = maker(_Fields(name, fields), shape, source)
        if name in loops:
            check(isinstance(node, Neuron), f"{name}: a loop leads back to what is not a neuron")
            node = replace(node, recurrent=_affine(_Fields(loops[name], nodes[loops[name]]), shape,
                                                   source))
        made.append(node)
        shape = node.shape(shape)
    return Graph(inputs, made, _notes(source))


def _notes(source):
    """What was assumed, for a report."""
    reset = {"zero": "to v_reset", "subtract": "by subtraction",
             "delayed": "by subtraction, a step later"}
    step = f"{source.dt:g} s" if source.dt else "what makes r or w_in 1"
    return () if source.reset is None else (
        f"not in the file: reset {reset[source.reset]}; fires at v {source.compare} threshold; "
        f"a step of {step}",)


class _Fields:
    """Arrays of a node, asked for by name."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def __contains__(self, field):
        return field in self.values

    def array(self, field, axes=None):
        check(field in self.values, f"{self.name}: it has no {field}")
        found = self.values[field]
        check(isinstance(found, np.ndarray) and found.dtype.kind in "fiub" and
              (axes is None or found.ndim == axes), f"{self.name}: {field} is not what it must be")
        check(np.isfinite(found).all(), f"{self.name}: {field} has numbers that are none")
        return found

    def pair(self, field):
        found = self.array(field).reshape(-1).tolist()
        found = found * 2 if len(found) == 1 else found
        check(len(found) == 2 and all(int(n) == n and 0 <= n <= 4096 for n in found),
              f"{self.name}: {field} is {found}, not two small numbers")
        return tuple(int(n) for n in found)

    def spread(self, field, shape, default=None):
        """A number, or what spreads over the neurons: one a channel of a map where that does."""
        if default is not None and field not in self.values:
            return np.float64(default)
        found = self.array(field).astype(np.float64)
        check(found.size in (1, prod(shape)), f"{self.name}: {field} has {found.size} numbers for "
              f"{prod(shape)} neurons")
        found = found.reshape(shape if found.size > 1 else ())
        if (found == found.flat[0]).all():
            return found.flat[0]
        if found.ndim == 3 and (found == found[:, :1, :1]).all():
            return found[:, :1, :1]
        return found


def _affine(of, shape, source):
    weight = of.array("weight", 2)
    bias = of.array("bias", 1) if "bias" in of else np.zeros(len(weight), weight.dtype)
    check(len(bias) == len(weight), f"{of.name}: {len(bias)} biases for {len(weight)} neurons")
    return Affine(name=of.name, weight=weight, bias=bias)


def _conv(of, shape, source):
    weight = of.array("weight", 4)
    groups = int(of.array("groups").reshape(-1)[0]) if "groups" in of else 1
    check(groups == 1, f"{of.name}: {groups} groups; only convolutions with one can be built")
    dilation = of.pair("dilation") if "dilation" in of else (1, 1)
    check(dilation == (1, 1), f"{of.name}: a dilation of {dilation}; only 1 can be built")
    stride = of.pair("stride")
    check(min(stride) > 0, f"{of.name}: a stride of 0")
    padding = of.values.get("padding")
    if isinstance(padding, str):
        check(padding in ("same", "valid") and (padding == "valid" or stride == (1, 1)),
              f"{of.name}: padding {padding[:MAX_NAME]!r}; give it as numbers")
        padding = tuple(k // 2 * (padding == "same") for k in weight.shape[2:])
        check(all(k % 2 or not p for k, p in zip(weight.shape[2:], padding, strict=True)),
              f"{of.name}: padding 'same' of an even kernel is not the same on both sides")
    else:
        padding = of.pair("padding")
    bias = of.array("bias", 1) if "bias" in of else np.zeros(len(weight), weight.dtype)
    check(len(bias) == len(weight), f"{of.name}: {len(bias)} biases for {len(weight)} channels")
    return Conv(name=of.name, weight=weight, bias=bias, stride=stride, padding=padding)


def _pool(kind):
    def make(of, shape, source):
        size = of.pair("kernel_size")
        check(min(size) > 0, f"{of.name}: pools of no size")
        check(of.pair("stride") == size, f"{of.name}: pools that overlap, or leave something out; "
              "the stride must be the kernel's size")
        check("padding" not in of or of.pair("padding") == (0, 0), f"{of.name}: pools with padding")
        return Pool(name=of.name, kind=kind, size=size)
    return make


def _flatten(of, shape, source):
    return Flatten(name=of.name)


def _threshold(of, shape, source):
    return Threshold(name=of.name, level=of.spread("threshold", shape))


def _lif(of, shape, source):
    return _neuron(of, shape, source, of.spread("tau", shape), {})


def _li(of, shape, source):
    tau, r = of.spread("tau", shape), of.spread("r", shape)
    leak = _leak(of.name, tau, source.dt or _step(of.name, tau, r), source)
    return Leak(name=of.name, leak=leak, gain=r * (1 - leak),
                rest=(1 - leak) * of.spread("v_leak", shape, 0))


def _if(of, shape, source):
    return _neuron(of, shape, source, None, {})


def _cuba(of, shape, source):
    tau, w_in = of.spread("tau_syn", shape), of.spread("w_in", shape, 1)
    dt = source.dt or _step(of.name, tau, w_in)
    leak_in = _leak(of.name, tau, dt, source)
    gain_in = w_in * (1 - leak_in) if source.gain_in is None else np.float64(source.gain_in)
    return _neuron(of, shape, replace(source, dt=dt), of.spread("tau_mem", shape),
                   dict(leak_in=leak_in, gain_in=gain_in))


def _neuron(of, shape, source, tau, more):
    check(source.compare, f"{of.name}: NIR does not say whether a neuron fires at its threshold: "
          "give --from, or --compare")
    check(source.reset, f"{of.name}: NIR does not say how a neuron resets: give --reset "
          f"{', '.join(RESETS)}" + (", or --from" if source == Source() else ""))
    r, threshold = of.spread("r", shape), of.spread("v_threshold", shape)
    if tau is None:
        dt = source.dt or 1 / float(np.median(r))
        leak, gain = np.float64(1), r * dt
    else:
        dt = source.dt or _step(of.name, tau, r)
        leak = _leak(of.name, tau, dt, source)
        gain = r * (1 - leak)
    if source.gain is not None and not more and tau is not None:
        gain = 1 - leak if source.gain == "leak" else np.float64(source.gain)
    drop = None
    if source.reset != "zero":
        check(source.reset == "subtract" or np.min(leak) > 0, f"{of.name}: a delayed reset of a "
              "neuron that forgets everything: give --reset zero")
        drop = threshold / leak if source.reset == "delayed" else threshold
    return Neuron(name=of.name, leak=leak, gain=gain, threshold=threshold, drop=drop,
                  v_leak=of.spread("v_leak", shape, 0), v_reset=of.spread("v_reset", shape, 0),
                  inclusive=source.compare == ">=", **more)


def _step(name, tau, r):
    """Seconds of a step: exporters write r = tau / dt, or 1 and tau in units they have."""
    tau, r = float(np.median(tau)), float(np.median(r))
    if r != 1 and tau > 0 and r > 0:
        return tau / r
    check(tau >= 1e-4, f"{name}: tau {tau:g} is below the usual step of 1e-4 s: give --dt, the "
          "seconds of a step (files of Norse: --from norse)")
    return 1.0 if tau >= 1 else 1e-4


def _leak(name, tau, dt, source):
    check(np.min(tau) > 0, f"{name}: a time constant that is not above 0")
    if source.exponential:
        return np.exp(-dt / tau)
    check(np.min(tau) >= dt, f"{name}: tau {np.min(tau):g} is below the step of {dt:g} s: give "
          "--dt")
    return 1 - dt / tau


_MAKERS = {"Affine": _affine, "Linear": _affine, "Conv2d": _conv, "SumPool2d": _pool("sum"),
           "AvgPool2d": _pool("mean"), "Flatten": _flatten, "LIF": _lif, "LI": _li, "IF": _if,
           "CubaLIF": _cuba, "Threshold": _threshold}

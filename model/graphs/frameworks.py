"""Neurons of PyTorch frameworks, by the names and attributes of their modules.

No framework is imported. :data:`NEURONS` has what is known: snnTorch, SpikingJelly, Norse, Sinabs.
"""

import numpy as np

from qsnn.model.graphs.graph import Affine, Leak, Neuron, check

__all__ = ["NEURONS", "numbers"]


def numbers(value):
    """A tensor, a parameter or a number as a float64 array, equal ones as a single number."""
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    value = np.asarray(value, np.float64)
    return value.flat[0] if value.size and (value == value.flat[0]).all() else value


def affine(name, module):
    """A linear module as an :class:`~qsnn.model.graphs.graph.Affine`."""
    weight = _array(module.weight)
    bias = np.zeros(len(weight)) if module.bias is None else _array(module.bias)
    return Affine(name=name, weight=weight, bias=bias)


def _array(tensor):
    return tensor.detach().cpu().numpy().astype(np.float64)


def _snntorch(name, module):
    kind = type(module).__name__
    recurrent, current = kind.startswith("R"), kind.endswith("Synaptic")
    check(not module.inhibition and not module.state_quant and numbers(
        getattr(module, "graded_spikes_factor", 1)) == 1,
        f"{name}: inhibition, quantized states and graded spikes of snnTorch cannot be built")
    reset, delayed = module.reset_mechanism, getattr(module, "reset_delay", True)
    if reset == "none" and kind == "Leaky":  # what it fires is of no use: its membrane is read
        return Leak(name=name, leak=np.clip(numbers(module.beta), 0, 1), gain=np.float64(1))
    check(reset != "none", f"{name}: a neuron that never resets cannot be built, but for a last "
          "Leaky: give it reset_mechanism zero or subtract")
    check(kind == "Leaky" or reset != "zero" or not delayed, f"{name}: after a spike {kind} also "
          "loses the next step's input; train it with reset_delay=False, or subtract")
    leak, threshold = np.clip(numbers(module.beta), 0, 1), numbers(module.threshold)
    drop = None
    if reset == "subtract":
        check(not delayed or np.min(leak) > 0, f"{name}: a delayed reset of a neuron that forgets "
              "everything; give it reset_delay=False")
        drop = threshold / leak if delayed else threshold
    more = {}
    if current:
        more |= dict(leak_in=np.clip(numbers(module.alpha), 0, 1), gain_in=np.float64(1))
    if recurrent:
        check(module.all_to_all and hasattr(module.recurrent, "in_features"),
              f"{name}: spikes that return must do so through linear_features")
        more |= dict(recurrent=affine(f"{name}.recurrent", module.recurrent))
    return Neuron(name=name, leak=leak, gain=np.float64(1), threshold=threshold, drop=drop, **more)


def _spikingjelly(name, module):
    kind = type(module).__name__
    reset = module.v_reset
    to = np.float64(0 if reset is None else reset)
    threshold, leak, gain = numbers(module.v_threshold), np.float64(1), np.float64(1)
    if kind != "IFNode":
        part = 1 / numbers(module.tau) if kind == "LIFNode" else 1 / (1 + np.exp(
            -numbers(module.w)))
        leak, gain = 1 - part, part if module.decay_input else np.float64(1)
    return Neuron(name=name, leak=leak, gain=gain, threshold=threshold, v_leak=to, v_reset=to,
                  drop=threshold if reset is None else None, inclusive=True)


def _norse(name, module):
    kind, p, dt = type(module).__name__, module.p, float(module.dt)
    level, reset = dict(threshold=numbers(p.v_th)), dict(v_reset=numbers(p.v_reset))
    if kind.startswith("IAF"):
        return Neuron(name=name, leak=np.float64(1), gain=np.float64(1), **level, **reset)
    part = dt * numbers(p.tau_mem_inv)
    shared = dict(name=name, leak=1 - part, gain=part, v_leak=numbers(p.v_leak), **level)
    if "Box" in kind:
        method = getattr(p.reset_method, "__name__", "")
        check(method in ("reset_value", "reset_subtract"), f"{name}: an unknown reset, {method}")
        return Neuron(**shared, **reset,
                      drop=level["threshold"] if method == "reset_subtract" else None)
    return Neuron(**shared, **reset, leak_in=1 - dt * numbers(p.tau_syn_inv),
                  gain_in=np.float64(1))


def _sinabs(name, module):
    check(not hasattr(module, "rec_connect"), f"{name}: recurrent layers of Sinabs are not read")
    alpha, current = numbers(module.alpha_mem_calculated), module.alpha_syn_calculated
    threshold, reset = numbers(module.spike_threshold), module.reset_fn
    check(not getattr(reset, "reset_value", 0), f"{name}: a reset to another value than 0")
    drop = None
    if hasattr(reset, "subtract_value"):
        value = reset.subtract_value
        drop = threshold if value is None else np.float64(value)
    more = {} if current is None else dict(leak_in=numbers(current), gain_in=numbers(current))
    return Neuron(name=name, leak=alpha, gain=1 - alpha if module.norm_input else np.float64(1),
                  threshold=threshold, drop=drop, inclusive=True, **more)


def _split(layout, module, x):
    """What such neurons take, or give, in one call: (N, T) of its leading axes, then their order.

    layout  step: a call is a step; TN, NT: axes of time and samples; flat: both in one axis
    """
    if layout == "TN" and getattr(module, "step_mode", "m") == "m":
        return (x.shape[1], x.shape[0]), "TN"
    if layout == "NT":
        return (x.shape[0], x.shape[1]), "NT"
    if layout == "flat":
        steps = module.num_timesteps if module.num_timesteps > 0 else len(x) // module.batch_size
        return (len(x) // steps, steps), "NT"
    return (x.shape[0], 1), "step"


def _kinds(package, read, **layouts):
    return {(package, kind): (read, lambda module, x, layout=layout: _split(layout, module, x))
            for layout, kinds in layouts.items() for kind in kinds.split()}


#: By package and class: (a function of name and module that gives the Neuron; a function of module
#: and what it takes that gives samples, steps and their order).
NEURONS = (
    _kinds("snntorch", _snntorch, step="Leaky Synaptic RLeaky RSynaptic")
    | _kinds("spikingjelly", _spikingjelly, TN="LIFNode IFNode ParametricLIFNode")
    | _kinds("norse", _norse, step="LIFCell LIFBoxCell IAFCell", TN="LIF IAF")
    | _kinds("sinabs", _sinabs, NT="LIF IAF", flat="LIFSqueeze IAFSqueeze"))

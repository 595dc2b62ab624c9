"""Which networks need the same circuit: the integers of one go where those of the other are.

A circuit has widths, adders and counters of a shape, and memories. What is in memories, weights,
thresholds and biases, may change: in a finished bitstream, or while it runs. All else of a
description is in the circuit; :func:`circuit` lists it. Most follows from the words that a network
is trained with. One number does not: the membrane step of a layer, ``shift`` and ``frac``, which
training chooses, unless it is told those of another network, see :attr:`qsnn.model.config.Config`.
"""

__all__ = ["circuit", "difference", "steps_of"]


def circuit(description):
    """name -> value of what decides on the circuit, beside the folding."""
    values = {"shape": description.shape, "time_steps": description.time_steps}
    for index, layer in enumerate(description.layers):
        for name in ("input_bits", "weight_bits", "weight_code", "membrane_bits", "signed",
                     "shift", "frac", "leak", "reset", "window"):
            if hasattr(layer, name):
                values[f"{name} of layer {index}"] = getattr(layer, name)
        if getattr(layer, "current", None):
            current = layer.current
            values[f"current of layer {index}"] = (current.bits, current.leak, current.shift)
        if layer.skip:
            weights = layer.skip.weights
            values[f"skip of layer {index}"] = (layer.skip.stride, layer.skip.shift,
                                                "no weights" if weights is None else "weights")
    return values


def difference(found, wanted):
    """The first difference of two circuits as words, or None."""
    found, wanted = circuit(found), circuit(wanted)
    for name, value in found.items():
        if value != wanted.get(name):
            return f"{name} is {value}, not {wanted.get(name)}"
    return None


def steps_of(description):
    """The membrane step of each hidden layer, as the power of two that training has.

    None for a layer whose units are finer than training makes them.
    """
    return tuple(_step_of(layer) for layer in description.hidden)


def _step_of(layer):
    step, finest = layer.shift - layer.frac, layer.leak[1]
    if layer.current:
        place = 0 if layer.signed else 1
        finest = max(finest, layer.current.leak[1] - place)
        if (layer.current.shift, layer.current.bits) != (layer.shift + place, layer.membrane_bits):
            return None
    return step if layer.frac == max(finest - step, 0) else None

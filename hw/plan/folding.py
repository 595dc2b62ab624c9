"""Folding: how many neurons (PE), synapses (SIMD) and pixels of a layer work at once.

Nothing else sets the speed; what follows from it stands in :mod:`qsnn.hw.plan.stages` and
:mod:`qsnn.hw.plan.serial`, the two schedules that a layer can have.
"""

from dataclasses import dataclass
from dataclasses import fields as fields_of
from math import gcd, prod
from operator import itemgetter
from typing import ClassVar

from qsnn.hw.plan.window import ceil_div, window_of

__all__ = ["MAX_PE", "MAX_SIMD", "Folding", "FoldingError", "SerialFolding", "default_folding",
           "default_serial", "from_row"]

MAX_PE = 1024
MAX_SIMD = 4096


class FoldingError(ValueError):
    """A folding that the network cannot have."""


@dataclass(frozen=True)
class Folding:
    """PE, SIMD and pixels of a time-parallel layer, and whether single-port RAM has its weights.

    pixels  positions of a convolution that share each word of weights; more than one where PE is
            all its channels. Each takes as many synapses, and a copy of the input's rows.
    spram   of an iCE40UP5K
    """

    pe: int
    simd: int
    spram: bool = False
    pixels: int = 1
    serial: ClassVar[bool] = False

    @property
    def row(self):
        """PE, SIMD and what else the schedule has to choose, as result.json of a board has it."""
        return [self.pe, self.simd, self.pixels]


@dataclass(frozen=True)
class SerialFolding:
    """PE neurons and SIMD synapses of a time-serial layer at once.

    sparse  words without a spike are left out
    """

    pe: int
    simd: int
    sparse: bool = True
    spram: ClassVar[bool] = False
    pixels: ClassVar[int] = 1
    serial: ClassVar[bool] = True

    @property
    def row(self):
        """As :attr:`Folding.row`."""
        return [self.pe, self.simd, self.sparse]


def from_row(row, serial=False):
    """The folding of a dictionary of its fields; ``"serial"`` among them comes first.

    Raises :class:`FoldingError` with a field that this schedule does not have.
    """
    serial = row.get("serial", serial)
    if type(serial) is not bool:
        raise FoldingError(f"serial must be true or false, not {serial!r}")
    kind = SerialFolding if serial else Folding
    known = {field.name for field in fields_of(kind)}
    for name in sorted(row.keys() - known - {"serial"}):
        raise FoldingError(f"{name!r} is not for layers that are time-"
                           f"{'serial' if serial else 'parallel'}")
    for name in sorted({"pe", "simd"} - row.keys()):
        raise FoldingError(f"{name!r} is missing")
    return kind(**{name: value for name, value in row.items() if name != "serial"})


def default_folding(description, cycles):
    """The smallest folding without padding whose layers need at most ``cycles`` cycles an image.

    Smallest is the sum of PE * SIMD * pixels; among equals, SIMD is near PE, and rather larger: an
    accumulator costs more than a synapse. Several pixels are for layers whose channels are not
    enough. Where no folding is that fast, the layers together
    need as little beyond it as they can. What double buffers add is not looked at, see
    :attr:`qsnn.hw.plan.network.Plan.cycles`.
    """
    # from the last layer to the first: the SIMD of the next layer limits the neuron units of this
    # one. SIMD -> (cost, foldings) of the best folding from that layer on
    best = {1: ((0, 0, 0, 0), [])}
    for layer in reversed(description.layers):
        merges = layer.kind == "readout" and not layer.leaky
        sequence = 1 if merges else description.time_steps or 1
        # SIMD divides the channels of a pixel, and is gone through once for each pixel and plane
        channels, positions, pixels = layer.n_in, 1, layer.weight_bits
        if layer.kind == "convolution":
            channels, positions = layer.channels_in, layer.out_height * layer.out_width
            pixels *= prod(layer.kernel)
        beside = layer.skip.weights.shape[1] if layer.skip and layer.skip.weights is not None else 0
        neurons = layer.channels
        units = [(pe, 1) for pe in _divisors(neurons, MAX_PE)]  # PE, and pixels at once
        if layer.kind == "convolution" and neurons <= MAX_PE:
            units += [(neurons, several) for several in window_of(layer).pixel_choices[1:]]
        following, best = _following(best, units, sequence), {}
        for simd in _divisors(channels, MAX_SIMD):
            candidates = []
            words = channels // simd * pixels + ceil_div(beside, simd)
            for pe, at_once in units:
                shape = max(simd / pe, 4 * pe / simd)
                for steps, cost, foldings in following[pe, at_once]:
                    needed = positions // at_once * (neurons // pe) * max(words, steps)
                    own = max(0, needed - cycles), pe * simd * at_once, shape, pe
                    candidates.append((tuple(a + b for a, b in zip(own, cost, strict=True)),
                                       [Folding(pe, simd, pixels=at_once), *foldings]))
            best[simd] = min(candidates, key=itemgetter(0))
    return min(best.values(), key=itemgetter(0))[1]


def _following(best, units, sequence):
    """(PE, pixels) -> (cycles of the neuron units, cost, foldings) of what may come next.

    As _lanes() has it: so many neuron units at most, fewer where they keep up. Of all SIMD of the
    next layer, those stay than which none is cheaper and has no more cycles: a few, while numbers
    with many divisors have a hundred.
    """
    by_cost = sorted(enumerate(best.items()), key=lambda entry: (entry[1][1][0], entry[0]))
    found = {}
    for pe, at_once in units:
        fewest, kept = None, []
        for index, (simd, (cost, foldings)) in by_cost:
            steps = at_once * pe // gcd(pe, simd) * sequence
            if fewest is None or steps < fewest:
                fewest = steps
                kept.append((index, (steps, cost, foldings)))
        found[pe, at_once] = [entry for _, entry in sorted(kept, key=itemgetter(0))]
    return found


def default_serial(layers, cycles=None):
    """A folding of time-serial layers with at most so many cycles a step where that can be, and
    little logic.

    Every layer is sparse: that is never slower. What recordings spare is
    :func:`qsnn.hw.plan.activity.choose_for_activity`'s to weigh.
    """
    foldings = []
    for layer in layers:
        simd = min(8, layer.n_in)
        pe = 1
        words = layer.taps * ceil_div(layer.n_in, simd)
        if layer.recurrent is not None:
            words += ceil_div(layer.n_out, simd)
        words *= layer.weight_bits
        while cycles and pe < min(layer.n_out, 64) and ceil_div(layer.n_out, pe) * words > cycles:
            pe *= 2
        foldings.append(SerialFolding(min(pe, layer.n_out), simd))
    return foldings


def _divisors(n, most):
    return [d for d in range(1, min(n, most) + 1) if n % d == 0]

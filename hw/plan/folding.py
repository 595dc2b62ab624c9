"""Folding: how many neurons (PE), synapses (SIMD) and pixels of a layer work at once.

Nothing else sets the speed; what follows from it stands in :mod:`qsnn.hw.plan.stages`.
"""

from dataclasses import dataclass
from math import gcd
from operator import itemgetter

from qsnn.hw.core.rom import SPRAM_DEPTH
from qsnn.hw.plan.stages import Plan, SkipPlan, StagePlan, Window, ceil_div

__all__ = ["Folding", "FoldingError", "consumers", "default_folding", "input_pixel", "plan",
           "stage_plan", "window_of", "word_width"]

MAX_PE = 1024
MAX_SIMD = 4096


class FoldingError(ValueError):
    """A folding that the network cannot have."""


@dataclass(frozen=True)
class Folding:
    """PE, SIMD and pixels of one layer, and whether single-port RAM has its weights.

    pixels  positions of a convolution that share each word of weights; more than one where PE is
            all its channels. Each takes as many synapses, and a copy of the input's rows.
    spram   of an iCE40UP5K
    """

    pe: int
    simd: int
    spram: bool = False
    pixels: int = 1


def default_folding(description, cycles):
    """The smallest folding without padding whose layers need at most ``cycles`` cycles an image.

    Smallest is the sum of PE * SIMD * pixels; among equals, SIMD is near PE, and rather larger: an
    accumulator costs more than a synapse. Several pixels are for layers whose channels are not
    enough. Where no folding is that fast, the layers together
    need as little beyond it as they can. What double buffers add is not looked at, see
    :attr:`qsnn.hw.plan.stages.Plan.cycles_per_image`.
    """
    # from the last layer to the first: the SIMD of the next layer limits the neuron units of this
    # one. SIMD -> (cost, foldings) of the best folding from that layer on
    best = {1: ((0, 0, 0, 0), [])}
    for layer in reversed(description.layers):
        sequence = 1 if layer.kind == "readout" else description.time_steps
        # SIMD divides the channels of a pixel, and is gone through once for each pixel and plane
        channels, positions, pixels = layer.n_in, 1, layer.weight_bits
        if layer.kind == "convolution":
            channels, positions = layer.channels_in, layer.out_height * layer.out_width
            pixels *= layer.kernel ** 2
        beside = layer.skip.weights.shape[1] if layer.skip and layer.skip.weights is not None else 0
        neurons = layer.channels
        units = [(pe, 1) for pe in _divisors(neurons, MAX_PE)]  # PE, and pixels at once
        if layer.kind == "convolution" and neurons <= MAX_PE:
            units += [(neurons, several) for several in window_of(layer).pixel_choices[1:]]
        following, best = best, {}
        for simd in _divisors(channels, MAX_SIMD):
            candidates = []
            words = channels // simd * pixels + ceil_div(beside, simd)
            for pe, at_once in units:
                shape = max(simd / pe, 4 * pe / simd)
                for next_simd, (cost, foldings) in following.items():
                    # as _lanes() has it: so many neuron units at most, fewer where they keep up
                    steps = at_once * pe // gcd(pe, next_simd) * sequence
                    needed = positions // at_once * (neurons // pe) * max(words, steps)
                    own = max(0, needed - cycles), pe * simd * at_once, shape, pe
                    candidates.append((tuple(a + b for a, b in zip(own, cost, strict=True)),
                                       [Folding(pe, simd, pixels=at_once), *foldings]))
            best[simd] = min(candidates, key=itemgetter(0))
    return min(best.values(), key=itemgetter(0))[1]


def _divisors(n, most):
    return [d for d in range(1, min(n, most) + 1) if n % d == 0]


def input_pixel(description, source):
    """Channels of a pixel of a layer's input that mean something, and those with padding.

    source: :class:`StagePlan` of the layer before, None for the first one.
    """
    if source is None:
        return (description.input_map[2] if description.input_map else description.n_in,) * 2
    return source.n_out, source.neurons


def stage_plan(description, index, folding, before, width):
    """The :class:`StagePlan` of a layer.

    before: those of all layers before it; width: elements of the words that its outputs become,
    their greatest common divisor where several layers take them.
    """
    layer, readout = description.layers[index], index == len(description.layers) - 1
    sequence = 1 if readout else description.time_steps
    pixel = input_pixel(description, before[-1] if before else None)
    n_in = pixel[1] * (layer.n_in // pixel[0])
    window, skip, words = None, None, ceil_div(n_in, folding.simd)
    if layer.kind == "convolution":
        window = window_of(layer, pixel[1], ceil_div(pixel[1], folding.simd))
        words = layer.kernel ** 2 * window.chunks
    if layer.skip:
        skip = _skip_plan(description, index, folding, before[layer.skip.source])
        words += skip.words
    return StagePlan(
        pe=folding.pe, simd=folding.simd, n_in=n_in, n_out=layer.channels,
        bits=layer.input_bits, steps=1 if index == 0 else description.time_steps,
        readout=readout, sequence=sequence,
        lanes=_lanes(folding.pe, width, folding.pixels * sequence, words * layer.weight_bits),
        spram=folding.spram, planes=layer.weight_bits, pixel=pixel, window=window, skip=skip,
        pixels=folding.pixels)


def window_of(layer, channels=1, chunks=1):
    """The :class:`Window` of a convolution."""
    return Window(height=layer.height, width=layer.width, channels=channels, kernel=layer.kernel,
                  stride=layer.stride, padding=layer.padding, out_height=layer.out_height,
                  out_width=layer.out_width, pool_size=layer.pool_size, pool=layer.pool,
                  chunks=chunks)


def _skip_plan(description, index, folding, source):
    layer = description.layers[index]
    skip = layer.skip
    height, width, channels = description.layers[skip.source].output_map
    word = folding.pe if skip.weights is None else folding.simd
    window = Window(height=height, width=width, channels=source.neurons, kernel=1,
                    stride=skip.stride, padding=0, out_height=layer.out_height,
                    out_width=layer.out_width, pool_size=layer.pool_size, pool="none",
                    chunks=ceil_div(source.neurons, word))
    skipped = [window_of(between) for between in description.layers[skip.source + 1:index + 1]]
    return SkipPlan(source=skip.source, window=window, channels=channels, shift=skip.shift,
                    weights=skip.weights is not None, ahead=_ahead(window, skipped))


def _ahead(window, skipped):
    """Rows that a skip's buffer holds more than others.

    While a unit is computed, the next one may need rows that each of the skipped layers works on,
    a unit further; those rows, of the map that the skip takes, have come by then.
    """
    def needed(unit):
        image, unit = divmod(unit, window.units)
        rows = skipped[-1].needed[unit]
        for layer in reversed(skipped[:-1]):
            rows = layer.needed[min(rows, layer.units - 1)]
        return image * window.height + rows

    most = max(needed(unit + 1) - freed
               for unit, freed in zip(range(window.units), (0, *window.freed), strict=False))
    return max(0, most - window.rows)


def consumers(description, index):
    """What takes a layer's outputs: (index of a layer, whether through its skip)."""
    later = range(index + 2, len(description.layers))
    return [(index + 1, False), *((other, True) for other in later
                                  if description.layers[other].skip
                                  and description.layers[other].skip.source == index)]


def word_width(description, foldings, index):
    """Elements of the words that a layer's outputs become, see :func:`stage_plan`."""
    if index == len(foldings) - 1:
        return 1
    widths = []
    for other, skip in consumers(description, index):
        if other < len(foldings):
            own = skip and description.layers[other].skip.weights is None
            widths.append(foldings[other].pe if own else foldings[other].simd)
    return gcd(*widths)


def plan(description, foldings):
    """The :class:`Plan` of a network. Raises :class:`FoldingError` with a sentence."""
    if len(foldings) != len(description.layers):
        raise FoldingError(f"the network has {len(description.layers)} layers, the folding "
                           f"{len(foldings)}")
    stages = []
    for index, (layer, folding) in enumerate(zip(description.layers, foldings, strict=True)):
        source = stages[-1] if stages else None
        map_in = layer.kind == "convolution"
        neurons, n_in = layer.channels, input_pixel(description, source)[1]
        if not map_in and source:
            n_in *= source.output_pixels
        for name, value, has, what in (
                ("PE", folding.pe, neurons, "channels" if map_in else "neurons"),
                ("SIMD", folding.simd, n_in, "input channels" if map_in else "inputs")):
            most = min(has, MAX_PE if name == "PE" else MAX_SIMD)
            if type(value) is not int or not 1 <= value <= most:  # True is an int too
                raise FoldingError(f"layer {index}: {name} must be 1 to {most} "
                                   f"(it has {has} {what}), not {value!r}")
        if map_in and not stages and layer.width * ceil_div(n_in, folding.simd) < 3:
            # a credit for a row counts two cycles later, and the next one is looked at with the
            # row's last beat
            raise FoldingError("layer 0: a row of the image has less than 3 beats and cannot be "
                               "streamed: take a smaller SIMD, or turn the image")
        if map_in and not stages and n_in % folding.simd:
            raise FoldingError(f"layer {index}: SIMD must divide the {n_in} channels of an image, "
                               f"not be {folding.simd}")
        _check_pixels(index, layer, folding)
        stage = stage_plan(description, index, folding, stages,
                           word_width(description, foldings, index))
        if type(folding.spram) is not bool:
            raise FoldingError(f"layer {index}: spram must be true or false, not "
                               f"{folding.spram!r}")
        if stage.spram and any(before.spram for before in stages):
            raise FoldingError(f"layer {index}: only one layer can have its weights in "
                               "single-port RAM")
        if stage.spram and stage.reads * stage.groups > SPRAM_DEPTH:
            raise FoldingError(f"layer {index}: single-port RAM holds {SPRAM_DEPTH} words, the "
                               f"weights have {stage.reads * stage.groups}")
        stages.append(stage)
    return Plan(tuple(stages))


def _check_pixels(index, layer, folding):
    choices = window_of(layer).pixel_choices if layer.kind == "convolution" else [1]
    if type(folding.pixels) is not int or folding.pixels not in choices:
        which = f"one of {', '.join(map(str, choices))}" if len(choices) > 1 else "1"
        raise FoldingError(f"layer {index}: pixels must be {which}, not {folding.pixels!r}")
    if folding.pixels > 1 and folding.pe != layer.channels:
        raise FoldingError(f"layer {index}: for {folding.pixels} pixels at once PE must be all "
                           f"{layer.channels} channels, not {folding.pe}")


def _lanes(pe, following_simd, sequence, words):
    """Fewest neuron units that keep up with the synapses, or as many as the next layer takes."""
    divisors = [d for d in range(1, pe + 1) if pe % d == 0 and following_simd % d == 0]
    return next((d for d in divisors if pe // d * sequence <= words), divisors[-1])

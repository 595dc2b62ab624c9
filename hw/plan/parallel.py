"""The stages of time-parallel layers: from a description and foldings to what follows from them."""

from math import gcd, prod

from qsnn.hw.plan.blocks import SPRAM_DEPTH
from qsnn.hw.plan.folding import MAX_PE, MAX_SIMD, FoldingError
from qsnn.hw.plan.stages import StagePlan
from qsnn.hw.plan.window import SkipPlan, Window, ceil_div, window_of

__all__ = ["consumers", "input_pixel", "parallel_stages", "stage_plan", "word_width"]


def input_pixel(description, source):
    """Channels of a pixel of a layer's input that mean something, and those with padding.

    source: :class:`qsnn.hw.plan.stages.StagePlan` of the layer before, None for the first one.
    """
    if source is None:
        return (description.input_map[2] if description.input_map else description.n_in,) * 2
    return source.n_out, source.neurons


def stage_plan(description, index, folding, before, width):
    """The :class:`qsnn.hw.plan.stages.StagePlan` of a layer.

    before: those of all layers before it; width: elements of the words that its outputs become,
    their greatest common divisor where several layers take them.
    """
    layer, readout = description.layers[index], index == len(description.layers) - 1
    steps = description.time_steps or 1  # in a stream, one after the other
    leaky = readout and layer.leaky
    sequence = 1 if readout and not leaky else steps
    pixel = input_pixel(description, before[-1] if before else None)
    n_in = pixel[1] * (layer.n_in // pixel[0])
    window, skip, words = None, None, ceil_div(n_in, folding.simd)
    if layer.kind == "convolution":
        window = window_of(layer, pixel[1], ceil_div(pixel[1], folding.simd))
        words = prod(layer.kernel) * window.chunks
    if layer.skip:
        skip = _skip_plan(description, index, folding, before[layer.skip.source])
        words += skip.words
    return StagePlan(
        pe=folding.pe, simd=folding.simd, n_in=n_in, n_out=layer.channels,
        bits=layer.input_bits, steps=1 if index == 0 else steps,
        readout=readout, leaky=leaky, sequence=sequence,
        lanes=_lanes(folding.pe, width, folding.pixels * sequence, words * layer.weight_bits),
        spram=folding.spram, planes=layer.weight_bits, counts=layer.code.step == 1,
        pixel=pixel, window=window, skip=skip,
        pixels=folding.pixels, stored=not description.time_steps,
        current=getattr(layer, "current", None) is not None)


def _skip_plan(description, index, folding, source):
    layer = description.layers[index]
    skip = layer.skip
    height, width, channels = description.layers[skip.source].output_map
    word = folding.pe if skip.weights is None else folding.simd
    window = Window(height=height, width=width, channels=source.neurons, kernel=(1, 1),
                    stride=skip.stride, padding=(0, 0), out_height=layer.out_height,
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


def parallel_stages(description, foldings, count=None):
    """The :class:`qsnn.hw.plan.stages.StagePlan` of each layer, or of the first ``count``; the rest
    is time-serial.

    Raises :class:`qsnn.hw.plan.folding.FoldingError` with a sentence.
    """
    stages = []
    pairs = list(zip(description.layers, foldings, strict=True))[:count]
    for index, (layer, folding) in enumerate(pairs):
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
    return tuple(stages)


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

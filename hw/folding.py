"""Folding: how many neurons (PE) and synapses (SIMD) of a layer work at once.

Nothing else sets the speed. All numbers of cycles here are exact; the simulations are held to
them.
"""

from dataclasses import dataclass
from functools import cached_property
from math import gcd
from operator import itemgetter

import numpy as np

from hw.rom import SPRAM_DEPTH
from hw.synapses import synapse_latency
from hw.timing import timing

__all__ = ["Folding", "FoldingError", "StagePlan", "Window", "SkipPlan", "consumers",
           "default_folding", "input_pixel", "plan", "stage_plan",
           "window_of", "word_width"]

MAX_PE = 1024
MAX_SIMD = 4096


class FoldingError(ValueError):
    """A folding that the network cannot have."""


@dataclass(frozen=True)
class Folding:
    """PE and SIMD of one layer, and whether an iCE40UP5K's single-port RAM has its weights."""

    pe: int
    simd: int
    spram: bool = False


def _ceil(a, b):
    return -(-a // b)


@dataclass(frozen=True)
class Window:
    """How a convolution goes over its input map: everything that follows from the shape.

    height, width, channels  of the input map, channels that the layer before pads included
    kernel, stride, padding  as in :class:`model.layers.Convolution`
    out_height, out_width    positions of neurons
    pool_size, pool          1 and none where there is no pooling
    chunks                   words of a pixel
    """

    height: int
    width: int
    channels: int
    kernel: int
    stride: int
    padding: int
    out_height: int
    out_width: int
    pool_size: int
    pool: str
    chunks: int

    @property
    def units(self):
        """Rows of the output map. Each is begun when the rows that it needs have arrived."""
        return self.out_height // self.pool_size

    @property
    def positions(self):
        """Positions of a unit, those of a pool's square one after the other."""
        return self.out_width * self.pool_size

    @property
    def step(self):
        """Rows of the input from one unit to the next."""
        return self.pool_size * self.stride

    @cached_property
    def rows(self):
        """Rows that the buffer holds: those of a unit, and those that the next one adds."""
        later = (*self.needed[1:], self.height + self.needed[0])
        return max(need - freed for need, freed in zip(later, (0, *self.freed), strict=False))

    @cached_property
    def needed(self):
        """Rows of the input that each unit needs, counted from the image's first."""
        needed = [(unit + 1) * self.step - self.stride + self.kernel - self.padding
                  for unit in range(self.units)]
        return (*(min(max(rows, 1), self.height) for rows in needed[:-1]), self.height)

    @cached_property
    def freed(self):
        """Rows that nobody needs after each unit."""
        freed = [max(0, (unit + 1) * self.step - self.padding) for unit in range(self.units)]
        # no more than have come: a stride may be longer than its kernel
        return (*(min(pair) for pair in zip(freed[:-1], self.needed, strict=False)), self.height)


@dataclass(frozen=True)
class SkipPlan:
    """What a skip needs of its own.

    source   index of the layer that it comes from
    window   :class:`Window` over that layer's map, its kernel a single pixel
    channels of it that mean something
    shift    as in :class:`model.layers.Skip`
    weights  whether it is a convolution; else each neuron takes its own channel
    ahead    rows that its buffer holds more: they wait for the layers that are skipped
    """

    source: int
    window: Window
    channels: int
    shift: int
    weights: bool
    ahead: int

    @property
    def rows(self):
        """Rows that its buffer holds."""
        return self.window.rows + self.ahead

    @property
    def words(self):
        """Words of inputs of each group, before those of the convolution."""
        return self.window.chunks if self.weights else 0


@dataclass(frozen=True)
class StagePlan:
    """One layer with its folding: everything that follows from the shape.

    n_in      inputs, those that the layer before pads included
    n_out     neurons, channels of a convolution or classes that mean something
    bits      of an input: pixels in the first layer, sums of pooled spikes, else 1
    steps     time steps whose spikes meet a weight at once: 1 in the first layer
    readout   whether it is the output layer
    sequence  time steps that a neuron takes one after the other: 1 in a readout
    lanes     neurons of a beat of its output; a divisor of PE and of the next layer's SIMD
    spram     whether its weights, 64 bits of each word at most, sit in single-port RAM
    planes    bits of a weight: the inputs are gone through once for each
    pixel     channels of a pixel of the input that mean something, and those with padding; a row
              of numbers is one pixel
    window    :class:`Window` of a convolution
    skip      :class:`SkipPlan` of one that has a skip
    """

    pe: int
    simd: int
    n_in: int
    n_out: int
    bits: int
    steps: int
    readout: bool
    sequence: int
    lanes: int
    spram: bool = False
    planes: int = 1
    pixel: tuple = (1, 1)
    window: Window | None = None
    skip: SkipPlan | None = None

    @property
    def output_pixels(self):
        """Pixels of what the next layer takes, each with all neurons or channels."""
        if not self.window:
            return 1
        return self.window.units * self.window.positions // self.window.pool_size ** 2

    @cached_property
    def places(self):
        """Positions of neurons in the order in which they are computed, as row * width + column.

        Those of a pool's square come one after the other.
        """
        if not self.window:
            return np.zeros(1, int)
        window, pool = self.window, self.window.pool_size
        raster = np.arange(window.out_height * window.out_width)
        squares = raster.reshape(window.units, pool, -1, pool).transpose(0, 2, 1, 3)
        return squares.ravel()

    @cached_property
    def fan_in(self):
        """Which synapse of a neuron each input of its words is, or -1: [words * SIMD] int64.

        Synapses count as in :mod:`model.layers`, those of a skip after the others; -1 is padding.
        """
        real, padded = self.pixel
        pixels = self.window.kernel ** 2 if self.window else self.n_in // padded
        # a convolution begins each pixel with a word
        row = self.window.chunks * self.simd if self.window else padded
        channel = np.arange(row)
        order = np.where(channel < real, channel + real * np.arange(pixels)[:, None], -1).ravel()
        order = np.pad(order, (0, self.words * self.simd - len(order)), constant_values=-1)
        if self.skip and self.skip.weights:
            channel = np.arange(self.skip.words * self.simd)
            own = np.where(channel < self.skip.channels, channel + real * pixels, -1)
            order = np.concatenate([own, order])
        return order

    @property
    def words(self):
        """Words of inputs: passes of SIMD over the fan-in."""
        if self.window:
            return self.window.kernel ** 2 * self.window.chunks
        return _ceil(self.n_in, self.simd)

    @property
    def reads(self):
        """Words of weights of a group, one a cycle."""
        return self.words * self.planes + (self.skip.words if self.skip else 0)

    @property
    def beats(self):
        """Words in which an image arrives."""
        if self.window:
            return self.window.height * self.window.width * self.window.chunks
        return self.words

    @property
    def buffer_words(self):
        """Words that its input buffer holds: two images, or some rows of one."""
        window = self.window
        return window.rows * window.width * window.chunks if window else 2 * self.words

    @property
    def unit_beats(self):
        """Beats of that stream that need a credit: a row of a map, or the whole image."""
        return self.beats // self.window.height if self.window else self.beats

    @property
    def groups(self):
        """Passes of PE over the neurons."""
        return _ceil(self.n_out, self.pe)

    @property
    def neurons(self):
        """Neurons, or channels, with the padding of the last group, which never fires."""
        return self.groups * self.pe

    @property
    def sequence_cycles(self):
        """Cycles in which the neuron units work through a group."""
        return self.pe // self.lanes * self.sequence

    @property
    def group_cycles(self):
        """Cycles from one group to the next; a convolution's rows are two cycles apart at least."""
        alone = self.window and self.window.positions * self.groups == 1
        return max(self.reads, self.sequence_cycles, 2 if alone else 1)

    @property
    def units(self):
        """Parts of an image that are begun on their own: rows of a convolution."""
        return self.window.units if self.window else 1

    @property
    def unit_cycles(self):
        """Cycles from one unit to the next where nothing else limits."""
        return (self.window.positions if self.window else 1) * self.groups * self.group_cycles

    @property
    def last_group(self):
        """Cycles from a unit's first word to the first word of its last group."""
        return self.unit_cycles - self.group_cycles

    @property
    def image_cycles(self):
        """Cycles from one image to the next where nothing else limits."""
        return self.units * self.unit_cycles

    @property
    def released(self):
        """Cycles from a unit's first word to the one that frees what nobody needs any more.

        A convolution waits for its last word; other layers read every word in order in their
        last pass, which a writer may follow.
        """
        if self.window:
            return self.last_group + self.reads - 1
        return self.last_group + self.reads - self.words

    @property
    def last_step(self):
        """Cycles from the first to the last step of a unit's last group that is not padding."""
        if self.readout:
            return self.n_out - (self.groups - 1) * self.pe - 1
        return self.sequence_cycles - 1

    @property
    def sum_shift(self):
        """By how much sums are shifted, behind each bit of the weights or behind a skip; or 0."""
        if self.skip and self.skip.weights:
            return self.skip.shift
        return int(self.planes > 1)

    @property
    def initial_shift(self):
        """What the spikes count that a sum starts with, as a shift; None if there are none."""
        return self.skip.shift if self.skip and not self.skip.weights else None

    @property
    def skip_delay(self):
        """Cycles by which the spikes of a skip without weights are read later than the words.

        They are added to the sums behind the adders.
        """
        if not self.skip or self.skip.weights:
            return 0
        return synapse_latency(self.simd, self.bits, self.steps) - 1

    @property
    def depth(self):
        """Cycles from the first word of a unit's last group to the group's last result."""
        memory, hold = 2, 1
        result = 4 if self.readout else 3  # of the score unit with its queue, of the neuron unit
        pool = 1 if self.window and self.window.pool_size > 1 else 0
        synapses = synapse_latency(self.simd, self.bits, self.steps if self.readout else 1)
        return self.reads - 1 + memory + synapses + hold + self.last_step + result + pool

    @property
    def written(self):
        """Cycles from a unit's first word to its last beat in the next layer's buffer."""
        return self.last_group + self.depth


@dataclass(frozen=True)
class Plan:
    """All layers of a network with their foldings."""

    stages: tuple

    @cached_property
    def latency(self):
        """Cycles from the first beat of an image to its last class, in an idle network.

        Both beats counted: from the clock edge that accepts the first to the one that gives the
        last, with input and output never stalled.
        """
        return timing(self.stages)[0]

    @cached_property
    def cycles_per_image(self):
        """Cycles from one image to the next in a stream without gaps, on average.

        The slowest layer, or two layers whose double buffer comes round too slowly: its two
        images are the two halves of one loop.
        """
        return timing(self.stages)[1]


def default_folding(description, cycles):
    """The smallest folding without padding whose layers need at most ``cycles`` cycles an image.

    Smallest is the sum of PE * SIMD; among equals, SIMD is near PE, and rather larger: an
    accumulator costs more than a synapse. Where no folding is that fast, the layers together
    need as little beyond it as they can. What double buffers add is not looked at, see
    :attr:`Plan.cycles_per_image`.
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
        neurons = layer.channels
        following, best = best, {}
        for simd in _divisors(channels, MAX_SIMD):
            candidates = []
            for pe in _divisors(neurons, MAX_PE):
                shape = max(simd / pe, 4 * pe / simd)
                for next_simd, (cost, foldings) in following.items():
                    # as _lanes() has it: so many neuron units at most, fewer where they keep up
                    steps = pe // gcd(pe, next_simd) * sequence
                    needed = positions * (neurons // pe) * max(channels // simd * pixels, steps)
                    own = max(0, needed - cycles), pe * simd, shape, pe
                    candidates.append((tuple(a + b for a, b in zip(own, cost, strict=True)),
                                       [Folding(pe, simd), *foldings]))
            best[simd] = min(candidates, key=itemgetter(0))
    return min(best.values(), key=itemgetter(0))[1]


def _divisors(n, most):
    return [d for d in range(1, min(n, most) + 1) if n % d == 0]


def input_pixel(description, index, source):
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
    pixel = input_pixel(description, index, before[-1] if before else None)
    n_in = pixel[1] * (layer.n_in // pixel[0])
    window, skip, words = None, None, _ceil(n_in, folding.simd)
    if layer.kind == "convolution":
        window = window_of(layer, pixel[1], _ceil(pixel[1], folding.simd))
        words = layer.kernel ** 2 * window.chunks
    if layer.skip:
        skip = _skip_plan(description, index, folding, before[layer.skip.source])
        words += skip.words
    return StagePlan(
        pe=folding.pe, simd=folding.simd, n_in=n_in, n_out=layer.channels,
        bits=layer.input_bits, steps=1 if index == 0 else description.time_steps,
        readout=readout, sequence=sequence,
        lanes=_lanes(folding.pe, width, sequence, words * layer.weight_bits),
        spram=folding.spram, planes=layer.weight_bits, pixel=pixel, window=window, skip=skip)


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
                    chunks=_ceil(source.neurons, word))
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
        neurons, n_in = layer.channels, input_pixel(description, index, source)[1]
        if not map_in and source:
            n_in *= source.output_pixels
        for name, value, has, what in (
                ("PE", folding.pe, neurons, "channels" if map_in else "neurons"),
                ("SIMD", folding.simd, n_in, "input channels" if map_in else "inputs")):
            most = min(has, MAX_PE if name == "PE" else MAX_SIMD)
            if type(value) is not int or not 1 <= value <= most:  # True is an int too
                raise FoldingError(f"layer {index}: {name} must be 1 to {most} "
                                   f"(it has {has} {what}), not {value!r}")
        if map_in and not stages and layer.width == 1:
            raise FoldingError("layer 0: an image one pixel wide cannot be streamed: turn it into "
                               "one pixel high")
        if map_in and not stages and n_in % folding.simd:
            raise FoldingError(f"layer {index}: SIMD must divide the {n_in} channels of an image, "
                               f"not be {folding.simd}")
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


def _lanes(pe, following_simd, sequence, words):
    """Fewest neuron units that keep up with the synapses, or as many as the next layer takes."""
    divisors = [d for d in range(1, pe + 1) if pe % d == 0 and following_simd % d == 0]
    return next((d for d in divisors if pe // d * sequence <= words), divisors[-1])

"""What follows from the shape of a layer and its folding, where all time steps go at once.

Words, groups, cycles, buffers. All numbers of cycles here are exact; the simulations are held to
them.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from qsnn.hw.plan.latency import LEAK_LATENCY, neuron_latency, synapse_latency
from qsnn.hw.plan.window import SkipPlan, Window, ceil_div

__all__ = ["StagePlan"]


def _leaders(inputs, simd):
    """How many of so many inputs are the first of a pair, in words of ``simd``."""
    words, rest = divmod(inputs, simd)
    return words * -(-simd // 2) + -(-rest // 2)


@dataclass(frozen=True)
class StagePlan:
    """One layer with its folding: everything that follows from the shape.

    n_in      inputs, those that the layer before pads included
    n_out     neurons, channels of a convolution or classes that mean something
    bits      of an input: pixels in the first layer, sums of pooled spikes, else 1
    steps     time steps whose spikes meet a weight at once: 1 in the first layer
    readout   whether it is the output layer
    leaky     whether its totals leak: then it has a sum a step, as layers of neurons have
    sequence  time steps that a neuron takes one after the other: 1 in a readout
    lanes     neurons of a beat of its output; a divisor of PE and of the next layer's SIMD
    spram     whether its weights, 64 bits of each word at most, sit in single-port RAM
    planes    bits of a weight: the inputs are gone through once for each
    counts    whether inputs are summed too, for weights that are integers: their sums are half of
              those of odd numbers less the inputs', see :mod:`qsnn.model.codes`
    pixel     channels of a pixel of the input that mean something, and those with padding; a row
              of numbers is one pixel
    window    :class:`qsnn.hw.plan.window.Window` of a convolution
    skip      :class:`qsnn.hw.plan.window.SkipPlan` of one that has a skip
    pixels    positions of a convolution that are computed at once; more than one only where PE is
              all its channels. The neuron units still take one after the other
    stored    whether membranes stay in a memory: the layer is of a stream, and a step is what an
              image is else. A step is begun when all results of the one before are there
    current   whether its neurons have a current before their membrane
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
    counts: bool = False
    leaky: bool = False
    pixel: tuple = (1, 1)
    window: Window | None = None
    skip: SkipPlan | None = None
    pixels: int = 1
    stored: bool = False
    current: bool = False

    @property
    def output_pixels(self):
        """Pixels of what the next layer takes, each with all neurons or channels."""
        if not self.window:
            return 1
        return self.window.units * self.window.positions // self.window.square

    @cached_property
    def places(self):
        """Positions of neurons in the order in which they are computed, as row * width + column.

        Those of a pool's square come one after the other.
        """
        if not self.window:
            return np.zeros(1, int)
        window, (rows, columns) = self.window, self.window.pool_size
        raster = np.arange(window.out_height * window.out_width)
        squares = raster.reshape(window.units, rows, -1, columns).transpose(0, 2, 1, 3)
        return squares.ravel()

    @cached_property
    def fan_in(self):
        """Which synapse of a neuron each input of its words is, or -1: [words * SIMD] int64.

        Synapses count as in :mod:`qsnn.model.layers`, those of a skip after the others; -1 is
        padding.
        """
        real, padded = self.pixel
        pixels = prod(self.window.kernel) if self.window else self.n_in // padded
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

    serial = False

    @property
    def merges(self):
        """Whether all steps are one sum: in a readout without a leak."""
        return self.readout and not self.leaky

    @property
    def merged(self):
        """Time steps that a sum is of."""
        return self.steps if self.merges else 1

    @property
    def sums(self):
        """Sums of a neuron: the first layer's are the same at every step."""
        return 1 if self.merges else self.steps

    @property
    def _inputs(self):
        """Pixels that a neuron sees, and inputs of each, padded ones among them."""
        return (prod(self.window.kernel), self.window.channels) if self.window else (1, self.n_in)

    @property
    def xnor_max(self):
        """Largest sum of XNORs."""
        pixels, inputs = self._inputs
        pairs = _leaders(inputs, self.simd) if self.bits > 1 else 0
        largest = pixels * (inputs * ((1 << self.bits) - 1) + pairs) * ((1 << self.planes) - 1)
        if self.skip:
            largest += (self.skip.window.channels if self.skip.weights else 1) << self.skip.shift
        return largest * self.merged

    @property
    def count_max(self):
        """A number of ones alone, in binary, that no sum of inputs is above."""
        pixels, inputs = self._inputs
        return (1 << (pixels * inputs * ((1 << self.bits) - 1) * self.merged).bit_length()) - 1

    @property
    def sum_max(self):
        """Largest sum as neurons or scores take it: of XNORs, or half of that less the inputs."""
        return (self.xnor_max + self.count_max) >> 1 if self.counts else self.xnor_max

    def offsets(self, layer):
        """What these sums have more than S, of every neuron or channel: int64 [channels]."""
        offset = self._xnor_offsets(layer) * self.merged
        return (offset + self.count_max) >> 1 if self.counts else offset

    def _xnor_offsets(self, layer):
        """What those of XNORs have in a time step more than S, or than that of odd numbers."""
        minus = ~layer.planes  # [planes, channels, fan-in]
        offset = minus.sum(axis=2, dtype=np.int64) * ((1 << layer.input_bits) - 1)
        if layer.input_bits > 1:
            first = self.fan_in[np.arange(len(self.fan_in)) % self.simd % 2 == 0]
            offset += minus[:, :, first[first >= 0]].sum(axis=2, dtype=np.int64)
        offset = (offset << np.arange(layer.weight_bits)[:, None]).sum(axis=0)
        if layer.skip and layer.skip.weights is not None:
            offset += (layer.skip.weights < 0).sum(axis=1, dtype=np.int64) << layer.skip.shift
        return offset

    @property
    def words(self):
        """Words of inputs: passes of SIMD over the fan-in."""
        if self.window:
            return prod(self.window.kernel) * self.window.chunks
        return ceil_div(self.n_in, self.simd)

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
    def in_words(self):
        """The same, as :class:`qsnn.hw.plan.serial.SerialStage` has it."""
        return self.beats

    @property
    def buffer_words(self):
        """Words that its input buffer holds: two images, or some rows of one.

        There is a copy for each of the positions that are computed at once.
        """
        window = self.window
        return window.rows * window.width * window.chunks if window else 2 * self.words

    @property
    def unit_beats(self):
        """Beats of that stream that need a credit: a row of a map, or the whole image."""
        return self.beats // self.window.height if self.window else self.beats

    @property
    def groups(self):
        """Passes of PE over the neurons."""
        return ceil_div(self.n_out, self.pe)

    @property
    def neurons(self):
        """Neurons, or channels, with the padding of the last group, which never fires."""
        return self.groups * self.pe

    @property
    def neuron_beats(self):
        """Beats of the neuron units, at all positions: words of the memory of membranes."""
        return len(self.places) * self.neurons // self.lanes

    @property
    def sequence_cycles(self):
        """Cycles in which the neuron units work through a group, at all its positions."""
        return self.pixels * self.pe // self.lanes * self.sequence

    @property
    def group_cycles(self):
        """Cycles from one group to the next; a convolution's rows are two cycles apart at least."""
        alone = self.window and self.window.positions // self.pixels * self.groups == 1
        return max(self.reads, self.sequence_cycles, 2 if alone else 1)

    @property
    def units(self):
        """Parts of an image that are begun on their own: rows of a convolution."""
        return self.window.units if self.window else 1

    @property
    def unit_cycles(self):
        """Cycles from one unit to the next where nothing else limits."""
        blocks = self.window.positions // self.pixels if self.window else 1
        return blocks * self.groups * self.group_cycles

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
            return (self.n_out - (self.groups - 1) * self.pe) * self.sequence - 1
        return self.sequence_cycles - 1

    @property
    def skip_elements(self):
        """Elements of a word of a skip."""
        return self.simd if self.skip.weights else self.pe

    @property
    def skip_words(self):
        """Words that the buffer of a skip holds."""
        window = self.skip.window
        return self.skip.rows * window.width * window.chunks

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
        memory, hold = 2, 1 + self.counts
        # of the score unit with its queue, of the neuron unit
        result = neuron_latency(self.current)
        if self.readout:
            result = 4 + LEAK_LATENCY * self.leaky
        pool = 1 if self.window and self.window.square > 1 else 0
        synapses = synapse_latency(self.simd, self.bits, self.merged)
        return self.reads - 1 + memory + synapses + hold + self.last_step + result + pool

    @property
    def written(self):
        """Cycles from a unit's first word to its last beat in the next layer's buffer."""
        return self.last_group + self.depth

"""Synapses: XNOR of inputs and binary weights, added over the words of a fan-in."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.accumulator import Accumulator
from qsnn.hw.core.tree import AdderTree
from qsnn.hw.plan.latency import synapse_latency, synapse_leaves

__all__ = ["SynapseArray"]


class SynapseArray(wiring.Component):
    """``pe`` neurons times ``simd`` synapses a cycle, accumulated over the words of a group.

    At each of ``pixels`` positions, whose neurons have the same weights and inputs of their own.

    Each synapse carries ``steps`` inputs of ``bits`` bits that meet the same weight at once: the
    spikes of all time steps. They are summed apart, one sum a step, or together
    (:py:`merge=True`, for a readout). A sum is that of ``x XNOR w``, see
    :mod:`qsnn.hw.plan.parameters`.

    Pixels are taken in pairs. A pair ``a, b`` gives ``a + b`` and ``a + (x_max - b)`` once for all
    neurons, and one LUT of four inputs a bit makes what the weights of a neuron ask for: one of
    them, or its complement. That is half of what XNORs and a further level of adders cost; a
    complement is 1 more than the sum of the XNORs, which counts as a part of the offset.

    Attributes
    ----------
    latency : int
        Cycles from the last word to :py:`sums`.
    weight_delay : int
        Cycles from :py:`x` to the word of :py:`w` that belongs to it.
    lanes : int
        Sums of a neuron.

    Members
    -------
    valid, first, scale : In(1)
        A word; the first of its group; what the sums are so far counts ``2**shift`` times.
    x : In(pixels * simd * steps * bits)
        Inputs, those of one pixel and in it of one synapse side by side, step 0 in the lowest
        bits.
    w : In(pe * simd)
        Weights, those of one neuron side by side; 1 is +1.
    initial : In(pixels * pe * lanes), if there is
        Spikes of a skip; they are wanted :py:`latency - 1` cycles after a group's first word, and
        count ``2**initial_shift`` synapses.
    sums : Out(array of unsigned, pixels * pe * lanes)
        Sums of the words since the first, valid until the next word arrives.
    counts : Out(array of unsigned, pixels * lanes), if there is a ``count_max``
        Sums of the inputs of these words, or of those since a :py:`scale`: of one bit of the
        weights.
    """

    def __init__(self, *, pe, simd, bits, steps, merge, sum_max, shift=0,
                 initial_shift=None, pixels=1, emit=False, count_max=None):
        self.pixels = pixels
        self.pe, self.simd, self.bits, self.steps = pe, simd, bits, steps
        self.merge, self.shift, self.initial_shift = merge, shift, initial_shift
        self.emit, self.counted = emit, count_max is not None
        self.lanes = 1 if merge else steps
        self.leaves, self.leaf_bits = synapse_leaves(simd, bits, steps // self.lanes)
        self.latency = synapse_latency(simd, bits, steps // self.lanes)
        self.weight_delay = 1 if bits > 1 else 0
        super().__init__({
            "valid": In(1), "first": In(1), "scale": In(1),
            **({} if initial_shift is None else {"initial": In(pixels * pe * self.lanes)}),
            "x": In(pixels * simd * steps * bits), "w": In(pe * simd),
            "sums": Out(data.ArrayLayout(Shape.cast(range(sum_max + 1)),
                                         pixels * pe * self.lanes)),
            **({"counts": Out(data.ArrayLayout(Shape.cast(range(count_max + 1)),
                                               pixels * self.lanes))} if self.counted else {}),
        })

    def _pairs(self, m, x, pixel):
        """For each pair of inputs and step the two sums that all neurons share, in registers."""
        x_max = (1 << self.bits) - 1
        pairs = []
        for index in range(-(-self.simd // 2) * self.steps):
            pair, step = divmod(index, self.steps)
            a, b = (x.word_select((2 * pair + k) * self.steps + step, self.bits)
                    for k in (0, 1))
            if 2 * pair + 1 == self.simd:
                b = Const(0, self.bits)
            plus = Signal(self.leaf_bits, name=f"plus_{pixel}_{index}", reset_less=True)
            minus = Signal(self.leaf_bits, name=f"minus_{pixel}_{index}", reset_less=True)
            m.d.sync += [plus.eq(a + b), minus.eq(a + (x_max ^ b))]
            pairs.append((plus, minus))
        return pairs

    def _leaf(self, m, x, pairs, weights, lane, index):
        """A leaf of a neuron's tree."""
        synapse, step = (divmod(index, self.steps) if self.merge else (index, lane))
        if pairs is None:
            return x[synapse * self.steps + step] ^ ~weights[synapse]
        plus, minus = pairs[synapse * self.steps + step]
        first, second = weights[2 * synapse], Const(1)
        if 2 * synapse + 1 < self.simd:
            second = weights[2 * synapse + 1]
        term = Signal(self.leaf_bits, reset_less=True)
        m.d.sync += term.eq(Mux(first == second, plus, minus) ^ ~first.replicate(self.leaf_bits))
        return term

    def _count(self, m, x, pairs, pixel, valid, first):
        """Sums of a position's inputs, as those of a neuron whose weights are all +1."""
        for lane in range(self.lanes):
            tree = m.submodules[f"count_tree_{pixel}_{lane}"] = AdderTree(self.leaves,
                                                                          self.leaf_bits)
            for index in range(self.leaves):
                synapse, step = (divmod(index, self.steps) if self.merge else (index, lane))
                leaf = x[synapse * self.steps + step]
                if pairs is not None:
                    leaf = Signal(self.leaf_bits, reset_less=True, name="counted")
                    m.d.sync += leaf.eq(pairs[synapse * self.steps + step][0])
                m.d.comb += tree.i[index].eq(leaf)
            total = self.counts[pixel * self.lanes + lane]
            accumulator = Accumulator(len(total), emit=self.emit)
            m.submodules[f"count_{pixel}_{lane}"] = accumulator
            m.d.comb += [accumulator.enable.eq(valid), accumulator.first.eq(first),
                         accumulator.term.eq(tree.o), total.eq(accumulator.total)]

    def elaborate(self, platform):
        m = Module()
        flags = Cat(self.valid, self.first, *([self.scale] if self.shift else []))
        for stage in range(self.latency - 1):
            delayed = Signal(len(flags), name=f"flags_{stage}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
        valid, first = flags[0], flags[1]

        width = len(self.x) // self.pixels
        for pe in range(self.pixels * self.pe):
            pixel, neuron = divmod(pe, self.pe)
            if neuron == 0:
                x = self.x.word_select(pixel, width)
                pairs = self._pairs(m, x, pixel) if self.bits > 1 else None
                if self.counted:
                    self._count(m, x, pairs, pixel, valid, first | flags[2])
            weights = self.w.word_select(neuron, self.simd)
            for lane in range(self.lanes):
                tree = AdderTree(self.leaves, self.leaf_bits)
                m.submodules[f"tree_{pe}_{lane}"] = tree
                for index in range(self.leaves):
                    m.d.comb += tree.i[index].eq(self._leaf(m, x, pairs, weights, lane, index))
                total = self.sums[pe * self.lanes + lane]
                starts = self.initial_shift is not None
                accumulator = Accumulator(len(total), emit=self.emit, shift=self.shift,
                                          initial=self.initial_shift + 1 if starts else 0)
                m.submodules[f"sum_{pe}_{lane}"] = accumulator
                m.d.comb += [accumulator.enable.eq(valid), accumulator.first.eq(first),
                             accumulator.term.eq(tree.o), total.eq(accumulator.total)]
                if self.shift:
                    m.d.comb += accumulator.scale.eq(flags[2])
                if starts:
                    m.d.comb += accumulator.initial.eq(
                        self.initial[pe * self.lanes + lane] << self.initial_shift)
        return m

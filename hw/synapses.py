"""Synapses: XNOR of inputs and binary weights, added over the words of a fan-in."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.tree import AdderTree, tree_latency

__all__ = ["SynapseArray"]


class SynapseArray(wiring.Component):
    """``pe`` neurons times ``simd`` synapses a cycle, accumulated over the words of a group.

    Each synapse carries ``steps`` inputs of ``bits`` bits that meet the same weight at once: the
    spikes of all time steps. They are summed apart, one sum a step, or together
    (:py:`merge=True`, for a readout). A sum is that of ``x XNOR w``, see :mod:`hw.parameters`.

    Attributes
    ----------
    latency : int
        Cycles from the last word to :py:`sums`.
    lanes : int
        Sums of a neuron.

    Members
    -------
    valid, first : In(1)
        A word; the first of its group.
    x : In(simd * steps * bits)
        Inputs, those of one synapse side by side.
    w : In(pe * simd)
        Weights, those of one neuron side by side; 1 is +1.
    sums : Out(array of unsigned, pe * lanes)
        Sums of the words since the first, valid until the next word arrives.
    """

    def __init__(self, *, pe, simd, bits, steps, merge, sum_max):
        self.pe, self.simd, self.bits, self.steps = pe, simd, bits, steps
        self.merge = merge
        self.lanes = 1 if merge else steps
        self.leaves = simd * steps // self.lanes
        self.tree_latency = tree_latency(self.leaves)
        self.latency = self.tree_latency + 1
        super().__init__({
            "valid": In(1), "first": In(1),
            "x": In(simd * steps * bits), "w": In(pe * simd),
            "sums": Out(data.ArrayLayout(Shape.cast(range(sum_max + 1)), pe * self.lanes)),
        })

    def _inputs(self, lane):
        """Pairs (input, synapse) of one lane's leaves."""
        steps = range(self.steps) if self.merge else [lane]
        return [(self.x.word_select(synapse * self.steps + step, self.bits), synapse)
                for synapse in range(self.simd) for step in steps]

    def elaborate(self, platform):
        m = Module()
        valid, first = self.valid, self.first
        for stage in range(self.tree_latency):
            flags = Signal(2, name=f"flags_{stage}")
            m.d.sync += flags.eq(Cat(valid, first))
            valid, first = flags[0], flags[1]

        for pe in range(self.pe):
            weights = self.w.word_select(pe, self.simd)
            for lane in range(self.lanes):
                tree = AdderTree(self.leaves, self.bits)
                m.submodules[f"tree_{pe}_{lane}"] = tree
                for index, (x, synapse) in enumerate(self._inputs(lane)):
                    m.d.comb += tree.i[index].eq(x ^ ~weights[synapse].replicate(self.bits))
                total = self.sums[pe * self.lanes + lane]
                with m.If(valid):
                    m.d.sync += total.eq(Mux(first, 0, total) + tree.o)
        return m

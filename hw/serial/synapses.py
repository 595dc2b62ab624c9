"""Synapses of a stream's layer: spikes that meet a weight of +1."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.accumulator import Accumulator
from qsnn.hw.core.tree import AdderTree
from qsnn.hw.plan.latency import tree_latency

__all__ = ["ActiveSynapses", "delayed"]


def delayed(m, value, cycles, name):
    """``value`` so many cycles later."""
    for index in range(cycles):
        after = Signal.like(value, name=f"{name}_{index + 1}")
        m.d.sync += after.eq(value)
        value = after
    return value


class ActiveSynapses(wiring.Component):
    """``pe`` neurons times ``simd`` synapses a cycle: spikes that meet a weight of +1, and spikes.

    Over the words of a group. The sum of synapses is twice the one less the other, whatever words
    without a spike are left out.

    Members
    -------
    valid, first : In(1)
        A word, and whether it is the first of its group.
    x, w : In
        Spikes; weights, those of one neuron side by side.
    met : Out(array of unsigned, pe)
    spikes : Out
    """

    def __init__(self, *, pe, simd, fan_in, emit):
        self.pe, self.simd, self.emit = pe, simd, emit
        self.latency = tree_latency(simd) + 1
        self.count = Shape.cast(range(fan_in + 1))
        super().__init__({
            "valid": In(1), "first": In(1), "x": In(simd), "w": In(pe * simd),
            "met": Out(data.ArrayLayout(self.count, pe)), "spikes": Out(self.count),
        })

    def elaborate(self, platform):
        m = Module()
        valid, first = delayed(m, Cat(self.valid, self.first), self.latency - 1, "flags")
        for index in range(self.pe + 1):
            name = f"{index}" if index < self.pe else "spikes"
            bits = self.x
            if index < self.pe:
                bits = bits & self.w.word_select(index, self.simd)
            tree = m.submodules[f"tree_{name}"] = AdderTree(self.simd)
            total = m.submodules[f"sum_{name}"] = Accumulator(self.count.width, emit=self.emit)
            m.d.comb += [Cat(tree.i[lane] for lane in range(self.simd)).eq(bits),
                         total.enable.eq(valid), total.first.eq(first), total.term.eq(tree.o)]
            target = self.met[index] if index < self.pe else self.spikes
            m.d.comb += target.eq(total.total)
        return m

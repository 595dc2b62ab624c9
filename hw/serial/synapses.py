"""Synapses of a stream's layer: spikes that meet a weight of +1."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.accumulator import Accumulator
from qsnn.hw.core.tree import AdderTree
from qsnn.hw.plan.latency import tree_latency

__all__ = ["ActiveSynapses", "delayed", "placed"]


def delayed(m, value, cycles, name):
    """``value`` so many cycles later."""
    for index in range(cycles):
        after = Signal.like(value, name=f"{name}_{index + 1}")
        m.d.sync += after.eq(value)
        value = after
    return value


def placed(value, place):
    """``value`` times a power of two."""
    return value << place if place else value


class ActiveSynapses(wiring.Component):
    """``pe`` neurons times ``simd`` synapses a cycle: spikes that meet a weight of +1, and spikes.

    Over the words of a group. The sum of synapses is twice the one less the other, whatever words
    without a spike are left out. With ``planes`` bits a weight the words come once for each, those
    of the highest bit first, and both counts are doubled behind each; with ``spikes_max`` that of
    spikes begins anew. Inputs of several bits count as many spikes as they are.

    Members
    -------
    valid, first : In(1)
        A word, and whether it is the first of its group.
    scale : In(1), if there are planes
        It is the first of another bit of the weights.
    x, w : In
        Spikes; weights, those of one neuron side by side.
    met : Out(array of unsigned, pe)
    spikes : Out
    """

    def __init__(self, *, pe, simd, bits, largest, planes, emit, spikes_max=None):
        self.pe, self.simd, self.bits, self.planes, self.emit = pe, simd, bits, planes, emit
        self.anew = spikes_max is not None
        self.latency = tree_latency(simd, bits) + 1
        self.count = Shape.cast(range(largest + 1))
        super().__init__({
            "valid": In(1), "first": In(1), **({"scale": In(1)} if planes > 1 else {}),
            "x": In(simd * bits), "w": In(pe * simd),
            "met": Out(data.ArrayLayout(self.count, pe)),
            "spikes": Out(Shape.cast(range(spikes_max + 1)) if self.anew else self.count),
        })

    def elaborate(self, platform):
        m = Module()
        several = self.planes > 1
        valid, first, *scale = delayed(
            m, Cat(self.valid, self.first, *([self.scale] if several else [])),
            self.latency - 1, "flags")
        for index in range(self.pe + 1):
            name = f"{index}" if index < self.pe else "spikes"
            bits = self.x
            if index < self.pe:
                weights = self.w.word_select(index, self.simd)
                if self.bits > 1:
                    weights = Cat(weight.replicate(self.bits) for weight in weights)
                bits = bits & weights
            tree = m.submodules[f"tree_{name}"] = AdderTree(self.simd, self.bits)
            target = self.met[index] if index < self.pe else self.spikes
            doubled = several and not (self.anew and index == self.pe)
            total = m.submodules[f"sum_{name}"] = Accumulator(len(target), emit=self.emit,
                                                              shift=int(doubled))
            m.d.comb += [Cat(tree.i[lane] for lane in range(self.simd)).eq(bits),
                         total.enable.eq(valid), total.first.eq(first), total.term.eq(tree.o)]
            if doubled:
                m.d.comb += total.scale.eq(*scale)
            elif several:
                m.d.comb += total.first.eq(first | scale[0])
            m.d.comb += target.eq(total.total)
        return m

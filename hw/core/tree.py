"""Pipelined adder tree: a popcount where the leaves are bits."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.plan import latency

__all__ = ["AdderTree"]


class AdderTree(wiring.Component):
    """Sum of ``n`` unsigned numbers, a new one every cycle.

    Parameters
    ----------
    n : int
        Number of leaves.
    bits : int
        Width of a leaf.

    Attributes
    ----------
    latency : int
        Cycles from :py:`i` to :py:`o`; 0 for a single leaf.

    Members
    -------
    i : :py:`In(data.ArrayLayout(bits, n))`
    o : :py:`Out(range(n * (2**bits - 1) + 1))`
    """

    def __init__(self, n, bits=1):
        if n < 1 or bits < 1:
            raise ValueError(f"An adder tree needs leaves of at least 1 bit, not {n} of {bits}")
        self.n = n
        self.leaf_max = (1 << bits) - 1
        self.bits = bits
        self.latency = latency.tree_latency(n, bits)
        super().__init__({
            "i": In(data.ArrayLayout(bits, n)),
            "o": Out(range(n * self.leaf_max + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        terms = [(self.i[index], self.leaf_max) for index in range(self.n)]
        level = 0
        while len(terms) > 1:
            level += 1
            registered = latency.registered(level, self.bits, ceil_log2(self.n))
            following = []
            for index in range(0, len(terms), 2):
                pair = terms[index:index + 2]
                largest = sum(high for _, high in pair)
                total = Signal(range(largest + 1), name=f"sum_{level}_{index // 2}",
                               reset_less=True)
                domain = m.d.sync if registered else m.d.comb
                domain += total.eq(sum(value for value, _ in pair))
                following.append((total, largest))
            terms = following
        m.d.comb += self.o.eq(terms[0][0])
        return m

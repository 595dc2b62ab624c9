"""Accumulator that starts anew without a gap."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Accumulator"]


class Accumulator(wiring.Component):
    """``total <= first ? term : total + term`` where :py:`enable`.

    Parameters
    ----------
    width : int
        Bits of :py:`term` and :py:`total`.
    emit : bool
        Leave it to a module of the emitted Verilog, which uses the carry cells of a family.
    """

    def __init__(self, width, *, emit=False):
        self.emit = emit
        super().__init__({"enable": In(1), "first": In(1), "term": In(width), "total": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if self.emit:
            m.submodules.accumulator = Instance(
                "qsnn_accumulator", p_WIDTH=len(self.term), i_clk=ClockSignal(),
                i_enable=self.enable, i_first=self.first, i_term=self.term, o_total=self.total)
            return m
        with m.If(self.enable):
            m.d.sync += self.total.eq(Mux(self.first, 0, self.total) + self.term)
        return m

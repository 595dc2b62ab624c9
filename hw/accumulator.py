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
    planes : bool
        There is a member :py:`double`: the total is doubled before the term is added.
    """

    def __init__(self, width, *, emit=False, planes=False):
        self.emit, self.planes = emit, planes
        super().__init__({"enable": In(1), "first": In(1), "term": In(width), "total": Out(width),
                          **({"double": In(1)} if planes else {})})

    def elaborate(self, platform):
        m = Module()
        if self.planes:
            before = Mux(self.first, 0, Mux(self.double, self.total << 1, self.total))
            with m.If(self.enable):
                m.d.sync += self.total.eq(before + self.term)
            return m
        if self.emit:
            m.submodules.accumulator = Instance(
                "qsnn_accumulator", p_WIDTH=len(self.term), i_clk=ClockSignal(),
                i_enable=self.enable, i_first=self.first, i_term=self.term, o_total=self.total)
            return m
        with m.If(self.enable):
            m.d.sync += self.total.eq(Mux(self.first, 0, self.total) + self.term)
        return m

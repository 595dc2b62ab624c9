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
    shift : int
        If not 0, there is a member :py:`scale`: the total is shifted by so much to the left before
        the term is added.
    initial : int
        If not 0, there is a member :py:`initial` of so many bits, with which a sum starts.
    """

    def __init__(self, width, *, emit=False, shift=0, initial=0):
        self.emit, self.shift, self.starts = emit, shift, initial > 0
        super().__init__({"enable": In(1), "first": In(1), "term": In(width), "total": Out(width),
                          **({"scale": In(1)} if shift else {}),
                          **({"initial": In(initial)} if initial else {})})

    def elaborate(self, platform):
        m = Module()
        if self.shift or self.starts:
            before = self.total
            if self.shift:
                before = Mux(self.scale, before << self.shift, before)
            before = Mux(self.first, self.initial if self.starts else 0, before)
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

"""Top of a board: clock, reset, pins."""

from functools import reduce

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from qsnn.hw.board.boards import BoardError
from qsnn.hw.board.pll import Pll, pll_settings

__all__ = ["BoardTop"]

# iCE40 block RAMs read as zero for the first microseconds after configuration: this is longer,
# up to 170 MHz
RESET_CYCLES = 511


class BoardTop(wiring.Component):
    """A core on a board, with nothing but wires between them.

    The core starts :py:`RESET_CYCLES` cycles after its clock is good, and again if the PLL loses
    it.

    Parameters
    ----------
    board : :class:`qsnn.hw.board.boards.Board`
    core : component
        With a member ``busy: Out(1)``, in domain ``sync``. Its other members are pins too, and so
        are the ports of its ``inouts``, if it has those. If it has a ``memory_hz``, there is a
        domain ``memory`` with this clock. If it has a ``phase``, there is a domain ``late`` whose
        clock is so many degrees behind that of ``memory``, or of ``sync``.
    clock_hz : int
        Clock of the core to ask the PLL for; :func:`qsnn.hw.board.pll.pll_settings` says what
        comes.

    Members
    -------
    clk : In(1)
        The board's oscillator.
    led : Out(1)
        Lit while the core is busy.

    And the members of the core but :py:`busy`: rx and tx, where it has a serial port; cs, sck, mosi
    and miso, where it has SPI.
    """

    def __init__(self, board, core, clock_hz):
        self.board = board
        self.core = core
        self.settings = pll_settings(board, clock_hz, getattr(core, "memory_hz", None))
        pins = {name: member for name, member in core.signature.members.items() if name != "busy"}
        self.inouts = getattr(core, "inouts", {})
        self.phase = getattr(core, "phase", None)
        if self.phase is not None and self.settings is None:
            raise BoardError(f"{clock_hz / 1e6:g} MHz come from no PLL, which {core.name} needs")
        super().__init__({"clk": In(1), "led": Out(1), **pins})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.domains.start = start = ClockDomain(reset_less=True)  # the same clock, before reset
        lock = Signal()
        if self.settings is None:
            m.d.comb += [sync.clk.eq(self.clk), start.clk.eq(self.clk), lock.eq(1)]
        else:
            phase = {} if self.phase is None else {"phase": self.phase}
            m.submodules.pll = pll = Pll(self.board, self.settings, **phase)
            if phase:
                m.domains.late = late = ClockDomain(reset_less=True)
                m.d.comb += late.clk.eq(pll.late)
            locked = Signal()
            m.d.comb += [pll.i.eq(self.clk), sync.clk.eq(pll.o), start.clk.eq(pll.o),
                         locked.eq(pll.lock)]
            m.submodules.lock = FFSynchronizer(locked, lock, o_domain="start")

            if self.settings.second:
                m.domains.memory = memory = ClockDomain()
                m.d.comb += memory.clk.eq(pll.second)
                m.submodules.memory_rst = FFSynchronizer(sync.rst, memory.rst, o_domain="memory",
                                                         init=1)

        waited = Signal(range(RESET_CYCLES + 1))
        running = Signal()
        with m.If(~lock):
            m.d.start += [waited.eq(0), running.eq(0)]
        with m.Elif(waited == RESET_CYCLES):
            m.d.start += running.eq(1)
        with m.Else():
            m.d.start += waited.eq(waited + 1)
        m.d.comb += sync.rst.eq(~running)

        m.submodules.core = core = self.core
        m.d.comb += self.led.eq(core.busy if self.board.led_on else ~core.busy)
        for path, member, inner in core.signature.flatten(core):
            if path != ("busy",):
                outer = reduce(getattr, path, self)
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        return m

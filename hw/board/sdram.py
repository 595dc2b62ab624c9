"""The pads of an SDRAM: data that go both ways, and a clock that the chip sees late."""

from amaranth import *
from amaranth.hdl import IOPort
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.board.boards import SDRAM, BoardError

__all__ = ["SdramPads"]


class SdramPads(wiring.Component):
    """A core with an SDRAM, at the pins of an ECP5.

    All registers of the chip's signals are those of its controller, which asks for places in the
    pads. The chip's clock comes from a register of both edges, ``phase`` degrees behind that of the
    controller. Signals that the board itself ties to a level are left out.

    Parameters
    ----------
    board : :class:`qsnn.hw.board.boards.Board`
    core : component
        With a member ``memory: Out(qsnn.hw.memory.sdram.pins(chip))``, a member ``busy``, and
        ``memory_hz``, the clock of the domain ``memory``, or None where it has no such domain.
    phase : int
        Degrees.

    Attributes
    ----------
    inouts : dict
        ``sdram_dq``, the port of the data.

    Members
    -------
    sdram_clk, sdram_a, ... : Out
        The others that the board has.

    And the members of the core but :py:`memory`.
    """

    def __init__(self, board, core, phase):
        if board.family != "ecp5" or not board.sdram:
            raise BoardError(f"there is no SDRAM at an ECP5 on the {board.title}")
        self.board, self.core, self.phase, self.name = board, core, phase, "an SDRAM"
        self.memory_hz = core.memory_hz
        pins = core.signature.members["memory"].signature.members
        for name, sites in board.sdram.items():
            width = {"clk": 1, "dq": len(core.memory.dq_o)}.get(name) or len(
                getattr(core.memory, name))
            if width != len(sites):
                raise BoardError(f"{name} of the SDRAM on the {board.title} has {len(sites)} pins, "
                                 f"not the {width} of this chip")
        self.given = [name for name in pins if name in board.sdram]
        self.inouts = {f"{SDRAM}dq": IOPort(len(core.memory.dq_o), name=f"{SDRAM}dq")}
        self.kept = {name: member for name, member in core.signature.members.items()
                     if name != "memory"}
        super().__init__({**self.kept, f"{SDRAM}clk": Out(1),
                          **{SDRAM + name: pins[name] for name in self.given}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        memory = core.memory
        for name, member in self.kept.items():
            inner, outer = getattr(core, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        m.d.comb += [getattr(self, SDRAM + name).eq(getattr(memory, name)) for name in self.given]
        m.submodules.clock = Instance(
            "ODDRX1F", i_SCLK=ClockSignal("late"), i_RST=Const(0), i_D0=Const(1), i_D1=Const(0),
            o_Q=getattr(self, f"{SDRAM}clk"))
        port = self.inouts[f"{SDRAM}dq"]
        for bit in range(len(port)):
            m.submodules[f"dq_{bit}"] = Instance(
                "BB", io_B=port[bit], i_I=memory.dq_o[bit], i_T=~memory.dq_oe,
                o_O=memory.dq_i[bit])
        return m

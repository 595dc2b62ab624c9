"""Phase-locked loops: settings of the vendors' primitives, computed as their tools do."""

from dataclasses import dataclass, replace
from math import ceil

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.board.boards import BoardError

__all__ = ["Pll", "PllSettings", "pll_settings"]

MHZ = 1e6


@dataclass(frozen=True, order=True)
class PllSettings:
    """Dividers of a PLL: ``hz = clock_hz / reference * feedback [/ output]``.

    In SB_PLL40, ``hz = vco_hz / output``; the others take the feedback behind the output divider.
    A second clock has ``vco_hz / second``; 0: there is none.
    """

    reference: int
    feedback: int
    output: int
    vco_hz: float
    hz: float
    second: int = 0

    @property
    def second_hz(self):
        """Frequency of the second clock."""
        return self.vco_hz / self.second


def pll_settings(board, hz, second_hz=None):
    """Settings whose clock is nearest to ``hz``; ``None`` where that is the oscillator.

    second_hz: of a second clock, which comes as near to it as the first one allows, and never
    above it. Raises :class:`qsnn.hw.board.boards.BoardError` if the PLL cannot come within 3 %.
    """
    if second_hz is not None:
        return _pair(board, hz, second_hz)
    if hz == board.clock_hz:
        return None
    best = min(SEARCHES[board.family](board.clock_hz, hz), default=None)
    if best is None or best[0] > 0.03 * hz:
        raise BoardError(f"the PLL of the {board.title} cannot make {hz / MHZ:g} MHz")
    return best[-1]


def _pair(board, hz, second_hz):
    if board.family != "ecp5":
        raise BoardError(f"the PLL of the {board.title} has no second clock here")
    pairs = ((error, second_hz - settings.vco_hz / second, rank, replace(settings, second=second))
             for error, *rank, settings in SEARCHES["ecp5"](board.clock_hz, hz)
             for second in [ceil(settings.vco_hz / second_hz)])
    best = min(pairs, default=None)
    if best is None or best[0] > 0.03 * hz or best[1] > 0.03 * second_hz:
        raise BoardError(f"the PLL of the {board.title} cannot make {hz / MHZ:g} and "
                         f"{second_hz / MHZ:g} MHz")
    return best[-1]


def _ice40(clock_hz, hz):
    """Settings of SB_PLL40 with simple feedback, each after its (error, rank)."""
    for reference in range(1, 17):
        if not 10 * MHZ <= clock_hz / reference <= 133 * MHZ:
            continue
        for feedback in range(1, 129):
            vco_hz = clock_hz / reference * feedback
            if 533 * MHZ <= vco_hz <= 1066 * MHZ:
                for log2 in range(1, 7):
                    actual = vco_hz / 2 ** log2
                    if actual <= 275 * MHZ:
                        yield (abs(actual - hz), reference, feedback, log2,
                               PllSettings(reference, feedback, 2 ** log2, vco_hz, actual))


def _ecp5(clock_hz, hz):
    """Settings of EHXPLLL with feedback from CLKOP; the VCO near the middle of its range."""
    for reference in range(1, 129):
        if not 3.125 * MHZ <= clock_hz / reference <= 400 * MHZ:
            continue
        for feedback in range(1, 81):
            actual = clock_hz / reference * feedback
            if not 10 * MHZ <= actual <= 400 * MHZ:
                continue
            for output in range(1, 129):
                vco_hz = actual * output
                if 400 * MHZ <= vco_hz <= 800 * MHZ:
                    yield (abs(actual - hz), abs(vco_hz - 600 * MHZ), reference, feedback,
                           PllSettings(reference, feedback, output, vco_hz, actual))


def _gowin(clock_hz, hz):
    """Settings of the rPLL of a GW1NR-9 C6/I5."""
    for reference in range(1, 65):
        if not 3 * MHZ <= clock_hz / reference <= 400 * MHZ:
            continue
        for feedback in range(1, 65):
            actual = clock_hz / reference * feedback
            for output in (2, 4, 8, *range(16, 129, 16)):
                if (3.125 * MHZ < actual < 600 * MHZ
                        and 400 * MHZ < actual * output < 1200 * MHZ):
                    yield (abs(actual - hz), reference, feedback, output,
                           PllSettings(reference, feedback, output, actual * output, actual))


SEARCHES = {"ice40": _ice40, "ecp5": _ecp5, "gowin": _gowin}


class Pll(wiring.Component):
    """The board's PLL.

    Members
    -------
    i : In(1)
        The oscillator.
    o : Out(1)
        Clock of ``settings.hz``.
    lock : Out(1)
        The clock is good.
    second : Out(1), if the settings have one
        The second clock.
    late : Out(1), if there is a phase
        The second clock, or the only one, so many degrees later.
    """

    def __init__(self, board, settings, phase=None):
        if phase is not None and board.family != "ecp5":
            raise BoardError(f"the PLL of the {board.title} has no second clock here")
        self.board, self.settings, self.phase = board, settings, phase
        super().__init__({"i": In(1), "o": Out(1), "lock": Out(1),
                          **({"second": Out(1)} if settings and settings.second else {}),
                          **({} if phase is None else {"late": Out(1)})})

    def elaborate(self, platform):
        m = Module()
        instance = {"ice40": self._ice40, "ecp5": self._ecp5, "gowin": self._gowin}
        m.submodules.pll = instance[self.board.family]()
        return m

    def _ice40(self):
        s = self.settings
        # the loop filter goes with the frequency that the phases are compared at
        limits = [17 * MHZ, 26 * MHZ, 44 * MHZ, 66 * MHZ, 101 * MHZ]
        compared_hz = self.board.clock_hz / s.reference
        pad = self.board.pll == "SB_PLL40_PAD"
        return Instance(
            self.board.pll, p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(s.reference - 1, 4), p_DIVF=Const(s.feedback - 1, 7),
            p_DIVQ=Const(s.output.bit_length() - 1, 3),
            p_FILTER_RANGE=Const(1 + sum(compared_hz >= limit for limit in limits), 3),
            i_RESETB=Const(1), i_BYPASS=Const(0), o_LOCK=self.lock,
            **{"i_PACKAGEPIN" if pad else "i_REFERENCECLK": self.i},
            **{"o_PLLOUTGLOBAL": self.o})

    def _ecp5(self):
        s, others, outputs = self.settings, {}, ["CLKOS", "CLKOS2"]
        clocks = [(self.second, s.second, 0)] if s.second else []
        if self.phase is not None:
            divider = s.second or s.output
            eighths = round(self.phase / 360 * divider * 8)  # of a period of the VCO
            clocks.append((self.late, divider, eighths))
        for name, (clock, divider, eighths) in zip(outputs, clocks, strict=False):
            others |= {f"p_{name}_ENABLE": "ENABLED", f"p_{name}_DIV": divider,
                       f"p_{name}_CPHASE": divider // 2 + eighths // 8,
                       f"p_{name}_FPHASE": eighths % 8, f"o_{name}": clock}
        return Instance(
            "EHXPLLL",
            # charge pump and loop filter: the vendor's constants for this range
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED", p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=s.reference, p_CLKFB_DIV=s.feedback, p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=s.output,
            p_CLKOP_CPHASE=s.output // 2, p_CLKOP_FPHASE=0,
            i_CLKI=self.i, i_CLKFB=self.o, o_CLKOP=self.o, o_LOCK=self.lock,
            i_RST=Const(0), i_STDBY=Const(0), i_PHASESEL0=Const(0), i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1), i_PHASESTEP=Const(1), i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0), **others)

    def _gowin(self):
        s = self.settings
        return Instance(
            "rPLL", p_FCLKIN=f"{self.board.clock_hz / MHZ:g}", p_DEVICE="GW1NR-9C",
            p_IDIV_SEL=s.reference - 1, p_FBDIV_SEL=s.feedback - 1, p_ODIV_SEL=s.output,
            i_CLKIN=self.i, o_CLKOUT=self.o, o_LOCK=self.lock,
            i_RESET=Const(0), i_RESET_P=Const(0), i_CLKFB=Const(0),
            i_FBDSEL=Const(0, 6), i_IDSEL=Const(0, 6), i_ODSEL=Const(0, 6),
            i_PSDA=Const(0, 4), i_DUTYDA=Const(0, 4), i_FDLY=Const(0, 4))

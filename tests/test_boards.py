# amaranth: UnusedElaboratable=no
"""Boards against amaranth-boards, PLLs against the vendors' calculators, reset."""

import re
import shutil
import subprocess
import sysconfig

import pytest
from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from qsnn.hw.board.boards import BOARDS, BoardError, find_board
from qsnn.hw.board.pll import Pll, pll_settings
from qsnn.hw.board.top import RESET_CYCLES, BoardTop
from qsnn.hw.emit.verilog import to_verilog

# board -> module and class of amaranth-boards, names of its LED
REFERENCES = {
    "icebreaker": ("icebreaker", "ICEBreakerPlatform", ("led_g", 0)),
    "ice40hx8k": ("ice40_hx8k_b_evn", "ICE40HX8KBEVNPlatform", ("led", 0)),
    "ulx3s-85f": ("ulx3s", "ULX3S_85F_Platform", ("led", 0)),
    "tang-nano-9k": ("tang_nano_9k", "TangNano9kPlatform", ("led", 0)),
}
SPI = ["cs", "mosi", "miso", "sck"]


def test_unknown_board():
    with pytest.raises(BoardError, match=r"^no board 'x': there are icebreaker, ice40hx8k, "):
        find_board("x")


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_constraints(board):
    spi = ["cs", "miso", "mosi", "sck"] if board.name == "icebreaker" else []
    assert sorted(board.pins) == sorted(["clk", "led", "rx", "tx", *spi])
    pins = [*board.pins.values(), *(pin for pins in board.sdram.values() for pin in pins)]
    assert len(set(pins)) == len(pins)
    text = board.constraints.read_text()
    assert text.isascii() and text.endswith("\n")
    mhz = f"{board.clock_hz / 1e6:g}"
    assert f"{mhz} MHz oscillator" in text
    clock = {"ice40": f"set_frequency clk {mhz}\n",
             "ecp5": f'FREQUENCY PORT "clk" {mhz} MHZ;\n', "gowin": ""}[board.family]
    assert clock in text
    assert f"on at {board.led_on}\n" in text


@pytest.mark.parametrize("name", REFERENCES)
def test_amaranth_boards(name):
    module, kind, led = REFERENCES[name]
    boards = pytest.importorskip(f"amaranth_boards.{module}")
    board, theirs = BOARDS[name], getattr(boards, kind)
    resources = {(resource.name, resource.number): resource for resource in theirs.resources}

    clock = resources[theirs.default_clk, 0]
    uart = resources["uart", 0]
    lines = {line.name: line.ios[0] for line in uart.ios if hasattr(line, "ios")}
    light = resources[led].ios[0]
    pins = {name: pin for name, pin in board.pins.items() if name not in SPI}
    assert pins == {"clk": clock.ios[0].names[0], "led": light.names[0],
                    "rx": lines["rx"].names[0], "tx": lines["tx"].names[0]}
    assert (lines["rx"].dir, lines["tx"].dir) == ("i", "o")
    assert board.clock_hz == round(clock.clock.frequency)
    assert board.led_on == (0 if light.invert else 1)


def test_sdram_of_amaranth_boards():
    boards = pytest.importorskip("amaranth_boards.ulx3s")
    theirs = next(resource for resource in boards.ULX3S_85F_Platform.resources
                  if resource.name == "sdram")
    names = {"clk_en": "cke", "cs": "cs_n", "we": "we_n", "ras": "ras_n", "cas": "cas_n"}
    assert BOARDS["ulx3s-85f"].sdram == {
        names.get(line.name, line.name): line.ios[0].names for line in theirs.ios}


def test_sdram_of_colorlight():
    """CKE, CS and DQM have no pins; numbers of the others, which fit the chip."""
    sdram = BOARDS["colorlight-i5"].sdram
    assert {name: len(pins) for name, pins in sdram.items()} == {
        "clk": 1, "ras_n": 1, "cas_n": 1, "we_n": 1, "ba": 2, "a": 11, "dq": 32}
    assert not BOARDS["icebreaker"].sdram


def test_spi_is_at_pmod_1a():
    """In the order of a Pmod of type 2."""
    boards = pytest.importorskip("amaranth_boards.icebreaker")
    pmod = boards.ICEBreakerPlatform.connectors[0].mapping
    assert [BOARDS["icebreaker"].pins[name] for name in SPI] == [pmod[str(k)] for k in range(1, 5)]


def tool(name, *arguments):
    path = shutil.which(name, path=sysconfig.get_path("scripts"))
    if path is None:
        pytest.skip(f"{name} is not installed: make boards")
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True,
                          timeout=300).stdout


@pytest.mark.parametrize("mhz", [16, 24, 39.75, 40, 48, 93, 133])
def test_icepll(mhz):
    settings = pll_settings(BOARDS["ice40hx8k"], mhz * 1e6)
    said = tool("yowasp-icepll", "-i", "12", "-o", str(mhz))
    their = {name: int(value) for name, value in re.findall(r"(DIV[RFQ]): +(\d+)", said)}
    assert their == {"DIVR": settings.reference - 1, "DIVF": settings.feedback - 1,
                     "DIVQ": settings.output.bit_length() - 1}
    assert f"{settings.hz / 1e6:.3f} MHz (achieved)" in said
    assert f"{settings.vco_hz / 1e6:.3f} MHz" in said


@pytest.mark.parametrize("mhz", [10, 48, 50, 65, 77.7, 100, 133, 400])
def test_ecppll(mhz):
    settings = pll_settings(BOARDS["ulx3s-85f"], mhz * 1e6)
    said = tool("yowasp-ecppll", "-i", "25", "-o", str(mhz))
    their = [int(re.search(rf"{name}: (\d+)", said)[1])
             for name in ("Refclk divisor", "Feedback divisor", "clkout0 divisor")]
    assert their == [settings.reference, settings.feedback, settings.output]


@pytest.mark.parametrize("mhz, degrees", [(75, 90), (60, 90), (60, 225), (100, 180), (50, 0)])
def test_ecppll_phase(tmp_path, monkeypatch, mhz, degrees):
    """How far the second clock is behind the first, in periods of the VCO and eighths."""
    monkeypatch.chdir(tmp_path)
    tool("yowasp-ecppll", "-i", "25", "-o", str(mhz), "--clkout1", str(mhz), "--phase1",
         str(degrees), "-f", "pll.v")
    text = (tmp_path / "pll.v").read_text()
    board = BOARDS["ulx3s-85f"]
    pll = to_verilog(Pll(board, pll_settings(board, mhz * 1e6), phase=degrees), "pll")

    def behind(text, number):
        found = {name: int(re.search(rf"{name}\({number}\)", text)[1])
                 for name in ("CLKOP_CPHASE", "CLKOS_CPHASE", "CLKOS_FPHASE", "CLKOS_DIV")}
        return (found["CLKOS_CPHASE"] - found["CLKOP_CPHASE"], found["CLKOS_FPHASE"],
                found["CLKOS_DIV"])
    assert behind(pll, r"32'd(\d+)") == behind(text, r"(\d+)")


@pytest.mark.parametrize("mhz, second, vco", [(75, 125, 750), (60, 120, 600), (50, 133, 650)])
def test_two_clocks(mhz, second, vco):
    """The second one never above what a chip takes; its phase counts in periods of its own."""
    board = BOARDS["ulx3s-85f"]
    settings = pll_settings(board, mhz * 1e6, second * 1e6)
    assert (settings.hz, settings.vco_hz) == (mhz * 1e6, vco * 1e6)
    assert settings.second_hz == vco * 1e6 / settings.second
    assert 0.97 * second * 1e6 < settings.second_hz <= second * 1e6
    text = to_verilog(Pll(board, settings, phase=180), "pll")
    found = {name: int(number) for name, number in re.findall(r"\.(CLKO\w+)\(32'd(\d+)\)", text)}
    assert (found["CLKOP_DIV"], found["CLKOS_DIV"], found["CLKOS2_DIV"]) == (
        settings.output, settings.second, settings.second)
    eighths = 8 * found["CLKOS2_CPHASE"] + found["CLKOS2_FPHASE"] - 8 * found["CLKOS_CPHASE"]
    assert eighths == 4 * settings.second
    with pytest.raises(BoardError, match="cannot make 400 and 320 MHz"):
        pll_settings(board, 400e6, 320e6)


def test_phases_of_other_families():
    with pytest.raises(BoardError, match="^the PLL of the iCEBreaker 1.0 has no second clock here"):
        pll_settings(BOARDS["icebreaker"], 24e6, 48e6)
    with pytest.raises(BoardError, match="^the PLL of the iCEBreaker 1.0 has no second clock here"):
        Pll(BOARDS["icebreaker"], None, phase=90)


@pytest.mark.parametrize("mhz", [24, 30, 50, 54, 81, 351])
def test_gowin_pll(mhz):
    settings = pll_settings(BOARDS["tang-nano-9k"], mhz * 1e6)
    said = tool("gowin_pll", "-i", "27", "-o", str(mhz))
    their = [int(re.search(rf"{name}\((\d+)\)", said)[1])
             for name in ("IDIV_SEL", "FBDIV_SEL", "ODIV_SEL")]
    assert their == [settings.reference - 1, settings.feedback - 1, settings.output]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_pll_limits(board):
    assert pll_settings(board, board.clock_hz) is None
    for hz in (1e6, 900e6):
        with pytest.raises(BoardError, match=rf"cannot make {hz / 1e6:g} MHz$"):
            pll_settings(board, hz)


class Probe(wiring.Component):
    """A core that shows its reset."""

    rx: In(1)
    tx: Out(1)
    busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.tx.eq(self.rx), self.busy.eq(ResetSignal())]
        return m


@pytest.mark.parametrize("name", ["ice40hx8k", "icebreaker"])  # LED on at 1, on at 0
def test_reset_and_wires(name):
    board = BOARDS[name]
    top = BoardTop(board, Probe(), board.clock_hz)  # no PLL: its clock is the pin

    async def testbench(ctx):
        ctx.set(top.clk, 0)
        for cycle in range(RESET_CYCLES + 5):
            assert ctx.get(top.led) == ((cycle <= RESET_CYCLES) == board.led_on), cycle
            ctx.set(top.clk, 1)
            await ctx.delay(1e-6)
            ctx.set(top.clk, 0)
            await ctx.delay(1e-6)
        for level in (1, 0):
            ctx.set(top.rx, level)
            await ctx.delay(1e-6)
            assert ctx.get(top.tx) == level

    simulator = Simulator(top)
    simulator.add_testbench(testbench)
    simulator.run()


class Lock(wiring.Component):
    """In the place of a PLL: passes the clock on, with a lock that the test sets."""

    i: In(1)
    o: Out(1)
    lock: Out(1)

    def elaborate(self, platform):
        m = Module()
        self.level = Signal()
        m.d.comb += [self.o.eq(self.i), self.lock.eq(self.level)]
        return m


def test_reset_until_the_pll_has_locked(monkeypatch):
    pll = Lock()
    monkeypatch.setattr("qsnn.hw.board.top.Pll", lambda board, settings: pll)
    top = BoardTop(BOARDS["ice40hx8k"], Probe(), 48_000_000)
    seen = []

    async def testbench(ctx):
        async def run(cycles):
            for _ in range(cycles):
                seen.append(ctx.get(top.led))
                for level in (1, 0):
                    ctx.set(top.clk, level)
                    await ctx.delay(1e-8)

        await run(2 * RESET_CYCLES)
        for _ in range(2):
            ctx.set(pll.level, 1)
            await run(RESET_CYCLES + 20)
            ctx.set(pll.level, 0)
            await run(20)

    simulator = Simulator(top)
    simulator.add_testbench(testbench)
    simulator.run()
    changes = [cycle for cycle in range(1, len(seen)) if seen[cycle] != seen[cycle - 1]]
    synchronizer = 2
    start = 2 * RESET_CYCLES
    period = RESET_CYCLES + 40
    assert seen[0] == 1 and changes == [
        start + synchronizer + RESET_CYCLES + 1, start + RESET_CYCLES + 20 + synchronizer + 1,
        start + period + synchronizer + RESET_CYCLES + 1,
        start + period + RESET_CYCLES + 20 + synchronizer + 1]

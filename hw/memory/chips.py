"""Chips of memory: what their data sheets say of sizes and times. No gateware.

Where a chip comes in several grades, the figures are those of the slowest one that is sold.
"""

from dataclasses import dataclass

__all__ = ["FLASHES", "SDRAMS", "Flash", "Sdram"]

NS = 1_000_000_000


def cycles(ns, clock_hz):
    """Cycles that last so long at least, and one at least."""
    return max(1, -(-round(1000 * ns) * clock_hz // (1000 * NS)))


@dataclass(frozen=True)
class Sdram:
    """A synchronous DRAM with single data rate and four banks.

    width                bits of the data bus, 16 or 32
    row_bits, column_bits
    trcd_ns              from activating a row to reading or writing
    trp_ns               of a precharge
    tras_ns              from activating a row to its precharge, at least
    trc_ns               from activating a row to the next one in that bank
    trrd_ns              in another bank
    trfc_ns              of a refresh
    twr_ns               from the last word written to a precharge, and never below two clocks
    tmrd_ns              of setting the mode, likewise
    refresh_ns           between two refreshes, on average
    pause_us             from power and clock to the first command
    cas2_hz, cas3_hz     fastest clock with that CAS latency
    """

    name: str
    width: int
    row_bits: int
    column_bits: int
    trcd_ns: float
    trp_ns: float
    tras_ns: float
    trc_ns: float
    trrd_ns: float
    trfc_ns: float
    twr_ns: float
    tmrd_ns: float
    refresh_ns: float
    pause_us: int
    cas2_hz: int
    cas3_hz: int

    BANK_BITS = 2
    PRECHARGE_BIT = 10  # of the address: with a column, precharge after it; alone, all banks

    @property
    def address_bits(self):
        """Pins of the address."""
        return max(self.row_bits, self.PRECHARGE_BIT + 1)

    @property
    def words(self):
        """Words of 32 bits."""
        bits = self.row_bits + self.BANK_BITS + self.column_bits
        return (self.width << bits) // 32

    def cycles(self, ns, clock_hz):
        """Cycles that last so long at least."""
        return cycles(ns, clock_hz)

    def write_recovery(self, clock_hz):
        """Cycles of tWR; a precharge of its own accord needs one more than one alone, so two."""
        return max(2, self.cycles(self.twr_ns, clock_hz))

    def mode_cycles(self, clock_hz):
        """Cycles of tMRD."""
        return max(2, self.cycles(self.tmrd_ns, clock_hz))

    def refresh_cycles(self, clock_hz):
        """Cycles from refresh to refresh, at most."""
        return int(self.refresh_ns * clock_hz) // NS

    def cas(self, clock_hz):
        """The smallest CAS latency at a clock. Raises :class:`ValueError` above the fastest."""
        for latency, fastest in ((2, self.cas2_hz), (3, self.cas3_hz)):
            if clock_hz <= fastest:
                return latency
        raise ValueError(f"the {self.name} runs at {self.cas3_hz / 1e6:g} MHz at most, not at "
                         f"{clock_hz / 1e6:g} MHz")


#: By name. Sources: Alliance AS4C32M16SB rev 1.0, table 16, grade -7 (ULX3S); Micron MT48LC16M16A2,
#: grade -75, whose IS42S16160 are as fast; Etron EM638325, 2M x 32, grade -7 (Colorlight i5).
SDRAMS = {chip.name: chip for chip in (
    Sdram("AS4C32M16SB", width=16, row_bits=13, column_bits=10, trcd_ns=21, trp_ns=21, tras_ns=42,
          trc_ns=63, trrd_ns=14, trfc_ns=63, twr_ns=14, tmrd_ns=14, refresh_ns=7812.5,
          pause_us=200, cas2_hz=100_000_000, cas3_hz=142_000_000),
    Sdram("MT48LC16M16A2", width=16, row_bits=13, column_bits=9, trcd_ns=20, trp_ns=20, tras_ns=44,
          trc_ns=66, trrd_ns=15, trfc_ns=66, twr_ns=15, tmrd_ns=15, refresh_ns=7812.5,
          pause_us=200, cas2_hz=100_000_000, cas3_hz=133_000_000),
    Sdram("EM638325", width=32, row_bits=11, column_bits=8, trcd_ns=21, trp_ns=21, tras_ns=42,
          trc_ns=63, trrd_ns=14, trfc_ns=63, twr_ns=14, tmrd_ns=14, refresh_ns=7812.5,
          pause_us=200, cas2_hz=100_000_000, cas3_hz=142_000_000),
)}


@dataclass(frozen=True)
class Flash:
    """A serial flash with four data lines, whose bit QE is bit 1 of its second status register.

    size            bytes, a power of two of 16 MiB at most
    clock_hz        fastest clock of a read with address and data on four lines
    dummy           clocks between the mode bits and the data
    continuous      mode bits with which the next read begins with its address
    write_status    0x31, for the second status register alone, or 0x01, for the first one too
    release_ns      from power-down to the next command
    reset_ns        from a reset to the next command
    deselect_ns     between two commands; two reads may be closer
    """

    name: str
    size: int
    clock_hz: int
    dummy: int
    continuous: int
    write_status: int
    release_ns: int
    reset_ns: int
    deselect_ns: int


#: By name. Sources: Winbond W25Q128JV rev C, sections 8.2 and 9.6 (iCEBreaker, ULX3S);
#: GigaDevice GD25Q16C (Colorlight i5), which writes both registers at once.
FLASHES = {chip.name: chip for chip in (
    Flash("W25Q128JV", 1 << 24, 133_000_000, dummy=4, continuous=0xA0, write_status=0x31,
          release_ns=3_000, reset_ns=30_000, deselect_ns=50),
    Flash("GD25Q16C", 1 << 21, 104_000_000, dummy=4, continuous=0xA0, write_status=0x01,
          release_ns=20_000, reset_ns=60_000, deselect_ns=50),
)}

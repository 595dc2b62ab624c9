"""A reader of serial flash over four lines: an image from its first word to its last, for ever."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.memory.chips import cycles
from qsnn.hw.memory.sdram import COUNT_BITS, PAD

__all__ = ["ADDRESS_BITS", "PINS", "FlashReader"]

ADDRESS_BITS = 24
QE = 0x02  # of the second status register
RELEASE, ENABLE_RESET, RESET = 0xAB, 0x66, 0x99
READ_STATUS, WRITE_VOLATILE, READ = 0x35, 0x50, 0xEB
STATUS_AT = 4  # of the commands
NIBBLES = 8  # of a word, and of an address with its mode bits
SPARE = 2  # steps of rest in which what is under way arrives

#: A chip's pins. ``sck`` are the clock's levels in the two halves of a cycle.
PINS = wiring.Signature({
    "cs_n": Out(1, init=1), "sck": Out(2), "io_o": Out(4, init=0xF), "io_oe": Out(4),
    "io_i": In(4),
})


def aligned(bits):
    """Values one behind the other, the first one highest in 32 bits."""
    bits = Cat(*reversed(bits))
    return bits << 32 - len(bits)


class FlashReader(wiring.Component):
    """Words of 32 bits from a serial flash, the byte at the lowest address first.

    After a reset it brings the chip to where it can be read, whatever state that was in: ends a
    continuous read, wakes it, resets it; reads its bit QE and, where that is not set, sets it
    until power goes. Where the bit does not stay set, it tries for ever. Reads are continuous: one
    of the same image again begins with its address. A word takes 8 clocks, and from the last word
    to the first it takes ``8 + dummy`` clocks and ``deselect_ns`` more. A consumer that stalls
    stops the clock.

    All outputs come straight from registers, ``io_i`` goes straight into one: they belong into the
    pads, ``sck`` into one that has a level for each half of a cycle; where ``divide`` is 2, both
    are equal. The chip takes bits when the clock rises and gives them when it falls; they are
    taken a period later, or ``late``, one cycle more.

    Parameters
    ----------
    chip : :class:`qsnn.hw.memory.chips.Flash`
    clock_hz : int
        Clock of the domain.
    divide : int
        Cycles of a clock of the chip: 1 or 2.
    late : int
        0 or 1: cycles more until bits are taken.

    Members
    -------
    ready : Out(1)
        The chip can be read.
    start : In(ADDRESS_BITS)
        Byte address of the image, any; at rest while :py:`go`, as is :py:`length`. Behind the
        chip's last byte comes its first.
    length, go, o :
        As those of :class:`qsnn.hw.memory.sdram.SdramController`.
    pins : Out(PINS)
    """

    def __init__(self, chip, *, clock_hz, divide=1, late=0):
        if divide not in (1, 2):
            raise ValueError(f"the clock is divided by 1 or 2, not {divide!r}")
        if late not in (0, 1):
            raise ValueError(f"late is 0 or 1, not {late!r}")
        if clock_hz > chip.clock_hz * divide:
            raise ValueError(f"the {chip.name} runs at {chip.clock_hz / 1e6:g} MHz at most, not at "
                             f"{clock_hz / divide / 1e6:g} MHz")
        self.chip, self.clock_hz, self.divide, self.late = chip, clock_hz, divide, late
        super().__init__({
            "ready": Out(1), "start": In(ADDRESS_BITS), "length": In(COUNT_BITS), "go": In(1),
            "o": Out(stream.Signature(32)), "pins": Out(PINS),
        })

    def commands(self, status):
        """What is sent before the first read: (bits, count of them, steps of rest behind).

        The first one goes out on all lines. Status is read behind the one at :py:`STATUS_AT`;
        those behind that one are left out where QE is set.
        """
        rest, release, reset = (
            cycles(ns, self.clock_hz) // self.divide + SPARE
            for ns in (self.chip.deselect_ns, self.chip.release_ns, self.chip.reset_ns))
        write = [Const(0x31, 8), status | QE]
        if self.chip.write_status == 0x01:
            write = [Const(0x01, 8), Const(0, 8), status | QE]  # nothing is protected
        return [
            ([Const(-1, 32)], rest), ([Const(RELEASE, 8)], release),
            ([Const(ENABLE_RESET, 8)], rest), ([Const(RESET, 8)], reset),
            ([Const(READ_STATUS, 8)], rest), ([Const(WRITE_VOLATILE, 8)], rest), (write, rest)]

    def elaborate(self, platform):
        m = Module()
        # a clock of the chip may begin in this cycle; does; bits of the chip come with it
        step, pulse, wanted = Signal(init=self.divide == 1), Signal(), Signal()
        if self.divide == 2:
            m.d.sync += step.eq(~step)
        begin, flush, ended = Signal(), Signal(), Signal()  # of a word; of the words
        coming, pads = Signal(self.divide + 1 + self.late), Signal(4, attrs=PAD)
        m.d.sync += [coming.eq(Cat(pulse & wanted, coming)), pads.eq(self.pins.io_i)]
        status = Signal(8)
        with m.If(coming[-1] & ~self.ready):
            m.d.sync += status.eq(Cat(pads[1], status))
        m.d.sync += ended.eq(~self.go | ended & ~flush)

        room = self._words(m, coming[-1] & self.ready, pads, begin, flush, ended)
        self._control(m, step, pulse, wanted, status, begin, room, flush, ended)
        return m

    def _words(self, m, come, pads, begin, flush, ended):
        """Nibbles become words: one comes in, one waits. Whether one more may begin."""
        word, count, full = Signal(32), Signal(range(NIBBLES)), Signal()
        taken, there, on_way = Signal(), Signal(), Signal(range(3))
        m.d.comb += [self.o.valid.eq(there & self.go & ~ended),
                     taken.eq(self.o.valid & self.o.ready)]
        with m.If(come):
            m.d.sync += [word.eq(Cat(pads, word)), count.eq(count + 1)]
        m.d.sync += full.eq(come & (count == NIBBLES - 1) | full & there & ~taken)
        with m.If(taken | ~there):
            # bytes come from the lowest on, the high half of each first
            m.d.sync += [there.eq(full),
                         self.o.payload.eq(Cat(word[at:at + 8] for at in (24, 16, 8, 0)))]
        m.d.sync += on_way.eq(on_way + begin - taken)
        with m.If(flush):
            m.d.sync += [count.eq(0), full.eq(0), there.eq(0), on_way.eq(0)]
        return ~on_way[1]

    def _control(self, m, step, pulse, wanted, status, begin, room, flush, ended):
        """What goes to the chip, and when bits come back."""
        chip = self.chip
        commands = self.commands(status)
        at = Signal(range(len(commands)))
        rest = Signal(range(max(after for _, after in commands) + 1))
        bits, count, after = Signal(32), Signal(range(25)), Signal.like(rest)  # of the command
        with m.Switch(at):
            for index, (values, cycles_after) in enumerate(commands):
                with m.Case(index):
                    m.d.comb += [bits.eq(aligned(values)), after.eq(cycles_after),
                                 count.eq(sum(map(len, values)) if index else NIBBLES)]
        place = aligned([self.start, Const(chip.continuous, 8)])

        shift, clocks = Signal(32), Signal(range(25))
        left, final = Signal(COUNT_BITS), Signal()  # words behind the one in turn; none
        some = Signal()  # there is an image to read
        quad, inside = Signal(), Signal()  # on all lines; the chip reads continuously
        select, drive, last = Signal(), Signal(4), Signal()
        m.d.comb += last.eq(clocks == 1)
        rested = Signal()
        m.d.sync += [final.eq(left == 0),
                     some.eq(self.length.any() & self.ready & self.go & ~ended)]
        with m.If(step & pulse):
            m.d.sync += [shift.eq(Mux(quad, shift << 4, shift << 1)), clocks.eq(clocks - 1)]
        with m.If(step), m.FSM():
            with m.State("REST"):
                with m.If(~rested):
                    m.d.sync += [rest.eq(rest - 1), rested.eq(rest == 0)]
                with m.Elif(~self.ready):
                    m.d.sync += [shift.eq(bits), clocks.eq(count), quad.eq(at == 0)]
                    with m.If((at == STATUS_AT + 1) & (status & QE).any()):
                        m.d.sync += self.ready.eq(1)
                    with m.Else():
                        m.next = "SEND"
                with m.Elif(ended):
                    m.d.comb += flush.eq(1)
                with m.Elif(some):
                    m.d.sync += [left.eq(self.length - 1), quad.eq(inside), clocks.eq(NIBBLES),
                                 shift.eq(Mux(inside, place, READ << 24))]
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [select.eq(1), pulse.eq(1), drive.eq(Mux(quad, 0b1111, 0b1101))]
                with m.If(last & self.ready & quad):
                    m.d.sync += clocks.eq(chip.dummy)
                    m.next = "DUMMY"
                with m.Elif(last & self.ready):
                    m.d.sync += [shift.eq(place), clocks.eq(NIBBLES), quad.eq(1), inside.eq(1)]
                with m.Elif(last & (at == STATUS_AT)):
                    m.d.sync += clocks.eq(8)
                    m.next = "STATUS"
                with m.Elif(last):
                    m.next = "END"
            with m.State("STATUS"):
                m.d.comb += [select.eq(1), pulse.eq(1), wanted.eq(1), drive.eq(0b1101)]
                with m.If(last):
                    m.next = "END"
            with m.State("DUMMY"):
                m.d.comb += [select.eq(1), pulse.eq(1)]
                with m.If(last):
                    m.d.sync += clocks.eq(NIBBLES)
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [select.eq(1), wanted.eq(1), begin.eq(pulse & (clocks == NIBBLES))]
                with m.If(ended):
                    m.next = "END"
                with m.Else():
                    m.d.comb += pulse.eq((clocks != NIBBLES) | room)
                with m.If(pulse & last):
                    m.d.sync += [clocks.eq(NIBBLES), left.eq(left - 1)]
                    with m.If(final):
                        m.next = "END"
            with m.State("END"):  # the chip's last bits are under way
                m.d.comb += select.eq(1)
                m.next = "AFTER"
            with m.State("AFTER"):
                m.d.comb += select.eq(1)
                m.d.sync += [rest.eq(after), rested.eq(0),
                             at.eq(Mux(at == len(commands) - 1, STATUS_AT, at + 1))]
                with m.If(self.ready):
                    m.d.sync += [rest.eq(commands[0][1]), at.eq(at)]
                m.next = "REST"
        lines = Mux(quad, shift[28:], Cat(shift[31], Const(0b111, 3)))
        self._pads(m, step, pulse, select, drive, lines)

    def _pads(self, m, step, pulse, select, drive, lines):
        """Registers of the outputs."""
        pads = self.pins
        registers = {name: Signal.like(getattr(pads, name), name=f"{name}_pad", attrs=PAD)
                     for name in ("cs_n", "io_o")}
        m.d.comb += [getattr(pads, name).eq(register) for name, register in registers.items()]
        with m.If(step):
            m.d.sync += [registers["cs_n"].eq(~select), registers["io_o"].eq(lines),
                         pads.io_oe.eq(drive)]
        if self.divide == 1:
            m.d.sync += pads.sck.eq(Cat(0, pulse))
        else:
            low = Signal()  # the first half of a clock
            m.d.sync += [low.eq(pulse & step), pads.sck.eq(low.replicate(2))]

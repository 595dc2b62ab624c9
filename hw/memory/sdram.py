"""A controller for SDR SDRAM that reads an image from its first word to its last, for ever."""

from amaranth import *
from amaranth.lib import enum, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

__all__ = ["COUNT_BITS", "PAD", "Command", "SdramController", "pins"]

COUNT_BITS = 24  # of the words of an image
POWER_UP_REFRESHES = 8
PAD = {"syn_useioff": 1}  # nextpnr for ECP5 puts such a register into the pad


class Command(enum.Enum, shape=3):
    """Levels of RAS, CAS and WE, which are active low: bits 2, 1 and 0."""

    MODE = 0b000
    REFRESH = 0b001
    PRECHARGE = 0b010
    ACTIVATE = 0b011
    WRITE = 0b100
    READ = 0b101
    NONE = 0b111


def pins(chip):
    """Signature of a chip's pins but its clock. ``dq_oe`` is one for all of ``dq``."""
    return wiring.Signature({
        "cke": Out(1), "cs_n": Out(1, init=1), "ras_n": Out(1, init=1), "cas_n": Out(1, init=1),
        "we_n": Out(1, init=1), "ba": Out(chip.BANK_BITS), "a": Out(chip.address_bits),
        "dqm": Out(chip.width // 8, init=-1 % (1 << chip.width // 8)),
        "dq_o": Out(chip.width), "dq_oe": Out(1), "dq_i": In(chip.width),
    })


def timer(m, name, cycles, start):
    """Whether ``start`` was ``cycles`` cycles ago or more."""
    if cycles <= 1:
        return Const(1)
    left, over = Signal(range(cycles), name=name), Signal(name=f"{name}_over", init=1)
    with m.If(start):
        m.d.sync += [left.eq(cycles - 1), over.eq(0)]
    with m.Elif(~over):
        m.d.sync += [left.eq(left - 1), over.eq(left == 1)]
    return over


class SdramController(wiring.Component):
    """Words of 32 bits in an SDRAM: written once, in order; read from the first on, for ever.

    A 16-bit chip holds a word as two, the low one first. Addresses count columns, then banks, then
    rows: while a row is read, the next one is opened in another bank. Each read is a burst of one,
    so a consumer may stall at any time. A refresh closes what is open, at once; it comes when it
    is due whatever the consumer does, and costs about ``tRP + tRFC + tRCD`` and five cycles.

    All outputs come straight from registers, ``dq_i`` goes straight into one: they belong into the
    pads. The chip has the clock of the domain, but later: it samples what the pads have said since
    the last edge. Where its data come before the edge that is CAS cycles behind that one, they are
    taken there; else, ``late``, a cycle behind it.

    Parameters
    ----------
    chip : :class:`qsnn.hw.memory.chips.Sdram`
    clock_hz : int
        Clock of the domain.
    cas : int
        CAS latency, 2 or 3; by default the smallest that the chip has at this clock.
    late : int
        0 or 1: cycles more until data are taken.
    depth : int
        Words that wait for the consumer, at most; those on their way among them.

    Attributes
    ----------
    latency : int
        Cycles from deciding on a read to its data behind the pads' registers.

    Members
    -------
    ready : Out(1)
        The chip has its mode; before, nothing else means anything.
    rewind : In(1)
        Writing goes on at word 0. Words that were accepted and not yet counted are lost. While
        :py:`go`, only the count starts again.
    write : In(stream of 32 bits)
        Words to store; never :py:`ready` while :py:`go`. One takes two cycles or more.
    written : Out(COUNT_BITS)
        Words in the chip since :py:`rewind`.
    length : In(COUNT_BITS)
        Words of the image; at rest while :py:`go`. With 0 nothing comes. No more than
        ``chip.words``: nothing looks at that.
    go : In(1)
        Words 0 to ``length - 1``, again and again. They end when it falls, even a word that is
        offered; from its next rise they start at word 0.
    o : Out(stream of 32 bits)
    pins : Out(pins(chip))
    """

    def __init__(self, chip, *, clock_hz, cas=None, late=0, depth=32):
        fastest = chip.cas(clock_hz)
        cas = fastest if cas is None else cas
        if cas not in range(fastest, 4):
            raise ValueError(f"the CAS latency of the {chip.name} at {clock_hz / 1e6:g} MHz is "
                             f"{fastest} to 3, not {cas!r}")
        if late not in (0, 1):
            raise ValueError(f"late is 0 or 1, not {late!r}")
        if depth < 16:
            raise ValueError(f"the depth is 16 words at least, not {depth!r}")
        self.chip, self.clock_hz, self.cas, self.depth = chip, clock_hz, cas, depth
        self.late = late
        self.beats = 32 // chip.width  # of a word
        self.latency = 1 + cas + late
        super().__init__({
            "ready": Out(1), "rewind": In(1), "write": In(stream.Signature(32)),
            "written": Out(COUNT_BITS), "length": In(COUNT_BITS), "go": In(1),
            "o": Out(stream.Signature(32)), "pins": Out(pins(chip)),
        })

    def elaborate(self, platform):
        m = Module()
        chip = self.chip
        # what a cycle decides on; at most one of the first five
        self._activate, self._access = Signal(), Signal()
        self._precharge, self._refresh, self._mode = Signal(), Signal(), Signal()
        self._ahead, self._last = Signal(), Signal()  # of activate; of access: the row's last one
        self._awake, self._unmasked = Signal(), Signal()  # levels of CS and DQM
        self._load = Signal()  # reading or writing begins
        self._reading, self._turn, self._due = Signal(), Signal(), Signal()
        self._page = Signal(chip.row_bits + chip.BANK_BITS)
        self._following = Signal.like(self._page)
        self._column = Signal(chip.column_bits)
        self._word, self._full = Signal(32), Signal()  # to write
        self._open, self._next_open = Signal(), Signal()  # this row, and the one that follows
        self._second = self._column[0] if self.beats == 2 else Const(0)
        drained, room = self._returning(m)
        elsewhere = self._place(m)
        self._modes(m)
        self._refreshes(m)
        self._control(m, elsewhere, drained, Mux(self._reading, room, self._full))
        self._pads(m)
        return m

    def _control(self, m, elsewhere, drained, needed):
        """What comes when."""
        chip = self.chip

        def over(name, ns, start, extra=0):
            return timer(m, name, chip.cycles(ns, self.clock_hz) + extra, start)

        last = self._last & self._access
        tras = max(chip.tras_ns, chip.trc_ns - chip.trp_ns)  # so that tRC needs no timer
        rcd = over("rcd", max(chip.trcd_ns, chip.trrd_ns), self._activate)
        ras = over("ras", tras, self._activate)
        wr = timer(m, "wr", chip.write_recovery(self.clock_hz), self._access & ~self._reading)
        rp = over("rp", chip.trp_ns, self._precharge)
        rfc = over("rfc", chip.trfc_ns, self._refresh)
        mrd = timer(m, "mrd", chip.mode_cycles(self.clock_hz), self._mode)
        # a row that closes behind its last word; one that is written comes only once
        closed = over("closed", chip.trp_ns, last, 1)

        cycles = chip.pause_us * self.clock_hz // 1_000_000
        pause = Signal(range(cycles + 1), init=cycles)
        # nothing of this row was read; what follows from its place is not there yet
        first, fresh = Signal(), Signal(2)
        m.d.sync += fresh.eq(Cat(last, fresh))
        with m.FSM():
            with m.State("PAUSE"):
                m.d.sync += pause.eq(pause - 1)
                with m.If(pause == 0):
                    m.d.sync += self._awake.eq(1)
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                with m.If(ras & wr):
                    m.d.comb += self._precharge.eq(1)
                    m.next = "CLOSED"
            with m.State("CLOSED"):
                with m.If(rp & rfc & mrd):
                    with m.If(self._due):
                        m.d.comb += self._refresh.eq(1)
                    with m.Elif(~self.ready):
                        m.d.comb += self._mode.eq(1)
                    with m.Elif(~self._turn):
                        m.next = "RUN"
                    with m.Elif(drained):
                        m.d.comb += self._load.eq(1)
            with m.State("RUN"):
                with m.If(self._due | self._turn):
                    m.next = "CLOSE"
                with m.Elif(~self._open):
                    m.d.comb += self._activate.eq(closed & needed)
                with m.Elif(~self._next_open & ~first & elsewhere & closed):
                    m.d.comb += [self._activate.eq(1), self._ahead.eq(1)]
                with m.Else():
                    m.d.comb += self._access.eq(needed & ~fresh.any() & (rcd | ~first)
                                                & (ras | ~self._last))
        with m.If(self._activate):
            m.d.sync += [self._open.eq(1), self._next_open.eq(self._ahead)]
        with m.If(self._activate & ~self._ahead):
            m.d.sync += first.eq(1)
        with m.If(self._access):
            m.d.sync += first.eq(self._last)
        with m.If(last):
            m.d.sync += [self._open.eq(self._next_open), self._next_open.eq(0)]
        with m.If(self._precharge):
            m.d.sync += [self._open.eq(0), self._unmasked.eq(1)]
        with m.If(self._mode):
            m.d.sync += self.ready.eq(1)

    def _place(self, m):
        """Page and column in turn; gives whether the next page lies in another bank.

        What follows from a page counts a cycle later than the page, and its last column two.
        """
        chip, page = self.chip, self._page
        end = Signal(len(page) + chip.column_bits)
        after, stop = Signal(chip.column_bits, init=1), Signal(chip.column_bits)
        ends, elsewhere = Signal(), Signal()
        m.d.comb += ends.eq(self._reading & (page == end[chip.column_bits:]))
        m.d.sync += [
            end.eq(self.length * self.beats - 1),
            self._following.eq(Mux(ends, 0, page + 1)),
            stop.eq(Mux(ends, end[:chip.column_bits], -1)),
            elsewhere.eq(~ends | page[:chip.BANK_BITS].any()),
            self._last.eq(Mux(self._access, after == stop, self._column == stop)),
        ]
        with m.If(self._access):
            m.d.sync += [self._column.eq(after), after.eq(after + 1)]
            with m.If(self._last):
                m.d.sync += [page.eq(self._following), self._column.eq(0), after.eq(1)]
        with m.If(self._load):
            start = Mux(self._reading, self.written * self.beats, 0)  # of what comes now
            m.d.sync += [Cat(self._column, page).eq(start),
                         after.eq(start[:chip.column_bits] + 1)]
        return elsewhere

    def _modes(self, m):
        """Reading and writing, and the word that waits to be written."""
        go, rewound = Signal(), Signal()
        m.d.sync += go.eq(self.go & (self.length != 0))
        # reading ends for good as soon as go was low once
        ended = Signal()
        m.d.comb += self._turn.eq(Mux(self._reading, ended, go & ~self._full | rewound))
        with m.If(self._reading & ~self.go):
            m.d.sync += ended.eq(1)
        with m.If(self._load):
            m.d.sync += [self._reading.eq(~self._reading & go & ~self._full),
                         ended.eq(0), rewound.eq(0)]

        m.d.comb += self.write.ready.eq(self.ready & ~self.go & ~self._reading & ~self._full)
        with m.If(self.write.valid & self.write.ready):
            m.d.sync += [self._word.eq(self.write.payload), self._full.eq(1)]
        with m.If(self._access & ~self._reading & (self._second | (self.beats == 1))):
            m.d.sync += [self._full.eq(0), self.written.eq(self.written + 1)]
        with m.If(self.rewind):
            m.d.sync += [self.written.eq(0), self._full.eq(0), rewound.eq(1)]

    def _refreshes(self, m):
        """Refreshes that are due: the first ones for the power-up, then one an interval."""
        interval = self.chip.refresh_cycles(self.clock_hz)
        left, due = Signal(range(interval)), Signal(range(16), init=POWER_UP_REFRESHES)
        tick = Signal()
        m.d.comb += [tick.eq(self.ready & (left == 0)), self._due.eq(due.any())]
        m.d.sync += [left.eq(Mux((left == 0) | ~self.ready, interval - 1, left - 1)),
                     due.eq(due + tick - self._refresh)]

    def _returning(self, m):
        """Words that come back, and wait: (whether there are none, whether there is room)."""
        coming = Signal(self.latency)
        pads = Signal(self.chip.width, reset_less=True, attrs=PAD)
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=32, depth=self.depth)
        m.d.sync += [pads.eq(self.pins.dq_i),
                     coming.eq(Cat(self._access & self._reading, coming))]
        if self.beats == 1:
            m.d.comb += [fifo.w_data.eq(pads), fifo.w_en.eq(coming[-1])]
        else:
            high, taken = Signal(), Signal(self.chip.width)
            m.d.comb += [fifo.w_data.eq(Cat(taken, pads)), fifo.w_en.eq(coming[-1] & high)]
            with m.If(coming[-1]):
                m.d.sync += [taken.eq(pads), high.eq(~high)]
            with m.If(self._load):
                m.d.sync += high.eq(0)

        credit = Signal(range(self.depth + 1), init=self.depth)
        after = Signal.like(credit)
        issued, left, room = Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            self.o.payload.eq(fifo.r_data),
            self.o.valid.eq(fifo.r_rdy & self.go & self._reading & ~self._turn),
            fifo.r_en.eq(self.o.valid & self.o.ready | self._turn),
            after.eq(credit + left - issued),
        ]
        # a word is counted a cycle behind its read, and one more may be read meanwhile
        m.d.sync += [issued.eq(self._access & self._reading & ~self._second),
                     left.eq(fifo.r_en & fifo.r_rdy), credit.eq(after), room.eq(after >= 2)]
        with m.If(self._load):
            m.d.sync += [credit.eq(self.depth), room.eq(1)]
        return ~coming.any() & ~fifo.level.any() & ~left, room

    def _pads(self, m):
        """Registers of the outputs."""
        chip = self.chip
        strobes = {Command.ACTIVATE: self._activate, Command.PRECHARGE: self._precharge,
                   Command.REFRESH: self._refresh, Command.MODE: self._mode}
        command, address = Signal(Command, init=Command.NONE), Signal(chip.address_bits)
        m.d.comb += address.eq(Cat(self._column, Const(0, chip.PRECHARGE_BIT - chip.column_bits),
                                   self._last))
        with m.If(self._access):
            m.d.comb += command.eq(Mux(self._reading, Command.READ, Command.WRITE))
        for name, strobe in strobes.items():
            with m.If(strobe):
                m.d.comb += command.eq(name)
        page = Mux(self._ahead, self._following, self._page)
        with m.If(self._activate):
            m.d.comb += address.eq(page[chip.BANK_BITS:])
        with m.If(self._precharge):
            m.d.comb += address.eq(1 << chip.PRECHARGE_BIT)
        with m.If(self._mode):
            m.d.comb += address.eq(self.cas << 4)  # bursts of one
        we_n, cas_n, ras_n = command.as_value()
        values = {
            "cke": 1, "cs_n": ~self._awake, "we_n": we_n, "cas_n": cas_n, "ras_n": ras_n,
            "a": address, "ba": Mux(self._mode, 0, page[:chip.BANK_BITS]),
            "dqm": ~self._unmasked.replicate(chip.width // 8),
            "dq_o": self._word.word_select(self._second, chip.width),
            "dq_oe": self._access & ~self._reading,
        }
        for name, value in values.items():
            pin = getattr(self.pins, name)
            # those that never change together with others may be far away: dq_oe has a cycle too
            attrs = {} if name in ("cke", "cs_n", "dqm", "dq_oe") else PAD
            # a pad has one reset for both ways, and what comes in has none
            register = Signal.like(pin, name=f"{name}_pad", attrs=attrs, reset_less=name == "dq_o")
            m.d.sync += register.eq(value)
            m.d.comb += pin.eq(register)

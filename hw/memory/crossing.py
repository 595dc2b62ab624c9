"""A memory with a clock of its own: what crosses between the two clocks."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer, PulseSynchronizer
from amaranth.lib.fifo import AsyncFIFO, AsyncFIFOBuffered

from qsnn.hw.memory.sdram import COUNT_BITS

__all__ = ["MemoryClock"]

WAIT = 15  # cycles without a word, after which none comes any more
ROUNDS = 3  # of numbers that cross, in which a pulse has crossed as well


class MemoryClock(wiring.Component):
    """A source of words that runs in the domain ``memory``, with the members that it has, in
    ``sync``.

    The clocks need nothing of each other. Where that of the memory is faster, a chip of 16 bits can
    give a word a cycle.

    Parameters
    ----------
    source : component
        :class:`qsnn.hw.memory.sdram.SdramController`; its ``clock_hz`` is that of the memory.
    depth : int
        Words between the clocks, in each direction.

    Members
    -------
    As those of the source. :py:`written` and :py:`ready` come some cycles late, but
    :py:`written` is 0 from :py:`rewind` on, and no word is taken until that has come to the
    memory. After :py:`go` fell, its next rise counts when the words of before are gone.
    """

    def __init__(self, source, *, depth=32):
        self.source, self.depth = source, depth
        self.chip, self.clock_hz, self.late = source.chip, source.clock_hz, source.late
        super().__init__(dict(source.signature.members))

    def elaborate(self, platform):
        m = Module()
        source = self.source
        m.submodules.source = DomainRenamer("memory")(source)

        # words to read
        m.submodules.words = words = AsyncFIFOBuffered(
            width=32, depth=self.depth, w_domain="memory", r_domain="sync")
        going, wanted, quiet = Signal(), Signal(), Signal()  # in memory, in sync, in sync
        m.submodules.go = FFSynchronizer(wanted, going, o_domain="memory")
        m.submodules.quiet = FFSynchronizer(going, quiet, o_domain="sync")
        m.d.comb += [
            source.go.eq(going), source.length.eq(self.length),
            words.w_data.eq(source.o.payload), words.w_en.eq(source.o.valid),
            source.o.ready.eq(words.w_rdy),
            self.o.payload.eq(words.r_data),
        ]
        waited = Signal(range(WAIT + 1))
        with m.FSM():
            with m.State("rest"):
                with m.If(self.go):
                    m.d.sync += wanted.eq(1)
                    m.next = "read"
            with m.State("read"):
                m.d.comb += [self.o.valid.eq(words.r_rdy & self.go),
                             words.r_en.eq(self.o.ready & self.go)]
                with m.If(~self.go):
                    m.d.sync += [wanted.eq(0), waited.eq(0)]
                    m.next = "drain"
            with m.State("drain"):
                # until nothing has come for long enough, once the memory has stopped
                m.d.comb += words.r_en.eq(1)
                m.d.sync += waited.eq(Mux(quiet | words.r_rdy, 0, waited + 1))
                with m.If(waited == WAIT):
                    m.next = "rest"

        ready = Signal()
        m.d.memory += ready.eq(source.ready)
        m.submodules.ready = FFSynchronizer(ready, self.ready, o_domain="sync")
        if hasattr(self, "write"):
            self._writing(m, source)
        if hasattr(self, "start"):
            m.d.comb += source.start.eq(self.start)
        wiring.connect(m, source.pins, wiring.flipped(self.pins))
        return m

    def _writing(self, m, source):
        """Words to write, and how many are in the chip."""
        m.submodules.rewind = rewind = PulseSynchronizer("sync", "memory")
        m.submodules.given = given = AsyncFIFO(
            width=32, depth=self.depth, w_domain="sync", r_domain="memory")
        rounds = Signal(range(ROUNDS + 2))  # of numbers that are not told, once rewound
        with m.If(self.rewind):
            m.d.sync += rounds.eq(ROUNDS + 1)
        # behind the words of before, which would be the first ones else
        with m.Elif((rounds == ROUNDS + 1) & (given.w_level == 0)):
            m.d.comb += rewind.i.eq(1)
            m.d.sync += rounds.eq(ROUNDS)
        m.d.comb += [
            given.w_data.eq(self.write.payload),
            given.w_en.eq(self.write.valid & self.write.ready),
            self.write.ready.eq(given.w_rdy & (rounds == 0)),
            source.write.payload.eq(given.r_data), source.write.valid.eq(given.r_rdy),
            given.r_en.eq(source.write.ready),
            source.rewind.eq(rewind.o),
        ]
        # a number crosses at rest: it is taken there, told here, and only then taken again
        taken, asked, told = Signal(COUNT_BITS), Signal(), Signal()
        m.submodules.asked = FFSynchronizer(~told, asked, o_domain="memory")
        seen, there = Signal(), Signal()
        m.submodules.told = FFSynchronizer(seen, there, o_domain="sync")
        with m.If(asked != seen):
            m.d.memory += [taken.eq(source.written), seen.eq(asked)]
        with m.If(there != told):
            m.d.sync += [told.eq(there), self.written.eq(Mux(rounds == 0, taken, 0))]
            with m.If((rounds != 0) & (rounds <= ROUNDS) & ~self.rewind):
                m.d.sync += rounds.eq(rounds - 1)
        with m.If(self.rewind):
            m.d.sync += self.written.eq(0)

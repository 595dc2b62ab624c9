"""Programs that a host loads into an engine, and what is answered there."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.engine.shape import MEMORY_WORD
from qsnn.hw.link.payload import BeatPacker, ReplyBody
from qsnn.hw.link.programs import MOST_SCORES, OFFSET_BYTES, EngineHello, Running
from qsnn.hw.link.protocol import Request
from qsnn.hw.memory.sdram import COUNT_BITS

__all__ = ["EngineBody", "ProgramWriter"]

REST = 5  # cycles from the end of a program to the memory's rest


class ProgramWriter(wiring.Component):
    """Takes the payloads of LOAD requests: an offset in words, and words.

    Words are taken if the offset is that of the next word and there is no program that runs, or
    if it is 0: then the program is dropped and the first word comes next.

    Parameters
    ----------
    most : int
        Words of the longest program; more are not taken.

    Members
    -------
    begin : In(1)
        A request starts.
    byte, valid : In
        A byte of its payload, eight cycles behind the one before at least; only while
        :py:`room`.
    room : Out(1)
    present : In(1)
        There is a program that runs.
    drop : Out(1)
        There is none from here on.
    o, rewind, written : Out(stream of 32), Out(1), In
        Of the memory.
    words : Out
        How many words were taken.
    settled : Out(1)
        They all are in the memory.
    """

    def __init__(self, most):
        self.most = most
        super().__init__({
            "begin": In(1), "byte": In(8), "valid": In(1), "room": Out(1), "present": In(1),
            "drop": Out(1), "o": Out(stream.Signature(MEMORY_WORD)), "rewind": Out(1),
            "written": In(COUNT_BITS), "words": Out(COUNT_BITS), "settled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.packer = packer = BeatPacker(MEMORY_WORD)
        wiring.connect(m, packer.o, wiring.flipped(self.o))
        place = Signal(range(OFFSET_BYTES + 2))
        offset = Signal(8 * OFFSET_BYTES)
        zero, follows, room = Signal(), Signal(), Signal()
        first, taking, take = Signal(), Signal(), Signal()
        rewinding = Signal(REST)
        m.d.sync += [
            zero.eq(offset == 0), follows.eq((offset == self.words) & ~self.present),
            room.eq(self.words != self.most), rewinding.eq(Cat(self.drop, rewinding)),
            self.settled.eq((self.written == self.words) & ~packer.o.valid & ~rewinding.any()
                            & ~self.drop & ~self.rewind),
        ]
        m.d.comb += [
            first.eq(place == OFFSET_BYTES), self.rewind.eq(rewinding[-1]),
            take.eq(Mux(first, zero | follows & room, taking & room)),
            packer.i.payload.eq(self.byte),
            packer.i.valid.eq(self.valid & (place >= OFFSET_BYTES) & take),
            self.room.eq(packer.i.ready), self.drop.eq(self.valid & first & zero),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.words.eq(self.words + 1)
        with m.If(self.valid):
            with m.If(place < OFFSET_BYTES):
                m.d.sync += offset.eq(Cat(offset[8:], self.byte))
            with m.If(place <= OFFSET_BYTES):
                m.d.sync += place.eq(place + 1)
            with m.If(first):
                m.d.sync += taking.eq(take)
        with m.If(self.drop):
            m.d.sync += self.words.eq(0)
        with m.If(self.begin):
            m.d.sync += place.eq(0)
        return m


class EngineBody(ReplyBody):
    """The payload of an engine's reply.

    Its greeting is constant but for its end, where the constant is 0.

    Members
    -------
    As those of :class:`qsnn.hw.link.payload.ReplyBody`, and:

    running : In
        As :class:`qsnn.hw.link.programs.Running` packs it.
    words : In
        That were taken.
    outputs : In(16)
        Scores of an image.
    """

    sizes = {Request.LOAD: 4, Request.START: Running.FORMAT.size}

    def __init__(self, hello, result):
        super().__init__(hello, result, {
            "running": In(8 * Running.FORMAT.size), "words": In(COUNT_BITS), "outputs": In(16)})

    def _others(self, m, index):
        fixed = EngineHello.FORMAT.size
        right = self.error == 0
        hello, start, load = (right & (self.kind == kind)
                              for kind in (Request.HELLO, Request.START, Request.LOAD))
        at, byte = Signal(range(Running.FORMAT.size)), Signal(8)
        m.d.sync += [at.eq(Mux(hello, index - fixed, index)),
                     byte.eq(self.running.word_select(at, 8))]
        words = Cat(self.words, Const(0, 32 - COUNT_BITS))
        return [(hello & (index >= fixed) | start, byte),
                *((load & (index == k), words.word_select(k, 8)) for k in range(4))]

    def _scores(self, m, infer, taken):
        beat, brief, wanted = self.result.p, Signal(), Signal()
        m.d.sync += brief.eq(self.outputs > MOST_SCORES)
        m.d.comb += wanted.eq(infer & brief)
        score, label, whole, takes = self._largest(m, wanted)
        with m.If(~wanted):  # it has seen the scores that went out one by one, too
            m.d.sync += whole.eq(0)
        return (Mux(brief, score, beat.score),
                [Mux(brief, best, last) for best, last in
                 zip(label, (beat.label[:8], beat.label[8:]), strict=True)],
                Mux(brief, whole, self.result.valid), Mux(brief, takes, taken), brief | beat.last)



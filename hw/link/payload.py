"""Payloads of :mod:`qsnn.hw.link.protocol`, byte by byte: images come, replies go."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.link.frames import Outbox
from qsnn.hw.link.protocol import Code, Request

__all__ = ["ERROR", "KIND", "STATUS", "BeatPacker", "ReplyBody"]

KIND = range(max(Request) + 1)
ERROR = range(max(Code) + 1)  # 0: none
STATUS = data.StructLayout({"good": 16, "bad": 8, "overruns": 8})


class BeatPacker(wiring.Component):
    """Bytes to beats of ``width`` bits, the first byte lowest; all registers."""

    def __init__(self, width):
        self.bytes = -(-width // 8)
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(width))})

    def elaborate(self, platform):
        m = Module()
        held = Signal(8 * self.bytes)
        count = Signal(range(self.bytes))
        m.d.comb += [self.o.payload.eq(held), self.i.ready.eq(~self.o.valid)]
        with m.If(self.i.valid & self.i.ready):
            last = count == self.bytes - 1
            m.d.sync += [count.eq(Mux(last, 0, count + 1)), self.o.valid.eq(last),
                         held.eq(Cat(held, self.i.payload) >> 8)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class ReplyBody(wiring.Component):
    """The payload of a reply.

    Members
    -------
    kind, error, status : In
        The request; the code of its error, or 0; the counters. Unchanged until :py:`last`.
    result : In(stream)
        Scores of the network: taken while the reply to INFER goes out. Where it has the largest
        one alone, before that.
    address, word : Out, In(8)
        Bytes that are in memory: a greeting at 0, a CRC at ``Outbox.NOTES``; two cycles later.
    valid : Out(1)
        Once it is high and :py:`next` is low for five cycles, :py:`byte` and :py:`last` are right.
    byte, last : Out
    next : In(1)
        The byte is taken.
    """

    sizes = {}  # bytes of the replies to requests that only some devices have

    def __init__(self, hello, result, members=None):
        self.hello = hello
        super().__init__({
            "kind": In(KIND), "error": In(ERROR), "status": In(STATUS), "result": In(result),
            "address": Out(range(Outbox.FRAME)), "word": In(8),
            "valid": Out(1), "byte": Out(8), "last": Out(1), "next": In(1),
            **(members or {}),
        })

    def elaborate(self, platform):
        m = Module()
        size = self.hello.score_bytes
        score = Signal(8 * size)  # sign extended
        index = Signal(range(Outbox.NOTES))
        done = Signal()  # with this byte a score, or the whole payload, is complete
        failed, stored, status, infer = (Signal(name=name) for name in
                                         ("failed", "stored", "status_", "infer"))
        m.d.sync += [
            failed.eq(self.error != 0),
            stored.eq((self.error == 0) & ((self.kind == Request.HELLO)
                                           | (self.kind == Request.CRC))),
            status.eq((self.error == 0) & (self.kind == Request.STATUS)),
            infer.eq((self.error == 0) & (self.kind == Request.INFER)),
        ]
        value, label, there, ready, end = self._scores(m, infer, self.next & done & infer)
        m.d.comb += [
            score.eq(value),
            # what is not stored reads as zero
            self.address.eq(Cat(index, self.kind != Request.HELLO, ~stored)),
            self.valid.eq(there | ~infer), self.last.eq(done & (end | ~infer)),
            self.result.ready.eq(ready),
        ]
        # a byte of each, and which: in registers, so that a bit of the sum takes few cells
        sources = [(failed, self.error), *(
                       (infer & (index == size + k), byte) for k, byte in enumerate(label)),
                   *((status & (index[:2] == k), self.status.as_value().word_select(k, 8))
                     for k in range(4)),
                   *((infer & (index == k), score.word_select(k, 8)) for k in range(size)),
                   *self._others(m, index)]
        byte = self.word
        for k, (condition, value) in enumerate(sources):
            chosen = Signal(name=f"chosen_{k}")
            m.d.sync += chosen.eq(condition)
            byte |= Mux(chosen, value, 0)
        m.d.sync += self.byte.eq(byte)
        with m.If(infer):  # the label is known in the last beat, and goes behind its score
            m.d.sync += done.eq(index == Mux(end, size + len(label) - 1, size - 1))
        with m.Elif(stored & (self.kind == Request.HELLO)):
            m.d.sync += done.eq(index == len(self.hello.pack()) - 1)
        for request, count in self.sizes.items():
            with m.Elif((self.error == 0) & (self.kind == request)):
                m.d.sync += done.eq(index == count - 1)
        with m.Else():
            m.d.sync += done.eq((index[:2] == 3) | ~(stored | status))
        with m.If(self.next):
            m.d.sync += index.eq(Mux(done, 0, index + 1))
        return m

    def _others(self, m, index):
        """(condition, byte) of what else may be the byte at an index."""
        return []

    def _scores(self, m, infer, taken):
        """Of a beat of scores: its value, bytes of the label, whether it is there, whether it is
        taken, and whether it is the last one. taken: its last byte is."""
        beat = self.result.p
        if self.hello.brief:
            return *self._largest(m, infer), C(1)
        return beat.score, [beat.label], self.result.valid, taken, beat.last

    def _largest(self, m, infer):
        """Takes all scores: the largest one, bytes of its label, whether all have come, and
        whether one is taken."""
        beat = self.result.p
        score, label = Signal(8 * self.hello.score_bytes), Signal(16)
        first, whole = Signal(init=1), Signal()
        with m.If(self.result.valid & self.result.ready):
            m.d.sync += [label.eq(beat.label), first.eq(beat.last), whole.eq(beat.last)]
            # the label is that of the best class so far: where it changes, it is this one
            with m.If(first | (beat.label != label)):
                m.d.sync += score.eq(beat.score)
        with m.If(self.next & self.last & infer):
            m.d.sync += whole.eq(0)
        return score, [label[:8], label[8:]], whole, infer & ~whole

"""Images that carry their length and a CRC, and what lets none through that is not whole.

An image is, in 32-bit words: a magic number, a version, its length in words, anything, and the
CRC-32 of all words before it, taken as bytes, the low one first.
"""

from zlib import crc32

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from qsnn.hw.memory.sdram import COUNT_BITS

__all__ = ["HEADER", "ImageCheck", "seal"]

HEADER = 3  # words
SHORTEST = HEADER + 1


def seal(words, *, magic, version):
    """The words of an image that holds ``words``: with header and CRC."""
    image = [magic, version, HEADER + len(words) + 1, *words]
    return [*image, crc32(b"".join(word.to_bytes(4, "little") for word in image))]


class ImageCheck(wiring.Component):
    """Between a source of words and who takes them: reads the image once, then lets it through.

    The length comes from the header, which is read alone first. Until the CRC was right, no word
    goes to :py:`o`. Checking takes what the source needs for the image, a word a cycle at most,
    and for its first :py:`HEADER` words before.

    Parameters
    ----------
    magic, version : int
        What the first two words must be; 32 bits.
    most : int
        Words of the longest image, CRC included; longer ones are refused.

    Members
    -------
    present : In(1)
        There is an image, and it does not change. When it falls nothing is known any more, and
        the image is checked again with its next rise.
    length, read, i : Out(COUNT_BITS), Out(1), In(stream of 32 bits)
        The source's :py:`length`, :py:`go` and :py:`o`.
    go, o : In(1), Out(stream of 32 bits)
        As those of a source, for all words but the CRC, again and again; the header is among them.
        Nothing comes while not :py:`good`.
    checked, good, bad : Out(1)
        Good or bad; either; never both.
    """

    def __init__(self, *, magic, version, most):
        for name, value in (("magic number", magic), ("version", version)):
            if value not in range(1 << 32):
                raise ValueError(f"the {name} is a word of 32 bits, not {value!r}")
        if most not in range(SHORTEST, 1 << COUNT_BITS):
            raise ValueError(f"the longest image has {SHORTEST} to {(1 << COUNT_BITS) - 1} words, "
                             f"not {most!r}")
        self.magic, self.version, self.most = magic, version, most
        super().__init__({
            "present": In(1), "length": Out(COUNT_BITS), "read": Out(1),
            "i": In(stream.Signature(32)), "go": In(1), "o": Out(stream.Signature(32)),
            "checked": Out(1), "good": Out(1), "bad": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=32).create()
        word, taken = self.i.payload, Signal()
        length = Signal(COUNT_BITS, init=HEADER)
        left = Signal(COUNT_BITS, init=HEADER - 1)  # words behind the one in turn
        wrong = Signal()
        m.d.comb += [
            self.length.eq(length), self.checked.eq(self.good | self.bad),
            self.o.payload.eq(word), taken.eq(self.i.valid & self.i.ready),
            crc.data.eq(word), crc.valid.eq(taken & (left != 0)), crc.start.eq(~self.read),
        ]
        with m.If(taken):
            m.d.sync += left.eq(left - 1)
        with m.FSM():
            with m.State("ABSENT"):
                m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [self.read.eq(1), self.i.ready.eq(1)]
                with m.Switch(left):
                    with m.Case(2):
                        m.d.comb += wrong.eq(word != self.magic)
                    with m.Case(1):
                        m.d.comb += wrong.eq(word != self.version)
                    with m.Default():
                        m.d.comb += wrong.eq((word < SHORTEST) | (word > self.most))
                with m.If(taken):
                    with m.If(wrong):
                        m.next = "BAD"
                    with m.Elif(left == 0):
                        m.d.sync += [length.eq(word), left.eq(word - 1)]
                        m.next = "BEGIN"
            with m.State("BEGIN"):
                m.next = "IMAGE"
            with m.State("IMAGE"):
                m.d.comb += [self.read.eq(1), self.i.ready.eq(1)]
                with m.If(taken & (left == 0)):
                    m.d.sync += length.eq(length - 1)
                    m.next = "BAD"
                    with m.If(word == crc.crc):
                        m.next = "END"
            with m.State("END"):
                m.next = "GOOD"
            with m.State("GOOD"):
                m.d.comb += [self.good.eq(1), self.read.eq(self.go),
                             self.o.valid.eq(self.i.valid & self.go),
                             self.i.ready.eq(self.o.ready & self.go)]
            with m.State("BAD"):
                m.d.comb += self.bad.eq(1)
        return ResetInserter(~self.present)(m)

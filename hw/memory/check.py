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
    goes to :py:`o`. Checking takes what the source needs for the image, and for its first
    :py:`HEADER` words before; a word a cycle at most, or one in ``32 / bits + 1``.

    Parameters
    ----------
    magic, version : int
        What the first two words must be; 32 bits.
    most : int
        Words of the longest image, CRC included; longer ones are refused.
    bits : int
        What the CRC takes in a cycle: 32, 16, 8 or 4. All of a word take 270 LUTs more than 8.

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
    crc : Out(32)
        The last word of an image that was checked.
    """

    def __init__(self, *, magic, version, most, bits=32):
        for name, value in (("magic number", magic), ("version", version)):
            if value not in range(1 << 32):
                raise ValueError(f"the {name} is a word of 32 bits, not {value!r}")
        if most not in range(SHORTEST, 1 << COUNT_BITS):
            raise ValueError(f"the longest image has {SHORTEST} to {(1 << COUNT_BITS) - 1} words, "
                             f"not {most!r}")
        if bits not in (4, 8, 16, 32):
            raise ValueError(f"the CRC takes 4, 8, 16 or 32 bits a cycle, not {bits!r}")
        self.magic, self.version, self.most, self.bits = magic, version, most, bits
        super().__init__({
            "present": In(1), "length": Out(COUNT_BITS), "read": Out(1),
            "i": In(stream.Signature(32)), "go": In(1), "o": Out(stream.Signature(32)),
            "checked": Out(1), "good": Out(1), "bad": Out(1), "crc": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=self.bits).create()
        parts = 32 // self.bits
        word, new, left_parts = Signal(32), Signal(), Signal(range(parts + 1))
        length = Signal(COUNT_BITS, init=HEADER)
        left, last = Signal(COUNT_BITS, init=HEADER), Signal()  # words from this one on; one
        checks, image, taken, free = Signal(), Signal(), Signal(), Signal()
        seen, final, wrong = Signal(), Signal(), Signal()  # of a word, a cycle behind new
        m.d.comb += [
            self.length.eq(length), self.checked.eq(self.good | self.bad),
            self.o.payload.eq(self.i.payload), taken.eq(checks & free & self.i.valid),
            free.eq(1 if parts == 1 else ~left_parts.any()),
            self.read.eq(checks | self.good & self.go),
            self.i.ready.eq(checks & free | self.good & self.go & self.o.ready),
            self.o.valid.eq(self.good & self.go & self.i.valid),
            crc.data.eq(word[:self.bits]), crc.start.eq(~image),
            crc.valid.eq(image & left_parts.any() & ~(new & last)),
        ]
        # a word comes; in the next cycle it is looked at, and behind that one it counts
        m.d.sync += [new.eq(taken), seen.eq(new & checks), final.eq(last)]
        with m.If(taken):
            m.d.sync += [word.eq(self.i.payload), left_parts.eq(parts)]
        with m.Elif(left_parts.any()):
            m.d.sync += [word.eq(word >> self.bits), left_parts.eq(left_parts - 1)]
        with m.If(new & checks & ~(seen & final)):
            m.d.sync += [left.eq(left - 1), last.eq(left == 2)]
        with m.FSM():
            with m.State("ABSENT"):
                m.d.sync += checks.eq(1)
                m.next = "HEADER"
            with m.State("HEADER"):
                with m.If(last):
                    m.d.sync += wrong.eq((word < SHORTEST) | (word > self.most))
                with m.Elif(~left[0]):
                    m.d.sync += wrong.eq(word != self.version)
                with m.Else():
                    m.d.sync += wrong.eq(word != self.magic)
                with m.If(new & last):
                    m.d.sync += left.eq(word)
                with m.If(seen & wrong):
                    m.d.sync += checks.eq(0)
                    m.next = "BAD"
                with m.Elif(seen & final):
                    m.d.sync += checks.eq(0)
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.sync += [length.eq(left), last.eq(0), left_parts.eq(0),
                             checks.eq(1), image.eq(1)]
                m.next = "IMAGE"
            with m.State("IMAGE"):
                m.d.sync += wrong.eq(word != crc.crc)
                with m.If(new & last):
                    m.d.sync += self.crc.eq(word)
                with m.If(seen & final):
                    m.d.sync += checks.eq(0)
                    m.next = "END"
                    with m.If(wrong):
                        m.next = "BAD"
            with m.State("END"):
                m.d.sync += [length.eq(length - 1), self.good.eq(1)]
                m.next = "GOOD"
            with m.State("GOOD"):
                pass
            with m.State("BAD"):
                m.d.comb += self.bad.eq(1)
        return ResetInserter(~self.present)(m)

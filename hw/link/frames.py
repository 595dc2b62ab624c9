"""Frames of :mod:`qsnn.hw.link.protocol` in hardware: queue, COBS both ways, CRC.

Every block here takes its time: a line gives a byte in 47 cycles or more. So all of them have
registers behind memories and wide decisions, and say how long their inputs must rest.
"""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from qsnn.hw.core.rom import Rom
from qsnn.hw.link.uart import BYTE

__all__ = ["CobsDecoder", "Crc32", "Inbox", "Outbox"]


class ByteMemory(wiring.Component):
    """Memory of bytes, one port to write and one to read; a block RAM.

    :py:`data` is the byte at :py:`address` two cycles ago; undefined if it was written in that
    cycle.
    """

    def __init__(self, depth):
        self.depth = depth
        address = range(depth)
        super().__init__({"write": In(1), "write_address": In(address), "write_data": In(8),
                          "address": In(address), "data": Out(8)})

    def elaborate(self, platform):
        m = Module()
        # Yosys takes the attribute only where the register stands outside the port; without it,
        # an iCE40 gets 50 logic cells that define what is read while it is written
        m.submodules.memory = memory = Memory(shape=8, depth=self.depth, init=[],
                                              attrs={"no_rw_check": 1})
        write, read = memory.write_port(), memory.read_port(domain="comb")
        inside, output = Signal(8, reset_less=True), Signal(8, reset_less=True)
        m.d.comb += [write.en.eq(self.write), write.addr.eq(self.write_address),
                     write.data.eq(self.write_data), read.addr.eq(self.address),
                     self.data.eq(output)]
        m.d.sync += [inside.eq(read.data), output.eq(inside)]
        return m


class Inbox(wiring.Component):
    """Queue of received bytes that can be read a second time.

    What was read stays until :py:`free`, so a frame can be checked first and used then. Where
    there is no room, or a byte is bad, the rest of its frame is dropped; the delimiter, which
    is taken as soon as there is room for one again, ends what came before. So the CRC of a frame
    that lost bytes is wrong. Empty frames take no room: over SPI they never end.

    Parameters
    ----------
    depth : int
        Bytes; a power of two.

    Members
    -------
    i : In(stream of BYTE, always ready)
        A byte every second cycle at most.
    byte : Out(8)
        The next byte: three cycles after the one before it was taken, or, in an empty queue, two
        after :py:`empty` fell.
    next : In(1)
        Take it; not while :py:`empty`.
    rewind, free : In(1)
        Go back to the oldest byte; give back all bytes that were taken. Not with :py:`next`.
    empty : Out(1)
        All bytes were taken, a cycle ago.
    overrun : Out(1)
        A byte was dropped for lack of room.
    """

    def __init__(self, depth):
        self.depth = depth
        self.address_bits = exact_log2(depth)
        super().__init__({
            "i": In(stream.Signature(BYTE, always_ready=True)),
            "byte": Out(8), "next": In(1), "rewind": In(1), "free": In(1),
            "empty": Out(1, init=1), "overrun": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = ByteMemory(self.depth)
        # one bit more than an address: equal pointers are empty, those half way round full
        write, read, oldest = (Signal(self.address_bits + 1, name=name)
                               for name in ("write", "read", "oldest"))

        room, broken, delimiter = Signal(init=1), Signal(), Signal()
        between, needless = Signal(init=1), Signal()  # behind a delimiter; another one
        m.d.sync += [room.eq((write ^ oldest) != self.depth), self.empty.eq(read == write)]
        m.d.comb += [
            delimiter.eq((self.i.p.data == 0) & ~self.i.p.bad),
            needless.eq(delimiter & between),
            self.overrun.eq(self.i.valid & ~room & ~needless),
            memory.write.eq(self.i.valid & room & ~self.i.p.bad & ~needless
                            & (~broken | delimiter)),
            memory.write_address.eq(write[:-1]), memory.write_data.eq(self.i.p.data),
        ]
        with m.If(memory.write):
            m.d.sync += [write.eq(write + 1), between.eq(delimiter)]
        with m.If(self.i.valid):
            with m.If(self.overrun | self.i.p.bad):
                m.d.sync += broken.eq(1)
            with m.Elif(delimiter):
                m.d.sync += broken.eq(0)

        m.d.comb += [memory.address.eq(read[:-1]), self.byte.eq(memory.data)]
        with m.If(self.next):
            m.d.sync += read.eq(read + 1)
        with m.If(self.rewind):
            m.d.sync += read.eq(oldest)
        with m.If(self.free):
            m.d.sync += oldest.eq(read)
        return m


class CobsDecoder(wiring.Component):
    """Decodes COBS, byte by byte. Outputs follow the byte, and :py:`step`, after two cycles.

    Members
    -------
    byte, step : In(8), In(1)
        An encoded byte; :py:`step` goes on behind it, and behind a delimiter to a new frame.
    inside, valid : Out(1)
        What it decodes to, if it does: itself inside of a block; else it is the code byte of a
        block and stands for the zero before the block.
    end : Out(1)
        The byte is the delimiter. If it is :py:`inside` a block, that breaks the frame.
    """

    def __init__(self):
        super().__init__({"byte": In(8), "step": In(1), "inside": Out(1), "valid": Out(1),
                          "end": Out(1)})

    def elaborate(self, platform):
        m = Module()
        left = Signal(8)  # bytes of the block to come
        zero = Signal()   # a zero stands between this block and the next one
        m.d.sync += [self.end.eq(self.byte == 0), self.inside.eq(left != 0),
                     self.valid.eq(~self.end & (self.inside | zero))]
        with m.If(self.step):
            m.d.sync += left.eq(Mux(self.inside, left, self.byte) - 1)
            with m.If(~self.inside):
                m.d.sync += zero.eq(self.byte != 0xFF)
            with m.If(self.end):
                m.d.sync += [left.eq(0), zero.eq(0)]
        return m


class Crc32(wiring.Component):
    """The CRC-32 of zlib, one bit a cycle.

    To send the CRC, send four times the complement of :py:`low`, with eight cycles of
    :py:`flush` behind each.

    Members
    -------
    bit, shift : In(1)
        The next bit of the data, the lowest of a byte first.
    flush : In(1)
        With :py:`shift`, instead of a bit: :py:`low` moves down by one.
    clear : In(1)
        Begin anew, whatever else is asked for.
    low : Out(8)
        The lowest bits of the register.
    good : Out(1)
        The last four bytes were the CRC of those before them; a cycle later.
    """

    POLYNOMIAL = 0xEDB88320
    RESIDUE = 0xDEBB20E3  # of every string with its CRC behind it

    def __init__(self):
        super().__init__({"bit": In(1), "shift": In(1), "flush": In(1), "clear": In(1),
                          "low": Out(8), "good": Out(1)})

    def elaborate(self, platform):
        m = Module()
        crc = Signal(32, init=0xFFFFFFFF)
        m.d.comb += self.low.eq(crc[:8])
        m.d.sync += self.good.eq(crc == self.RESIDUE)
        with m.If(self.shift):
            feedback = ((crc[0] ^ self.bit) & ~self.flush).replicate(32)
            m.d.sync += crc.eq(crc[1:] ^ (feedback & self.POLYNOMIAL))
        with m.If(self.clear):
            m.d.sync += crc.eq(0xFFFFFFFF)
        return m


class Outbox(wiring.Component):
    """Encodes one frame into a memory and sends it from there.

    COBS puts the length of a block before the block, and the length is known at its end; so the
    frame is sent only when it is whole. It may have up to 254 bytes before encoding. The other
    half of the memory holds constant bytes, and a few that are noted down meanwhile.

    Parameters
    ----------
    constants : bytes
        From address 0 on, at most :py:`NOTES`.
    file : str or None
        Name of the memory image, see :class:`qsnn.hw.core.rom.Rom`.

    Members
    -------
    byte : In(8)
        It rests for two cycles before any of the following.
    push : In(1)
        The next byte of the frame, or a zero behind its last one; only while :py:`free`.
    close : In(1)
        The frame is complete, that zero with it, and :py:`byte` is zero still.
    note, note_at : In(1), In(2)
        Keep the byte at this address behind :py:`NOTES`; only between frames.
    free : Out(1)
        No frame is being sent.
    address, word : In, Out(8)
        A constant, or a byte that was noted: two cycles later, while :py:`free`. What was neither
        is zero.
    o : Out(stream of 8 bits)
        The encoded frame with its delimiter, a byte every four cycles at most.
    """

    FRAME = 256
    NOTES = 64

    @classmethod
    def contents(cls, constants):
        """Words of the memory image."""
        return [*constants, *bytes(2 * cls.FRAME - len(constants))]

    def __init__(self, constants, file=None):
        self.memory = Rom(width=8, init=self.contents(constants), file=file, loadable=True)
        super().__init__({"byte": In(8), "push": In(1), "close": In(1),
                          "note": In(1), "note_at": In(2), "free": Out(1),
                          "address": In(range(self.FRAME)), "word": Out(8),
                          "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        # `code` is where the length of the block goes, `place` where its next byte goes, and where
        # the next byte to send is
        code, place = Signal(8), Signal(8, init=1)
        length, zero = Signal(8, init=1), Signal()
        sending, sent, there = Signal(), Signal(), Signal()
        m.d.sync += zero.eq(self.byte == 0)
        m.d.comb += [
            self.free.eq(~sending), self.word.eq(memory.word), self.o.payload.eq(memory.word),
            memory.address.eq(Mux(sending, Cat(place, 1), self.address)),
            # a zero is not stored: its place takes the next block's length, or the delimiter
            memory.load.at.eq(Mux(self.note, self.NOTES | self.note_at,
                                  Cat(Mux(zero, code, place), 1))),
            memory.load.data.eq(Mux(zero & self.push, length, self.byte)),
            memory.load.write.eq(self.push | self.close | self.note),
            sent.eq(self.o.valid & self.o.ready),
        ]
        with m.If(self.push | sent):
            m.d.sync += place.eq(place + 1)
        with m.If(self.push):
            m.d.sync += length.eq(length + 1)
            with m.If(zero):
                m.d.sync += [code.eq(place), length.eq(1)]
        m.d.sync += [there.eq(sending & ~sent), self.o.valid.eq(there & ~sent)]
        with m.If(self.close):
            m.d.sync += [sending.eq(1), place.eq(0), code.eq(0)]
        with m.If(sent & (memory.word == 0)):
            m.d.sync += [sending.eq(0), place.eq(1)]
        return m

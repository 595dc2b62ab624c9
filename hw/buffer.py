"""Double buffer between layers: one image is read, again and again, while the next one arrives."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["ImageBuffer", "ImageWriter"]

SLOTS = 2  # images


class ImageBuffer(wiring.Component):
    """Memory for two images of ``words`` words, with a credit for each free one.

    A writer takes a credit (:py:`take` while :py:`room`) before it writes an image's first word,
    and then may write one word a cycle at any pace. A reader may begin (:py:`begin` while
    :py:`available`) when an image is whole; from then on it reads words in any order, and frees
    the image with :py:`release` in the cycle in which its last pass over the words starts: a
    writer that takes the credit writes word ``n`` after that pass has read it.

    Parameters
    ----------
    words, width : int
        Words of an image, bits of a word.

    Attributes
    ----------
    latency : int
        Cycles from :py:`address` to :py:`word`: 2.

    Members
    -------
    room, take : Out(1), In(1)
    write, data, done : In
        Write the next word of the image; :py:`done` marks its last.
    available, begin, release : Out(1), In(1), In(1)
    address, word : In, Out
        Word of the image that was begun last.
    """

    latency = 2

    def __init__(self, *, words, width):
        self.words = words
        self.width = width
        super().__init__({
            "room": Out(1), "take": In(1),
            "write": In(1), "data": In(width), "done": In(1),
            "available": Out(1), "begin": In(1), "release": In(1),
            "address": In(range(max(2, words))), "word": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        address_bits = ceil_log2(self.words)
        depth = (1 << address_bits) + self.words
        m.submodules.memory = memory = Memory(shape=self.width, depth=depth, init=[])
        write_port, read_port = memory.write_port(), memory.read_port()

        free = Signal(range(SLOTS + 1), init=SLOTS)
        m.d.sync += free.eq(free + self.release - self.take)
        m.d.comb += self.room.eq(free != 0)

        whole = Signal(range(SLOTS + 1))
        m.d.sync += whole.eq(whole + (self.write & self.done) - self.begin)
        m.d.comb += self.available.eq(whole != 0)

        slot = Signal()
        index = Signal(range(max(2, self.words)))
        with m.If(self.write):
            m.d.sync += index.eq(Mux(self.done, 0, index + 1))
            m.d.sync += slot.eq(slot ^ self.done)
        m.d.comb += [
            write_port.en.eq(self.write),
            write_port.addr.eq(Cat(index[:address_bits], slot)),
            write_port.data.eq(self.data),
        ]

        read_slot = Signal(init=1)  # the first image toggles it to slot 0
        with m.If(self.begin):
            m.d.sync += read_slot.eq(~read_slot)
        output = Signal(self.width, reset_less=True)
        m.d.comb += [
            read_port.addr.eq(Cat(self.address[:address_bits], read_slot)),
            self.word.eq(output),
        ]
        m.d.sync += output.eq(read_port.data)
        return m


class ImageWriter(wiring.Component):
    """Collects beats of ``lanes`` elements into words of ``lanes * ratio`` elements.

    An image is ``beats`` beats; its last word is filled up with zeros. ``elements`` is the number
    of elements that mean something: what a last beat carries beyond them is cleared.

    Members
    -------
    i : In(stream of lanes * width bits)
        Beats; :py:`ready` falls between images only, when :py:`room` is missing. A source that
        has its credit before it starts (:py:`reserved=True`) is never stalled.
    room, take, write, data, done :
        The writing side of an :class:`ImageBuffer`.
    """

    def __init__(self, *, elements, width, lanes, ratio, reserved):
        self.width = width
        self.lanes = lanes
        self.ratio = ratio
        self.beats = -(-elements // lanes)
        self.spare = self.beats * lanes - elements  # elements of the last beat to clear
        self.reserved = reserved
        super().__init__({
            "i": In(stream.Signature(width * lanes, always_ready=reserved)),
            "room": In(1), "take": Out(1),
            "write": Out(1), "data": Out(width * lanes * ratio), "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        beat = Signal(range(max(2, self.beats)))
        last = Signal()
        position = Signal(range(max(2, self.ratio)))
        transfer = Signal()
        m.d.comb += [
            last.eq(beat == self.beats - 1),
            transfer.eq(self.i.valid & self.i.ready),
            self.write.eq(transfer & (last | (position == self.ratio - 1))),
            self.done.eq(last),
        ]
        if not self.reserved:
            # the counter says that an image is under way: its credit was taken with beat 0
            m.d.comb += self.i.ready.eq((beat != 0) | self.room)
            m.d.comb += self.take.eq(transfer & (beat == 0))
        with m.If(transfer):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
            m.d.sync += position.eq(Mux(self.write, 0, position + 1))

        width = self.width * self.lanes
        kept = Signal(width)
        m.d.comb += kept.eq(self.i.payload)
        if self.spare:
            with m.If(last):
                m.d.comb += kept[-self.spare * self.width:].eq(0)
        # beats wait here for the word's last one, which goes straight into the memory
        waiting = Signal(width * max(1, self.ratio - 1))
        for index in range(self.ratio):
            slot = self.data[index * width:(index + 1) * width]
            held = waiting[index * width:(index + 1) * width]
            with m.If(position == index):
                m.d.comb += slot.eq(kept)
                if index < self.ratio - 1:
                    with m.If(transfer):
                        m.d.sync += held.eq(kept)
            with m.Elif(position > index):
                m.d.comb += slot.eq(held)
        return m

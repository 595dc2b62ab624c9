"""Double buffer between layers: one image is read, again and again, while the next one arrives."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["ImageBuffer", "ImageWriter", "credits"]


def credits(m, *, more, fewer, init):
    """Whether a count of 0 to 2, that starts at 0 or at 2, is not 0.

    Two registers, the first of which says it: what waits for it is often far away.
    """
    some, both = Signal(init=init), Signal(init=init)
    with m.If(more & ~fewer):
        m.d.sync += [some.eq(1), both.eq(some)]
    with m.Elif(fewer & ~more):
        m.d.sync += [some.eq(both), both.eq(0)]
    return some


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
        # a word is never read and written at once, which saves the logic that would define it
        m.submodules.memory = memory = Memory(shape=self.width, depth=depth, init=[],
                                              attrs={"no_rw_check": 1})
        write_port, read_port = memory.write_port(), memory.read_port()

        m.d.comb += [
            self.room.eq(credits(m, more=self.release, fewer=self.take, init=1)),
            self.available.eq(credits(m, more=self.write & self.done, fewer=self.begin, init=0)),
        ]

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
        first, last = Signal(init=1), Signal(init=self.beats == 1)  # beat 0; the last one
        position = Signal(range(max(2, self.ratio)))
        transfer = Signal()
        m.d.comb += [
            transfer.eq(self.i.valid & self.i.ready),
            self.write.eq(transfer & (last | (position == self.ratio - 1))),
            self.done.eq(last),
        ]
        if not self.reserved:
            # behind beat 0 an image is under way: its credit was taken with that beat
            m.d.comb += self.i.ready.eq(~first | self.room)
            m.d.comb += self.take.eq(transfer & first)
        with m.If(transfer):
            m.d.sync += [beat.eq(Mux(last, 0, beat + 1)), first.eq(last)]
            if self.beats > 1:
                m.d.sync += last.eq(beat == self.beats - 2)
            m.d.sync += position.eq(Mux(self.write, 0, position + 1))

        width = self.width * self.lanes
        kept = Signal(width)
        m.d.comb += kept.eq(self.i.payload)
        if self.spare:
            with m.If(last):
                m.d.comb += kept[-self.spare * self.width:].eq(0)
        if self.ratio == 1:
            m.d.comb += self.data.eq(kept)
            return m
        # beats wait here for the word's last one, which goes straight into the memory
        waiting = Signal(width * (self.ratio - 1))
        for index in range(self.ratio):
            slot = self.data[index * width:(index + 1) * width]
            held = waiting[index * width:(index + 1) * width]
            with m.If(position == index):
                m.d.comb += slot.eq(kept)
            if index < self.ratio - 1:
                with m.If((position == index) & transfer):
                    m.d.sync += held.eq(kept)
                with m.If(position > index):
                    m.d.comb += slot.eq(held)
        return m

"""Buffers between layers: one image, or some rows, are read while the next ones arrive."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.plan.window import CREDIT_CYCLES

__all__ = ["ImageBuffer", "ImageWriter", "RowBuffer", "credits"]


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


class RowBuffer(wiring.Component):
    """Ring of the rows of a map, for a convolution that goes over them.

    As :class:`ImageBuffer`, with rows in place of images for the writer: it takes a credit for
    each row, and :py:`done` marks a row's last word. The reader begins and releases units, as
    :class:`qsnn.hw.plan.window.Window` has them. What happens counts a cycle later, behind
    registers: both sides must leave a cycle between two credits taken, and between two units begun.

    Parameters
    ----------
    window : :class:`qsnn.hw.plan.window.Window`
    rows : int
        Rows that it holds.
    width : int
        Bits of a word.
    ports : int
        Words that are read at once, each from a copy of the memory.

    Members
    -------
    As those of :class:`ImageBuffer`, with addresses and words of all ports, and

    blank : In(ports)
        With :py:`address`: the word is 0.
    """

    latency = 2

    def __init__(self, *, window, rows, width, ports=1):
        self.window, self.rows = window, rows
        self.width, self.ports = width, ports
        self.depth = rows * window.width * window.chunks
        super().__init__({
            "room": Out(1), "take": In(1),
            "write": In(1), "data": In(width), "done": In(1),
            "available": Out(1), "begin": In(1), "release": In(1),
            "address": In(data.ArrayLayout(Shape.cast(range(max(2, self.depth))), ports)),
            "blank": In(ports), "word": Out(width * ports),
        })

    def elaborate(self, platform):
        m = Module()
        window = self.window
        at = Signal(range(max(2, self.depth)))
        with m.If(self.write):
            m.d.sync += at.eq(Mux(at == self.depth - 1, 0, at + 1))
        for port in range(self.ports):
            self._memory(m, port, at)

        # rows that are free; rows that have come and of which no unit has taken notice
        take, done, begin, release = (Signal(name=f"{name}_seen") for name in (
            "take", "done", "begin", "release"))
        m.d.sync += [take.eq(self.take), done.eq(self.write & self.done),
                     begin.eq(self.begin), release.eq(self.release)]
        rows = range(self.rows + 1)
        free, free_next = Signal(rows, init=self.rows), Signal(rows)
        come, come_next = Signal(rows), Signal(rows)
        need, need_next = _following(m, "need", window.needed, begin)
        freed, _ = _following(m, "freed", window.freed, release)
        room = Signal(init=1)
        m.d.comb += [
            free_next.eq(free - take + Mux(release, freed, 0)),
            come_next.eq(come + done - Mux(begin, need, 0)),
            self.room.eq(room),
        ]
        m.d.sync += [free.eq(free_next), room.eq(free_next != 0), come.eq(come_next),
                     self.available.eq(come_next >= need_next)]

        return m

    def _memory(self, m, port, at):
        """The copy for a port, written at an address."""
        memory = Memory(shape=self.width, depth=self.depth, init=[], attrs={"no_rw_check": 1})
        m.submodules[f"memory_{port}" if port else "memory"] = memory
        write_port, read_port = memory.write_port(), memory.read_port()
        output, blank = Signal(self.width, reset_less=True), Signal()
        m.d.comb += [write_port.en.eq(self.write), write_port.addr.eq(at),
                     write_port.data.eq(self.data), read_port.addr.eq(self.address[port]),
                     self.word.word_select(port, self.width).eq(output)]
        m.d.sync += [blank.eq(self.blank[port]), output.eq(Mux(blank, 0, read_port.data))]


def _following(m, name, totals, step):
    """What each unit adds to the one before: (for the unit in turn, for that of the next cycle).

    totals: sums up to each unit of an image, and after its last one those of the next image.
    """
    values = [after - before for before, after in zip((0, *totals), totals, strict=False)]
    usual = max(set(values), key=values.count)
    unit = Signal(range(len(values) + 1), name=f"{name}_unit", init=1 % len(values))
    now = Signal(range(max(values) + 1), name=name, init=values[0])
    following, then = Signal.like(now, name=f"{name}_following"), Signal.like(now)
    m.d.comb += [following.eq(usual), then.eq(Mux(step, following, now))]
    with m.Switch(unit):
        for index, value in enumerate(values):
            if value != usual:
                with m.Case(index):
                    m.d.comb += following.eq(value)
    m.d.sync += now.eq(then)
    with m.If(step):
        m.d.sync += unit.eq(Mux(unit == len(values) - 1, 0, unit + 1))
    return now, then


class ImageWriter(wiring.Component):
    """Collects beats of ``lanes`` elements into words of ``lanes * ratio`` elements.

    A pixel is ``beats`` beats; its last word is filled up with zeros. ``elements`` is the number
    of its elements that mean something: what a last beat carries beyond them is cleared. What a
    credit is for, an image or a row of one, has ``pixels`` of them; a row of numbers is one pixel.

    Members
    -------
    i : In(stream of lanes * width bits)
        Beats; :py:`ready` falls between images or rows only, when :py:`room` is missing. A source
        that has its credit before it starts (:py:`reserved=True`) is never stalled. Where a credit
        counts late, as a :class:`RowBuffer` has it (:py:`late=True`), a row of less than
        ``CREDIT_CYCLES`` beats takes so many cycles.
    room, take, write, data, done :
        The writing side of an :class:`ImageBuffer` or of a :class:`RowBuffer`. Behind a source
        that is stalled it comes a cycle later: the pins, or a host, may be far away.
    """

    def __init__(self, *, elements, width, lanes, ratio, reserved, pixels=1, late=False):
        self.width = width
        self.lanes = lanes
        self.ratio = ratio
        self.pixels = pixels
        self.beats = -(-elements // lanes)
        self.spare = self.beats * lanes - elements  # elements of the last beat to clear
        self.reserved = reserved
        self.unit_beats = self.beats * pixels
        # whether a unit can be over before its credit counts
        self.short = late and self.unit_beats < CREDIT_CYCLES
        super().__init__({
            "i": In(stream.Signature(width * lanes, always_ready=reserved)),
            "room": In(1), "take": Out(1),
            "write": Out(1), "data": Out(width * lanes * ratio), "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        beat = Signal(range(max(2, self.beats)))
        first, last = Signal(init=1), Signal(init=self.beats == 1)  # of all beats; of a pixel
        last_pixel = Signal(init=self.pixels == 1)
        position = Signal(range(max(2, self.ratio)))
        transfer = Signal()
        write, done = Signal(), Signal()
        m.d.comb += [
            transfer.eq(self.i.valid & self.i.ready),
            write.eq(transfer & (last | (position == self.ratio - 1))),
            done.eq(last & last_pixel if self.pixels > 1 else last),
        ]
        if self.reserved:
            m.d.comb += [self.write.eq(write), self.done.eq(done)]
        else:
            m.d.sync += [self.write.eq(write), self.done.eq(done)]
            # behind beat 0 an image or row is under way: its credit was taken with that beat
            m.d.comb += self.take.eq(transfer & first)
            if self.short:
                waits = Signal()  # a cycle more, behind a beat that is a row
                m.d.sync += waits.eq(transfer & done & (self.unit_beats == 1))
                with m.If(transfer & done):
                    m.d.sync += self.i.ready.eq(0)
                with m.Elif(first & ~self.i.ready & ~waits):
                    m.d.sync += self.i.ready.eq(self.room)
            elif self.unit_beats == 1:
                m.d.comb += self.i.ready.eq(self.room)
            else:
                with m.If(transfer & done | first & ~self.i.ready):
                    m.d.sync += self.i.ready.eq(self.room)
        with m.If(transfer):
            m.d.sync += [beat.eq(Mux(last, 0, beat + 1)), first.eq(done)]
            if self.beats > 1:
                m.d.sync += last.eq(beat == self.beats - 2)
            m.d.sync += position.eq(Mux(write, 0, position + 1))
        if self.pixels > 1:
            pixel = Signal(range(self.pixels))
            with m.If(transfer & last):
                m.d.sync += [pixel.eq(Mux(last_pixel, 0, pixel + 1)),
                             last_pixel.eq(pixel == self.pixels - 2)]

        width = self.width * self.lanes
        kept = Signal(width)
        m.d.comb += kept.eq(self.i.payload)
        if self.spare:
            with m.If(last):
                m.d.comb += kept[-self.spare * self.width:].eq(0)
        if self.ratio == 1:
            domain = m.d.comb if self.reserved else m.d.sync
            domain += self.data.eq(kept)
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

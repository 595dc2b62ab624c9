"""Pixels as they come, a byte each, become words of the map memory: windows of the first layer."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.engine.walk import PositionWalk, WindowWalk

__all__ = ["Gather"]


class Gather(wiring.Component):
    """Takes images; lays out what each position of the first layer sees, as words of its own.

    So a first layer whose few channels would fill but a part of a word finds a whole window in
    one, or in a few, and goes over them as a 1 x 1 convolution does. A pixel takes a tap's place in
    all of its planes: of ``steps`` bits each, the highest one in lane 0, the lowest plane first.
    Columns behind a window's last tap are not written, and nobody reads them.

    Members
    -------
    known, network : In
        The network's descriptor, see :meth:`qsnn.hw.engine.shape.EngineShape.network`.
    images : In(4)
        Images of a batch, less 1.
    i : In(stream of 8)
        Their pixels.
    there : Out(5)
        Images of the batch that are there; :py:`clear` when none of them is wanted any more.
    reading : In(4)
        The set of images, side by side in the lanes, that is being read; those before are not
        wanted any more, and others may take their places.
    write, at, column, data : Out
        To the map memory; taken where :py:`free`.
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__({
            "known": In(1), "network": In(shape.network), "images": In(4),
            "i": In(stream.Signature(8)), "there": Out(5), "clear": In(1), "reading": In(4),
            "write": Out(1), "at": Out(shape.address_bits),
            "column": Out(range(max(2, shape.columns))), "data": Out(shape.column_bits),
            "free": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        shape, c = self.shape, self.network
        bits, beat, steps = ceil_log2(shape.image_bytes), shape.beat, shape.steps
        m.submodules.positions = positions = PositionWalk(bits, c.position.shape(), pools=False)
        m.submodules.window = window = WindowWalk(bits, c.window.shape(), passes=False)
        wiring.connect(m, positions.o, window.i)
        m.d.comb += [positions.config.eq(c.position), window.config.eq(c.window)]
        m.submodules.memory = memory = Memory(shape=8, depth=shape.image_bytes, init=[])
        writer, reader = memory.write_port(), memory.read_port()

        # taps: a byte of the image each, or 0. A column that is whole, or a window's last one,
        # waits to be written; until then no other one becomes whole
        tap, whole = Signal(range(beat)), Signal()
        coming, place, blank = Signal(), Signal(range(beat)), Signal()
        column_ends, window_ends = Signal(), Signal()
        pending, last_column = Signal(), Signal()
        m.d.comb += [
            whole.eq((tap == beat - 1) | window.last),
            window.stall.eq(whole & (pending | column_ends)),
            reader.addr.eq(window.address), reader.en.eq(1),
        ]
        with m.If(window.valid):
            m.d.sync += tap.eq(Mux(whole, 0, tap + 1))
        m.d.sync += [coming.eq(window.valid), place.eq(tap), blank.eq(window.blank),
                     column_ends.eq(window.valid & whole), window_ends.eq(window.last)]
        kept = Signal(8 * beat)
        for index in range(beat):
            byte = Signal(8, name=f"tap_{index}")
            now = Mux(place == index, Mux(blank, 0, reader.data), Mux(place < index, 0, byte))
            with m.If(coming & (place == index)):
                m.d.sync += byte.eq(now)
            with m.If(column_ends):
                m.d.sync += kept.word_select(index, 8).eq(now)
        with m.If(column_ends):
            m.d.sync += [pending.eq(1), last_column.eq(window_ends)]

        # a column of each plane
        planes = -(-8 // steps)
        plane, offset = Signal(range(max(2, planes))), Signal(shape.address_bits)
        word, count = Signal(shape.address_bits), self.there
        values = [Cat(kept[8 * tap + number * steps + steps - 1 - lane]
                      if number * steps + steps - 1 - lane < 8 else Const(0)
                      for lane in range(steps) for tap in range(beat)) for number in range(planes)]
        last_plane = plane == c.planes
        m.d.comb += [self.write.eq(pending), self.at.eq(word + offset),
                     self.data.eq(Array(values)[plane])]
        with m.If(pending & self.free):
            m.d.sync += [plane.eq(plane + 1), offset.eq(offset + c.plane_stride)]
            with m.If(last_plane):
                m.d.sync += [plane.eq(0), offset.eq(0), pending.eq(0),
                             self.column.eq(self.column + 1)]
                with m.If(last_column | (self.column == shape.columns - 1)):
                    m.d.sync += [self.column.eq(0), word.eq(word + 1)]

        pixel = Signal(bits)
        base = Signal(shape.address_bits)
        m.d.comb += [writer.addr.eq(pixel), writer.data.eq(self.i.payload),
                     writer.en.eq(self.i.valid & self.i.ready)]
        room, turn = Signal(), Signal(4)
        m.d.sync += room.eq((count <= self.images)
                            & ((count >> c.share) <= self.reading + c.slots))
        idle = ~positions.o.valid & window.i.ready & ~window.valid & ~coming & ~pending
        with m.FSM():
            with m.State("load"):
                m.d.comb += self.i.ready.eq(self.known)
                with m.If(writer.en):
                    m.d.sync += pixel.eq(pixel + 1)
                    with m.If(pixel == c.image):
                        m.d.sync += pixel.eq(0)
                        m.next = "look"
            with m.State("look"):  # room is of the count before
                m.next = "room"
            with m.State("room"):
                with m.If(room & ~self.clear):
                    m.d.comb += positions.start.eq(1)
                    m.d.sync += word.eq(Mux(turn == 0, c.pixels, base))
                    m.next = "begin"
            with m.State("begin"):
                m.next = "gather"
            with m.State("gather"):
                with m.If(pending & self.free & last_plane):
                    m.d.sync += base.eq(word + 1 + offset)
                with m.If(idle):
                    m.d.sync += [count.eq(count + 1), turn.eq(Mux(turn == c.ring, 0, turn + 1))]
                    m.next = "load"
        with m.If(self.clear):
            m.d.sync += [count.eq(0), turn.eq(0)]
        return m

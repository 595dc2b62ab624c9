"""Ways over a map whose shape is in registers: from position to position, and over a window."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.engine.shape import COORDINATE

__all__ = ["PositionWalk", "WindowWalk", "place"]


def place(bits):
    """Layout of where a window begins: an address, and coordinates that padding makes negative.

    skip: address of what a skip takes. image, lane: which set of images, and of those side by side.
    first, last, final: of the positions of a pool's rectangle; the last position of all.
    """
    return data.StructLayout({"address": bits, "skip": bits,
                              "y": signed(COORDINATE), "x": signed(COORDINATE),
                              "image": 4, "lane": 3, "first": 1, "last": 1, "final": 1})


class PositionWalk(wiring.Component):
    """Where the windows of all positions begin: rectangles of a pool, inside them pixels, and of
    each the images that are side by side in the lanes, where a layer takes them one by one.

    Parameters
    ----------
    bits : int
        Of an address. All arithmetic with them is modulo ``2**bits``.
    pools : bool
        Whether there are rectangles and several images; else positions come line by line.

    Members
    -------
    config : In
        :meth:`qsnn.hw.engine.shape.EngineShape.position`; stable while it goes. Counts are less 1.
    images : In(4), if there are several
        Their number, less 1.
    start : In(1)
        Begin; never while it goes. The first position comes two cycles later.
    o : Out(stream of :func:`place`)
        A position in two cycles at most.
    """

    def __init__(self, bits, config, *, pools):
        self.pools = pools
        super().__init__({"config": In(config), "start": In(1),
                          **({"images": In(4)} if pools else {}),
                          "o": Out(stream.Signature(place(bits)))})

    def elaborate(self, platform):
        m = Module()
        c, here = self.config, self.o.payload
        step = self.o.valid & self.o.ready
        loops = [("column", c.columns), ("row", c.rows)]
        if self.pools:
            loops = [("lane", c.lanes), ("pixel", c.pool_columns), ("line", c.pool_rows), *loops,
                     ("image", self.images)]
        addresses = [(here.address, c.address), *([(here.skip, c.skip)] if self.pools else [])]
        # behind the last place of a ring comes its first one
        wraps = Signal()
        if self.pools:
            m.d.sync += wraps.eq((here.image & c.ring) == c.ring)
        # a cycle between two positions, in which it is seen which loops end
        active, settled = Signal(), Signal()
        m.d.sync += settled.eq(active & ~step & ~self.start)
        m.d.comb += self.o.valid.eq(active & settled)
        ends, begins, inner = {}, {}, Const(1)
        for name, count in loops:
            counter = Signal(len(count), name=name)
            ends[name], begins[name] = Signal(name=f"last_{name}"), Signal(name=f"first_{name}")
            m.d.sync += [ends[name].eq(counter == count), begins[name].eq(counter == 0)]
            with m.If(step & inner):
                m.d.sync += counter.eq(Mux(ends[name], 0, counter + 1))
            with m.If(self.start):
                m.d.sync += counter.eq(0)
            if name in ("lane", "image"):
                m.d.comb += getattr(here, name).eq(counter)
            inner = inner & ends[name]
        m.d.comb += [
            here.first.eq(begins["lane"] & begins["pixel"] & begins["line"] if self.pools else 1),
            here.last.eq(ends["lane"] & ends["pixel"] & ends["line"] if self.pools else 1),
            here.final.eq(inner),
        ]

        # what the innermost loop that goes on adds
        y, x = here.y, here.x
        following = {"column": (x + c.stride_x, y - (c.back_y if self.pools else 0)),
                     "row": (c.start_x, y + c.stride_y)}
        if self.pools:
            following |= {"lane": (x, y), "pixel": (x + c.stride_x, y),
                          "line": (x - c.back_x, y + c.stride_y),
                          "image": (c.start_x, c.start_y)}
        with m.If(step):
            carried = None
            for name, _ in loops:
                after_x, after_y = following[name]
                with (m.If(~ends[name]) if carried is None else m.Elif(~ends[name])):
                    m.d.sync += [address.eq(address + (
                        Mux(wraps, steps.back, steps.image) if name == "image" else steps[name]))
                        for address, steps in addresses]
                    m.d.sync += [x.eq(after_x), y.eq(after_y)]
                carried = name
            with m.If(inner):
                m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += [address.eq(steps.start) for address, steps in addresses]
            m.d.sync += [active.eq(1), y.eq(c.start_y), x.eq(c.start_x)]
        return m


class WindowWalk(wiring.Component):
    """Over the words of a window, once for each pass; a step a cycle.

    A pass takes one plane of the inputs, or the one pixel that a skip takes. Before all but the
    first, sums may be doubled; where that is more than once, steps without inputs double them.

    Parameters
    ----------
    bits : int
        Of an address.
    config : layout
        :meth:`qsnn.hw.engine.shape.EngineShape.window`; counts are less 1.
    passes : bool
        Whether there are passes and a mask; else one pass.

    Members
    -------
    config : In
    i : In(stream of :func:`place`)
        Windows. One waits inside, and begins behind the last step of the one before; in three
        cycles at most one.
    hold : In(1)
        No window is taken.
    stall : In(1)
        No step.
    begins : Out(1)
        A window begins with the next step.
    valid, first, last : Out(1)
        A step; the first and the last of a window.
    address : Out(bits)
    blank : Out(1), if there are no passes
        It lies beside the map.
    mask : Out, own : Out(1), scale : Out(1), if there are passes
        Columns of the word that count; the step takes a word of the weights, as all but those do
        that only double; what the sums are so far counts twice.
    pixel_ends, pass_ends : Out(1), if there are passes
        It is the last step of a position; of a pass.
    image, lane, square_first, square_last, final : Out
        Of the window, see :func:`place`.
    """

    def __init__(self, bits, config, *, passes):
        self.bits, self.passes = bits, passes
        super().__init__({
            "config": In(config), "i": In(stream.Signature(place(bits))), "hold": In(1),
            "stall": In(1),
            "begins": Out(1), "valid": Out(1), "first": Out(1), "last": Out(1),
            "address": Out(bits),
            "image": Out(4), "lane": Out(3), "square_first": Out(1), "square_last": Out(1),
            "final": Out(1),
            **({"mask": Out(config["mask"].shape), "own": Out(1), "scale": Out(1),
                "pixel_ends": Out(1), "pass_ends": Out(1)} if passes else {"blank": Out(1)}),
        })

    def elaborate(self, platform):
        m = Module()
        c = self.config
        active, begun, taken = Signal(), Signal(), Signal()
        at, y, x = Signal(place(self.bits)), Signal(signed(COORDINATE)), Signal(signed(COORDINATE))
        m.d.comb += [
            self.image.eq(at.image), self.lane.eq(at.lane), self.square_first.eq(at.first),
            self.square_last.eq(at.last), self.final.eq(at.final),
            self.valid.eq(active & ~self.stall), self.first.eq(~begun),
        ]
        # the next window waits here, so that nothing far away depends on the last step of this one
        queue, queued, known = Signal(place(self.bits)), Signal(), Signal()
        opening = Signal(self.bits)
        m.d.comb += [self.i.ready.eq(~queued), self.begins.eq(taken),
                     taken.eq(known & ~self.hold & (~active | self.last & ~self.stall))]
        m.d.sync += known.eq(queued & ~taken)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [queued.eq(1), queue.eq(self.i.payload)]
        with m.If(taken):
            m.d.sync += queued.eq(0)

        outside = (y < 0) | (y >= c.height) | (x < 0) | (x >= c.width)
        if self.passes:
            again, limits, own, more = self._passes(m, at, queue, opening, taken, begun, outside)
        else:
            again, own, more = at.address, Const(1), Const(0)
            limits = [(c.words, c.columns, c.rows)] * 3
            m.d.sync += opening.eq(queue.address)
            m.d.comb += self.blank.eq(outside)

        # loops count down, and whether they end is in a register
        going = self.valid & own
        inner, ends = going, []
        names = "word", "column", "row"
        lasts = [Signal(name=f"last_{name}") for name in names]
        for index, (name, first, now, then) in enumerate(zip(names, *limits, strict=True)):
            left, last = Signal(len(first), name=name), lasts[index]
            ends.append((inner & last, last))
            # what ends with its pass begins with the next one's count
            outer = Cat(lasts[index + 1:]).all() if index < 2 else Const(1)
            self._count(m, left, last, inner, Mux(outer, then, now))
            with m.If(taken):
                m.d.sync += [left.eq(first), last.eq(first == 0)]
            inner = inner & last
        (word_end, _), (row_end, _), (window_end, _) = ends
        if self.passes:
            m.d.comb += [self._word_last.eq(ends[0][1]), self.pixel_ends.eq(word_end),
                         self.pass_ends.eq(window_end)]
        m.d.comb += self.last.eq(own & ~more & ends[0][1] & ends[1][1] & ends[2][1])
        with m.If(self.valid):
            m.d.sync += begun.eq(1)
        with m.If(going):
            m.d.sync += self.address.eq(Mux(window_end, again, self.address + Mux(
                row_end, c.next_row, 1)))
        with m.If(word_end):
            m.d.sync += x.eq(Mux(row_end, at.x, x + 1))
        with m.If(row_end):
            m.d.sync += y.eq(Mux(window_end, at.y, y + 1))
        with m.If(self.valid & self.last):
            m.d.sync += active.eq(0)
        with m.If(taken):
            m.d.sync += [active.eq(1), at.eq(queue), begun.eq(0), self.address.eq(opening),
                         y.eq(queue.y), x.eq(queue.x)]
        return m

    @staticmethod
    def _count(m, left, last, step, first):
        """Count down from ``first`` to 0, again and again."""
        with m.If(step):
            m.d.sync += [left.eq(Mux(last, first, left - 1)),
                         last.eq(Mux(last, first == 0, left == 1))]

    def _passes(self, m, at, queue, opening, taken, begun, outside):
        """What goes over a window more than once: (where the next pass begins, counts of the first
        pass, of this one and of the next, a step that is not for doubling alone, more passes)."""
        c = self.config
        self._word_last = Signal()
        table, width = Signal(c.table.shape()), len(c.table[0].as_value())
        now, then, later = table[0], table[1], table[2]

        def start(where, entry):
            return Mux(entry.skip, where.skip, where.address + c.planes[entry.plane])

        def counts(entry):
            return (Mux(entry.skip, c.skip_words, c.words), Mux(entry.skip, 0, c.columns),
                    Mux(entry.skip, 0, c.rows))
        again, second = Signal(self.bits), Signal(self.bits)
        left, final = Signal(len(c.passes)), Signal()
        doubles, own, fresh = Signal(len(now.doubles)), Signal(init=1), Signal()
        m.d.sync += [opening.eq(start(queue, c.table[0])), second.eq(start(queue, c.table[1]))]
        m.d.comb += [
            self.own.eq(own), self.scale.eq(~own | fresh & begun & (now.doubles != 0)),
            self.mask.eq(Mux(~own | outside & ~now.skip, 0,
                             Mux(self._word_last, Mux(now.skip, c.skip_mask, c.mask), ~0))),
        ]
        with m.If(self.valid & own):
            m.d.sync += fresh.eq(0)
        with m.If(self.valid & ~own):
            m.d.sync += [doubles.eq(doubles - 1), own.eq(doubles == 1)]
        with m.If(self.pass_ends):
            m.d.sync += [
                left.eq(left - 1), final.eq(left == 1), fresh.eq(1),
                doubles.eq(then.doubles - 1), own.eq(then.doubles <= 1),
                table.eq(table.as_value() >> width), again.eq(start(at, later))]
        with m.If(taken):
            m.d.sync += [left.eq(c.passes), final.eq(c.passes == 0), fresh.eq(1), own.eq(1),
                         table.eq(c.table), again.eq(second)]
        limits = counts(c.table[0]), counts(now), counts(then)
        return again, limits, own, ~final

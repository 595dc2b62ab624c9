"""Ways over a map whose shape is in registers: from position to position, and over a window."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.engine.shape import COORDINATE

__all__ = ["PositionWalk", "WindowWalk", "place"]


def place(bits):
    """Layout of where a window begins: an address, and coordinates that padding makes negative.

    skip: address of what a skip takes. lane: which of the images side by side. first, last, final:
    of the positions of a pool's rectangle; the last position of all.
    """
    return data.StructLayout({"address": bits, "skip": bits,
                              "y": signed(COORDINATE), "x": signed(COORDINATE),
                              "lane": 3, "first": 1, "last": 1, "final": 1})


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
        Begin, in the next cycle; never while it goes.
    o : Out(stream of :func:`place`)
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
        ends, begins, inner = {}, {}, Const(1)
        for name, count in loops:
            counter = Signal(len(count), name=name)
            ends[name], begins[name] = Signal(name=f"last_{name}"), counter == 0
            m.d.comb += ends[name].eq(counter == count)
            with m.If(step & inner):
                m.d.sync += counter.eq(Mux(ends[name], 0, counter + 1))
            with m.If(self.start):
                m.d.sync += counter.eq(0)
            if name == "lane":
                m.d.comb += here.lane.eq(counter)
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
                    m.d.sync += [address.eq(address + steps[name]) for address, steps in addresses]
                    m.d.sync += [x.eq(after_x), y.eq(after_y)]
                carried = name
            with m.If(inner):
                m.d.sync += self.o.valid.eq(0)
        with m.If(self.start):
            m.d.sync += [address.eq(steps.start) for address, steps in addresses]
            m.d.sync += [self.o.valid.eq(1), y.eq(c.start_y), x.eq(c.start_x)]
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
        Windows. The next one is taken in the last step of the one before.
    hold : In(1)
        No window is taken.
    stall : In(1)
        No step.
    valid, first, last : Out(1)
        A step; the first and the last of a window.
    address : Out(bits)
    blank : Out(1), if there are no passes
        It lies beside the map.
    mask : Out, own : Out(1), scale : Out(1), if there are passes
        Columns of the word that count; the step takes a word of the weights, as all but those do
        that only double; what the sums are so far counts twice.
    lane, square_first, square_last, final : Out
        Of the window, see :func:`place`.
    """

    def __init__(self, bits, config, *, passes):
        self.bits, self.passes = bits, passes
        super().__init__({
            "config": In(config), "i": In(stream.Signature(place(bits))), "hold": In(1),
            "stall": In(1),
            "valid": Out(1), "first": Out(1), "last": Out(1), "address": Out(bits),
            "lane": Out(3), "square_first": Out(1), "square_last": Out(1), "final": Out(1),
            **({"mask": Out(config["mask"].shape), "own": Out(1), "scale": Out(1)} if passes
               else {"blank": Out(1)}),
        })

    def elaborate(self, platform):
        m = Module()
        c = self.config
        active, at = Signal(), Signal(place(self.bits))
        y, x = (Signal(signed(COORDINATE), name=name) for name in "yx")
        word, column, row = (Signal(len(count), name=name) for name, count in (
            ("word", c.words), ("column", c.columns), ("row", c.rows)))
        word_end, row_end, window_end, end = Signal(), Signal(), Signal(), Signal()
        begun = Signal()
        going, taken = Signal(), Signal()
        m.d.comb += [
            self.valid.eq(active & ~self.stall), self.first.eq(~begun), self.last.eq(end),
            self.i.ready.eq(~self.hold & (~active | end & ~self.stall)),
            taken.eq(self.i.valid & self.i.ready),
            self.lane.eq(at.lane), self.square_first.eq(at.first),
            self.square_last.eq(at.last), self.final.eq(at.final),
        ]
        outside = (y < 0) | (y >= c.height) | (x < 0) | (x >= c.width)
        if self.passes:
            again, begin = self._passes(m, active, at, going, begun, taken, outside,
                                        word_end, row_end, window_end, end, word, column, row)
        else:
            m.d.comb += [word_end.eq(word == c.words), row_end.eq(word_end & (column == c.columns)),
                         window_end.eq(row_end & (row == c.rows)),
                         going.eq(self.valid), end.eq(window_end), self.blank.eq(outside)]
            again, begin = at.address, self.i.p.address
        with m.If(self.valid):
            m.d.sync += begun.eq(1)
        with m.If(going):
            m.d.sync += word.eq(Mux(word_end, 0, word + 1))
            with m.If(word_end):
                m.d.sync += [column.eq(Mux(row_end, 0, column + 1)),
                             x.eq(Mux(row_end, at.x, x + 1))]
            with m.If(row_end):
                m.d.sync += [row.eq(Mux(window_end, 0, row + 1)),
                             y.eq(Mux(window_end, at.y, y + 1))]
            m.d.sync += self.address.eq(Mux(window_end, again, self.address + Mux(
                row_end, c.next_row, 1)))
        with m.If(self.valid & end):
            m.d.sync += active.eq(0)
        with m.If(taken):
            m.d.sync += [active.eq(1), at.eq(self.i.payload), begun.eq(0),
                         self.address.eq(begin), y.eq(self.i.p.y), x.eq(self.i.p.x)]
        return m

    def _passes(self, m, active, at, going, begun, taken, outside,
                word_end, row_end, window_end, end, word, column, row):
        """What goes over a window more than once: where the next pass begins, and a window."""
        c = self.config
        table = Signal(c.table.shape())
        number, doubles = Signal(len(c.passes)), Signal(len(c.table[0].doubles))
        now, then, opening = table[0], table[1], c.table[0]
        own = doubles == 0
        pass_first = (word == 0) & (column == 0) & (row == 0)
        m.d.comb += [
            word_end.eq(word == Mux(now.skip, c.skip_words, c.words)),
            row_end.eq(word_end & (now.skip | (column == c.columns))),
            window_end.eq(row_end & (now.skip | (row == c.rows))),
            self.own.eq(own), going.eq(self.valid & own),
            end.eq(window_end & own & (number == c.passes)),
            self.scale.eq(~own | pass_first & begun & (now.doubles != 0)),
            self.mask.eq(Mux(~own | outside & ~now.skip, 0,
                             Mux(word_end, Mux(now.skip, c.skip_mask, c.mask), ~0))),
        ]
        with m.If(self.valid & ~own):
            m.d.sync += doubles.eq(doubles - 1)
        with m.If(going & window_end):
            m.d.sync += [number.eq(number + 1),
                         doubles.eq(Mux(then.doubles == 0, 0, then.doubles - 1)),
                         table.eq(table.as_value() >> len(now.as_value()))]
        with m.If(taken):
            m.d.sync += [number.eq(0), doubles.eq(0), table.eq(c.table)]
        return (Mux(then.skip, at.skip, at.address + c.planes[then.plane]),
                Mux(opening.skip, self.i.p.skip, self.i.p.address + c.planes[opening.plane]))

"""A convolution's way over its input map: addresses, padding, and what is done when."""

from math import prod

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Walker", "WindowSchedule"]


class Walker(wiring.Component):
    """Numbers that nested loops add to: an address in a ring, and coordinates.

    What to add next is in registers, a step ahead, and which loop goes on then, a step before.

    Parameters
    ----------
    loops : list of (count, steps)
        From the innermost one. ``steps`` is what a step of this loop adds to each of the numbers.
        The outermost loop never ends.
    starts : list of int
    modulus : int
        Of the first number; the others are signed and are never reduced.
    distances : list of int
        Places behind the first number in its ring that are wanted too.

    Members
    -------
    step : In(1)
    n0, n1 and so on : Out
        The numbers, from the first step on; :py:`n0` is an array, one number a distance.
    """

    def __init__(self, loops, starts, modulus, distances=(0,)):
        self.loops = [loop for loop in loops[:-1] if loop[0] > 1] + [loops[-1]]
        self.starts, self.modulus = starts, modulus
        self.ring = [(starts[0] + distance) % modulus for distance in distances]
        # of each loop: what brings its numbers on, and those of the inner ones back
        self.deltas = []
        inner = [0] * len(starts)
        for count, steps in self.loops:
            self.deltas.append([step - back for step, back in zip(steps, inner, strict=True)])
            inner = [back + (count - 1) * step for back, step in zip(inner, steps, strict=True)]
        ring = data.ArrayLayout(Shape.cast(range(max(2, modulus))), len(self.ring))
        super().__init__({"step": In(1), "n0": Out(ring, init=self.ring), **{
            f"n{index}": Out(range(low, high + 1), init=starts[index])
            for index, (low, high) in enumerate(map(self.span, range(1, len(starts))), 1)}})

    def span(self, index):
        """Smallest and largest value of a number."""
        steps = [(count - 1) * step[index] for count, step in self.loops[:-1]]
        return (self.starts[index] + sum(min(0, step) for step in steps),
                self.starts[index] + sum(max(0, step) for step in steps))

    def _level(self, index):
        """Which loop goes on after so many steps."""
        for level, (count, _) in enumerate(self.loops[:-1]):
            if (index + 1) % count:
                return level
            index //= count
        return len(self.loops) - 1

    def elaborate(self, platform):
        m = Module()
        first = self.deltas[self._level(0)]
        # the counters are two steps ahead of the numbers
        on = C(1, 1)
        level_next = Signal(range(max(2, len(self.loops))))
        choice = Signal.like(level_next, init=self._level(1))
        m.d.comb += level_next.eq(len(self.loops) - 1)
        with m.If(self.step):
            m.d.sync += choice.eq(level_next)
        period = prod(count for count, _ in self.loops[:-1])
        place, found = 2 % period, C(0, 1)
        for level, (count, _) in enumerate(self.loops[:-1]):
            counter = Signal(range(count), name=f"loop_{level}", init=place % count)
            last = Signal(name=f"last_{level}", init=place % count == count - 1)
            place //= count
            with m.If(self.step & on):
                m.d.sync += [counter.eq(Mux(last, 0, counter + 1)),
                             last.eq(counter == count - 2)]
            with m.If(~last & ~found):
                m.d.comb += level_next.eq(level)
            found = found | ~last
            on = on & last
        ring = [delta[0] % self.modulus for delta in self.deltas]
        add, over = (Signal(range(-self.modulus, self.modulus), name=name, init=init)
                     for name, init in (("add", first[0] % self.modulus),
                                        ("over", first[0] % self.modulus - self.modulus)))
        self._choose(m, choice, add, ring)
        self._choose(m, choice, over, [delta - self.modulus for delta in ring])
        for index, number in enumerate(self.n0):
            reduced = Signal(signed(len(over) + 1), name=f"reduced_{index}")
            m.d.comb += reduced.eq(number + over)
            with m.If(self.step):
                m.d.sync += number.eq(Mux(reduced[-1], number + add, reduced))
        for index in range(1, len(self.starts)):
            deltas = [delta[index] for delta in self.deltas]
            if not any(deltas):
                continue  # it never moves
            number = getattr(self, f"n{index}")
            add = Signal(range(min(deltas), max(deltas) + 1), name=f"add_{index}",
                         init=first[index])
            self._choose(m, choice, add, deltas)
            with m.If(self.step):
                m.d.sync += number.eq(number + add)
        return m

    def _choose(self, m, choice, add, deltas):
        with m.If(self.step), m.Switch(choice):
            for level, delta in enumerate(deltas):
                with m.Case(level):
                    m.d.sync += add.eq(delta)


class WindowSchedule(wiring.Component):
    """Goes over the positions of a row, the groups of a position, the words of a group.

    As :class:`qsnn.hw.core.schedule.Schedule`, for units in place of images.

    Parameters
    ----------
    stage : :class:`qsnn.hw.plan.stages.StagePlan`
    every_unit : bool
        Whether each unit needs room for its result; else only the first of an image does.

    Members
    -------
    As those of :class:`qsnn.hw.core.schedule.Schedule`, and

    take : Out(1)
        The place for the result is taken.
    scale : Out(1)
        What the sums are so far is shifted: this is the first word of another bit of the weights,
        or the first behind those of a skip.
    word : Out(array)
        Addresses of inputs, one for each pixel.
    blank : Out(pixels)
        The word that is addressed is padding, or belongs to the skip.
    skip_word, skip_blank, skip_release : Out
        The same for the buffer of a skip, if there is one. Where it has no weights, its words are
        the spikes of a group, :attr:`qsnn.hw.plan.stages.StagePlan.skip_delay` cycles behind the
        group's first word.
    """

    def __init__(self, stage, every_unit):
        self.stage, self.every_unit = stage, every_unit
        window = stage.window
        self.depth = window.rows * window.width * window.chunks
        skip = stage.skip
        self.skip_depth = stage.skip_words if skip else 0
        super().__init__({
            **({"skip_word": Out(self._addresses(self.skip_depth)),
                "skip_blank": Out(stage.pixels), "skip_release": Out(1)} if skip else {}),
            "available": In(1), "room": In(1), "begin": Out(1), "take": Out(1),
            "valid": Out(1), "first": Out(1), "scale": Out(1), "last": Out(1),
            "release": Out(1), "blank": Out(stage.pixels),
            "word": Out(self._addresses(self.depth)),
            "weight": Out(range(max(2, stage.reads * stage.groups))),
        })

    def _addresses(self, depth):
        return data.ArrayLayout(Shape.cast(range(max(2, depth))), self.stage.pixels)

    def _walker(self):
        stage, window = self.stage, self.stage.window
        column, row = window.chunks, window.width * window.chunks  # words of a pixel, of a row
        loops = [  # (count, words, columns and rows of a step)
            (window.chunks, (1, 0, 0)), (window.kernel[1], (column, 1, 0)),
            (window.kernel[0], (row, 0, 1)), (stage.planes, (0, 0, 0)), (stage.groups, (0, 0, 0)),
            *((count, (rows * row + columns * column, columns, rows))
              for count, rows, columns in window.loops(stage.pixels)),
            (1, (window.height * row, 0, 0))]
        above, left = window.padding
        start = -(above * row + left * column) % self.depth
        return Walker(loops, [start, -left, -above], self.depth, self._distances(window))

    def _skip_walker(self):
        stage, skip = self.stage, self.stage.skip
        window = skip.window
        column, row = window.chunks, window.width * window.chunks
        loops = [(window.chunks, (1,)), (stage.groups, (0,))] if skip.weights else [
            (stage.groups, (1,))]
        loops += [(count, (rows * row + columns * column,))
                  for count, rows, columns in window.loops(stage.pixels)]
        loops.append((1, (window.height * row,)))
        return Walker(loops, [0], self.skip_depth, self._distances(window))

    def _distances(self, window):
        """Words from the first pixel that is computed to each of them."""
        return [(rows * window.width + columns) * window.chunks
                for rows, columns in window.distances(self.stage.pixels)]

    def _skip(self, m, own):
        """The words of a skip; ``own`` is whether the one that is addressed is among them."""
        stage = self.stage
        m.submodules.skip_walker = walker = self._skip_walker()
        step, release = own, self.release
        if not stage.skip.weights:  # words of spikes, wanted once a group behind the adders
            step = self.valid & self.first
            for index in range(stage.skip_delay):
                delayed = Signal(2, name=f"skip_{index}")
                m.d.sync += delayed.eq(Cat(step, release))
                step, release = delayed[0], delayed[1]
        m.d.comb += [walker.step.eq(step), self.skip_word.eq(walker.n0),
                     self.skip_release.eq(release)]
        if stage.skip.weights:
            m.d.comb += self.skip_blank.eq((~own).replicate(stage.pixels))

    def elaborate(self, platform):
        m = Module()
        stage, window = self.stage, self.stage.window
        cycles, reads, groups = stage.group_cycles, stage.reads, stage.groups
        active = Signal()
        reading, last = Signal(init=1), Signal(init=reads == 1)
        cycle, group_end = Signal(range(max(2, cycles))), Signal(init=cycles == 1)
        group, last_group = Signal(range(max(2, groups))), Signal(init=groups == 1)
        positions = window.positions // stage.pixels
        position, last_position = Signal(range(max(2, positions))), Signal(init=positions == 1)
        unit, first_unit = Signal(range(max(2, window.units))), Signal(init=1)
        position_end, unit_end = Signal(), Signal()
        plane, first_word = Signal(range(max(2, stage.words))), Signal(init=1)
        room = self.room if self.every_unit else self.room | ~first_unit
        m.d.comb += [
            position_end.eq(group_end & last_group), unit_end.eq(position_end & last_position),
            self.begin.eq(self.available & room & (~active | unit_end)),
            self.take.eq(self.begin if self.every_unit else self.begin & first_unit),
            self.valid.eq(active & reading), self.last.eq(last),
            self.release.eq(self.valid & last & last_group & last_position),
        ]
        first = Signal(init=1)
        # words of a skip come first in each group
        beside = stage.skip.words if stage.skip else 0
        own = Signal(init=beside > 0)
        m.d.comb += self.first.eq(first)
        if stage.planes > 1:
            m.d.comb += self.scale.eq(first_word & ~first)
        if beside:
            main = Signal()  # the first word behind them
            m.d.comb += self.scale.eq(main)
        with m.If(active):
            m.d.sync += [cycle.eq(Mux(group_end, 0, cycle + 1)), first.eq(group_end)]
            if cycles > 1:
                m.d.sync += [group_end.eq(cycle == cycles - 2),
                             last.eq(group_end if reads == 1 else cycle == reads - 2)]
            if cycles > reads:
                m.d.sync += reading.eq(group_end | reading & ~last)
            with m.If(self.valid):
                m.d.sync += self.weight.eq(self.weight + 1)
                if beside:
                    more = cycle < beside - 1 if beside > 1 else 0
                    m.d.sync += [own.eq(last | more), main.eq(cycle == beside - 1)]
                if stage.planes > 1:
                    end = plane == stage.words - 1
                    m.d.sync += [plane.eq(Mux(end, 0, plane + 1)), first_word.eq(end)]
            with m.If(group_end):
                m.d.sync += group.eq(Mux(last_group, 0, group + 1))
                if groups > 1:
                    m.d.sync += last_group.eq(group == groups - 2)
            with m.If(position_end):
                m.d.sync += [position.eq(Mux(last_position, 0, position + 1)), self.weight.eq(0)]
                if positions > 1:
                    m.d.sync += last_position.eq(position == positions - 2)
            with m.If(unit_end):
                m.d.sync += active.eq(0)
        with m.If(self.begin):
            m.d.sync += [active.eq(1), unit.eq(Mux(unit == window.units - 1, 0, unit + 1)),
                         first_unit.eq(unit == window.units - 1)]

        m.submodules.walker = walker = self._walker()
        m.d.comb += [walker.step.eq(self.valid & ~own), self.word.eq(walker.n0)]
        if stage.skip:
            self._skip(m, self.valid & own)
        for blank, (rows, columns) in zip(self.blank, window.distances(stage.pixels), strict=True):
            m.d.comb += blank.eq(own)
            if any(window.padding):
                m.d.comb += blank.eq(
                    own | _outside(walker.n1, walker.span(1), columns, window.width)
                    | _outside(walker.n2, walker.span(2), rows, window.height))
        return m


def _outside(number, span, distance, length):
    """Whether a coordinate, so far from a number with this span, is beside the map."""
    low, high = (end + distance for end in span)
    return (number < -distance if low < 0 else 0) | (number >= length - distance
                                                     if high >= length else 0)

"""What becomes of the sums of a position: neurons, pooling, and a place in the map memory."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from qsnn.hw.engine.loader import SETS
from qsnn.hw.engine.shape import MEMORY_WORD

__all__ = ["Feeder", "Parameters", "PoolWriter"]


class Parameters(wiring.Component):
    """Thresholds and biases of some groups: a column of channels is read at once.

    Members
    -------
    set, beat : In
        Which are read; :py:`thresholds` and :py:`biases` show them in the next cycle.
    write_set, entry, write, data : In
        Value ``entry`` of a group: thresholds and biases of its channels in turn.
    """

    def __init__(self, shape):
        self.shape, p = shape, shape.neurons
        super().__init__({
            "set": In(range(SETS)), "beat": In(range(max(2, shape.beats))),
            "thresholds": Out(data.ArrayLayout(p.threshold_shape, shape.beat)),
            "biases": Out(data.ArrayLayout(p.bias_shape, shape.beat)),
            "write_set": In(range(SETS)), "entry": In(range(2 * shape.pe)), "write": In(1),
            "data": In(MEMORY_WORD),
        })

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        padded = 1 << (shape.beats - 1).bit_length()
        beat = self.entry[(2 * shape.beat).bit_length() - 1:]
        for name, values in (("threshold", self.thresholds), ("bias", self.biases)):
            for lane in range(shape.beat):
                value = values[lane]
                # the few words of it fit into LUTs; in registers behind them
                m.submodules[f"{name}_{lane}"] = memory = Memory(
                    shape=len(value), depth=SETS * padded, init=[])
                writer, reader = memory.write_port(), memory.read_port(domain="comb")
                m.d.comb += [
                    writer.en.eq(self.write & (self.entry[:(2 * shape.beat).bit_length() - 1]
                                               == 2 * lane + (name == "bias"))),
                    writer.addr.eq(self.write_set * padded + beat),
                    writer.data.eq(self.data),
                    reader.addr.eq(self.set * padded + self.beat),
                ]
                m.d.sync += value.eq(reader.data)
        return m


def tags():
    """Layout of what goes along with a beat.

    step, first, last  a time step; the first and the last of a beat
    starts        the first of an image
    lane          which of the images side by side
    begins, ends  of a pool's rectangle, the first and the last position
    beat_last     of a position
    done          of a group
    """
    return data.StructLayout(dict.fromkeys(
        ("step", "first", "last", "starts", "begins", "ends", "beat_last", "done"), 1)
        | {"lane": 3})


def lanes_of(steps, share, lane):
    """Which lanes an image has, a bit each, where ``2**share`` of them are side by side."""
    place = Array(steps.bit_length() - 1 - number if steps >> number else 0 for number in range(4))
    each = Array((1 << max(1, steps >> number)) - 1 for number in range(4))
    return (each[share] << (lane << place[share])[:3])[:steps]


class Feeder(wiring.Component):
    """Hands the sums of a position to the neuron units: beat by beat, and in these step by step.

    A layer of pixels has the bits of these in its lanes, the highest in lane 0: what is handed on
    at every step is the sum of a channel's lanes, each doubled before the next. Of a readout it is
    their sum, once.

    Members
    -------
    merge, readout, steps, share, scale : In
        Of the layer, and of the network, see :meth:`qsnn.hw.engine.shape.EngineShape.layer`.
    start, lane, begins, ends, done : In
        The sums of a position are there, and what position it is.
    sums : In(array, pe * steps)
    given : Out(array, beat)
        What neurons are given, with its :py:`tags`, :py:`thresholds` and :py:`biases`.
    parameters : of :class:`Parameters`.
    """

    def __init__(self, shape):
        self.shape, p = shape, shape.neurons
        super().__init__({
            "merge": In(1), "readout": In(1), "steps": In(4), "share": In(2), "scale": In(5),
            "start": In(1), "lane": In(3), "begins": In(1), "ends": In(1), "done": In(1),
            "sums": In(data.ArrayLayout(shape.sum_bits, shape.pe * shape.steps)),
            "given": Out(data.ArrayLayout(shape.given_bits, shape.beat)), "tags": Out(tags()),
            "set": Out(range(SETS)), "beat": Out(range(max(2, shape.beats))),
            "from_thresholds": In(data.ArrayLayout(p.threshold_shape, shape.beat)),
            "from_biases": In(data.ArrayLayout(p.bias_shape, shape.beat)),
            "thresholds": Out(data.ArrayLayout(p.threshold_shape, shape.beat)),
            "biases": Out(data.ArrayLayout(p.bias_shape, shape.beat)),
        })

    def _within(self, step):
        """The time step of an image that a lane has."""
        return step & ((self.shape.steps >> self.share) - 1)

    def elaborate(self, platform):
        m = Module()
        shape, steps = self.shape, self.shape.steps
        longest = max(steps, shape.beat)
        busy, of = Signal(), Signal(data.StructLayout(
            {"lane": 3, "begins": 1, "ends": 1, "done": 1}))
        step, beat = Signal(range(longest)), Signal(range(max(2, shape.beats)))
        group = Signal(range(SETS))
        beat_end, all_end = Signal(), Signal()
        m.d.comb += [
            beat_end.eq(step == Mux(self.readout, longest - 1, steps - 1)),
            all_end.eq(beat_end & (beat == shape.beats - 1)),
        ]
        hold = Signal(shape.pe * steps * shape.sum_bits, reset_less=True)
        front = shape.beat * shape.sum_bits
        with m.If(busy):
            m.d.sync += step.eq(Mux(beat_end, 0, step + 1))
            with m.If(step < steps):
                m.d.sync += hold.eq(hold >> front)
            with m.If(beat_end):
                m.d.sync += beat.eq(Mux(all_end, 0, beat + 1))
            with m.If(all_end):
                m.d.sync += [busy.eq(0), group.eq(group + of.done)]
        with m.If(self.start):
            m.d.sync += [busy.eq(1), of.eq(Cat(self.lane, self.begins, self.ends, self.done)),
                         hold.eq(Cat(
                    self.sums[(at * shape.beat + lane) * steps + t] for at in range(shape.beats)
                    for t in range(steps) for lane in range(shape.beat)))]

        # sums of a channel's lanes; all of them are there when the next beat begins
        wide = shape.given_bits
        merged = [Signal(wide, name=f"merged_{lane}", reset_less=True)
                  for lane in range(shape.beat)]
        kept = [Signal(wide, name=f"kept_{lane}", reset_less=True) for lane in range(shape.beat)]
        now = Signal(tags())
        m.d.comb += [
            now.step.eq(busy & (step < steps)), now.first.eq(step == 0),
            now.last.eq(step == steps - 1), now.starts.eq(self._within(step) == 0),
            now.lane.eq(of.lane), now.begins.eq(of.begins), now.ends.eq(of.ends),
            now.beat_last.eq(beat == shape.beats - 1), now.done.eq(of.done),
        ]
        flags = Cat(now, beat, group)
        line = [flags]
        slow = self.merge | self.readout
        for cycle in range(steps + 2):
            after = Signal(len(flags), name=f"flags_{cycle}")
            before = line[-1]
            if cycle == 1:  # what was handed on directly must not come again in the next layer
                before = Cat(before[0] & slow, before[1:])
            m.d.sync += after.eq(before)
            line.append(after)
        chosen = Mux(slow, line[-1], line[1])
        m.d.comb += [self.beat.eq(chosen[tags().size:]),
                     self.set.eq(chosen[tags().size + len(beat):])]
        mine = Signal()
        m.d.comb += mine.eq(lanes_of(steps, self.share, of.lane).bit_select(step, 1))
        adds = Signal()
        m.d.sync += adds.eq(~self.readout | mine & (self._within(step) < self.steps))
        then, begun = (data.View(tags(), line[cycle][:tags().size]) for cycle in (1, steps + 1))
        for lane in range(shape.beat):
            part = hold[lane * shape.sum_bits:][:shape.sum_bits]
            unmerged = Signal(shape.sum_bits, name=f"unmerged_{lane}", reset_less=True)
            m.d.sync += unmerged.eq(part)
            with m.If(then.step):
                m.d.sync += merged[lane].eq(
                    Mux(then.first, 0, Mux(self.merge, merged[lane] << 1, merged[lane]))
                    + Mux(adds, unmerged, 0))
            with m.If(begun.first & begun.step):
                m.d.sync += kept[lane].eq(merged[lane])
            # one more register for the shift
            sums = Signal(wide, name=f"sum_{lane}", reset_less=True)
            m.d.sync += sums.eq(Mux(slow, kept[lane], unmerged))
            m.d.sync += self.given[lane].eq(sums << self.scale)
        first = Signal(tags().size, name="tags_0")
        m.d.sync += [first.eq(chosen[:tags().size]), self.tags.eq(first),
                     self.thresholds.eq(self.from_thresholds), self.biases.eq(self.from_biases)]
        return m


class PoolWriter(wiring.Component):
    """Pools spikes, and writes them where the next layer reads them: a column a beat.

    A position of the output is ``words`` words, whose columns follow each other; a group of
    channels begins where the one before ended. What a layer of pixels gives belongs to one image,
    and goes into its lanes.

    Members
    -------
    output, words, columns, merge, share : In
        Of the layer, and of the network, see :meth:`qsnn.hw.engine.shape.EngineShape.layer`.
    begin : In(1)
        A layer begins.
    valid, spikes, tags : In
        Of a beat.
    write, at, column, data : Out
        To the map memory, in the next cycle.
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__({
            "output": In(shape.address_bits), "words": In(10), "columns": In(12), "begin": In(1),
            "merge": In(1), "share": In(2),
            "valid": In(1), "spikes": In(data.ArrayLayout(shape.steps, shape.beat)),
            "tags": In(tags()),
            "write": Out(1), "at": Out(shape.address_bits),
            "column": Out(range(max(2, shape.columns))), "data": Out(shape.column_bits),
        })

    def elaborate(self, platform):
        m = Module()
        shape, tag = self.shape, self.tags
        line = [Signal(shape.column_bits, name=f"line_{index}", reset_less=True)
                for index in range(shape.beats)]
        spikes = Cat(self.spikes[lane][t] for t in range(shape.steps) for lane in range(shape.beat))
        mine = Mux(self.merge, lanes_of(shape.steps, self.share, tag.lane), ~0)
        mask = Cat(mine[t].replicate(shape.beat) for t in range(shape.steps))
        pooled = Signal(shape.column_bits)
        m.d.comb += pooled.eq(Mux(tag.begins, 0, line[-1]) | spikes & mask)
        # of the output: the position, the first column of a group, the column
        position, group, column = (Signal(shape.address_bits), Signal(13), Signal(13))
        bits = (shape.columns - 1).bit_length()
        m.d.sync += [self.write.eq(self.valid & tag.ends & (column < self.columns)),
                     self.at.eq(position + (column >> bits)), self.data.eq(pooled),
                     self.column.eq(column[:bits])]
        with m.If(self.valid):
            m.d.sync += [line[0].eq(pooled),
                         *(after.eq(before) for before, after in zip(line, line[1:], strict=False)),
                         column.eq(Mux(tag.beat_last, group, column + 1))]
            with m.If(tag.beat_last & tag.ends):
                m.d.sync += position.eq(position + self.words)
                with m.If(tag.done):
                    m.d.sync += [position.eq(self.output), column.eq(group + shape.beats),
                                 group.eq(group + shape.beats)]
        with m.If(self.begin):
            m.d.sync += [position.eq(self.output), group.eq(0), column.eq(0)]
        return m

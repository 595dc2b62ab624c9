"""The list of a step's words, and what goes through it."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["RAM", "StepBuffer", "StepSchedule"]

# a word is never read and written at once, which saves the logic that would define it; as
# flip-flops, even small ones would take more logic than all else
RAM = {"no_rw_check": 1, "ram_style": "block"}


class StepBuffer(wiring.Component):
    """Lists of words, one that is read while the next step's is written.

    A list has two sections with a memory each, so that their writers never meet: words that arrive,
    and words that the step before leaves, those of the taps and of the layer's own spikes. A writer
    takes a credit (:py:`take` while :py:`room`) before a step's first word. A word that has no
    spike is left out where the stage is sparse.

    Members
    -------
    room, take : Out(1), In(1)
    write, word, index, done, emit, clear : In
        A word that arrives; :py:`done` ends the step, with its commands.
    keep, kept_word, kept_index : In
        A word that is left to the step after the one that is read.
    available, begin : Out(1), In(1)
        There is a whole step; it is begun, and the one before is done.
    count : Out
        Words of the step that is read, from the second cycle after :py:`begin` on.
    emits, clears : Out(1)
        Its commands, likewise.
    address : In
        Number of a word; :py:`latency` cycles later there is
    entry : Out
        the word, and its index.
    """

    latency = 3

    def __init__(self, stage):
        self.stage = stage
        self.index_shape = Shape.cast(range(max(2, stage.words)))
        self.entry_shape = data.StructLayout({"word": stage.word_bits, "index": self.index_shape})
        super().__init__({
            "room": Out(1), "take": In(1),
            "write": In(1), "word": In(stage.word_bits), "index": In(self.index_shape),
            "done": In(1), "emit": In(1), "clear": In(1),
            "keep": In(1), "kept_word": In(stage.word_bits), "kept_index": In(self.index_shape),
            "available": Out(1), "begin": In(1),
            "count": Out(range(stage.words + 1)), "emits": Out(1), "clears": Out(1),
            "address": In(self.index_shape), "entry": Out(self.entry_shape),
        })

    def elaborate(self, platform):
        m = Module()
        stage = self.stage
        writing, reading = Signal(), Signal(init=1)  # slots; the first step toggles the latter
        done, room = Signal(), Signal(init=1)
        m.d.comb += [done.eq(self.write & self.done), self.room.eq(room)]
        m.d.sync += [writing.eq(writing ^ done), reading.eq(reading ^ self.begin),
                     room.eq((room | self.begin) & ~self.take),
                     self.available.eq((self.available | done) & ~self.begin)]

        arrived, counts = self._section(
            m, "arrived", depth=stage.in_words, push=self.write & self._wanted(self.word),
            slot=writing, entry=Cat(self.word, self.index), reading=reading, at=self.address)
        commands = [Signal(2, name=f"commands_{slot}") for slot in range(2)]
        for slot in range(2):
            with m.If(done & (writing == slot)):
                m.d.sync += commands[slot].eq(Cat(self.emit, self.clear))
            # what was begun is free again
            with m.If(self.begin & (reading == slot)):
                m.d.sync += counts[slot].eq(0)
        first = Signal(range(stage.in_words + 1))
        m.d.comb += first.eq(Mux(reading, counts[1], counts[0]))
        m.d.comb += Cat(self.emits, self.clears).eq(Mux(reading, commands[1], commands[0]))
        if not stage.kept_words:
            m.d.sync += [self.count.eq(first), self.entry.as_value().eq(arrived)]
            return m

        second = Signal()  # whether the word is of the second section
        at = Signal(self.index_shape)
        m.d.comb += [second.eq(self.address >= first), at.eq(self.address - first)]
        kept, kept_counts = self._section(
            m, "kept", depth=stage.kept_words, push=self.keep & self._wanted(self.kept_word),
            slot=~reading, entry=Cat(self.kept_word, self.kept_index), reading=reading, at=at)
        for slot in range(2):
            with m.If(self.begin & (reading == slot)):
                m.d.sync += kept_counts[slot].eq(0)
        chosen = Signal(2)
        m.d.sync += [self.count.eq(first + Mux(reading, kept_counts[1], kept_counts[0])),
                     chosen.eq(Cat(second, chosen[0])),
                     self.entry.as_value().eq(Mux(chosen[1], kept, arrived))]
        return m

    def _wanted(self, word):
        return word.any() if self.stage.sparse else 1

    def _section(self, m, name, *, depth, push, slot, entry, reading, at):
        """A memory of two lists; (the word at an address of the list that is read, lengths)."""
        bits = ceil_log2(depth)
        memory = Memory(shape=len(entry), depth=(1 << bits) + depth, init=[],
                        attrs=RAM)
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        counts = [Signal(range(depth + 1), name=f"{name}_{index}") for index in range(2)]
        count = Signal(range(depth + 1), name=f"{name}_count")
        full = Signal(name=f"{name}_full")
        m.d.comb += [
            count.eq(Mux(slot, counts[1], counts[0])), full.eq(count == depth),
            write.en.eq(push & ~full), write.data.eq(entry),
            write.addr.eq(Cat(count[:bits], slot)),
        ]
        for index in range(2):
            with m.If(write.en & (slot == index)):
                m.d.sync += counts[index].eq(count + 1)
        address = Signal.like(read.addr, name=f"{name}_at")
        m.d.sync += address.eq(Cat(at[:bits], reading))
        m.d.comb += read.addr.eq(address)
        return read.data, counts


class StepSchedule(wiring.Component):
    """Goes through a step's words, once for each group and bit of its weights; a step at a time.

    The next step begins when the last result of this one is there: membranes, taps and the layer's
    own spikes are whole then.

    Members
    -------
    available, room : In(1)
        There is a step; there is a place for what it gives.
    finished : In(1)
        The step's last result is there.
    begin, busy : Out(1)
        A step begins; it is under way.
    count : In
        Words of the step, from the second cycle after :py:`begin` on.
    valid, first, last : Out(1)
        A word is addressed; the first and the last of its group.
    blank : Out(1)
        There is none: the group has no spike.
    initial : Out(1)
        It is the first time that the words are gone through.
    scale : Out(1), if weights have several bits
        It is the first word of another bit.
    word, base : Out
        Number of the word, and the address of the group's weights.
    """

    def __init__(self, stage):
        self.stage = stage
        super().__init__({
            "available": In(1), "room": In(1), "finished": In(1), "begin": Out(1),
            "count": In(range(stage.words + 1)),
            "busy": Out(1),
            "valid": Out(1), "first": Out(1), "last": Out(1), "blank": Out(1), "initial": Out(1),
            **({"scale": Out(1)} if stage.planes > 1 else {}),
            "word": Out(range(max(2, stage.words))),
            "base": Out(range(max(2, stage.reads * stage.groups))),
        })

    def elaborate(self, platform):
        m = Module()
        stage = self.stage
        shortest = stage.beats  # cycles of a group
        busy, active = self.busy, Signal()
        wait = Signal(2)
        cycle = Signal(range(max(stage.reads, shortest) + 1))
        group = Signal(range(max(2, stage.groups)))
        over = Signal()
        m.d.comb += [
            self.begin.eq(self.available & self.room & ~busy),
            self.blank.eq(self.count == 0),
            self.first.eq(cycle == 0),
        ]
        slow = cycle >= shortest - 1 if shortest > 1 else 1
        if stage.planes == 1:
            m.d.comb += [
                self.last.eq(self.blank | (cycle + 1 == self.count)),
                self.valid.eq(active & (self.first | (cycle < self.count))),
                self.initial.eq(group == 0), self.word.eq(cycle),
                over.eq((cycle + 1 >= self.count) & slow),
            ]
        else:
            self._planes(m, active, over, slow, group == 0)
        m.d.sync += wait.eq(Cat(self.begin, wait[0]))
        with m.If(self.begin):
            m.d.sync += [busy.eq(1), group.eq(0), cycle.eq(0), self.base.eq(0)]
        with m.If(wait[1]):
            m.d.sync += active.eq(1)
        with m.If(active):
            m.d.sync += cycle.eq(Mux(over, 0, cycle + 1))
            with m.If(over):
                m.d.sync += [group.eq(group + 1), self.base.eq(self.base + stage.words)]
                with m.If(group == stage.groups - 1):
                    m.d.sync += active.eq(0)
        with m.If(self.finished):
            m.d.sync += busy.eq(0)
        return m

    def _planes(self, m, active, over, slow, first_group):
        """The words are gone through once for each bit of the weights."""
        stage = self.stage
        plane, spent, word_end = Signal(range(stage.planes)), Signal(), Signal()
        m.d.comb += [
            word_end.eq(self.word + 1 == self.count),
            self.last.eq(self.blank | word_end & (plane == stage.planes - 1)),
            self.valid.eq(active & ~spent), over.eq((spent | self.last) & slow),
            self.initial.eq(first_group & (plane == 0)),
            self.scale.eq((self.word == 0) & (plane != 0)),
        ]
        with m.If(active):
            m.d.sync += spent.eq((spent | self.last) & ~over)
        with m.If(self.valid):
            m.d.sync += self.word.eq(Mux(word_end | self.last, 0, self.word + 1))
            with m.If(self.last):
                m.d.sync += plane.eq(0)
            with m.Elif(word_end):
                m.d.sync += [plane.eq(plane + 1), self.base.eq(self.base + stage.words)]

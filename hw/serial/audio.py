"""The encoder of sound: all bands of resonators on one adder, exactly as
:mod:`qsnn.model.audio`.
"""

from amaranth import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.serial.buffer import RAM
from qsnn.model.audio import BANDS, FRAME, LEVELS, POINT

__all__ = ["Datapath", "Op", "SoundEncoder", "SpikeWriter", "Word", "program_of", "reached"]

SAMPLE, WIDTH = 16, 24  # bits of a sample, and of a sum
ROM = {"rom_style": "block"}


class Op(enum.Enum, shape=2):
    """What the accumulator does with the shifter."""
    NONE = 0
    ADD = 1
    SUBTRACT = 2
    SIZE = 3  # adds what is shifted without its sign


class Word(enum.Enum, shape=2):
    """Words of a band in the memory; ``NEW`` is where ``OLD`` was, and is ``LAST`` thereafter."""
    LAST = 0  # y1
    OLD = 1  # y2
    NEW = 1  # y
    SUM = 2  # s
    CHANGE = 3  # d, one for all bands


INSTRUCTION = data.StructLayout({
    "op": Op, "word": Word,
    "load": 1,  # into the shifter, what was addressed in the cycle before
    "state": 1,  # with load: 0 in its place where the recording, or the sum, begins
    "write": 1,  # the accumulator
    "clear": 1,  # the accumulator
})


def program_of(bands):
    """The instructions for a sample, a cycle each; none of them branches.

    A word that is loaded is twice itself in the first cycle of the shifter and half as large in
    each of the next: a coefficient is a choice of cycles to add or to subtract in. The word for the
    next visit is addressed and loaded in the last two cycles of a visit.
    """
    program = []

    def step(op=Op.NONE, word=Word.LAST, *flags):
        program.append({"op": op, "word": word} | dict.fromkeys(flags, 1))

    def visit(terms, word=Word.LAST, *flags):
        shifts = range(-1, max(0, *terms) + 1)  # two cycles at least
        for shift in shifts:
            step(terms.get(shift, Op.NONE), word, *(flags if shift == shifts[-1] else ()))

    # d = x - x2; the accumulator has the sample, which takes the place of x2
    step(Op.NONE, Word.OLD)
    step(Op.NONE, Word.OLD, "load", "state")
    step(Op.NONE, Word.NEW, "write")
    step(Op.SUBTRACT)
    step(Op.NONE, Word.CHANGE, "write", "clear")
    step(Op.NONE, Word.CHANGE)
    step(Op.NONE, Word.CHANGE, "load")
    for band in bands:
        visit({band.k + 1 - POINT: Op.ADD}, Word.OLD, "load", "state")
        visit({0: Op.SUBTRACT, band.k: Op.ADD}, Word.LAST, "load", "state")
        visit({shift: Op.ADD if sign > 0 else Op.SUBTRACT for sign, shift in band.terms})
        # y is there; s += abs(y) >> 4
        step(Op.NONE, Word.NEW, "write", "clear")
        step(Op.NONE, Word.NEW)
        step(Op.NONE, Word.NEW, "load")
        visit({POINT: Op.SIZE}, Word.SUM, "load", "state")
        visit({0: Op.ADD}, Word.CHANGE)
        step(Op.NONE, Word.SUM, "write", "clear", "load")  # loads what the visit addressed
    return program


def reached(number, level):
    """Whether ``level(number) >= level``, see :func:`qsnn.model.audio.levels_of`."""
    bits, below = divmod(level, 2)
    if below:
        return number[bits:].any() | number[bits - 2:bits].all()
    return number[bits - 1:].any()


class Datapath(wiring.Component):
    """Memory -> shifter -> adder -> accumulator -> memory, and a sample into the accumulator.

    The shifter takes a word twice as large, and halves what it has in each other cycle.

    Parameters
    ----------
    depth : int
        Words of the memory.

    Members
    -------
    running, pause : In(1)
        An instruction is carried out; but not yet.
    instruction : In(INSTRUCTION)
    address : In
        Of the word that it writes, or that another one loads in the next cycle.
    zero : In(1)
        What it loads is 0.
    take, sample : In
        While nothing runs: the sample is added.
    total : Out
        The accumulator.
    """

    def __init__(self, depth):
        self.depth = depth
        super().__init__({
            "running": In(1), "pause": In(1), "instruction": In(INSTRUCTION),
            "address": In(range(depth)), "zero": In(1),
            "take": In(1), "sample": In(signed(SAMPLE)), "total": Out(WIDTH),
        })

    def elaborate(self, platform):
        m = Module()
        memory = Memory(shape=WIDTH, depth=self.depth, init=[], attrs=RAM)
        m.submodules.memory = memory
        read, write = memory.read_port(), memory.write_port()
        instruction, go = self.instruction, Signal()
        shifter = Signal(signed(WIDTH + 1))
        exact = Signal()  # what was shifted out is 0
        subtract, turned, carry = Signal(), Signal(), Signal()
        operand, added = Signal(WIDTH), Signal(WIDTH + 1)
        m.d.comb += [
            go.eq(self.running & ~self.pause),
            read.addr.eq(self.address), read.en.eq(~self.pause),
            write.addr.eq(self.address), write.en.eq(go & instruction.write),
            write.data.eq(self.total),
            subtract.eq(instruction.op == Op.SUBTRACT),
            turned.eq(subtract | ((instruction.op == Op.SIZE) & shifter[-1])),
            # -y >> n is ~(y >> n), and one more where nothing of y is lost
            carry.eq(self.running & turned & (subtract | exact)),
            operand.eq(Mux(self.running, shifter ^ turned.replicate(WIDTH), self.sample)),
            added.eq(Cat(C(1, 1), self.total) + Cat(carry, operand)),
        ]
        with m.If(go):
            m.d.sync += [shifter.eq(shifter >> 1), exact.eq(exact & ~shifter[0])]
            with m.If(instruction.load):
                m.d.sync += [shifter.eq(Mux(self.zero, 0, Cat(C(0, 1), read.data))), exact.eq(1)]
        with m.If(go & instruction.clear):
            m.d.sync += self.total.eq(0)
        with m.Elif(self.take | (go & (instruction.op != Op.NONE))):
            m.d.sync += self.total.eq(added[1:])
        return m


class SpikeWriter(wiring.Component):
    """Spikes of one band after the other as words of a step, one spike a cycle.

    Parameters
    ----------
    count, bands, simd : int
        Spikes of a band; bands; spikes of a word.

    Members
    -------
    load, spikes, last, ends : In
        Spikes of a band; whether it is the last one, behind which the word is filled with zeros;
        whether the step ends a recording. Not while :py:`busy`.
    o : Out(stream of {word, emit, clear})
    busy : Out(1)
        Spikes are left, or a word waits.
    """

    def __init__(self, *, count, bands, simd):
        self.count, self.simd = count, simd
        self.padding = -count * bands % simd
        super().__init__({
            "load": In(1), "spikes": In(count), "last": In(1), "ends": In(1), "busy": Out(1),
            "o": Out(stream.Signature(data.StructLayout({
                "word": simd, "emit": 1, "clear": 1}))),
        })

    def elaborate(self, platform):
        m = Module()
        o, spikes, emit = self.o, Signal(self.count), Signal()
        left, filled = Signal(range(self.count + self.padding + 1)), Signal(range(self.simd))
        full = filled == self.simd - 1
        m.d.comb += [self.busy.eq((left != 0) | o.valid), o.p.emit.eq(emit), o.p.clear.eq(emit)]
        with m.If(o.ready):
            m.d.sync += o.valid.eq(0)
        with m.If((left != 0) & (~o.valid | o.ready)):
            m.d.sync += [o.p.word.eq(Cat(o.p.word, spikes[0]) >> 1), spikes.eq(spikes >> 1),
                         left.eq(left - 1), filled.eq(Mux(full, 0, filled + 1)),
                         o.valid.eq(full)]
        with m.If(self.load):
            m.d.sync += [spikes.eq(self.spikes), emit.eq(self.ends),
                         left.eq(Mux(self.last, self.count + self.padding, self.count))]
        return m


class SoundEncoder(wiring.Component):
    """Sound as steps, :func:`qsnn.model.audio.sound`: a step is a frame of samples.

    :class:`Datapath` goes once through the program of :func:`program_of` for each sample. A sample
    is taken every :py:`cycles` cycles, where samples wait and steps do not: the spikes of a band
    leave while the next one is at work, :class:`SpikeWriter`.

    Parameters
    ----------
    simd : int
        Inputs of a word of the network's first layer.
    bands, levels, frame :
        As in :mod:`qsnn.model.audio`. ``k`` is at least 2, a coefficient has each shift at most
        once, a level is at least 4, a frame has 2 to 255 samples.

    Members
    -------
    i : In(stream of {sample, end})
        A sample, signed; with the last one of a recording ``end``. It ends the frame there,
        however many samples that has, and the sample behind it is the first of a recording.
    o : Out(stream of {word, emit, clear})
        Frames for :class:`qsnn.hw.network.Network`: the label and a fresh start behind
        each recording.
    busy : Out(1)
        A sample is at work, or a step waits to be taken.
    """

    def __init__(self, *, simd, bands=BANDS, levels=LEVELS, frame=FRAME):
        if frame not in range(2, 256):
            raise ValueError(f"A frame has 2 to 255 samples, not {frame!r}")
        for band in bands:
            if band.k < 2 or len({shift for _, shift in band.terms}) < len(band.terms):
                raise ValueError(f"Band {band.centre}: k must be 2 or more, and no shift twice")
        if min(levels) < 4:
            raise ValueError(f"Levels begin at 4 or above, not at {min(levels)}")
        self.simd, self.bands, self.levels, self.frame = simd, tuple(bands), tuple(levels), frame
        self.inputs = len(self.bands) * len(self.levels)
        self.program = program_of(self.bands)
        self.cycles = 1 + len(self.program)  # of a sample
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"sample": signed(SAMPLE), "end": 1}))),
            "o": Out(stream.Signature(data.StructLayout({
                "word": simd, "emit": 1, "clear": 1}))),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        bands = len(self.bands)
        rom = Memory(shape=INSTRUCTION, depth=len(self.program), init=self.program, attrs=ROM)
        m.submodules.program = rom
        m.submodules.path = path = Datapath(4 << ceil_log2(bands + 1))
        m.submodules.writer = writer = SpikeWriter(
            count=len(self.levels), bands=bands, simd=self.simd)
        fetch = rom.read_port()
        instruction, word = fetch.data, Signal(2)
        at, running, taken, pause, go = (Signal.like(fetch.addr), *(Signal() for _ in range(4)))
        row = Signal(range(bands + 1))  # 0: the samples before this one, as if y of a band
        place, parity = Signal(range(self.frame)), Signal()  # of the sample
        first, ends, whole = Signal(init=1), Signal(), Signal()  # frame; of a recording; of a frame
        summed, after, last = Signal(), Signal(), Signal()  # end of a band; of a row; of all
        m.d.comb += [
            self.i.ready.eq(~running), taken.eq(self.i.valid & self.i.ready),
            whole.eq(ends | (place == self.frame - 1)), word.eq(instruction.word.as_value()),
            # these two words are written when all else is done
            summed.eq(running & instruction.write & (instruction.word == Word.SUM)),
            after.eq(summed | (instruction.write & (instruction.word == Word.CHANGE))),
            last.eq(row == bands),
            pause.eq(summed & whole & writer.busy), go.eq(running & ~pause),
            fetch.addr.eq(at), fetch.en.eq(~pause),
            path.running.eq(running), path.pause.eq(pause), path.instruction.eq(instruction),
            path.take.eq(taken), path.sample.eq(self.i.p.sample),
            path.address.eq(Cat(Mux(instruction.word == Word.CHANGE, 0, row),
                                word[0] ^ (parity & ~word[1]), word[1])),
            # of a recording before are y1 at the first sample, y2 and x2 at the first two
            path.zero.eq(instruction.state & Mux(
                word[1], place == 0, first & (place[1:] == 0) & (word[0] | ~place[0]))),
            writer.load.eq(summed & whole & ~pause), writer.last.eq(last), writer.ends.eq(ends),
            writer.spikes.eq(Cat(reached(path.total, level) for level in self.levels)),
            self.busy.eq(running | writer.busy),
        ]
        wiring.connect(m, writer.o, wiring.flipped(self.o))
        with m.If(taken):
            m.d.sync += [running.eq(1), ends.eq(self.i.p.end), at.eq(1)]
        with m.If(go):
            m.d.sync += at.eq(at + 1)
            with m.If(after):
                m.d.sync += row.eq(row + 1)
            with m.If(after & last):
                m.d.sync += [running.eq(0), at.eq(0), row.eq(0), parity.eq(~parity),
                             place.eq(Mux(whole, 0, place + 1)),
                             first.eq(Mux(whole, ends, first))]
        return m

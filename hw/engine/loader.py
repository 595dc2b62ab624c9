"""Takes a program apart: descriptors into registers, parameters and weights into memories."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.engine.shape import MEMORY_WORD
from qsnn.hw.memory.check import HEADER

__all__ = ["SETS", "Loader", "Slab", "descriptor_words"]

SETS = 2  # groups whose parameters are there at once


def descriptor_words(layout):
    """Words of memory that a descriptor takes."""
    return -(-layout.size // MEMORY_WORD)


class Loader(wiring.Component):
    """Reads a program from its first word to its last, again and again.

    A program is a row of 32-bit words: its header, the network's descriptor, and for each layer its
    descriptor and its groups. A group is thresholds and biases of its channels, in turn, and then
    words of the slab, each as columns of 32 bits. What has no room yet waits, and all behind it:
    the next layer's descriptor until it is taken, a group until one of two before it is released,
    a word of the slab until one is free.

    Members
    -------
    i : In(stream of 32)
    network : Out
        The network's descriptor; :py:`known` once it is there.
    layer, given, take : Out, Out(1), In(1)
        The next layer's descriptor, while ``given``; it is taken.
    groups : Out
        How many groups are there that were not begun; :py:`begin` begins one.
    release, release_words : In(1), In
        A group is done: its parameters and so many words of the slab are free.
    set, entry, write_parameter : Out
        Which set, which of its values, and that :py:`data` is that value.
    slab, column, write_slab : Out
        A column of a word of the slab that :py:`data` is.
    data : Out(32)
    """

    def __init__(self, shape):
        self.shape = shape
        slab_bits = ceil_log2(shape.slab_words)
        super().__init__({
            "i": In(stream.Signature(MEMORY_WORD)),
            "network": Out(shape.network), "known": Out(1),
            "layer": Out(shape.layer), "given": Out(1), "take": In(1),
            "groups": Out(range(SETS + 1)), "begin": In(1),
            "release": In(1), "release_words": In(slab_bits + 1),
            "set": Out(range(SETS)), "entry": Out(range(2 * shape.pe)), "write_parameter": Out(1),
            "slab": Out(slab_bits), "column": Out(range(max(2, shape.slab_columns))),
            "write_slab": Out(1), "data": Out(MEMORY_WORD),
        })

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        sizes = {"header": HEADER, "network": descriptor_words(shape.network),
                 "layer": descriptor_words(shape.layer), "parameters": 2 * shape.pe}
        count = Signal(range(max(sizes.values())))
        group, words = Signal(len(self.layer.groups)), Signal(len(self.layer.group_words))
        loaded = Signal(range(SETS + 1))  # begun or not
        used = Signal(range(shape.slab_words + 1))
        whole = Signal()  # a group has arrived
        word_done = Signal()
        m.d.comb += [self.data.eq(self.i.payload), self.entry.eq(count)]
        m.d.sync += [
            loaded.eq(loaded + whole - self.release),
            self.groups.eq(self.groups + whole - self.begin),
            used.eq(used + word_done - Mux(self.release, self.release_words, 0)),
        ]
        with m.If(self.take):
            m.d.sync += self.given.eq(0)

        def fill(descriptor):
            """Words from the first one on, in the lowest bits."""
            size = descriptor.shape().size
            with m.Switch(count):
                for index in range(-(-size // MEMORY_WORD)):
                    with m.Case(index):
                        part = descriptor.as_value()[index * MEMORY_WORD:][:MEMORY_WORD]
                        m.d.sync += part.eq(self.i.payload)

        def advance(name, following, *more):
            """Count the words of a part; behind its last one comes another."""
            m.d.sync += count.eq(count + 1)
            with m.If(count == sizes[name] - 1):
                m.d.sync += [count.eq(0), *more]
                m.next = following

        with m.FSM():
            with m.State("header"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    advance("header", "network")
            with m.State("network"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    fill(self.network)
                    advance("network", "layer", self.known.eq(1))
            with m.State("layer"):
                m.d.comb += self.i.ready.eq(~self.given)
                with m.If(self.i.valid & self.i.ready):
                    fill(self.layer)
                    advance("layer", "parameters", group.eq(0), self.given.eq(1))
            with m.State("parameters"):
                m.d.comb += [self.i.ready.eq(loaded != SETS),
                             self.write_parameter.eq(self.i.valid & self.i.ready)]
                with m.If(self.write_parameter):
                    advance("parameters", "weights", words.eq(self.layer.group_words))
            with m.State("weights"):
                m.d.comb += [self.i.ready.eq(used != shape.slab_words),
                             self.write_slab.eq(self.i.valid & self.i.ready)]
                last_column = self.column == shape.slab_columns - 1
                with m.If(self.write_slab):
                    m.d.sync += self.column.eq(Mux(last_column, 0, self.column + 1))
                    with m.If(last_column):
                        m.d.comb += word_done.eq(1)
                        m.d.sync += [words.eq(words - 1), self.slab.eq(self.slab + 1)]
                        with m.If(words == 1):
                            m.d.comb += whole.eq(1)
                            m.d.sync += [group.eq(group + 1), self.set.eq(self.set + 1)]
                            m.next = "parameters"
                            with m.If(group == self.layer.groups):
                                m.next = "layer"
                                with m.If(self.layer.final):
                                    m.next = "header"
        return m


class Slab(wiring.Component):
    """Weights of some groups: a ring of words, written in columns of 32 bits.

    Members
    -------
    address, word : In, Out(pe * simd)
        Two cycles later, in a register.
    at, column, write, data : In
    """

    latency = 2

    def __init__(self, shape):
        self.shape = shape
        bits = ceil_log2(shape.slab_words)
        super().__init__({
            "address": In(bits), "word": Out(shape.pe * shape.simd),
            "at": In(bits), "column": In(range(max(2, shape.slab_columns))), "write": In(1),
            "data": In(MEMORY_WORD),
        })

    def elaborate(self, platform):
        m = Module()
        columns = []
        # writes come from far: a register on the way
        at, write_data = Signal.like(self.at), Signal(MEMORY_WORD, reset_less=True)
        m.d.sync += [at.eq(self.at), write_data.eq(self.data)]
        for index in range(self.shape.slab_columns):
            m.submodules[f"column_{index}"] = memory = Memory(
                shape=MEMORY_WORD, depth=self.shape.slab_words, init=[])
            writer, reader = memory.write_port(), memory.read_port()
            word = Signal(MEMORY_WORD, name=f"word_{index}", reset_less=True)
            m.d.sync += [writer.en.eq(self.write & (self.column == index)), word.eq(reader.data)]
            m.d.comb += [writer.addr.eq(at), writer.data.eq(write_data),
                         reader.addr.eq(self.address)]
            columns.append(word)
        m.d.comb += self.word.eq(Cat(columns))
        return m

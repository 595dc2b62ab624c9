"""A network between a few pins, without a host: what is measured is what is checked.

Pixels go in and scores come out as fast as the network works, and digests of all spikes and
membranes follow, so that every stage from Verilog to a bitstream can be held to the golden model.
"""

import numpy as np
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.rom import word_bytes
from qsnn.hw.link.stream import sleeping
from qsnn.hw.network import Network
from qsnn.hw.plan.line import input_beats
from qsnn.hw.plan.window import ceil_div

__all__ = ["Digest", "Harness", "StreamHarness", "digests"]

BITS = 32
FEEDBACK = 0x80200003  # x^32 + x^22 + x^2 + x + 1, which is primitive
BEAT = 8  # pins of a stream's input


class Digest(wiring.Component):
    """A shift register with feedback that sums up words: it notices any single wrong bit.

    Members
    -------
    word, valid : In
        A word; 32 bits and more are folded by exclusive or. It counts two cycles later.
    shift, i, o : In(1), In(1), Out(1)
        Shift out, lowest bit first, and :py:`i` in.
    """

    def __init__(self, width):
        super().__init__({"word": In(width), "valid": In(1),
                          "shift": In(1), "i": In(1), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        state = Signal(BITS)
        folded = C(0, BITS)
        for start in range(0, len(self.word), BITS):
            folded ^= self.word[start:start + BITS]
        word, valid = Signal(BITS, reset_less=True), Signal()
        m.d.sync += [word.eq(folded), valid.eq(self.valid)]
        m.d.comb += self.o.eq(state[0])
        with m.If(self.shift):
            m.d.sync += state.eq(Cat(state[1:], self.i))
        with m.Elif(valid):
            m.d.sync += state.eq((state >> 1) ^ Mux(state[0], FEEDBACK, 0) ^ word)
        return m


def digests(description, plan, result):
    """What a :class:`Harness` computes, from a golden result with its trace: one a hidden layer.

    A word is the membranes of a beat's neurons at one step, and with the last of the steps that the
    layer takes at once their spikes.
    """
    found = []
    for layer, stage, spikes, membranes in zip(
            description.hidden, plan.stages[:-1], result.spikes, result.membranes, strict=True):
        # what a layer takes one step after the other comes as so many images of a step
        images, steps = spikes.shape[0] * spikes.shape[1] // stage.sequence, stage.sequence
        padding = (0, 0), (0, 0), (0, 0), (0, stage.neurons - stage.n_out)
        spikes, membranes = (
            np.pad(values.reshape(images, steps, -1, stage.n_out)[:, :, stage.places], padding)
            .reshape(images, steps, -1, stage.lanes) for values in (spikes, membranes))
        # [images, beats, steps, bits of a beat]
        q = membranes.transpose(0, 2, 1, 3)[..., None] >> np.arange(layer.held_bits) & 1
        q = q.reshape(*q.shape[:3], -1)
        last = np.zeros((*q.shape[:3], stage.lanes * steps), q.dtype)
        last[:, :, -1] = spikes.transpose(0, 2, 3, 1).reshape(*q.shape[:2], -1)
        words = np.concatenate([q, last], axis=3).reshape(-1, q.shape[3] + last.shape[3])
        words = np.pad(words, ((0, 0), (0, -words.shape[1] % BITS))).reshape(len(words), -1, BITS)
        state = 0
        for word in (np.bitwise_xor.reduce(words, axis=1) @ (1 << np.arange(BITS))).tolist():
            state = state >> 1 ^ (FEEDBACK if state & 1 else 0) ^ word
        found.append(state)
    return found


class Harness(wiring.Component):
    """A :class:`qsnn.hw.network.Network` that a few pins keep busy.

    Attributes
    ----------
    pixels, beats : int
        See :func:`qsnn.hw.plan.line.input_beats`. What lies beyond an image's last pixel is
        ignored.
    result_bytes : int
        Bytes of a class, lowest first: the network's output as it is.

    Members
    -------
    i : In(stream of pixels * input_bits bits, or more)
    result, result_valid : Out(8), Out(1)
        The classes, byte by byte.
    load : In(1)
        Where weights sit in single-port RAM, which starts empty: while :py:`load` is high before
        the first image, the lowest 8 bits of :py:`i` are its bytes, word after word.
    finish, digest : In(1), Out(1)
        After the last image, while :py:`finish` is high, :py:`digest` gives the digests of
        the hidden layers, a bit a cycle, the first layer's lowest bit first.
    busy : Out(1)
        A score comes out.
    """

    def __init__(self, description, foldings, *, files=""):
        self.network = Network(description, foldings, files=files)
        self.plan = self.network.plan
        self.pixels, self.beats = input_beats(self.plan)
        self.result_bytes = -(-len(self.network.o.payload.as_value()) // 8)
        self.width = self.pixels * self.plan.stages[0].bits
        super().__init__({
            "i": In(stream.Signature(max(self.width, 8 if self.network.memories else 1))),
            **({"load": In(1)} if self.network.memories else {}),
            "result": Out(8), "result_valid": Out(1),
            "finish": In(1), "digest": Out(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.network = network = self.network
        transfer = self.i.valid & self.i.ready
        if network.memories:
            self._load(m, network.load, transfer & self.load)
            transfer &= ~self.load
        self._collect(m, network.i, transfer)
        self._give(m)
        m.d.comb += self.busy.eq(network.o.valid)
        return m

    def _give(self, m):
        """Classes and digests to their pins; a class waits while the last one's bytes leave."""
        network = self.network
        beat = Signal(len(network.o.payload.as_value()))
        left = Signal(range(self.result_bytes + 1))
        m.d.comb += [network.o.ready.eq(left == 0),
                     self.result.eq(beat), self.result_valid.eq(left != 0)]
        with m.If(left != 0):
            m.d.sync += [beat.eq(beat >> 8), left.eq(left - 1)]
        with m.Elif(network.o.valid):
            m.d.sync += [beat.eq(network.o.payload), left.eq(self.result_bytes)]

        chain = C(0, 1)
        for index in reversed(range(len(network.layers) - 1)):
            chain = self._watch(m, index, chain)
        m.d.comb += self.digest.eq(chain)

    def _load(self, m, port, transfer):
        """Bytes into the memory that has no contents."""
        (_, _, width, _), = self.network.memories
        last = word_bytes(width) - 1
        # registers, which keep the way from the pins off the way to the memory
        m.d.sync += [port.write.eq(transfer), port.data.eq(self.i.payload)]
        with m.If(port.write):
            m.d.sync += port.column.eq(Mux(port.column == last, 0, port.column + 1))
            with m.If(port.column == last):
                m.d.sync += port.at.eq(port.at + 1)

    def _collect(self, m, words, transfer):
        """Beats into the words that the network takes.

        Two beats can wait, and registers say whether there is a place for one and whether it
        makes a word full: the pins are far from the network, and what is measured is the network.
        """
        ratio = len(words.payload) // self.width
        word = Signal(len(words.payload) - self.width)  # but for the last beat
        front, back = (Signal(self.width, name=f"{name}_beat") for name in ("front", "back"))
        waiting, both = Signal(), Signal()  # a beat in front; another one behind it
        count, full = Signal(range(max(2, ratio))), Signal(init=ratio == 1)
        move = Signal()
        beat = self.i.payload[:self.width]
        m.d.comb += [words.payload.eq(Cat(word, front)), words.valid.eq(waiting & full),
                     self.i.ready.eq(~both), move.eq(waiting & (~full | words.ready))]
        with m.If(~waiting | move):
            m.d.sync += [front.eq(Mux(both, back, beat)), waiting.eq(both | transfer), both.eq(0)]
        with m.Elif(transfer):
            m.d.sync += both.eq(1)
        with m.If(~both):
            m.d.sync += back.eq(beat)
        with m.If(move):
            m.d.sync += [word.eq(Cat(word, front)[self.width:]),
                         count.eq(Mux(full, 0, count + 1))]
            if ratio > 1:
                m.d.sync += full.eq(count == ratio - 2)

    def _watch(self, m, index, chain):
        """The digest of a layer, in front of those of the layers behind it.

        Behind registers: what is measured is the network.
        """
        layer, stage = self.network.layers[index], self.plan.stages[index]
        membranes, spikes = Signal.like(layer.membrane), Signal.like(layer.spikes)
        valid = Signal()
        m.d.sync += [membranes.eq(layer.membrane), valid.eq(layer.membrane_valid),
                     spikes.eq(Mux(layer.spikes_valid, layer.spikes, 0))]
        if stage.neurons != stage.n_out:  # padding has membranes too, and nobody cares for them
            beat = Signal(range(stage.neurons // stage.lanes))
            with m.If(layer.spikes_valid):
                m.d.sync += beat.eq(Mux(beat == stage.neurons // stage.lanes - 1, 0, beat + 1))
            whole, rest = divmod(stage.n_out, stage.lanes)
            real = Signal(stage.lanes)
            m.d.sync += real.eq(Mux(beat < whole, -1, Mux(beat == whole, (1 << rest) - 1, 0)))
            width = len(membranes) // stage.lanes
            membranes = membranes & Cat(bit.replicate(width) for bit in real)
        word = Cat(membranes, spikes)
        digest = Digest(len(word))
        m.submodules[f"digest{index}"] = digest
        m.d.comb += [digest.word.eq(word), digest.valid.eq(valid),
                     digest.shift.eq(self.finish), digest.i.eq(chain)]
        return digest.o


class StreamHarness(Harness):
    """A network for streams between a few pins, see :class:`qsnn.hw.board.harness.Harness`.

    Each beat of the network's :py:`i` comes in beats of eight bits, lowest first; and it sleeps
    where the pins let it.
    """

    def __init__(self, description, foldings, *, encoder="", files=""):
        self.network = Network(description, foldings, encoder=encoder, files=files)
        self.plan, self.width = self.network.plan, BEAT
        self.beats = ceil_div(len(self.network.i.payload.as_value()), BEAT)
        self.result_bytes = ceil_div(len(self.network.o.payload.as_value()), 8)
        wiring.Component.__init__(self, {
            "i": In(stream.Signature(BEAT)), "result": Out(8), "result_valid": Out(1),
            "finish": In(1), "digest": Out(1), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        network = self.network
        words = stream.Signature(BEAT * self.beats).create()
        awake = sleeping(m, network, words.valid)
        m.d.comb += [network.i.valid.eq(words.valid), words.ready.eq(network.i.ready),
                     network.i.payload.eq(words.payload)]
        self._collect(m, words, self.i.valid & self.i.ready)
        self._give(m)
        m.d.comb += self.busy.eq(awake)
        return m

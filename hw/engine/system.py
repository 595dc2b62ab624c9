"""An engine with the memory that its programs lie in, and what lets none run that is not whole."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.engine.engine import Engine
from qsnn.hw.engine.program import MAGIC
from qsnn.hw.memory.check import ImageCheck

__all__ = ["EngineSystem"]


class EngineSystem(wiring.Component):
    """Engine, a source of words, and the check between them.

    Until a program's CRC was right the engine is held in reset: nobody gets an answer of half a
    network, or of one for another engine.

    Parameters
    ----------
    shape : :class:`qsnn.hw.engine.shape.EngineShape`
    source : component
        :class:`qsnn.hw.memory.sdram.SdramController`, into which programs are written, or
        :class:`qsnn.hw.memory.flash.FlashReader`, where they lie already.
    most : int
        Words of the longest program.

    Members
    -------
    i, images, o : as those of :class:`qsnn.hw.engine.engine.Engine`
    present : In(1)
        There is a program in the memory; when it falls, the engine stops at once.
    rewind, write, written : In(1), In(stream of 32), Out, if programs can be written
        As those of the source, while not :py:`present`.
    start : In, if they lie in a flash
        Byte address of the program.
    ready, good, bad : Out(1)
        The memory can be used; the program's CRC is right; is wrong, or it is for another engine.
    program : Out(32)
        The CRC of a good program: which one it is.
    known, image, outputs : as those of the engine
    pins : Out
        Of the memory.
    waits, works : Out(1), as those of the engine
    """

    def __init__(self, shape, source, *, most):
        self.engine, self.source = Engine(shape), source
        self.check = ImageCheck(magic=MAGIC, version=shape.version, most=most)
        members = source.signature.members
        given = {name: members[name] for name in ("rewind", "write", "written", "start")
                 if name in members}
        engine = self.engine.signature.members
        self.watched = ("waits", "works", "spikes_valid", "spikes", "membrane_valid", "membrane",
                        "known", "image", "outputs")
        super().__init__({
            **{name: engine[name] for name in ("i", "images", "o", *self.watched)},
            **given, "present": In(1), "ready": Out(1), "good": Out(1), "bad": Out(1),
            "program": Out(32), "pins": members["pins"],
        })
        self.given = tuple(given)

    def elaborate(self, platform):
        m = Module()
        m.submodules.source = source = self.source
        m.submodules.check = check = self.check
        engine = self.engine
        # a cycle of reset before the first word, since that comes with good
        held = Signal(init=1)
        m.d.sync += held.eq(~check.good)
        m.submodules.engine = ResetInserter(held)(engine)
        wiring.connect(m, source.o, check.i)
        wiring.connect(m, check.o, engine.program)
        m.d.comb += [
            source.length.eq(check.length), source.go.eq(check.read),
            check.present.eq(self.present & source.ready), check.go.eq(~held),
            self.ready.eq(source.ready), self.good.eq(check.good), self.bad.eq(check.bad),
            self.program.eq(check.crc),
            engine.images.eq(self.images),
            *(getattr(self, name).eq(getattr(engine, name)) for name in self.watched),
        ]
        wiring.connect(m, wiring.flipped(self.i), engine.i)
        wiring.connect(m, engine.o, wiring.flipped(self.o))
        for name in (*self.given, "pins"):
            member, inner, outer = (self.signature.members[name], getattr(source, name),
                                    getattr(self, name))
            if member.is_port:
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
            else:
                wiring.connect(m, *((wiring.flipped(outer), inner) if member.flow is In
                                    else (inner, wiring.flipped(outer))))
        return m

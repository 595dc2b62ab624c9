"""An engine that a host talks to: networks come over the line, and images; scores go back."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.engine.shape import MEMORY_WORD
from qsnn.hw.engine.system import EngineSystem
from qsnn.hw.link.frames import Outbox
from qsnn.hw.link.load import EngineBody, ProgramWriter
from qsnn.hw.link.payload import BeatPacker
from qsnn.hw.link.programs import BLOCK_BYTES, OFFSET_BYTES, EngineHello, Running, State
from qsnn.hw.link.protocol import Code, Request, encoded_bytes
from qsnn.hw.link.requests import RequestLink
from qsnn.hw.link.uart import Uart, divisor
from qsnn.hw.memory.crossing import MemoryClock
from qsnn.hw.memory.sdram import COUNT_BITS, SdramController

__all__ = ["EngineCore", "EngineLink", "memory_source"]

START_BYTES = OFFSET_BYTES + 1
MAX_BATCH = 16


class EngineLink(RequestLink):
    """The requests to an engine.

    Until a program is known to be good, or bad, requests wait. Sequence numbers of the images of a
    batch are kept until it is whole. What else is asked for in between ends the batch: the program
    is checked anew, and the engine begins with its first word.

    Parameters
    ----------
    hello : :class:`qsnn.hw.link.programs.EngineHello`
    result : :py:`stream.Signature`
        Of the engine's scores.

    Members
    -------
    As those of :class:`qsnn.hw.link.requests.RequestLink`, and:

    write, rewind, written, present, images, good, bad, program, known, outputs :
        Of the :class:`qsnn.hw.engine.system.EngineSystem`.
    pixels : In
        Its :py:`image`: pixels of an image, less 1.
    """

    work = "program"

    def __init__(self, hello, result):
        self.hello = hello
        super().__init__(
            depth=hello.queue, longest=max(hello.image_bytes, BLOCK_BYTES), result=result,
            payload_bytes={Request.HELLO: 0, Request.STATUS: 0, Request.START: START_BYTES},
            body=EngineBody(hello, result), outbox=Outbox(hello.pack()), packer=BeatPacker(8),
            members={
                "write": Out(stream.Signature(MEMORY_WORD)), "rewind": Out(1),
                "written": In(COUNT_BITS), "present": Out(1), "images": Out(range(MAX_BATCH)),
                "good": In(1), "bad": In(1), "program": In(32), "known": In(1),
                "pixels": In(range(hello.image_bytes)), "outputs": In(16)})

    def _payloads(self, m):
        m.submodules.writer = writer = ProgramWriter(self.hello.most)
        self._writer, self._settled = writer, Signal()
        self._told, self._infers = Signal(range(MAX_BATCH)), Signal()
        length, infer, load = self._length, Signal(), Signal()
        wiring.connect(m, writer.o, wiring.flipped(self.write))
        state = Mux(self.good, State.GOOD, Mux(self.bad, State.BAD, State.NONE))
        running = {"state": state, "batch": self.images + 1, "program": self.program,
                   "n_in": self.pixels + 1, "outputs": self.outputs}
        sizes = dict(zip(running, (8, 8, 32, 32, 16), strict=True))
        packed = [Signal(size, name=name) for name, size in sizes.items()]
        m.d.comb += [signal.eq(running[signal.name]) for signal in packed]
        m.d.comb += [
            writer.written.eq(self.written), writer.present.eq(self.present),
            self.rewind.eq(writer.rewind), writer.byte.eq(self._byte),
            self.body.running.eq(Cat(packed)), self.body.words.eq(writer.words),
            self.body.outputs.eq(self.outputs),
        ]
        m.d.sync += [
            infer.eq(length == self.pixels + 1),
            load.eq((length > OFFSET_BYTES) & (length <= BLOCK_BYTES)
                    & (length[:2] == OFFSET_BYTES)),
            self._settled.eq(~self.present | self.bad | self.good & self.known),
        ]
        self._asked = Signal(8 * START_BYTES)
        used = self._step & self._using
        m.d.comb += writer.valid.eq(used & (self._kind == Request.LOAD))
        with m.If(used & (self._kind == Request.START)):
            m.d.sync += self._asked.eq(Cat(self._asked[8:], self._byte))
        with m.If(writer.drop):
            m.d.sync += self.present.eq(0)
        return {Request.INFER: infer, Request.LOAD: load}

    def _judge(self, m):
        with m.If((self._byte == Request.INFER) & ~self.good):
            m.d.sync += self._error.eq(Code.NO_PROGRAM)

    def _room(self, m):
        return self.packer.i.ready & self._writer.room

    def _wait(self, m):
        with m.If(~self._settled):
            m.d.comb += self._waits.eq(1)

    def _states(self, m):
        writer, inbox, step, kind = self._writer, m.submodules.inbox, self._step, self._kind
        m.submodules.numbers = numbers = Memory(shape=8, depth=MAX_BATCH, init=[])
        write, read = numbers.write_port(), numbers.read_port(domain="comb")
        count, whole, wanted = Signal(range(MAX_BATCH)), Signal(), Signal()
        good, infers = self._error == 0, self._infers
        begins = good & (kind == Request.START)
        m.d.comb += [
            infers.eq(good & (kind == Request.INFER)),
            writer.begin.eq(self._fsm.ongoing("sequence")),
            write.addr.eq(count), write.data.eq(self._sequence), read.addr.eq(self._told),
        ]
        m.d.sync += whole.eq((self._asked[:COUNT_BITS] == writer.words) & (writer.words != 0))
        with m.State("program"):
            m.d.comb += [self._short.eq(1), self._waits.eq(~writer.settled)]
            with m.If(step):
                m.next = "reply"
                with m.If(infers):
                    m.d.comb += write.en.eq(1)
                    m.d.sync += [count.eq(count + 1), self._told.eq(0)]
                    m.next = "number of an image"
                    with m.If(count != self.images):
                        m.d.comb += inbox.free.eq(1)
                        m.next = "check"
                with m.Elif(begins | (count != 0)):
                    m.d.sync += [self.present.eq(0),
                                 wanted.eq(Mux(begins, whole, self.present))]
                    m.next = "again"
        with m.State("again"):
            m.d.comb += self._short.eq(1)
            with m.If(step):
                m.d.sync += [self.present.eq(wanted), count.eq(0)]
                with m.If(begins):
                    m.d.sync += self.images.eq(self._asked[COUNT_BITS:] - 1)
                m.next = "reply"
        with m.State("number of an image"):
            m.d.comb += self._short.eq(1)
            m.d.sync += count.eq(0)
            with m.If(step):
                m.d.sync += self._sequence.eq(read.data)
                m.next = "reply"

    def _replied(self, m):
        m.next = "check"
        with m.If(self._infers & (self._told != self.images)):
            m.d.sync += self._told.eq(self._told + 1)
            m.next = "number of an image"


def memory_source(chip, clock_hz, late=0, memory_hz=None):
    """What gives an engine the words of a chip; of the arguments see :class:`EngineCore`."""
    source = SdramController(chip, clock_hz=memory_hz or clock_hz, late=late)
    return MemoryClock(source) if memory_hz else source


class EngineCore(wiring.Component):
    """Engine, memory controller, host link and UART: what goes into an FPGA, but for its pins.

    Parameters
    ----------
    shape : :class:`qsnn.hw.engine.shape.EngineShape`
    chip : :class:`qsnn.hw.memory.chips.Sdram`
    clock_hz, baud : int
        Frequency of the clock and speed of a serial line. Raises ``ValueError`` if the one cannot
        be made from the other, or is too fast for the chip.
    late : int
        Of :class:`qsnn.hw.memory.sdram.SdramController`.
    memory_hz : int
        Frequency of the domain ``memory``, which the chip then has; None: it has the other one.

    Attributes
    ----------
    hello : :class:`qsnn.hw.link.programs.EngineHello`
        What the device says of itself as long as it has no program.

    Members
    -------
    rx, tx : In(1), Out(1)
    memory : Out(:func:`qsnn.hw.memory.sdram.pins`)
    busy : Out(1)
        Something is on its way in, at work, or on its way out: for an LED.
    """

    def __init__(self, shape, chip, *, clock_hz, baud=1_000_000, late=0, memory_hz=None):
        self.shape, self.chip, self.clock_hz, self.late = shape, chip, clock_hz, late
        self.memory_hz = memory_hz
        self.uart = Uart(divisor(clock_hz, baud))
        most = min(chip.words, (1 << COUNT_BITS) - 1)
        self.system = EngineSystem(shape, memory_source(chip, clock_hz, late, memory_hz),
                                   most=most)
        longest = max(shape.image_bytes, BLOCK_BYTES)
        self.hello = EngineHello(
            shape=shape.version, most=most, image_bytes=shape.image_bytes, scores=shape.scores,
            queue=1 << ceil_log2(encoded_bytes(longest)), clock_khz=round(clock_hz / 1000),
            running=Running(State.NONE, 0, 0, 0, 0))
        self.link = EngineLink(self.hello, self.system.engine.scores.o.signature)
        super().__init__({"rx": In(1, init=1), "tx": Out(1), "busy": Out(1),
                          "memory": self.system.signature.members["pins"]})

    def elaborate(self, platform):
        m = Module()
        m.submodules.system = system = self.system
        m.submodules.link = link = self.link
        m.submodules.uart = uart = self.uart
        wiring.connect(m, uart.o, link.i)
        wiring.connect(m, link.o, uart.i)
        wiring.connect(m, link.image, system.i)
        wiring.connect(m, system.o, link.result)
        wiring.connect(m, link.write, system.write)
        wiring.connect(m, system.pins, wiring.flipped(self.memory))
        m.d.comb += [
            uart.rx.eq(self.rx), self.tx.eq(uart.tx), self.busy.eq(link.busy),
            system.rewind.eq(link.rewind), link.written.eq(system.written),
            system.present.eq(link.present), system.images.eq(link.images),
            *(getattr(link, name).eq(getattr(system, name))
              for name in ("good", "bad", "program", "known", "outputs")),
            link.pixels.eq(system.image),
        ]
        return m

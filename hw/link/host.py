"""The host's side of an accelerator: bytes in and out, images to the network, scores back."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.link import protocol
from qsnn.hw.link.frames import CobsDecoder, Crc32, Inbox, Outbox
from qsnn.hw.link.memories import ADDRESS_BYTES, MemoryAccess
from qsnn.hw.link.payload import ERROR, KIND, STATUS, BeatPacker, ReplyBody
from qsnn.hw.link.protocol import Code, Request
from qsnn.hw.link.uart import BYTE
from qsnn.hw.plan.line import CHECK, MAX_CLASSES, USE

__all__ = ["HostLink", "inbox_depth", "window"]

WINDOW = 8  # images under way: hides what USB adds to the time of an answer


def inbox_depth(hello, *, latency, byte_cycles):
    """Bytes of the queue: an image, and what arrives while it is computed and answered.

    latency      cycles of the network, from an image's first beat to its last class
    byte_cycles  fewest cycles between two bytes of the line
    """
    least = protocol.encoded_bytes(hello.infer_bytes)
    if _keeps_up(hello, latency, byte_cycles):  # else the host waits, see window()
        least += -(-_busy(hello, latency) // byte_cycles)
    if hello.memories:  # a small network may have words that are longer than its images
        least = max(least, protocol.encoded_bytes(ADDRESS_BYTES + hello.word_bytes))
    return 1 << ceil_log2(least)


def _busy(hello, latency):
    """Cycles from the last byte of an image to its reply, at most."""
    return (USE * protocol.encoded_bytes(hello.infer_bytes) + latency + hello.beats * 2
            + CHECK * (hello.result_bytes + protocol.OVERHEAD) + 100)


def _keeps_up(hello, latency, byte_cycles):
    """Whether the device needs no more time than the line, for images one after the other."""
    image, result = map(protocol.encoded_bytes, (hello.infer_bytes, hello.result_bytes))
    return CHECK * image + _busy(hello, latency) <= byte_cycles * max(image, result)


def window(hello, depth, *, latency, byte_cycles):
    """INFER requests that may be under way without filling the queue of so many bytes."""
    image = protocol.encoded_bytes(hello.infer_bytes)
    keeps_up = _keeps_up(hello, latency, byte_cycles)
    if keeps_up and protocol.encoded_bytes(hello.result_bytes) <= image:
        return WINDOW  # images come no faster than results leave, and the queue has room for those
    # results or images may back up: then all images but the oldest may be waiting here
    return min(WINDOW, max(1, depth // image))


class HostLink(wiring.Component):
    """Answers the requests of :mod:`qsnn.hw.link.protocol`, one after the other.

    A frame waits in the queue until its CRC was checked; only then it is read a second time, and
    what it asks for is done. A request whose reply cannot be sent yet waits too: the network's
    output stalls, and when the queue is full, further requests are dropped whole.

    All bytes, of requests and replies, go through one register, at a fixed pace: eight cycles in
    which a byte comes there, eight in which its bits go into the CRC, where that matters; and in
    the last of these a *step* is made. So nothing here is in a hurry but the step itself.

    To add a request: its type to :class:`qsnn.hw.link.protocol.Request`, its length to
    :py:`payload_bytes`, where its payload goes to the state ``payload``, what it replies to
    :class:`qsnn.hw.link.payload.ReplyBody`.

    Parameters
    ----------
    hello : :class:`qsnn.hw.link.protocol.Hello`
        What the device says of itself; the sizes of images and results are taken from it.
    result : :py:`stream.Signature`
        Of the network's output.
    depth : int
        Bytes of the queue, see :func:`inbox_depth`; a power of two.
    file : str or None
        Name of a memory image with the greeting in it, see :class:`qsnn.hw.link.frames.Outbox`.
    sizes : list of (width, depth)
        Memories that the host writes; none without the requests WRITE and CRC.

    Members
    -------
    i, o : In(stream of BYTE, always ready), Out(stream of 8 bits)
        From and to the host: a UART, or any other transport of bytes. To check a byte takes
        :py:`CHECK` cycles, to use it :py:`USE`; two never come in cycles on end.
    image : Out(stream)
        Beats of an image, as :class:`qsnn.hw.network.Network` takes them.
    result : In(stream)
        The scores of its classes.
    load : Out(LoadPort)
        Of the memories, if there are any. The network is idle while it is used: there is one
        request at a time.
    busy : Out(1)
        A request is on its way in, at work, or its reply on its way out.
    """

    def __init__(self, hello, result, *, depth, file=None, sizes=()):
        if not (1 <= hello.score_bytes and 1 <= hello.classes <= MAX_CLASSES):
            raise ValueError(f"1 to {MAX_CLASSES} scores of at least a byte, not {hello.classes} "
                             f"of {hello.score_bytes}")
        if depth < protocol.encoded_bytes(hello.infer_bytes):
            raise ValueError(f"a queue of {depth} bytes cannot hold an image of "
                             f"{protocol.encoded_bytes(hello.infer_bytes)}")
        self.depth = depth
        self.payload_bytes = {Request.HELLO: 0, Request.INFER: hello.infer_bytes,
                              Request.STATUS: 0}
        self.access = None
        if sizes:
            self.access = MemoryAccess(sizes)
            self.payload_bytes |= {Request.WRITE: ADDRESS_BYTES + hello.word_bytes,
                                   Request.CRC: 1}
        self.body = ReplyBody(hello, result)
        self.outbox = Outbox(hello.pack(), file)
        self.packer = BeatPacker(hello.pixels * hello.input_bits)
        members = {
            "i": In(stream.Signature(BYTE, always_ready=True)),
            "o": Out(stream.Signature(8)),
            "image": Out(self.packer.o.signature),
            "result": In(result),
            "busy": Out(1),
        }
        if sizes:
            members["load"] = Out(self.access.port.signature)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inbox = inbox = Inbox(self.depth)
        m.submodules.cobs = cobs = CobsDecoder()
        m.submodules.crc = crc = Crc32()
        m.submodules.outbox = outbox = self.outbox
        m.submodules.packer = packer = self.packer
        m.submodules.body = body = self.body
        wiring.connect(m, wiring.flipped(self.i), inbox.i)
        wiring.connect(m, outbox.o, wiring.flipped(self.o))
        wiring.connect(m, packer.o, wiring.flipped(self.image))
        wiring.connect(m, wiring.flipped(self.result), body.result)

        # a state waits, then comes to its step; it chooses what gets into the register
        waits, short, source = Signal(), Signal(), Signal(8)
        waiting, brief, step, byte = Signal(), Signal(), Signal(), Signal(8)
        phase = Signal(range(CHECK))
        m.d.sync += [waiting.eq(waits), brief.eq(short), phase.eq(phase + 1),
                     step.eq((phase[:-1] == USE - 2) & (phase[-1] | brief))]
        with m.If(step | waiting):
            m.d.sync += phase.eq(0)
        with m.If(~phase[-1]):
            m.d.sync += byte.eq(source)

        longest = max(self.payload_bytes.values())
        # starts negative, so that at the end of a frame it is the length of its payload
        fresh = -protocol.OVERHEAD
        length = Signal(range(fresh, longest + 1), init=fresh)
        seen, broken, overrun = Signal(), Signal(), Signal()
        kind, error, sequence, status = Signal(KIND), Signal(ERROR), Signal(8), Signal(STATUS)
        crc_bytes = Signal(2)
        lengths = {size: Signal(name=f"length_{size}")
                   for size in sorted({0, longest, *self.payload_bytes.values()})}
        count, down, restart = Signal(), Signal(), Signal()  # of the length: one adder for both
        using, taking = Signal(), Signal()  # the byte belongs to the payload; to an image
        fed = Signal()  # the byte goes into the CRC
        take, send = Signal(), Signal()  # the step takes a byte from the queue, or sends one
        m.d.sync += [matches.eq(length == size) for size, matches in lengths.items()]
        m.d.comb += [
            source.eq(Mux(cobs.inside, inbox.byte, 0)),
            cobs.byte.eq(inbox.byte), inbox.next.eq(step & take), cobs.step.eq(step & take),
            crc.bit.eq(byte.bit_select(phase[:-1], 1)), crc.shift.eq(phase[-1] & fed),
            packer.i.payload.eq(byte), packer.i.valid.eq(step & taking),
            body.kind.eq(kind), body.error.eq(error), body.status.eq(status),
            body.word.eq(outbox.word), body.next.eq(0), outbox.address.eq(body.address),
            outbox.byte.eq(byte), outbox.push.eq(step & send),
        ]
        with m.If(step & restart):
            m.d.sync += length.eq(fresh)
        with m.Elif(step & count):
            m.d.sync += length.eq(length + Cat(1, down).as_signed())

        with m.FSM() as fsm:
            with m.State("check"):
                m.d.comb += [waits.eq(inbox.empty), take.eq(1), fed.eq(cobs.valid),
                             count.eq(cobs.valid & ~lengths[longest]),
                             inbox.free.eq(broken)]  # it may never end: nothing of it is kept
                with m.If(step):
                    with m.If(cobs.valid & lengths[longest]):
                        m.d.sync += broken.eq(1)
                    with m.If(cobs.end):
                        m.d.sync += broken.eq(broken | cobs.inside)
                        m.next = "judge"
                    with m.Else():
                        m.d.sync += seen.eq(1)
            with m.State("judge"):
                m.d.comb += [short.eq(1), crc.clear.eq(step)]
                with m.If(step):
                    m.d.sync += [seen.eq(0), broken.eq(0), overrun.eq(0),
                                 status.overruns.eq(status.overruns + overrun)]
                    with m.If(crc.good & ~broken & (length >= 0)):
                        m.d.comb += inbox.rewind.eq(1)
                        m.d.sync += status.good.eq(status.good + 1)
                        m.next = "type"
                    with m.Else():
                        m.d.comb += [inbox.free.eq(1), restart.eq(1)]
                        m.d.sync += status.bad.eq(status.bad + seen)
                        m.next = "check"

            # the second time the frame is known to be good
            with m.State("type"):
                m.d.comb += [short.eq(1), take.eq(1)]
                with m.If(step & cobs.valid):
                    m.d.sync += [kind.eq(byte), error.eq(Code.UNKNOWN_TYPE)]
                    for request, size in self.payload_bytes.items():
                        with m.If(byte == request):
                            m.d.sync += error.eq(Mux(lengths[size], 0, Code.WRONG_LENGTH))
                    m.next = "sequence"
            with m.State("sequence"):
                m.d.comb += [short.eq(1), take.eq(1)]
                with m.If(step & cobs.valid):
                    m.d.sync += sequence.eq(byte)
                    m.next = "payload"
            with m.State("payload"):
                m.d.comb += [short.eq(1), take.eq(1), waits.eq(~packer.i.ready), down.eq(1),
                             count.eq(cobs.valid & ~lengths[0])]
                with m.If(step & cobs.end):
                    m.d.comb += restart.eq(1)
                    m.next = "memory" if self.access else "reply"
            m.d.sync += [using.eq(fsm.ongoing("payload") & count & (error == 0)),
                         taking.eq(fsm.ongoing("payload") & count & (error == 0)
                                   & (kind == Request.INFER))]

            with m.State("reply"):
                m.d.comb += [source.eq(Mux(error == 0, kind, 0) | protocol.REPLY), fed.eq(1),
                             waits.eq(~outbox.free), inbox.free.eq(1), send.eq(1)]
                with m.If(step):
                    m.next = "number"
            with m.State("number"):
                m.d.comb += [source.eq(sequence), fed.eq(1), send.eq(1)]
                with m.If(step):
                    m.next = "body"
            with m.State("body"):
                m.d.comb += [source.eq(body.byte), fed.eq(1), waits.eq(~body.valid), send.eq(1),
                             body.next.eq(step)]
                with m.If(step & body.last):
                    m.next = "crc"
            with m.State("crc"):
                m.d.comb += [source.eq(~crc.low), fed.eq(1), crc.flush.eq(1), send.eq(1)]
                with m.If(step):
                    m.d.sync += crc_bytes.eq(crc_bytes + 1)
                    with m.If(crc_bytes == 3):
                        m.next = "end"
            with m.State("end"):
                m.d.comb += [source.eq(0), short.eq(1), send.eq(1), crc.clear.eq(1)]
                with m.If(step):
                    m.next = "close"
            with m.State("close"):
                m.d.comb += [source.eq(0), short.eq(1), outbox.close.eq(step)]
                with m.If(step):
                    m.next = "check"
            if self.access:
                self._access(m, fsm, step, short, source, fed, using, kind, error, byte,
                             crc_bytes)

        with m.If(inbox.overrun):
            m.d.sync += overrun.eq(1)
        m.d.comb += self.busy.eq(~inbox.empty | ~fsm.ongoing("check") | seen | ~outbox.free)
        return m

    def _access(self, m, fsm, step, short, source, fed, using, kind, error, byte, crc_bytes):
        """WRITE and CRC: one is done with its last byte, the other takes a walk of its own."""
        m.submodules.access = access = self.access
        crc, outbox = m.submodules.crc, m.submodules.outbox
        wiring.connect(m, access.port, wiring.flipped(self.load))
        m.d.comb += [
            access.begin.eq(fsm.ongoing("sequence")), access.byte.eq(byte),
            access.valid.eq(step & using), access.writes.eq(kind == Request.WRITE),
            outbox.note_at.eq(crc_bytes),
        ]
        with m.State("memory"):
            m.d.comb += short.eq(1)
            with m.If(step):
                m.next = "reply"
                with m.If((error == 0) & ((kind == Request.WRITE) | (kind == Request.CRC))):
                    with m.If(~access.known):
                        m.d.sync += error.eq(Code.NO_MEMORY)
                    with m.Elif(kind == Request.CRC):
                        m.d.comb += access.walk.eq(1)
                        m.next = "walk"
        with m.State("walk"):
            m.d.comb += [source.eq(access.port.byte), fed.eq(1), access.next.eq(step)]
            with m.If(step & access.last):
                m.next = "digest"
        with m.State("digest"):
            # noted down, since the CRC of the reply needs the register
            m.d.comb += [source.eq(~crc.low), fed.eq(1), crc.flush.eq(1), outbox.note.eq(step)]
            with m.If(step):
                m.d.sync += crc_bytes.eq(crc_bytes + 1)
                with m.If(crc_bytes == 3):
                    m.d.comb += crc.clear.eq(1)
                    m.next = "reply"

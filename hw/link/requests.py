"""Requests from frames, and replies into frames: what every device has of the protocol."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.link import protocol
from qsnn.hw.link.frames import CobsDecoder, Crc32, Inbox
from qsnn.hw.link.payload import ERROR, KIND, STATUS
from qsnn.hw.link.protocol import Code, Request
from qsnn.hw.link.uart import BYTE
from qsnn.hw.plan.line import CHECK, USE

__all__ = ["RequestLink"]


class RequestLink(wiring.Component):
    """Answers the requests of :mod:`qsnn.hw.link.protocol`, one after the other.

    A frame waits in the queue until its CRC was checked; only then it is read a second time, and
    what it asks for is done. A request whose reply cannot be sent yet waits too: the network's
    output stalls, and when the queue is full, further requests are dropped whole.

    All bytes, of requests and replies, go through one register, at a fixed pace: eight cycles in
    which a byte comes there, eight in which its bits go into the CRC, where that matters; and in
    the last of these a *step* is made. So nothing here is in a hurry but the step itself.

    To add a request: its type to :class:`qsnn.hw.link.protocol.Request`, its length to
    :py:`payload_bytes`, where its payload goes to the state ``payload``, what it replies to
    :class:`qsnn.hw.link.payload.ReplyBody`. What only some devices have is in the methods of this
    class that do nothing; signals that those need have names with an underscore.

    Parameters
    ----------
    depth : int
        Bytes of the queue; a power of two.
    payload_bytes : dict
        Bytes of the payload of each request.
    longest : int
        Of those, and of the requests whose lengths are not known before.
    result : :py:`stream.Signature`
        Of scores.
    body : :class:`qsnn.hw.link.payload.ReplyBody`
    outbox : :class:`qsnn.hw.link.frames.Outbox`
    packer : :class:`qsnn.hw.link.payload.BeatPacker`
        For images.
    members : dict
        More members.

    Members
    -------
    i, o : In(stream of BYTE, always ready), Out(stream of 8 bits)
        From and to the host: a UART, or any other transport of bytes. To check a byte takes
        :py:`CHECK` cycles, to use it :py:`USE`; two never come in cycles on end.
    image : Out(stream)
        Beats of an image.
    result : In(stream)
        The scores of its classes.
    busy : Out(1)
        A request is on its way in, at work, or its reply on its way out.
    """

    work = "reply"  # the state behind the payload

    def __init__(self, *, depth, payload_bytes, longest, result, body, outbox, packer,
                 members):
        self.depth, self.payload_bytes, self.longest = depth, payload_bytes, longest
        self.body, self.outbox, self.packer = body, outbox, packer
        super().__init__({
            "i": In(stream.Signature(BYTE, always_ready=True)),
            "o": Out(stream.Signature(8)),
            "image": Out(packer.o.signature),
            "result": In(result),
            "busy": Out(1), **members,
        })

    def _payloads(self, m):
        """Take payloads of requests whose lengths are not known before; gives for each whether
        one of :py:`_length` bytes is right."""
        return {}

    def _judge(self, m):
        """Refuse the request :py:`_byte` for other reasons than its length."""

    def _room(self, m):
        """Whether a byte of a payload can be taken."""
        return self.packer.i.ready

    def _wait(self, m):
        """Wait before a request is looked at, and before it is answered."""

    def _states(self, m):
        """States between the payload and the reply."""

    def _replied(self, m):
        """Behind a reply."""
        m.next = "check"

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

        longest = self.longest
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
        self._step, self._waits, self._short, self._source = step, waits, short, source
        self._fed, self._byte, self._crc_bytes, self._length = fed, byte, crc_bytes, length
        self._kind, self._error, self._sequence, self._using = kind, error, sequence, using
        fits = ({request: lengths[size] for request, size in self.payload_bytes.items()}
                | self._payloads(m))
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
            self._fsm = fsm
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
                self._wait(m)
                with m.If(step & cobs.valid):
                    m.d.sync += [kind.eq(byte), error.eq(Code.UNKNOWN_TYPE)]
                    for request, right in fits.items():
                        with m.If(byte == request):
                            m.d.sync += error.eq(Mux(right, 0, Code.WRONG_LENGTH))
                    self._judge(m)
                    m.next = "sequence"
            with m.State("sequence"):
                m.d.comb += [short.eq(1), take.eq(1)]
                with m.If(step & cobs.valid):
                    m.d.sync += sequence.eq(byte)
                    m.next = "payload"
            with m.State("payload"):
                m.d.comb += [short.eq(1), take.eq(1), waits.eq(~self._room(m)), down.eq(1),
                             count.eq(cobs.valid & ~lengths[0])]
                with m.If(step & cobs.end):
                    m.d.comb += restart.eq(1)
                    m.next = self.work
            m.d.sync += [using.eq(fsm.ongoing("payload") & count & (error == 0)),
                         taking.eq(fsm.ongoing("payload") & count & (error == 0)
                                   & (kind == Request.INFER))]

            with m.State("reply"):
                m.d.comb += [source.eq(Mux(error == 0, kind, 0) | protocol.REPLY), fed.eq(1),
                             waits.eq(~outbox.free), inbox.free.eq(1), send.eq(1)]
                self._wait(m)
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
                    self._replied(m)
            self._states(m)

        with m.If(inbox.overrun):
            m.d.sync += overrun.eq(1)
        m.d.comb += self.busy.eq(~inbox.empty | ~fsm.ongoing("check") | seen | ~outbox.free)
        return m


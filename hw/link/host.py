"""The host's side of an accelerator: bytes in and out, images to the network, scores back."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from amaranth.utils import ceil_log2

from qsnn.hw.link import protocol
from qsnn.hw.link.frames import Outbox
from qsnn.hw.link.memories import ADDRESS_BYTES, MemoryAccess
from qsnn.hw.link.payload import BeatPacker, ReplyBody
from qsnn.hw.link.protocol import Code, Request
from qsnn.hw.link.requests import RequestLink
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


class HostLink(RequestLink):
    """The requests to one network.

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
    As those of :class:`qsnn.hw.link.requests.RequestLink`, and:

    load : Out(LoadPort)
        Of the memories, if there are any. The network is idle while it is used: there is one
        request at a time.
    """

    def __init__(self, hello, result, *, depth, file=None, sizes=()):
        if not (1 <= hello.score_bytes and 1 <= hello.classes <= MAX_CLASSES):
            raise ValueError(f"1 to {MAX_CLASSES} scores of at least a byte, not {hello.classes} "
                             f"of {hello.score_bytes}")
        if depth < protocol.encoded_bytes(hello.infer_bytes):
            raise ValueError(f"a queue of {depth} bytes cannot hold an image of "
                             f"{protocol.encoded_bytes(hello.infer_bytes)}")
        payload_bytes = {Request.HELLO: 0, Request.INFER: hello.infer_bytes, Request.STATUS: 0}
        self.access, members = None, {}
        if sizes:
            self.access, self.work = MemoryAccess(sizes), "memory"
            payload_bytes |= {Request.WRITE: ADDRESS_BYTES + hello.word_bytes, Request.CRC: 1}
            members = {"load": Out(self.access.port.signature)}
        super().__init__(
            depth=depth, payload_bytes=payload_bytes, longest=max(payload_bytes.values()),
            result=result, body=ReplyBody(hello, result), outbox=Outbox(hello.pack(), file),
            packer=BeatPacker(hello.pixels * hello.input_bits), members=members)

    def _states(self, m):
        """WRITE and CRC: one is done with its last byte, the other takes a walk of its own."""
        if not self.access:
            return
        m.submodules.access = access = self.access
        crc, outbox = m.submodules.crc, m.submodules.outbox
        kind, error, step, short = self._kind, self._error, self._step, self._short
        source, fed, crc_bytes = self._source, self._fed, self._crc_bytes
        wiring.connect(m, access.port, wiring.flipped(self.load))
        m.d.comb += [
            access.begin.eq(self._fsm.ongoing("sequence")), access.byte.eq(self._byte),
            access.valid.eq(step & self._using), access.writes.eq(kind == Request.WRITE),
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

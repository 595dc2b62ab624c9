"""The packets between a host and the accelerator, over any line that carries bytes.

**Frame.** ``type u8, sequence u8, payload, crc u32``, COBS encoded, then the delimiter 0x00, which
occurs nowhere else. The CRC is that of zlib over type, sequence and payload. All integers are
little-endian. Empty frames mean nothing: a sender that does not know the state of the line starts
with a delimiter. After anything unexpected a receiver goes on behind the next delimiter. A frame
that is broken, too short, too long or fails its CRC is dropped without an answer.

**Requests** go to the device. A reply has the request's type + 0x80 and its sequence number.

====  ======  ==========================================  =========================================
type  name    payload                                     payload of the reply
====  ======  ==========================================  =========================================
0x01  HELLO   none                                        who the device is, see :class:`Hello`
0x02  INFER   an image: ``beats`` beats of ``pixels``     ``classes`` scores, signed integers of
              pixels of ``input_bits`` bits, pixel 0 in   ``score_bytes`` bytes, then label u8:
              the lowest bits, each beat padded with      the first class with the largest score,
              zeros to whole bytes                        which the device knows last. Where those
                                                          have no room, the largest score, label
                                                          u16
0x03  STATUS  none                                        good u16, bad u8, overruns u8: frames
                                                          taken; frames dropped; frames judged
                                                          after bytes were dropped for lack of
                                                          room. All wrap.
0x04  WRITE   memory u8, word u16, then the word's        0 u8
              bytes, the lowest first; ``word_bytes`` of
              them, those beyond the word mean nothing
0x05  CRC     memory u8                                   crc u32 over all bytes of all its words
0x06  LOAD    offset u24, then 1 to 64 words of 32 bits   words u32: how many are in the device
              of a program
0x07  START   words u24, images of a batch u8             what runs, see
                                                          :class:`qsnn.hw.link.programs.Running`
0x00  ERROR   (a reply only: its type is 0x80)            code u8: 1 unknown type, 2 wrong length,
                                                          3 no such memory, or no program
====  ======  ==========================================  =========================================

**Engines** have LOAD and START, and neither WRITE nor CRC; their HELLO is a
:class:`qsnn.hw.link.programs.EngineHello`. LOAD takes words if their offset is the number of words
that are in, and does nothing else with others: so what is sent twice, or comes too late, does no
harm. The offset 0 drops the program that runs and begins anew. START runs what was loaded if that
are so many words, and its reply comes when the CRC over all of them was checked. INFER is an image
of the program that runs, a byte a pixel; its reply has ``outputs`` scores of four bytes, or where
those have no room the largest one, and the label u16. Of a batch the replies come when all its
images are there, in the order in which those came. Every other request ends a batch: images that
were not answered are lost.

**Order and retries.** The device works on one request after the other and keeps nothing of the
past, so replies come in the order of the requests, and a request that is sent again is computed
again, with the same reply. A host therefore knows:

* a request is lost, or its reply is, when a later one is answered: it sends it again, with the
  same number, and takes the first of its replies;
* once a request is answered, no reply to an earlier one can come: behind HELLO's reply there is
  none of what another program may have asked for, and a sequence number is free again as soon as
  anything sent after it is answered.

**Flow.** There is no flow control on the line. The device takes ``window`` unanswered INFER
requests without running out of room, or any number of WRITE, whose replies are shorter and which
take no time, or one of any other. If it does run out, it drops whole frames, never parts.
"""

import struct
import zlib
from dataclasses import astuple, dataclass
from enum import IntEnum

import numpy as np
from cobs import cobs

from qsnn.hw.plan.line import MAX_REPLY, MAX_WORDS, OVERHEAD, most_classes

__all__ = ["DELIMITER", "ERROR", "MAX_REPLY", "MAX_WORDS", "OVERHEAD", "REPLY", "VERSION", "Code",
           "Frame", "Hello", "Request", "Splitter", "Status", "decode", "encode", "encoded_bytes",
           "memory_bytes", "pack_images", "unpack_result"]

VERSION = 1
DELIMITER = b"\0"
REPLY = 0x80  # added to the type of a request
ERROR = REPLY  # the reply to what is no request


class Request(IntEnum):
    HELLO = 1
    INFER = 2
    STATUS = 3
    WRITE = 4
    CRC = 5
    LOAD = 6
    START = 7


class Code(IntEnum):
    """Codes of an ERROR reply."""

    UNKNOWN_TYPE = 1
    WRONG_LENGTH = 2
    NO_MEMORY = 3
    NO_PROGRAM = 3


@dataclass(frozen=True)
class Frame:
    type: int
    sequence: int
    payload: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """Who the device is. On the wire in this order, see ``FORMAT``.

    version      of this protocol
    input_bits   bits of a pixel
    score_bytes  bytes of a class score in a result
    window       INFER requests that may be unanswered at once
    classes      class scores of a result; one of two classes
    pixels       pixels of a beat
    beats        beats of an image
    n_in         pixels of an image; what the last beat has beyond them is ignored
    memories     memories that WRITE and CRC count, from 0; 0 if there are no such requests
    word_bytes   bytes of the longest of their words
    clock_khz    clock of the network
    hash         first 16 bytes of the description's SHA-256
    """

    version: int = VERSION
    input_bits: int
    score_bytes: int
    window: int
    classes: int
    pixels: int
    beats: int
    n_in: int
    memories: int = 0
    word_bytes: int = 0
    clock_khz: int
    hash: bytes

    FORMAT = struct.Struct("<BBBBHHIIBHI16s")

    def pack(self):
        return self.FORMAT.pack(*astuple(self))

    @classmethod
    def unpack(cls, payload):
        """Raises ``ValueError`` if this is not a HELLO of this version."""
        if payload[:1] != bytes([VERSION]):
            raise ValueError(f"it speaks protocol version {payload[:1].hex() or 'none'}, "
                             f"not {VERSION:02x}")
        if len(payload) != cls.FORMAT.size:
            raise ValueError(f"its greeting has {len(payload)} bytes, not {cls.FORMAT.size}")
        names = cls.__dataclass_fields__
        hello = cls(**dict(zip(names, cls.FORMAT.unpack(payload), strict=True)))
        # a host makes room for what is said here
        if not (1 <= hello.input_bits <= 8 and 1 <= hello.score_bytes <= 8 and hello.window
                and hello.classes
                and 1 <= hello.pixels <= hello.n_in
                and hello.beats == -(-hello.n_in // hello.pixels)):
            raise ValueError("its greeting makes no sense")
        return hello

    @property
    def beat_bytes(self):
        return -(-self.pixels * self.input_bits // 8)

    @property
    def infer_bytes(self):
        """Payload of an INFER request."""
        return self.beats * self.beat_bytes

    @property
    def brief(self):
        """Whether a reply has the largest score alone."""
        return self.classes > most_classes(self.score_bytes)

    @property
    def scores(self):
        """Scores of a reply."""
        return 1 if self.brief else self.classes

    @property
    def result_bytes(self):
        """Payload of its reply."""
        return self.scores * self.score_bytes + 1 + self.brief


@dataclass(frozen=True)
class Status:
    """Counters of the device, modulo 2**16, 2**8 and 2**8."""

    good: int
    bad: int
    overruns: int

    FORMAT = struct.Struct("<HBB")

    def pack(self):
        return self.FORMAT.pack(*astuple(self))

    @classmethod
    def unpack(cls, payload):
        return cls(*cls.FORMAT.unpack(payload))


def encode(frame):
    """A frame as it goes over the line, delimiter included."""
    body = bytes([frame.type, frame.sequence]) + frame.payload
    return cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + DELIMITER


def decode(raw):
    """The frame between two delimiters, or None if it is not a good one."""
    try:
        body = cobs.decode(raw)
    except cobs.DecodeError:
        return None
    if len(body) < OVERHEAD or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
        return None
    return Frame(body[0], body[1], body[2:-4])


def encoded_bytes(payload_bytes):
    """The most bytes that a frame takes on the line, delimiter included."""
    body = payload_bytes + OVERHEAD
    return body + -(-body // 254) + 1


class Splitter:
    """Finds the good frames in pieces of a byte stream; ``bad`` counts the others.

    ``longest`` bounds the bytes of a frame on the line, and with it what is kept.
    """

    def __init__(self, longest):
        self.longest = longest
        self.bad = 0
        self._rest = b""

    def feed(self, raw):
        """The frames that end within the next bytes of the stream."""
        *parts, self._rest = (self._rest + raw).split(DELIMITER)
        # too long by one stays too long, whatever comes next
        self._rest = self._rest[:self.longest]
        frames = [decode(part) if len(part) < self.longest else None for part in parts if part]
        self.bad += frames.count(None)
        return [frame for frame in frames if frame is not None]


def pack_images(hello, images):
    """INFER payloads of images [N, n_in], whose pixels are 0 .. 2**input_bits - 1."""
    padded = np.zeros((len(images), hello.beats * hello.pixels), dtype=np.uint8)
    padded[:, :hello.n_in] = images
    bits = np.unpackbits(padded[..., None], axis=2, bitorder="little")[..., :hello.input_bits]
    beats = bits.reshape(len(images), hello.beats, hello.pixels * hello.input_bits)
    packed = np.packbits(beats, axis=2, bitorder="little")  # pads each beat with zeros
    return [image.tobytes() for image in packed]


def memory_bytes(width, words):
    """The bytes of a memory in their order: those of each word, the lowest first."""
    return b"".join(word.to_bytes(-(-width // 8), "little") for word in words)


def unpack_result(hello, payload):
    """(label, [score of each class, or the largest one]) of an INFER reply."""
    size, end = hello.score_bytes, hello.scores * hello.score_bytes
    return int.from_bytes(payload[end:], "little"), [
        int.from_bytes(payload[k:k + size], "little", signed=True) for k in range(0, end, size)]

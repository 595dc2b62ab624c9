"""What an engine says of itself and of its programs. Nothing here needs Amaranth.

The requests are in :mod:`qsnn.hw.link.protocol`.
"""

import struct
from dataclasses import astuple, dataclass
from enum import IntEnum

from qsnn.hw.link.protocol import MAX_REPLY, encoded_bytes

__all__ = ["BLOCK", "BLOCK_BYTES", "MOST_SCORES", "VERSION", "EngineHello", "Running", "State",
           "load_payloads", "start_payload"]

VERSION = 2  # first byte of an engine's greeting; a network's has 1
BLOCK = 64  # words of a LOAD request, at most
OFFSET_BYTES = 3
BLOCK_BYTES = OFFSET_BYTES + 4 * BLOCK  # of its payload
SCORE_BYTES = 4
LABEL_BYTES = 2
MOST_SCORES = (MAX_REPLY - LABEL_BYTES) // SCORE_BYTES  # that a reply has room for
AHEAD = 8  # images under way, beside those of a batch


class State(IntEnum):
    """Of the program in an engine."""

    NONE = 0  # nothing was loaded and started
    GOOD = 1
    BAD = 2  # its CRC is wrong, or it is for another engine


@dataclass(frozen=True)
class Running:
    """What runs in an engine: the reply to START, and the end of its greeting.

    state    a :class:`State`; of no other than GOOD the rest means anything
    batch    images of a batch
    program  the CRC of the program, its last word: which one it is
    n_in     pixels of an image, a byte each
    outputs  class scores of an image
    """

    state: int
    batch: int
    program: int
    n_in: int
    outputs: int

    FORMAT = struct.Struct("<BBIIH")

    def pack(self):
        return self.FORMAT.pack(*astuple(self))

    @classmethod
    def unpack(cls, payload):
        """Raises ``ValueError`` if this makes no sense."""
        found = cls(*cls.FORMAT.unpack(payload))
        if found.state not in list(State) or found.good and not (
                found.batch and found.n_in and found.outputs):
            raise ValueError("what it says of its program makes no sense")
        return found

    @property
    def good(self):
        return self.state == State.GOOD

    @property
    def brief(self):
        """Whether a reply has the largest score alone."""
        return self.outputs > MOST_SCORES

    @property
    def scores(self):
        """Scores of a reply."""
        return 1 if self.brief else self.outputs

    @property
    def result_bytes(self):
        """Payload of the reply to INFER."""
        return self.scores * SCORE_BYTES + LABEL_BYTES

    def result(self, payload):
        """(label, [score of each class, or the largest one]) of a reply to INFER."""
        values = struct.unpack(f"<{self.scores}iH", payload)
        return values[-1], list(values[:-1])


@dataclass(frozen=True)
class EngineHello:
    """Who an engine is. On the wire in this order, see ``FORMAT``, and then :class:`Running`.

    version      of the protocol: what says that it is an engine
    shape        :attr:`qsnn.hw.engine.shape.EngineShape.version`: whose programs it takes
    most         words of its largest program
    image_bytes  of its largest image
    scores       class scores of a batch, at most
    queue        bytes of requests that may wait there
    clock_khz    clock of the engine
    running      the :class:`Running`
    """

    shape: int
    most: int
    image_bytes: int
    scores: int
    queue: int
    clock_khz: int
    running: Running
    version: int = VERSION

    FORMAT = struct.Struct("<BIIIHII")
    score_bytes = SCORE_BYTES

    @property
    def fixed(self):
        """The bytes before what runs."""
        return self.FORMAT.pack(self.version, self.shape, self.most, self.image_bytes, self.scores,
                                self.queue, self.clock_khz)

    def pack(self):
        return self.fixed + self.running.pack()

    @classmethod
    def unpack(cls, payload):
        """Raises ``ValueError`` if this is not the greeting of an engine."""
        if payload[:1] == b"\1":
            raise ValueError("it holds one network, and is no engine")
        if payload[:1] != bytes([VERSION]):
            raise ValueError(f"it speaks protocol version {payload[:1].hex() or 'none'}, "
                             f"not {VERSION:02x}")
        size = cls.FORMAT.size + Running.FORMAT.size
        if len(payload) != size:
            raise ValueError(f"its greeting has {len(payload)} bytes, not {size}")
        _, *fields = cls.FORMAT.unpack(payload[:cls.FORMAT.size])
        hello = cls(*fields, Running.unpack(payload[cls.FORMAT.size:]))
        if not (hello.most and hello.image_bytes and hello.scores and hello.queue
                and hello.clock_khz):
            raise ValueError("its greeting makes no sense")
        return hello

    @property
    def window(self):
        """INFER requests that may be unanswered: a batch, and what waits in the queue.

        Room for an image is left for what comes while a batch is answered.
        """
        image = encoded_bytes(self.running.n_in)
        return self.running.batch + min(AHEAD, max(0, self.queue // image - 1))


def load_payloads(words):
    """Payloads of the LOAD requests of a program, uint32 words."""
    raw = words.astype("<u4").tobytes()
    return [(at // 4).to_bytes(OFFSET_BYTES, "little") + raw[at:at + 4 * BLOCK]
            for at in range(0, len(raw), 4 * BLOCK)]


def start_payload(words, batch):
    """Payload of START for so many words."""
    return len(words).to_bytes(OFFSET_BYTES, "little") + bytes([batch])

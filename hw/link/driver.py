"""The host's end of the line to an accelerator: images in, labels and scores out.

    with Accelerator.open("/dev/ttyUSB1") as board:  # or "spi:/dev/spidev0.0"
        board.load(memories)  # where they can be loaded: other weights than it began with
        labels, scores = board.infer(pixels)

:mod:`qsnn.hw.link.protocol` says what goes over the line. Nothing here needs Amaranth.
"""

import secrets
import time
import zlib
from collections import deque
from functools import partial
from itertools import count, takewhile
from operator import ne

import numpy as np
import serial

from qsnn.hw.link.ports import LinkError, open_port, words
from qsnn.hw.link.protocol import (
    DELIMITER,
    ERROR,
    MAX_REPLY,
    REPLY,
    Frame,
    Hello,
    Request,
    Splitter,
    Status,
    encode,
    encoded_bytes,
    memory_bytes,
    pack_images,
    unpack_result,
)
from qsnn.model.golden import labels_of

__all__ = ["BAUD", "LOADS", "TRIES", "Accelerator", "Device", "LinkError"]

BAUD = 1_000_000
SILENCE = 0.3  # seconds without an answer, beyond the time that a request needs, until it is lost
TRIES = 16  # of a request
WRITES = 64  # words under way: the line hides the time of an answer
WALK = 20  # cycles that the device takes for a byte of a CRC, at most
LOADS = 2  # of memories, until the device is none that can hold them
GREETINGS = 4  # tries of the first request: what does not answer it is no accelerator
LONGEST = encoded_bytes(MAX_REPLY)


class Device:
    """What answers requests behind a port: a ``serial.Serial``, or what behaves like one.

    Every request is answered exactly once, or there is a :class:`LinkError`: what is lost on the
    line, in either direction, is sent again. How long that may take, a clock says: whatever else
    comes, noise or the answers of others, does not count.

    line     an open port with ``read``, ``write``, ``in_waiting``, ``timeout`` and ``close``
    name     what it is called in errors
    silence  seconds without an answer after which a request is sent again
    """

    greeting = Hello  # what its HELLO is
    kind = "accelerator"

    def __init__(self, line, *, name, silence=SILENCE):
        self._line = line
        self._name = name
        self._silence = silence
        self._splitter = Splitter(LONGEST)
        self._sequence = secrets.randbelow(256)  # most likely not what another program began with
        self.resent = 0
        self._hello = None
        self._hello = self.hello()

    @classmethod
    def open(cls, port, *, baud=BAUD, silence=SILENCE, **options):
        """Open a port by name, see :mod:`qsnn.hw.link.ports`, and greet what is behind it.

        Raises :class:`LinkError`.
        """
        line = open_port(port, baud, patience=TRIES * silence)
        try:
            return cls(line, name=port, silence=silence, **options)
        except BaseException:
            line.close()
            raise

    def close(self):
        self._line.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def hello(self):
        """Who the device is: its :py:`greeting`."""
        if self._hello is not None:
            return self._hello
        (_, payload), = self._exchange([(Request.HELLO, b"")], tries=GREETINGS)
        try:
            return self.greeting.unpack(payload)
        except ValueError as error:
            raise LinkError(f"{self._name}: not this {self.kind}: {error}") from None

    def status(self):
        """Its counters of frames: :class:`qsnn.hw.link.protocol.Status`."""
        (_, payload), = self._exchange([(Request.STATUS, b"")])
        return self._unpack(Status.FORMAT.size, payload, Status.unpack)

    def _unpack(self, size, payload, unpack):
        if len(payload) != size:
            raise LinkError(f"{self._name}: a reply of {len(payload)} bytes, not {size}: the board "
                            "was configured anew, or breaks the protocol")
        return unpack(payload)

    def _exchange(self, requests, *, window=1, tries=TRIES, seconds=0, batch=1):
        """(index, payload of the reply) of every request, as they are answered.

        ``seconds`` is what the device may need for one of them, beyond the line. So many of them
        as ``batch`` says are answered at once: where there are no more, one is sent several times.
        """
        todo = deque(range(len(requests)))
        waiting = {}  # sequence number -> index, in the order in which they were sent last
        left = [tries] * len(requests)
        sent = 0  # since the device began a batch

        def send(sequence, index, before=b""):
            if not left[index]:
                raise LinkError(f"{self._name}: no answer after {tries} tries: is it the right "
                                "port and speed, and is the board configured?")
            left[index] -= 1
            waiting.pop(sequence, None)
            waiting[sequence] = index
            kind, payload = requests[index]
            self._write(before + encode(Frame(kind, sequence, payload)))

        since = time.monotonic()  # of the last answer, or of what was sent again
        before = DELIMITER  # the line may be in any state
        while todo or waiting:
            while todo and len(waiting) < window:
                send(self._next(waiting), todo.popleft(), before)
                before, sent = b"", sent + 1
            while not todo and sent % batch:  # the rest of a batch, which nobody asked for
                sequence, sent = list(waiting)[-1], sent + 1
                self._write(encode(Frame(requests[waiting[sequence]][0], sequence,
                                         requests[waiting[sequence]][1])))
            size = max(len(requests[index][1]) for index in waiting.values())
            # the longest request may still be on its way out, and the longest reply comes back
            patience = (self._silence + seconds + 20 * (batch * encoded_bytes(size) + LONGEST)
                        / getattr(self._line, "baudrate", BAUD))
            raw = self._read(patience)
            overdue = not raw or time.monotonic() - since >= patience
            lost, answered = [], False
            for frame in self._splitter.feed(raw):
                if frame.sequence not in waiting:
                    continue  # the second answer to what was sent twice
                index = waiting[frame.sequence]
                if frame.type == ERROR:
                    raise LinkError(f"{self._name}: {self._refusal(frame.payload)}")
                if frame.type != requests[index][0] + REPLY:
                    continue
                # answers come in the order of the requests: what was sent before it is lost
                lost += takewhile(partial(ne, frame.sequence), waiting)
                del waiting[frame.sequence]
                answered = True
                yield index, frame.payload
            if answered:
                since = time.monotonic()  # behind what was done with the answers
            elif overdue:
                lost, since = list(waiting), time.monotonic()
                if batch > 1:  # who knows what is there of one: begin with its first image
                    sent = 0
                    self._write(DELIMITER + encode(Frame(Request.STATUS, self._next(waiting))))
            for sequence in dict.fromkeys(lost):
                if sequence in waiting:
                    self.resent += 1
                    sent += 1
                    send(sequence, waiting[sequence], DELIMITER)

    def _refusal(self, code):
        """What an ERROR means, whose payload is ``code``."""
        return (f"the board refuses a request (code {code.hex()}): it was configured anew, or "
                "speaks another version of the protocol")

    def _next(self, waiting):
        """A sequence number that nobody waits for."""
        self._sequence = next(number % 256 for number in count(self._sequence + 1)
                              if number % 256 not in waiting)
        return self._sequence

    def _write(self, raw):
        try:
            self._line.write(raw)
        except serial.SerialTimeoutException:
            raise LinkError(f"{self._name}: the port takes no more bytes") from None
        except OSError as error:
            raise LinkError(self._gone(error)) from None

    def _read(self, patience):
        """The next bytes, as soon as there are any; none after so many seconds."""
        try:
            if self._line.timeout != patience:
                self._line.timeout = patience  # pyserial asks the port, which may be gone
            return self._line.read(max(1, self._line.in_waiting))
        except OSError as error:
            raise LinkError(self._gone(error)) from None

    def _gone(self, error):
        return f"{self._name}: the connection is gone: is the cable still in? ({words(error)})"


class Accelerator(Device):
    """An accelerator behind a port, see :class:`Device`.

    network  see :meth:`require`; None: any
    """

    def __init__(self, line, *, name, network=None, silence=SILENCE):
        super().__init__(line, name=name, silence=silence)
        if network is not None:
            self.require(network)

    def require(self, network):
        """Raise :class:`LinkError` unless the board was configured with this network.

        ``network`` is the SHA-256 of its description, in hex. What a host has loaded since does
        not change who the board says it is: see :meth:`differing`.
        """
        configured = self.hello().hash
        if configured != bytes.fromhex(network)[:16]:
            raise LinkError(f"{self._name}: the network on the board is {configured.hex()}, not "
                            f"{network[:32]}: configure the board with this build")

    def infer(self, images, *, progress=lambda images: None):
        """Labels int64 [N] and scores int64 [N, classes] of images, uint8 [N, n_in].

        Where a reply has no room for all of them, the scores are the largest ones, [N, 1].
        Pixels have the ``input_bits`` of :meth:`Device.hello`: see
        :func:`qsnn.model.data.quantize_pixels`. ``progress`` is called with the number of images
        done. Raises :class:`LinkError`, and ``ValueError`` if these are no images for this network.
        """
        hello = self.hello()
        images = np.asarray(images)
        if images.ndim != 2 or images.shape[1] != hello.n_in:
            raise ValueError(f"images must have shape [N, {hello.n_in}], not "
                             f"{list(images.shape)}")
        if images.size and (images.dtype.kind not in "iu" or images.min() < 0
                            or images.max() >> hello.input_bits):
            raise ValueError(f"pixels must be integers of {hello.input_bits} bits: "
                             f"0 .. {(1 << hello.input_bits) - 1}")
        labels = np.zeros(len(images), np.int64)
        scores = np.zeros((len(images), hello.scores), np.int64)
        requests = [(Request.INFER, payload) for payload in pack_images(hello, images)]
        answers = self._exchange(requests, window=hello.window)
        for done, (index, payload) in enumerate(answers, 1):
            labels[index], scores[index] = self._unpack(
                hello.result_bytes, payload, lambda raw: unpack_result(hello, raw))
            best = labels[index] if hello.brief else labels_of(scores[index])
            if labels[index] != best or best >= max(2, hello.classes):
                raise LinkError(f"{self._name}: a reply with the label {labels[index]}, where "
                                f"class {best} of {hello.classes} has the largest score: the "
                                "board was configured anew, or breaks the protocol")
            progress(done)
        return labels, scores

    def differing(self, memories):
        """Indices of the memories whose contents are others in the device; it compares CRCs.

        memories  list of (name, width, words), all memories of a network in their order: see
                  :func:`qsnn.hw.emit.build.contents`
        """
        hello = self.hello()
        if not hello.memories:
            raise LinkError(f"{self._name}: the memories of this board cannot be loaded: build it "
                            "with --loadable")
        expected = [memory_bytes(width, words) for _, width, words in memories]
        word_bytes = max((-(-width // 8) for _, width, _ in memories), default=0)
        if (hello.memories, hello.word_bytes) != (len(memories), word_bytes):
            raise LinkError(f"{self._name}: the board has {hello.memories} memories with words of "
                            f"{hello.word_bytes} bytes, the network {len(memories)} of "
                            f"{word_bytes}: it has another shape or folding")
        seconds = max(map(len, expected)) * WALK / (1000 * max(1, hello.clock_khz))
        requests = [(Request.CRC, bytes([index])) for index in range(len(memories))]
        found = {index: self._unpack(4, payload, lambda raw: int.from_bytes(raw, "little"))
                 for index, payload in self._exchange(requests, seconds=seconds)}
        return [index for index, raw in enumerate(expected) if found[index] != zlib.crc32(raw)]

    def load(self, memories, *, progress=lambda words: None):
        """Make the device hold these memories, see :meth:`differing`; returns what it did not.

        What differs is written and compared again. ``progress`` is called with the number of
        words written. Raises :class:`LinkError`.
        """
        differing = wrong = self.differing(memories)
        for _ in range(LOADS):
            if not wrong:
                break
            self._fill(memories, wrong, progress)
            wrong = self.differing(memories)
        if wrong:
            raise LinkError(f"{self._name}: {memories[wrong[0]][0]} is not what was written: the "
                            "board has a network of another shape or folding; configure it anew")
        return differing

    def _fill(self, memories, indices, progress):
        size = self.hello().word_bytes
        requests = [(Request.WRITE, bytes([index]) + at.to_bytes(2, "little")
                     + word.to_bytes(size, "little"))
                    for index in indices for at, word in enumerate(memories[index][2])]
        for done, (_, payload) in enumerate(self._exchange(requests, window=WRITES), 1):
            self._unpack(1, payload, bytes)
            progress(done)

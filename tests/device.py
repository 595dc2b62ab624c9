"""A device that follows :mod:`qsnn.hw.link.protocol`, and what a bad line does to bytes.

The decoder here is written a second time, block by block: it shares nothing with the library that
the host uses.
"""

import math
import struct
import zlib
from collections import deque

from qsnn.hw.link.protocol import ERROR, OVERHEAD, REPLY, Code, Frame, Request, Status, encode

__all__ = ["Device", "EngineDevice", "Line", "Timed", "damage", "uncobs"]


def uncobs(raw):
    """What COBS stands for, or None."""
    out, k, zero = bytearray(), 0, False
    while k < len(raw):
        code = raw[k]
        block = raw[k + 1:k + code]
        if len(block) != code - 1:
            return None
        out += bytes(zero) + block
        k, zero = k + code, code != 0xFF
    return bytes(out)


class Device:
    """Bytes in, bytes out. ``infer`` makes the payload of a result from that of a request.

    sizes : list of (bytes of a word, words)
        Of the memories that can be written.
    memories : list of bytearray
        What is in them.
    taken : list of (type, sequence, payload)
        Frames that were taken as good.
    """

    def __init__(self, hello, infer, sizes=()):
        self.hello = hello
        self.infer = infer
        self.sizes = sizes
        self.memories = [bytearray(size * words) for size, words in sizes]
        self.taken = []
        self.bad = 0
        self._rest = b""

    def feed(self, raw):
        *parts, self._rest = (self._rest + raw).split(b"\0")
        return b"".join(self._frame(part) for part in parts if part)

    def _frame(self, raw):
        body = uncobs(raw)
        if (body is None or not OVERHEAD <= len(body) <= OVERHEAD + self.hello.infer_bytes
                or zlib.crc32(body[:-4]).to_bytes(4, "little") != body[-4:]):
            self.bad += 1
            return b""
        kind, sequence, payload = body[0], body[1], body[2:-4]
        self.taken.append((kind, sequence, payload))
        return encode(self._reply(kind, sequence, payload))

    def _reply(self, kind, sequence, payload):
        sizes = {Request.HELLO: 0, Request.INFER: self.hello.infer_bytes, Request.STATUS: 0}
        if self.sizes:
            sizes |= {Request.WRITE: 3 + self.hello.word_bytes, Request.CRC: 1}
        if kind not in sizes:
            return Frame(ERROR, sequence, bytes([Code.UNKNOWN_TYPE]))
        if len(payload) != sizes[kind]:
            return Frame(ERROR, sequence, bytes([Code.WRONG_LENGTH]))
        if kind == Request.HELLO:
            body = self.hello.pack()
        elif kind == Request.STATUS:
            body = Status(len(self.taken) % 2**16, self.bad % 2**8, 0).pack()
        elif kind in (Request.WRITE, Request.CRC):
            if payload[0] >= len(self.sizes):
                return Frame(ERROR, sequence, bytes([Code.NO_MEMORY]))
            body = self._access(kind, *payload[:1], payload[1:])
        else:
            body = self.infer(payload)
        return Frame(kind + REPLY, sequence, body)


    def _access(self, kind, index, rest):
        memory, (size, words) = self.memories[index], self.sizes[index]
        if kind == Request.CRC:
            return zlib.crc32(memory).to_bytes(4, "little")
        at = size * (int.from_bytes(rest[:2], "little") % words)  # beyond the last: around
        memory[at:at + size] = rest[2:2 + size]
        return b"\0"


class EngineDevice(Device):
    """An engine, whose memory holds words as bytes; ``infer`` gets an image.

    outputs : of every program. Pixels are word 3, less 1.
    lame : function of the memory, for one that loses bits
    """

    def __init__(self, hello, infer, outputs, lame=lambda memory: memory):
        super().__init__(hello, infer)
        self.outputs, self.lame = outputs, lame
        self.memory, self.running, self.batch, self.waiting = b"", None, 1, []

    def _frame(self, raw):
        body = uncobs(raw)
        if (body is None or len(body) < OVERHEAD
                or zlib.crc32(body[:-4]).to_bytes(4, "little") != body[-4:]):
            self.bad += 1
            return b""
        kind, sequence, payload = body[0], body[1], body[2:-4]
        self.taken.append((kind, sequence, payload))
        if kind != Request.INFER:
            self.waiting = []
            return encode(Frame(kind + REPLY, sequence, self._answer(kind, payload)))
        if not self.running or self.running[0] != 1:
            return encode(Frame(ERROR, sequence, bytes([Code.NO_PROGRAM])))
        if len(payload) != self.running[3]:
            return encode(Frame(ERROR, sequence, bytes([Code.WRONG_LENGTH])))
        self.waiting.append(encode(Frame(kind + REPLY, sequence, self.infer(payload))))
        if len(self.waiting) < self.batch:
            return b""
        replies, self.waiting = b"".join(self.waiting), []
        return replies

    def _answer(self, kind, payload):
        if kind == Request.STATUS:
            return Status(len(self.taken) % 2**16, self.bad % 2**8, 0).pack()
        if kind == Request.LOAD:
            at = 4 * int.from_bytes(payload[:3], "little")
            if at == 0:
                self.memory, self.running = b"", None
            if at == len(self.memory) and not self.running:
                self.memory += payload[3:]
            return (len(self.memory) // 4).to_bytes(4, "little")
        if kind == Request.START:
            self.running, self.batch = None, payload[3]
            if 0 < len(self.memory) == 4 * int.from_bytes(payload[:3], "little"):
                memory = self.lame(self.memory)
                good = (zlib.crc32(memory[:-4]).to_bytes(4, "little") == memory[-4:]
                        and memory[4:8] == self.hello.shape.to_bytes(4, "little"))
                self.running = (1 if good else 2, self.batch,
                                int.from_bytes(memory[-4:], "little"),
                                int.from_bytes(memory[12:16], "little") + 1, self.outputs)
        running = struct.pack("<BBIIH", *(self.running or (0, self.batch, 0, 0, 0)))
        return running if kind == Request.START else self.hello.fixed + running


class Line:
    """An open port with a device behind it, in memory; silence takes no time.

    ``there`` and ``back`` change what is sent to the device and what comes from it.
    """

    def __init__(self, device, there=lambda raw: raw, back=lambda raw: raw):
        self.device, self.there, self.back = device, there, back
        self.timeout = None
        self.silences = 0
        self._bytes = b""

    @property
    def in_waiting(self):
        return len(self._bytes)

    def write(self, raw):
        self._bytes += self.back(self.device.feed(self.there(raw)))

    def read(self, size):
        raw, self._bytes = self._bytes[:size], self._bytes[size:]
        self.silences += not raw
        return raw

    def close(self):
        pass


class Timed(Line):
    """A line with a clock, ``now`` in seconds: every byte takes ten bits of ``baudrate``, and a
    request ``work`` seconds more. ``drip`` gives (seconds, bytes) that nobody asked for.

    ``timeouts`` has those that a host has waited with.
    """

    def __init__(self, device, baudrate, *, work=lambda: 0, drip=()):
        super().__init__(device)
        self.baudrate, self.work, self.drip = baudrate, work, iter(drip)
        self.now = self._sent = self._done = 0.0
        self.timeouts = set()
        self._coming = deque()  # (when it is there, byte)

    @property
    def in_waiting(self):
        return sum(at <= self.now for at, _ in self._coming)

    def write(self, raw):
        self._sent = max(self.now, self._sent) + 10 * len(raw) / self.baudrate
        for byte in self.device.feed(raw):
            if self._done < self._sent:
                self._done = self._sent + self.work()
            self._done += 10 / self.baudrate
            self._coming.append((self._done, bytes([byte])))

    def read(self, size):
        self.timeouts.add(self.timeout)
        seconds, raw = next(self.drip, (math.inf, b""))
        first = min(self.now + seconds, self._coming[0][0] if self._coming else math.inf)
        if first > self.now + self.timeout:
            self.now += self.timeout
            return b""
        if first == self.now + seconds:
            self._coming.extendleft((first, bytes([byte])) for byte in reversed(raw))
        self.now = max(self.now, first)
        return b"".join(self._coming.popleft()[1] for _ in range(min(size, self.in_waiting)))


def damage(random, raw):
    """The bytes with one to three faults of a line."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        raw = random.choice(FAULTS)(random, raw) if raw else raw
    return raw


def _flip(random, raw):
    at = random.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << random.randrange(8)]) + raw[at + 1:]


def _garble(random, raw):
    at, size = random.randrange(len(raw)), random.randrange(1, 9)
    return raw[:at] + random.randbytes(len(raw[at:at + size])) + raw[at + size:]


def _lose(random, raw):
    at = random.randrange(len(raw))
    return raw[:at] + raw[at + random.choice([1, 1, 2, 5]):]


def _insert(random, raw):
    at = random.randrange(len(raw) + 1)
    return raw[:at] + random.choice([b"\0", b"\1", b"\xff", random.randbytes(3)]) + raw[at:]


def _double(random, raw):
    at = random.randrange(len(raw))
    return raw[:at] + raw[at:at + random.choice([1, 1, 2, 5])] + raw[at:]


def _cut(random, raw):
    return raw[:random.randrange(len(raw))]


def _swap(random, raw):
    at = random.randrange(len(raw))
    return raw[:at] + raw[at:at + 2][::-1] + raw[at + 2:]


FAULTS = [_flip, _garble, _lose, _insert, _double, _cut, _swap]

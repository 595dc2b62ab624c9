"""The host's end of the line to an engine: networks and images in, labels and scores out.

    with RemoteEngine.open("/dev/ttyUSB0") as board:
        board.load(program.words, program.batch)
        labels, scores = board.infer(pixels)

:mod:`qsnn.hw.link.protocol` says what goes over the line. Nothing here needs Amaranth.
"""

import time
import zlib

import numpy as np

from qsnn.hw.link.driver import LOADS, SILENCE, TRIES, Device, LinkError
from qsnn.hw.link.programs import (
    BLOCK,
    EngineHello,
    Running,
    State,
    load_payloads,
    start_payload,
)
from qsnn.hw.link.protocol import Code, Request
from qsnn.model.golden import labels_of

__all__ = ["RemoteEngine"]

BLOCKS = 8  # LOAD requests under way
CHECK_CYCLES = 4  # of a word of a program, at most, while its CRC is checked
WORK = 1.0  # seconds in which an engine answers a batch


class RemoteEngine(Device):
    """An engine behind a port, see :class:`qsnn.hw.link.driver.Device`.

    running  the :class:`qsnn.hw.link.programs.Running` that it had last
    """

    greeting = EngineHello
    kind = "engine"

    def __init__(self, line, *, name, silence=SILENCE):
        super().__init__(line, name=name, silence=silence)
        self.running = self._hello.running

    def holds(self, words, batch):
        """Whether this is the program that runs."""
        return (self.running.good and self.running.program == int(words[-1])
                and self.running.batch == batch)

    def load(self, words, batch=1, *, progress=lambda words: None):
        """Make the engine run a program: uint32 words, see
        :class:`qsnn.hw.engine.program.Program`, for batches of so many images.

        Returns the seconds that it took, 0 where it runs already. ``progress`` is called with the
        number of words written. Raises :class:`qsnn.hw.link.ports.LinkError`; then nothing runs
        there.
        """
        words = np.asarray(words, "<u4")
        self._require(words, batch)
        if self.holds(words, batch):
            return 0.0
        start = time.monotonic()
        for _ in range(LOADS):
            self._transfer(words, progress)
            self.running = self._start(words, batch)
            if self.holds(words, batch):
                return time.monotonic() - start
        raise LinkError(f"{self._name}: the memory of the board does not hold what was written "
                        f"({State(self.running.state).name.lower()}): try a slower clock, or "
                        "another board")

    def infer(self, images, *, progress=lambda images: None, seconds=WORK):
        """Labels int64 [N] and scores int64 [N, outputs] of images, uint8 [N, n_in].

        Where a reply has no room for all of them, the scores are the largest ones, [N, 1].
        ``progress`` is called with the number of images done; ``seconds`` is what a batch may
        take. Raises :class:`qsnn.hw.link.ports.LinkError`, and ``ValueError`` if these are no
        images for the program that runs.
        """
        running = self.running
        if not running.good:
            raise LinkError(f"{self._name}: no network is loaded: load one first")
        images = np.asarray(images)
        if images.ndim != 2 or images.shape[1] != running.n_in:
            raise ValueError(f"images must have shape [N, {running.n_in}], not "
                             f"{list(images.shape)}")
        if images.size and (images.dtype.kind not in "iu" or images.min() < 0
                            or images.max() > 255):
            raise ValueError("pixels must be integers of 8 bits: 0 .. 255")
        labels = np.zeros(len(images), np.int64)
        scores = np.zeros((len(images), running.scores), np.int64)
        if self._greet().running != running:  # this ends what another program may have begun
            raise LinkError(f"{self._name}: another network runs there by now: load this one again")
        requests = [(Request.INFER, image.tobytes()) for image in images.astype(np.uint8)]
        answers = self._exchange(requests, window=self._hello.window, seconds=seconds,
                                 batch=running.batch)
        for done, (index, payload) in enumerate(answers, 1):
            labels[index], scores[index] = self._unpack(running.result_bytes, payload,
                                                        running.result)
            best = labels[index] if running.brief else labels_of(scores[index])
            if labels[index] != best or best >= max(2, running.outputs):
                raise LinkError(f"{self._name}: a reply with the label {labels[index]}, where "
                                f"class {best} of {running.outputs} has the largest score: the "
                                "board was configured anew, or breaks the protocol")
            progress(done)
        return labels, scores

    def _greet(self):
        """Ask again who it is, and what runs there."""
        self._hello = None
        self._hello = self.hello()
        return self._hello

    def _require(self, words, batch):
        """Refuse what this engine cannot run, before anything is dropped there."""
        hello = self.hello()
        if len(words) < 4 or words[2] != len(words) or zlib.crc32(words[:-1].tobytes()) != words[
                -1]:
            raise LinkError("this is no whole program: write it again with qsnn program")
        if words[1] != hello.shape:
            raise LinkError(f"{self._name}: the program is for the engine {words[1]:08x}, on the "
                            f"board is {hello.shape:08x}: compile the network for this board, or "
                            "load the bitstream of its engine again")
        if len(words) > hello.most:
            raise LinkError(f"{self._name}: the program has {len(words):,} words, the memory of "
                            f"the board {hello.most:,}")
        if batch not in range(1, 17):
            raise ValueError(f"a batch has 1 to 16 images, not {batch}")

    def _transfer(self, words, progress):
        """Write a program: from where a block was lost all are sent again."""
        payloads, at, stuck = load_payloads(words), 0, 0
        while at < len(words):
            first, begun = at // BLOCK, at
            # the first one begins anew: behind it nothing of an earlier one is under way
            requests = [(Request.LOAD, payload)
                        for payload in (payloads[first:] if at else payloads[:1])]
            for index, payload in self._exchange(requests, window=BLOCKS):
                at = self._unpack(4, payload, lambda raw: int.from_bytes(raw, "little"))
                if at != min(len(words), (first + index + 1) * BLOCK):
                    break
                progress(at)
            stuck = 0 if at > begun else stuck + 1
            if stuck == TRIES:
                raise LinkError(f"{self._name}: it takes no more than {at:,} of {len(words):,} "
                                "words: its memory does not answer, or another program writes too")
            if at % BLOCK and at != len(words):  # not what was written here
                at = 0

    def _start(self, words, batch):
        seconds = CHECK_CYCLES * len(words) / (1000 * self.hello().clock_khz)
        (_, payload), = self._exchange([(Request.START, start_payload(words, batch))],
                                       seconds=seconds)
        try:
            return self._unpack(Running.FORMAT.size, payload, Running.unpack)
        except ValueError as error:
            raise LinkError(f"{self._name}: {error}") from None

    def _refusal(self, code):
        if code == bytes([Code.NO_PROGRAM]):
            return "no network runs there any more: load it again"
        return super()._refusal(code)

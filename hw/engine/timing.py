"""How long an engine takes: the array against the memory that feeds it."""

from collections import deque
from dataclasses import dataclass

from qsnn.hw.plan.latency import neuron_latency, synapse_latency

__all__ = ["BatchTime", "LayerTime", "batch_time"]

SLAB = 2  # cycles from the address of a word to the word
QUEUE = 3  # from one window to the next, at least
FEED = 2  # from a sum to what its neuron is given
DESCRIPTOR = 2  # from a descriptor that is taken to the first group
GATHER = 8  # from an image's last byte to its words, beside a cycle for each
OUTPUT = 1  # cycles before the first of four that each score takes
PASSES = 4  # of a program, after which they are all alike


@dataclass(frozen=True)
class LayerTime:
    """What a layer costs.

    kind                of the layer
    groups, positions   of channels; of a set of images that lie side by side
    steps, interval     cycles of a position: of its words, and of its neurons at least
    group_words         words of the slab
    descriptor          memory words before its groups
    useful              bits of weights that meet inputs, of a set of images
    late                whether the lanes are added up before the neurons
    """

    kind: str
    groups: int
    positions: int
    steps: int
    interval: int
    group_words: int
    descriptor: int
    useful: int
    late: bool

    def words(self, shape):
        """Memory words of the layer."""
        return self.descriptor + self.groups * (
            2 * shape.pe + self.group_words * shape.slab_columns)

    def work(self, sets):
        """Cycles of all groups, if nothing is waited for."""
        return self.groups * sets * self.positions * max(self.steps, self.interval, QUEUE)


@dataclass(frozen=True)
class BatchTime:
    """From one batch to the next, where pixels come and results go without waiting.

    cycles  of a batch
    layers  (cycles, part of them in which the array works, in which memory gives words) of each
    """

    cycles: float
    layers: tuple


def batch_time(layers, shape, images, sets, *, head, pixels, taps, planes, outputs, rate=1):
    """The :class:`BatchTime` of a program: exact where memory gives a word every cycle.

    But for one thing: a column of pixels waits while neurons write theirs. That costs nothing
    unless a column of few channels has many planes.

    images, sets: of a batch; of those that lie side by side. head: memory words before the first
    layer. pixels, taps, planes: bytes of an image; what is gathered of them; words for each of
    these. outputs: scores of an image. rate: words that memory gives in a cycle, on average.
    """
    word = 1 / rate
    array, gather = Array(shape, sets), Gathered(images, pixels, taps, planes,
                                                 shape.beat)
    loader, slab, ends, marks = 0.0, deque(), [], []
    used, held = 0, deque()  # words in the slab; when groups that are there are released
    taken = told = 0.0  # when a descriptor was taken; when all scores have left
    for _pass in range(PASSES):
        loader += head * word
        for index, layer in enumerate(layers):
            # its descriptor waits until the one before is taken
            loader = max(loader, taken + 1) + layer.descriptor * word
            taken = begin = max(array.free, loader, 0 if index else gather.batch(),
                                told if layer.kind == "readout" else 0)
            array.begin(begin)
            for _group in range(layer.groups):
                while len(held) >= 2:
                    loader = max(loader, held.popleft() + 1)
                loader += 2 * shape.pe * word
                fills = 0
                while fills < layer.group_words:
                    room = shape.slab_words - used
                    if not room:
                        release, words = slab.popleft()
                        loader, used = max(loader, release + 1), used - words
                        continue
                    part = min(room, layer.group_words - fills)
                    loader += part * shape.slab_columns * word
                    fills, used = fills + part, used + part
                release = array.group(layer, loader)
                held.append(release)
                slab.append((release, layer.group_words))
                while slab and slab[0][0] < loader:
                    used -= slab.popleft()[1]
            marks.append((begin, array.free))
            if not index:
                gather.clear(array.free)
        ends.append(array.free)
        told = array.free + OUTPUT + 4 * images * outputs
    rows = []
    last = marks[-len(layers):]
    for layer, (begin, end) in zip(layers, last, strict=True):
        cycles = end - begin
        rows.append((cycles, min(1, layer.groups * sets * layer.positions * layer.steps / cycles),
                     min(1, layer.words(shape) * word / cycles)))
    return BatchTime(ends[-1] - ends[-2], tuple(rows))


class Array:
    """When positions are taken, and groups released: cycle for cycle what the gateware does."""

    def __init__(self, shape, sets):
        self.sets, self.free = sets, 0.0  # free: a layer may begin
        self.synapses = synapse_latency(shape.simd, 1, 1)
        self.shape = shape
        # a group may begin; a window may; the last one did
        self.start = self.window = self.begun = 0.0

    def begin(self, cycle):
        self.start = cycle + DESCRIPTOR

    def group(self, layer, loaded):
        """A group whose last word came in the cycle before ``loaded``; when it is released."""
        each, count = max(layer.steps, layer.interval, QUEUE), self.sets * layer.positions
        start = max(self.start, loaded)
        queued = max(start + 2, self.begun + 1)
        first = max(queued + 2, self.window)
        self.begun = first + (count - 1) * each
        # the last one waits in the queue while the one before is at work
        self.start = (queued if count == 1 else self.begun - each + 1) + 1
        self.window, last = self.begun + each, self.begun
        beats = layer.interval
        if layer.kind == "readout":  # its last beat waits for nobody
            beats -= max(self.shape.beat - self.shape.steps, 0)
        release = (last + layer.steps + SLAB + self.synapses + beats
                   + (self.shape.steps + 2 if layer.late else 1) + FEED + neuron_latency(None) + 1)
        self.free = release + 2
        return release


class Gathered:
    """When the pixels of a batch are there, a byte a cycle."""

    def __init__(self, images, pixels, taps, planes, beat):
        self.images, self.pixels, self.planes = images, pixels, planes
        # a column may wait until the one before is written
        self.taps = taps + (taps // beat - 1) * max(0, planes + 2 - beat)
        self.loaded = pixels - 1  # the cycle of an image's last byte

    def batch(self):
        """The first cycle in which it is there."""
        for _ in range(self.images):
            ready = self.loaded + self.taps + self.planes + GATHER
            self.loaded = ready + self.pixels - 1
        return ready

    def clear(self, cycle):
        """Its place is free; the next image may have come meanwhile."""
        self.loaded = max(self.loaded, cycle)

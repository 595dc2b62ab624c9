"""How long an engine takes: the array against the memory that feeds it."""

from collections import deque
from dataclasses import dataclass

from qsnn.hw.plan.latency import neuron_latency, synapse_latency

__all__ = ["BatchTime", "LayerTime", "batch_time"]

SLAB = 2  # cycles from the address of a word to the word
QUEUE = 3  # from one window to the next, at least
FEED = 2  # from a sum to what its neuron is given
DESCRIPTOR = 2  # from a descriptor that is taken to the first group
GATHER = 7  # from an image's last byte to its words, beside a cycle for each
SEEN = 2  # from its words to the first position
READ = 1  # from a set's first window to what may take the place of the set before
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


@dataclass(frozen=True)
class BatchTime:
    """From one batch to the next, where pixels come and results go without waiting.

    cycles  of a batch
    layers  (cycles, part of them in which the array works, in which memory gives words) of each
    """

    cycles: float
    layers: tuple


def batch_time(layers, shape, images, share, slots, *, head, pixels, windows, taps, planes,
               outputs, rate=1):
    """The :class:`BatchTime` of a program: exact where memory gives a word every cycle.

    But for one thing: a column of pixels waits while neurons write theirs. That costs a cycle or
    two where pixels bind, and more where a column of few channels has many planes.

    images, share, slots: of a batch; side by side, as a power of two; sets of these whose pixels
    have a place. head: memory words before the first layer. pixels, windows, taps, planes: bytes of
    an image; positions for which they are gathered; bytes of each; words for each of these.
    outputs: scores of an image. rate: words that memory gives in a cycle, on average.
    """
    word = 1 / rate
    sets = images >> share
    array = Array(shape, sets)
    gather = Gathered(1 << share, slots, pixels, gathering(windows, taps, planes, shape.beat))
    loader, slab, ends, marks = 0.0, deque(), [], []
    used, held = 0, deque()  # words in the slab; when groups that are there are released
    taken = told = 0.0  # when a descriptor was taken; when all scores have left
    for _pass in range(PASSES):
        loader += head * word
        for index, layer in enumerate(layers):
            # its descriptor waits until the one before is taken
            loader = max(loader, taken + 1) + layer.descriptor * word
            taken = begin = max(array.free, loader, told if layer.kind == "readout" else 0)
            array.begin(begin)
            for group in range(layer.groups):
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
                release = array.group(layer, loader, None if index or group else gather)
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

    def group(self, layer, loaded, pixels=None):
        """A group whose last word came in the cycle before ``loaded``; when it is released.

        pixels: :class:`Gathered`, where images are waited for.
        """
        each = max(layer.steps, layer.interval, QUEUE)
        ready = max(self.start, loaded) + 2
        for _ in range(self.sets):
            queued = max(ready, self.begun + 1, pixels.set() if pixels else 0)
            first = max(queued + 2, self.window)
            if pixels:
                pixels.begun(first)
            self.begun = first + (layer.positions - 1) * each
            self.window = self.begun + each
            # the last one waits in the queue while the one before is at work
            accepted = queued if layer.positions == 1 else self.begun - each + 1
            ready = accepted + 2
        self.start, last = accepted + 1, self.begun
        beats = layer.interval
        if layer.kind == "readout":  # its last beat waits for nobody
            beats -= max(self.shape.beat - self.shape.steps, 0)
        release = (last + layer.steps + SLAB + self.synapses + beats
                   + (self.shape.steps + 2 if layer.late else 1) + FEED + neuron_latency(None) + 1)
        self.free = release + 2
        return release


def gathering(windows, taps, planes, beat):
    """Cycles from the first tap of an image to the last word that it becomes."""
    sizes = [min(beat, taps - at) for at in range(0, taps, beat)]
    begun, at, whole = -QUEUE, 0, -planes - 2  # a window's begin, the next tap, the last column
    for _ in range(windows):
        begun = max(begun + QUEUE, at - 1)
        at = begun + 1
        for size in sizes:
            whole = max(at + size - 1, whole + planes + 2)
            at = whole + 1
    return at + planes


class Gathered:
    """When pixels are there, which come a byte a cycle: images in sets that lie side by side."""

    def __init__(self, beside, slots, pixels, cycles):
        self.beside, self.slots, self.pixels, self.cycles = beside, slots, pixels, cycles
        self.loaded = pixels - 1  # the cycle of an image's last byte
        self.cleared, self.firsts = 0, []

    def set(self):
        """The first cycle in which the next set may be taken."""
        number = len(self.firsts)
        free = self.firsts[number - self.slots + 1] + READ if number >= self.slots else 0
        for _ in range(self.beside):
            start = max(self.loaded + 1, self.cleared, free)
            ready = start + self.cycles + GATHER
            self.loaded = ready + self.pixels - 1
        return ready + SEEN

    def begun(self, cycle):
        """Its first window begins."""
        self.firsts.append(cycle)

    def clear(self, cycle):
        """The batch is read; the next image may have come meanwhile."""
        self.cleared, self.firsts = cycle, []

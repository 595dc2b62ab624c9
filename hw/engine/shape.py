"""What an engine is built for: how much it does at once, and what its memories hold."""

from dataclasses import astuple, dataclass
from functools import cached_property
from zlib import crc32

from amaranth.hdl import signed
from amaranth.lib import data
from amaranth.utils import ceil_log2

from qsnn.hw.plan.parameters import NeuronParameters

__all__ = ["MEMORY_WORD", "EngineError", "EngineShape"]

FORMAT = 1  # of programs
MEMORY_WORD = 32  # bits of a word that comes from outside
PLANES = 4  # of inputs of several bits, at most
PASSES = 16  # over the inputs of a neuron, one for each pair of planes
COORDINATE = 10  # bits of a row or a column, with its sign
SCORE = 32  # bits of a class score


class EngineError(ValueError):
    """No engine has this shape, or this one cannot hold a network."""


@dataclass(frozen=True)
class EngineShape:
    """Parameters of an engine; networks are programs for it, see :mod:`qsnn.hw.engine.program`.

    pe            channels at once
    simd          synapses of each, 8, 16 or 32
    steps         time steps of them all: as many spikes meet a weight at once
    beat          channels of a column of the map memory, and neuron units side by side
    map_words     words of the map memory, ``simd * steps`` bits each: pixels and spikes
    slab_words    words of the slab, ``pe * simd`` bits each: weights; a power of two
    image_bytes   pixels of an image, in bytes
    scores        class scores of all images of a batch
    membrane_bits of the widest membrane
    sum_bits      of a sum of synapses of one time step
    given_bits    of what a neuron is given
    place         the power of two that a membrane counts there, see :meth:`neurons`
    """

    pe: int
    simd: int
    steps: int = 4
    beat: int = 8
    map_words: int = 1024
    slab_words: int = 512
    image_bytes: int = 4096
    scores: int = 512
    membrane_bits: int = 8
    sum_bits: int = 18
    given_bits: int = 26
    place: int = 11

    def __post_init__(self):
        for name, choices in (("simd", (8, 16, 32)), ("steps", (1, 2, 4, 8)),
                              ("beat", (4, 8, 16))):
            if getattr(self, name) not in choices:
                raise EngineError(f"{name} must be one of {', '.join(map(str, choices))}, not "
                                  f"{getattr(self, name)}")
        for name, unit in (("pe", self.beat), ("simd", self.beat)):
            if getattr(self, name) < unit or getattr(self, name) % unit:
                raise EngineError(f"{name} {getattr(self, name)} is no multiple of a beat of "
                                  f"{self.beat} channels")
        if self.pe * self.simd % MEMORY_WORD:
            raise EngineError(f"{self.pe} x {self.simd} weights are no whole words of "
                              f"{MEMORY_WORD} bits")
        if self.slab_words & (self.slab_words - 1):
            raise EngineError(f"slab_words must be a power of two, not {self.slab_words}")

    @cached_property
    def version(self):
        """What a program for this shape has as its version: a number of shape and layouts, so that
        no other engine takes it."""
        layouts = [(name, field.offset, field.width) for layout in (self.layer, self.network)
                   for name, field in layout]
        return crc32(repr((FORMAT, astuple(self), layouts)).encode())

    @property
    def beats(self):
        """Columns of a group of ``pe`` channels."""
        return self.pe // self.beat

    @property
    def columns(self):
        """Of a word of the map memory."""
        return self.simd // self.beat

    @property
    def column_bits(self):
        return self.beat * self.steps

    @property
    def slab_columns(self):
        """Memory words of a word of the slab."""
        return self.pe * self.simd // MEMORY_WORD

    @property
    def address_bits(self):
        return ceil_log2(self.map_words)

    @property
    def neurons(self):
        """The :class:`qsnn.hw.plan.parameters.NeuronParameters` of the neuron units.

        One for all layers: a program scales the integers of each by a power of two, so that its
        membranes count ``2**place``. That changes no result.
        """
        return NeuronParameters(sum_max=(1 << self.given_bits) - 1, bits=self.membrane_bits + 1,
                                signed=True, shift=self.place + 1, frac=0)

    def share(self, time_steps):
        """How many images lie side by side in the lanes, as a power of two."""
        share = 0
        while self.steps >> share + 1 >= time_steps and self.steps % (time_steps << share + 1) == 0:
            share += 1
        return share

    def interval(self, readout):
        """Cycles from one position to the next that its neurons need."""
        return self.beats * (max(self.steps, self.beat) if readout else self.steps)

    @cached_property
    def layer(self):
        """Layout of a layer's descriptor.

        merge        inputs are pixels, whose bits lie in the lanes
        readout      it gives scores
        final        it is the last layer
        repeat       all positions of a window have the same weights
        doubled      each group begins with a word of weights +1, which steps without inputs take
        scale        sums count ``2**scale`` units
        low, high    ends of the membranes
        groups       groups of channels, less 1
        group_words  words of the slab of each
        position     :meth:`position`
        window       :meth:`window`
        output       the first word of its output; output_words of a position, output_columns in
                     all of them
        """
        return data.StructLayout({
            "merge": 1, "readout": 1, "final": 1, "repeat": 1, "doubled": 1, "scale": 5,
            "low": signed(self.membrane_bits + 1), "high": signed(self.membrane_bits + 1),
            "groups": 12, "group_words": ceil_log2(self.slab_words) + 1,
            "position": self.position(self.address_bits, pools=True),
            "window": self.window(self.address_bits, passes=True),
            "output": self.address_bits, "output_words": 10, "output_columns": 12,
        })

    @cached_property
    def network(self):
        """Layout of a network's descriptor, which comes before those of the layers.

        image         pixels of an image, less 1
        steps         time steps
        outputs       class scores
        share         ``2**share`` images lie side by side in the lanes
        slots         sets of these whose pixels have a place, less 1
        ring          images of these, less 1
        planes        of pixels, less 1
        plane_stride  words from one to the next
        pixels        their first word
        position      :meth:`position`, of the way over an image, in bytes
        window        :meth:`window`
        """
        bits = ceil_log2(self.image_bytes)
        return data.StructLayout({
            "image": bits, "steps": 4, "share": 2, "slots": 4, "ring": 4,
            "outputs": 16,
            "planes": 3, "plane_stride": self.address_bits, "pixels": self.address_bits,
            "position": self.position(bits, pools=False),
            "window": self.window(bits, passes=False),
        })

    @staticmethod
    def position(bits, *, pools):
        """Layout of the way from position to position, see
        :class:`qsnn.hw.engine.walk.PositionWalk`."""
        loops = [*(["lane", "pixel", "line"] if pools else []), "column", "row",
                 *(["image", "back"] if pools else [])]
        address = data.StructLayout(dict.fromkeys(["start", *loops], bits))
        return data.StructLayout({
            "address": address, "start_y": signed(COORDINATE), "start_x": signed(COORDINATE),
            "stride_y": 4, "stride_x": 4, "rows": 8, "columns": 8,
            **({"skip": address, "ring": 4, "lanes": 3, "pool_rows": 4, "pool_columns": 4,
                "back_y": 8, "back_x": 8}
               if pools else {}),
        })

    def window(self, bits, *, passes):
        """Layout of the way over a window, see :class:`qsnn.hw.engine.walk.WindowWalk`."""
        return data.StructLayout({
            "words": 10, "columns": 8, "rows": 8, "next_row": bits,
            "height": signed(COORDINATE), "width": signed(COORDINATE),
            **({"mask": self.columns, "skip_words": 10, "skip_mask": self.columns, "passes": 4,
                "planes": data.ArrayLayout(bits, PLANES),
                "table": data.ArrayLayout(data.StructLayout({"skip": 1, "plane": 2, "doubles": 4}),
                                          PASSES),
                } if passes else {}),
        })

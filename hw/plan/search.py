"""The best folding for a board: all layers balanced, logic and RAM within what there is."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, isqrt, prod

from amaranth.utils import ceil_log2

from qsnn.hw.plan.blocks import SPRAM_DEPTH, SPRAM_WIDTH, Memory, place
from qsnn.hw.plan.estimate import core_estimate, estimate, layer_estimate
from qsnn.hw.plan.folding import MAX_PE, MAX_SIMD, Folding, SerialFolding
from qsnn.hw.plan.layers import MapLayer, ParallelLayer, SerialLayer
from qsnn.hw.plan.line import MAX_WORDS
from qsnn.hw.plan.network import Plan, plan
from qsnn.hw.plan.parallel import input_pixel, stage_plan, word_width
from qsnn.hw.plan.serial import serial_stage
from qsnn.hw.plan.window import ceil_div, window_of

__all__ = ["MARGIN", "Found", "Search"]

MARGIN = 0.85  # of the logic: a fuller board is slower, and the estimate has an error
BEAM = 128  # beginnings of a network that are followed
CHOICES = 20  # foldings of a layer that are tried after each of them, for each budget
DEPTHS = 2048, 1024, 512, 256  # words of a block RAM
# of the cycles of an image, as (times, less): a double buffer takes ten, or half with one group
BUDGETS = (1, 0), (1, 10), (0.75, 0), (0.5, 5)
MAX_WORD = 64  # inputs of a word of a serial layer: wider ones are rarely without a spike
SLACK = 200  # cycles of a step beside those of its words, at most


@dataclass(frozen=True)
class Found:
    """Foldings that fit, their plan and their estimate."""

    foldings: tuple
    plan: object
    estimate: object


@dataclass(frozen=True)
class _Beginning:
    """Foldings of the first layers; all of the planned layers but the last are final."""

    foldings: tuple = ()
    layers: tuple = ()
    logic: float = 0  # of the final ones
    blocks: int = 0
    likely: tuple = (0, 0)  # logic and blocks with the last stage as it may become


class Search:
    """Foldings of a network for a board.

    Layer by layer, the beginnings with least logic and with fewest block RAMs are kept. Layers from
    ``serial`` on are time-serial. With ``spram``, the largest weights are in single-port RAM.
    options: those of :func:`qsnn.hw.plan.estimate.estimate`.
    """

    def __init__(self, description, board, *, serial=None, spram=False, loadable=False,
                 **options):
        self.description, self.board = description, board
        self.serial = len(description.layers) if serial is None else serial
        self.loadable = loadable or spram
        self.options = options | {"loadable": self.loadable}
        sizes = [layer.weights.size * layer.weight_bits for layer in description.layers]
        self.spram = sizes.index(max(sizes)) if spram else None
        self.known, self.promising = {}, {}

    def at(self, cycles):
        """The smallest :class:`Found` with at most so many cycles an image or step, or None."""
        beginnings = [_Beginning()]
        for index in range(len(self.description.layers)):
            longer = [new for old in beginnings for new in self._extend(old, index, cycles)]
            by_logic = sorted(longer, key=lambda new: new.likely)
            by_blocks = sorted(longer, key=lambda new: new.likely[::-1])
            beginnings = list(dict.fromkeys(by_logic[:BEAM] + by_blocks[:BEAM // 2]))
        for beginning in sorted(beginnings, key=lambda new: new.likely):
            whole = plan(self.description, beginning.foldings)
            if max(planned.cycles for planned in whole.layers) <= cycles and whole.cycles <= cycles:
                found = Found(beginning.foldings, whole,
                              estimate(self.board, whole, **self.options))
                if self._fits(found.estimate.logic, found.estimate.blocks):
                    return found
        return None

    def fastest(self):
        """The :class:`Found` with fewest cycles an image or step, or None."""
        low, steps = 0, max(1, self.description.time_steps)
        high = max(layer.fan_in * layer.weight_bits * layer.n_out * steps
                   for layer in self.description.layers) * 2
        if self.serial < len(self.description.layers):
            high += SLACK * steps
        best = self.at(high)
        if best is None:
            return None
        high = ceil(best.plan.cycles)
        while high - low > 1 + high // 200:
            middle = max(low + 1, isqrt(low * high)) if low else max(1, high // 8)
            found = self.at(middle)
            if found is None:
                low = middle
            else:
                best, high = found, ceil(found.plan.cycles)
        return best

    def _fits(self, logic, blocks):
        return logic <= MARGIN * self.board.logic and blocks <= self.board.ram_blocks

    def _extend(self, old, index, cycles):
        """A beginning with every promising folding of the next layer."""
        choices = self._serial_choices if index >= self.serial else self._choices
        for folding in choices(index, old.layers, cycles):
            layers, logic, blocks = list(old.layers), old.logic, old.blocks
            if index:  # its SIMD says how many neuron units the layer before has
                layers[-1] = self._plan(index - 1, layers[:-1], [*old.foldings, folding])
                if layers[-1].cycles > cycles or not _loops(layers, cycles):
                    continue
                cost = self._cost(index - 1, layers)
                logic, blocks = logic + cost[0], blocks + cost[1]
            layers.append(self._plan(index, layers, [*old.foldings, folding]))
            if not index:
                logic, blocks = core_estimate(self.board, Plan(tuple(layers)), **self.options)
            cost = self._cost(index, layers)
            likely = logic + cost[0], blocks + cost[1]
            if self._fits(*likely):
                yield _Beginning((*old.foldings, folding), tuple(layers), logic, blocks, likely)

    def _plan(self, index, before, foldings):
        """A layer behind those before it; as many neuron units as it would like, if it is last."""
        layer, folding = self.description.layers[index], foldings[index]
        if folding.serial:
            source = before[-1].stage if before and before[-1].stage.window else None
            stage = serial_stage(layer, folding, next(iter(foldings[index + 1:]), None), source)
            return SerialLayer(index, layer, stage, self.description.time_steps)
        width = folding.pe
        if index + 1 < len(foldings):
            width = word_width(self.description, foldings, index)
        stage = stage_plan(self.description, index, folding,
                           [planned.stage for planned in before], width)
        kind = ParallelLayer if self.description.time_steps else MapLayer
        return kind(index, layer, stage, self.description.time_steps)

    def _cost(self, index, layers):
        """Logic and block RAMs of the last of the layers."""
        source, planned = layers[max(0, index - 1)].stage, layers[index]
        key = index, planned.stage, source.lanes
        if key not in self.known:
            parts, blocks = layer_estimate(self.board.family, layers[:index + 1],
                                           self.loadable and not self.options.get("bare"),
                                           self.options.get("patchable", False))
            self.known[key] = sum(parts.values()), blocks
        return self.known[key]

    def _serial_choices(self, index, before, cycles):
        """Foldings of a time-serial layer that are fast enough where every word has a spike."""
        layer, source = self.description.layers[index], before[-1] if before else None
        cycles = cycles // max(1, self.description.time_steps) - bool(source)
        own = layer.recurrent is not None
        found = set()
        for simd in range(1, min(layer.n_in, MAX_WORD) + 1):
            words = layer.taps * ceil_div(layer.n_in, simd) + own * ceil_div(layer.n_out, simd)
            groups = min(cycles // (words * layer.weight_bits), layer.n_out)
            if groups:
                least = ceil_div(layer.n_out, groups)
                found |= {(min(ceil_div(least, k) * k, layer.n_out), simd) for k in (1, 2, 4, 8)}
        by_size = sorted(found, key=lambda new: (prod(new), new))
        return [SerialFolding(*pair) for pair in by_size[:4 * CHOICES] if pair[0] <= MAX_PE]

    def _choices(self, index, before, cycles):
        """Foldings of a layer that are fast enough: the smallest few, for each budget.

        before: the layers before it, the last of which has as many neuron units as it would like.
        """
        source = before[-1].stage if before else None
        n_in, lanes = input_pixel(self.description, source)[1], source.lanes if source else 1
        if source and self.description.layers[index].kind != "convolution":
            n_in *= source.output_pixels
        key = index, cycles, n_in, lanes  # all that what is promising depends on
        if key not in self.promising:
            self.promising[key] = self._promising(*key)
        return self.promising[key]

    def _promising(self, index, cycles, n_in, lanes):
        layer, spram, source = self.description.layers[index], index == self.spram, index > 0
        # SIMD goes through a pixel, and so often through the pixels of a window or of a map
        positions, pixels, pixels_kept, several = 1, layer.weight_bits, 0, ()
        bits = layer.input_bits * (self.description.time_steps or 1 if source else 1)
        if layer.kind == "convolution":
            positions, pixels = layer.out_height * layer.out_width, pixels * prod(layer.kernel)
            pixels_kept = window_of(layer).rows * layer.width
            several = window_of(layer).pixel_choices[1:] if layer.channels <= MAX_PE else ()
        most = SPRAM_DEPTH if spram else MAX_WORDS
        simds = sorted({simd for words in range(1, n_in + 1)
                        for simd in (-(-n_in // words), -(-n_in // words // lanes) * lanes)
                        if simd <= min(n_in, MAX_SIMD)})
        if layer.kind == "convolution" and not source:
            simds = [simd for simd in simds if n_in % simd == 0]
        chosen = []
        for times, less in BUDGETS:
            found = set()  # (PE, SIMD, pixels at once)
            for simd in simds:
                reads = -(-n_in // simd) * pixels
                budget = max(1, int(times * cycles) - less)
                for depth in (most, *DEPTHS):  # faster than asked for, but a RAM is full
                    groups = min(budget // positions // reads, depth // reads)
                    if groups:
                        least = -(-layer.channels // groups)
                        found |= {(min(-(-least // k) * k, layer.channels), simd, 1)
                                  for k in (1, 2, 4, 5, 8) if least <= MAX_PE - k}
                found |= {(layer.channels, simd, at_once) for at_once in several
                          if positions // at_once * reads <= budget}
            by_size = sorted(found, key=lambda new: (prod(new), new))
            chosen += by_size[:CHOICES]
            fewest = self.board.ram_blocks + 1
            for pe, simd, at_once in by_size:  # the smallest for each number of blocks
                words = -(-n_in // simd)
                blocks = _ram_blocks(
                    self.board.family, max(0, pe * simd - SPRAM_WIDTH * spram),
                    words * pixels * -(-layer.channels // pe), simd * bits,
                    pixels_kept * words if pixels_kept else (1 << ceil_log2(words)) + words,
                    at_once)
                if blocks < fewest:
                    chosen.append((pe, simd, at_once))
                    fewest = blocks
        return [Folding(pe, simd, spram, at_once) for pe, simd, at_once in dict.fromkeys(chosen)]


@cache
def _ram_blocks(family, weight_bits, weights, bits, buffer, copies):
    return (place(family, Memory(weight_bits, weights)).blocks
            + copies * place(family, Memory(bits, buffer, written=True)).blocks)


def _loops(layers, cycles):
    """Whether the double buffer before the last stage comes round in time."""
    stages = [planned.stage for planned in layers[-2:]]
    if layers[-1].serial or any(stage.window for stage in stages):
        return True  # rows and steps come round sooner
    writes = 1 + stages[0].last_group + stages[0].depth if len(stages) > 1 else stages[0].words
    return Fraction(writes + 3 + stages[-1].last_group, 2) <= cycles

"""The best folding for a board: all layers balanced, logic and RAM within what there is."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, isqrt, prod

from amaranth.utils import ceil_log2

from qsnn.hw.core.rom import SPRAM_DEPTH, SPRAM_WIDTH
from qsnn.hw.link.protocol import MAX_WORDS
from qsnn.hw.plan.blocks import Memory, place
from qsnn.hw.plan.estimate import core_estimate, estimate, layer_estimate, skip_lanes
from qsnn.hw.plan.folding import (
    MAX_PE,
    MAX_SIMD,
    Folding,
    input_pixel,
    plan,
    stage_plan,
    window_of,
    word_width,
)
from qsnn.hw.plan.parameters import stage_parameters
from qsnn.hw.plan.stages import Plan

__all__ = ["MARGIN", "Found", "Search"]

MARGIN = 0.85  # of the logic: a fuller board is slower, and the estimate has an error
BEAM = 128  # beginnings of a network that are followed
CHOICES = 20  # foldings of a layer that are tried after each of them, for each budget
DEPTHS = 2048, 1024, 512, 256  # words of a block RAM
# of the cycles of an image, as (times, less): a double buffer takes ten, or half with one group
BUDGETS = (1, 0), (1, 10), (0.75, 0), (0.5, 5)


@dataclass(frozen=True)
class Found:
    """Foldings that fit, their plan and their estimate."""

    foldings: tuple
    plan: object
    estimate: object


@dataclass(frozen=True)
class _Beginning:
    """Foldings of the first layers; all of their stages but the last are final."""

    foldings: tuple = ()
    stages: tuple = ()
    logic: float = 0  # of the final stages
    blocks: int = 0
    likely: tuple = (0, 0)  # logic and blocks with the last stage as it may become


class Search:
    """Foldings of a network for a board.

    Layer by layer, the beginnings with least logic and with fewest block RAMs are kept. With
    ``spram``, the largest weights are in single-port RAM.
    """

    def __init__(self, description, board, *, bare=False, loadable=False, link="uart",
                 spram=False):
        self.description, self.board, self.bare, self.link = description, board, bare, link
        self.loadable = loadable or spram
        sizes = [layer.weights.size * layer.weight_bits for layer in description.layers]
        self.spram = sizes.index(max(sizes)) if spram else None
        self.known = {}

    def at(self, cycles):
        """The smallest that :class:`Found` with at most so many cycles an image, or None."""
        beginnings = [_Beginning()]
        for index in range(len(self.description.layers)):
            longer = [new for old in beginnings for new in self._extend(old, index, cycles)]
            by_logic = sorted(longer, key=lambda new: new.likely)
            by_blocks = sorted(longer, key=lambda new: new.likely[::-1])
            beginnings = list(dict.fromkeys(by_logic[:BEAM] + by_blocks[:BEAM // 2]))
        for beginning in sorted(beginnings, key=lambda new: new.likely):
            whole = plan(self.description, beginning.foldings)
            if max(stage.image_cycles for stage in whole.stages) <= cycles and \
                    whole.cycles_per_image <= cycles:
                found = Found(beginning.foldings, whole, estimate(
                    self.board, self.description, whole, bare=self.bare, loadable=self.loadable,
                    link=self.link))
                if self._fits(found.estimate.logic, found.estimate.blocks):
                    return found
        return None

    def fastest(self):
        """The :class:`Found` with fewest cycles an image, or None."""
        low = 0
        high = max(layer.fan_in * layer.weight_bits * layer.n_out * self.description.time_steps
                   for layer in self.description.layers) * 2
        best = self.at(high)
        if best is None:
            return None
        high = ceil(best.plan.cycles_per_image)
        while high - low > 1 + high // 200:
            middle = max(low + 1, isqrt(low * high)) if low else max(1, high // 8)
            found = self.at(middle)
            if found is None:
                low = middle
            else:
                best, high = found, ceil(found.plan.cycles_per_image)
        return best

    def _fits(self, logic, blocks):
        return logic <= MARGIN * self.board.logic and blocks <= self.board.ram_blocks

    def _extend(self, old, index, cycles):
        """A beginning with every promising folding of the next layer."""
        for folding in self._choices(index, old.stages, cycles):
            stages, logic, blocks = list(old.stages), old.logic, old.blocks
            if index:  # its SIMD says how many neuron units the layer before has
                before = stages[-1] = self._stage(
                    index - 1, old.foldings[-1], stages[:-1],
                    word_width(self.description, [*old.foldings, folding], index - 1))
                if before.image_cycles > cycles or not _loops(stages, cycles):
                    continue
                cost = self._cost(index - 1, stages)
                logic, blocks = logic + cost[0], blocks + cost[1]
            stages.append(self._stage(index, folding, stages, folding.pe))
            if not index:
                logic, blocks = core_estimate(self.board, self.description, Plan(tuple(stages)),
                                              bare=self.bare, loadable=self.loadable,
                                              link=self.link)
            cost = self._cost(index, stages)
            likely = logic + cost[0], blocks + cost[1]
            if self._fits(*likely):
                yield _Beginning((*old.foldings, folding), tuple(stages), logic, blocks, likely)

    def _stage(self, index, folding, before, width):
        return stage_plan(self.description, index, folding, before, width)

    def _cost(self, index, stages):
        """Logic and block RAMs of the last of the stages."""
        source, stage = stages[max(0, index - 1)], stages[index]
        key = index, stage, source.lanes
        if key not in self.known:
            layer = self.description.layers[index]
            parts, blocks = layer_estimate(
                self.board.family, layer, stage, stage_parameters(layer, stage),
                source.lanes if index else stage.simd, self.loadable and not self.bare,
                skip_lanes(stages, stage))
            self.known[key] = sum(parts.values()), blocks
        return self.known[key]

    def _choices(self, index, before, cycles):
        """Foldings of a layer that are fast enough: the smallest few, for each budget.

        before: the stages before it, the last of which has as many neuron units as it would like.
        """
        source = before[-1] if before else None
        layer, spram = self.description.layers[index], index == self.spram
        # SIMD goes through a pixel, and so often through the pixels of a window or of a map
        n_in, lanes = input_pixel(self.description, source)[1], source.lanes if source else 1
        positions, pixels, pixels_kept, several = 1, layer.weight_bits, 0, ()
        bits = layer.input_bits * (self.description.time_steps if source else 1)
        if layer.kind == "convolution":
            positions, pixels = layer.out_height * layer.out_width, pixels * layer.kernel ** 2
            pixels_kept = window_of(layer).rows * layer.width
            several = window_of(layer).pixel_choices[1:] if layer.channels <= MAX_PE else ()
        elif source:
            n_in *= source.output_pixels
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


def _loops(stages, cycles):
    """Whether the double buffer before the last stage comes round in time."""
    if any(stage.window for stage in stages[-2:]):
        return True  # rows come round sooner
    if len(stages) == 1:
        writes = stages[0].words
    else:
        writes = 1 + stages[-2].last_group + stages[-2].depth
    return Fraction(writes + 3 + stages[-1].last_group, 2) <= cycles

"""Cycles of networks without maps against closed formulas, and what skips must not cost."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.timing import timing
from tests.networks import random_description, random_foldings, random_maps


def formulas(stages):
    """Latency and cycles per image of fully connected layers."""
    first, last = stages[0], stages[-1]
    latency = first.words + 1
    for stage in stages:
        # +1: the buffer sees the image whole; +1: the layer begins
        latency += 2 + stage.last_group + stage.depth
    limits = [Fraction(stage.image_cycles) for stage in stages]
    limits += [Fraction(first.words), Fraction(last.n_out)]
    # cycles from a credit taken to an image written, for each buffer and the queue of scores;
    # into the first one, words come a cycle later
    writes = [first.words] + [1 + stage.last_group + stage.depth for stage in stages]
    # cycles from an image that is whole to its credit back; the first layer's is looked at later
    reads = [2 + stage.released + 1 for stage in stages] + [1]
    reads[0] += first.words > 1
    limits += [Fraction(w + r, 2) for w, r in zip(writes, reads, strict=True)]
    return latency, max(limits)


@pytest.mark.parametrize("seed", range(100))
def test_without_maps(seed):
    rng = np.random.default_rng(seed)
    description = random_description(rng)
    found = plan(description, random_foldings(rng, description))
    assert (found.latency, found.cycles) == formulas(found.stages)


@pytest.mark.parametrize("words, foldings", [
    ("c8k3-r8", [(8, 1), (8, 4), (8, 4)]), ("c8k3-r16s2", [(8, 1), (8, 4), (16, 8)]),
    ("c4k3-c8k5-c8k3-c4k3+0", [(4, 1), (8, 4), (8, 8), (4, 8)]),
    ("c8k3-r8-p2-r8-fc10", [(8, 1), (8, 4), (8, 4), (8, 4), (8, 4), (5, 4)])])
def test_a_skip_costs_no_cycle(words, foldings):
    """Its buffer is deep enough: more rows would not be faster."""
    description = random_maps(np.random.default_rng(0), words=words, image=(12, 12, 1),
                              time_steps=2)
    found = plan(description, [Folding(*pair) for pair in [*foldings, (1, 4)]])
    slowest = max(stage.image_cycles for stage in found.stages)
    assert slowest <= found.cycles < 1.03 * slowest
    deeper = [replace(stage, skip=stage.skip and replace(stage.skip, ahead=stage.skip.ahead + 8))
              for stage in found.stages]
    assert timing(deeper)[1] == found.cycles


def test_a_convolution_overlaps_its_input():
    """It begins with the first rows, and no frame is kept: few rows of 40 are."""
    description = random_maps(np.random.default_rng(0), words="c4k3-c4k3", image=(40, 40, 1),
                              time_steps=1)
    found = plan(description, [Folding(4, 1), Folding(4, 4), Folding(2, 4)])
    assert [stage.window.rows for stage in found.stages[:2]] == [4, 4]
    assert found.latency < 1.2 * found.stages[0].image_cycles + found.stages[2].image_cycles

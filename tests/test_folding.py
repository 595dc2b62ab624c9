import time
from fractions import Fraction
from itertools import product
from math import gcd
from types import SimpleNamespace

import numpy as np
import pytest

from qsnn.hw.plan import folding
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import (
    MAX_PE,
    MAX_SIMD,
    Folding,
    FoldingError,
    default_folding,
)
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.window import window_of
from qsnn.model.codes import CODES
from tests.networks import random_description, random_maps


def shape(*widths, time_steps=4, input_bits=2):
    """All of a description that a folding depends on."""
    kinds = ["fully_connected"] * (len(widths) - 2) + ["readout"]
    return SimpleNamespace(n_in=widths[0], time_steps=time_steps, stream=False, input_map=None,
                           layers=[
        SimpleNamespace(kind=kind, n_in=n_in, n_out=n_out, channels=n_out, weight_bits=1, skip=None,
                        input_bits=1 if index else input_bits, code=CODES["odd"], leaky=False)
        for index, (kind, n_in, n_out) in enumerate(zip(kinds, widths, widths[1:], strict=False))])


def random_shape(rng, most):
    widths = rng.integers(1, most, size=rng.integers(3, 6))
    return shape(*map(int, widths), int(rng.integers(2, most)), time_steps=int(rng.integers(1, 9)))


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def test_a_network_by_hand():
    """784-256-10 with 4 steps: padding, lanes and cycles as they were counted on paper."""
    stages = plan(shape(784, 256, 10), [Folding(24, 100), Folding(4, 12)]).stages
    first, last = stages
    assert (first.words, first.groups, first.neurons, first.lanes) == (8, 11, 264, 12)
    # two beats of 12 neurons and 4 steps keep up with 8 words; beats of 6 would not
    assert (first.sequence_cycles, first.group_cycles, first.image_cycles) == (8, 8, 88)
    assert (first.bits, first.steps, first.readout) == (2, 1, False)
    assert (last.n_in, last.words, last.groups, last.neurons, last.lanes) == (264, 22, 3, 12, 1)
    assert (last.group_cycles, last.image_cycles, last.bits, last.steps) == (22, 66, 1, 4)
    assert (last.readout, last.sequence) == (True, 1)


@pytest.mark.parametrize("steps, foldings, cycles", [
    (4, [(1, 1), (1, 1)], 8 * 6),  # the synapses of the first layer
    (4, [(8, 6), (3, 1)], 8 * 4),  # its neurons: one unit, as the readout takes one at a time
    (1, [(8, 6), (1, 1)], 3 * 8),  # the synapses of the readout
    # the loop of a buffer: 15 cycles from credit to image, 5 from image to credit, 2 images
    (4, [(8, 2), (1, 8)], Fraction(15 + 5, 2))])
def test_what_limits_the_rate(steps, foldings, cycles):
    """Counted by hand; tests.test_network and sim/ hold the hardware to the formula."""
    found = plan(shape(6, 8, 3, time_steps=steps), [Folding(*pair) for pair in foldings])
    assert found.cycles == cycles


def test_lanes_divide_both_sides():
    """As few units as keep up with the synapses; as many as both sides allow where none do."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        network = random_shape(rng, 30)
        foldings, n_in = [], network.n_in
        for layer in network.layers:
            foldings.append(Folding(int(rng.integers(1, layer.n_out + 1)),
                                    int(rng.integers(1, n_in + 1))))
            n_in = -(-layer.n_out // foldings[-1].pe) * foldings[-1].pe
        stages = plan(network, foldings).stages
        for stage, following in zip(stages, [*stages[1:], None], strict=True):
            simd = following.simd if following else 1
            possible = [d for d in divisors(stage.pe) if simd % d == 0]
            fast = [d for d in possible if stage.pe // d * stage.sequence <= stage.words]
            assert stage.lanes == (min(fast) if fast else max(possible))
            assert stage.n_in <= stage.words * stage.simd < stage.n_in + stage.simd
            assert stage.n_out <= stage.groups * stage.pe == stage.neurons < (
                stage.n_out + stage.pe)
            assert following is None or following.n_in == stage.neurons


def cost(network, foldings, cycles):
    """Cycles beyond the budget, and PE * SIMD, over all layers."""
    stages = plan(network, foldings).stages
    return (sum(max(0, stage.image_cycles - cycles) for stage in stages),
            sum(stage.pe * stage.simd for stage in stages))


@pytest.mark.parametrize("seed", range(40))
def test_default_is_the_smallest_in_the_budget(seed):
    """Compared with every folding without padding there is."""
    rng = np.random.default_rng(seed)
    network = shape(*map(int, rng.integers(2, 13, size=rng.integers(3, 5))),
                    time_steps=int(rng.integers(1, 9)))
    choices = [[Folding(pe, simd) for pe, simd in product(divisors(layer.n_out),
                                                          divisors(layer.n_in))]
               for layer in network.layers]
    for cycles in (1, 8, 20, 45, 200):
        found = cost(network, default_folding(network, cycles), cycles)
        assert found == min(cost(network, foldings, cycles) for foldings in product(*choices))


def test_default_does_not_pad():
    rng = np.random.default_rng(1)
    for _ in range(100):
        network, cycles = random_shape(rng, 200), int(rng.integers(1, 3000))
        for stage in plan(network, default_folding(network, cycles)).stages:
            assert stage.words * stage.simd == stage.n_in and stage.neurons == stage.n_out


def test_default_of_wide_layers():
    """Within what plan() takes, and in a moment."""
    network = shape(8192, 4096, 2520, 10)
    foldings = default_folding(network, 100)
    plan(network, foldings)
    assert all(folding.pe <= MAX_PE and folding.simd <= MAX_SIMD for folding in foldings)


def test_default_of_the_committed_shapes():
    """SIMD near PE, rather larger: the foldings that the README's numbers are measured with."""
    pairs = [(folding.pe, folding.simd) for folding in default_folding(
        shape(784, 256, 256, 10), 800)]
    assert pairs == [(16, 16), (8, 16), (1, 4)]


def test_double_buffers_cost_no_more_than_half():
    """A layer alone with its buffers: reading an image and working on it do not overlap."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        network = random_shape(rng, 60)
        result = plan(network, default_folding(network, int(rng.integers(1, 300))))
        slowest = max(stage.image_cycles for stage in result.stages)
        assert slowest <= result.cycles <= 1.5 * slowest + 10
        assert result.cycles.denominator in (1, 2)


@pytest.mark.parametrize("foldings, sentence", [
    ([(1, 1)], "the network has 3 layers, the folding 1"),
    ([(1, 1)] * 4, "the network has 3 layers, the folding 4"),
    ([], "the network has 3 layers, the folding 0"),
    ([(0, 1), (1, 1), (1, 1)], "layer 0: PE must be 1 to 8 (it has 8 neurons), not 0"),
    ([(-1, 1), (1, 1), (1, 1)], "layer 0: PE must be 1 to 8 (it has 8 neurons), not -1"),
    ([(9, 1), (1, 1), (1, 1)], "layer 0: PE must be 1 to 8 (it has 8 neurons), not 9"),
    ([(1, 6), (1, 0), (1, 1)], "layer 1: SIMD must be 1 to 8 (it has 8 inputs), not 0"),
    ([(1, 7), (1, 1), (1, 1)], "layer 0: SIMD must be 1 to 6 (it has 6 inputs), not 7"),
    # neurons that pad the layer before are inputs too
    ([(3, 1), (1, 10), (1, 1)], "layer 1: SIMD must be 1 to 9 (it has 9 inputs), not 10"),
    ([(1, 1), (1, 1), (1, 5000)], "layer 2: SIMD must be 1 to 4096 (it has 5000 inputs), not 5000"),
    ([(1, 1), (1025, 1), (1, 1)], "layer 1: PE must be 1 to 1024 (it has 5000 neurons), not 1025"),
    ([(2.0, 1), (1, 1), (1, 1)], "layer 0: PE must be 1 to 8 (it has 8 neurons), not 2.0"),
    ([("2", 1), (1, 1), (1, 1)], "layer 0: PE must be 1 to 8 (it has 8 neurons), not '2'"),
    ([(True, 1), (1, 1), (1, 1)], "layer 0: PE must be 1 to 8 (it has 8 neurons), not True"),
    ([(1, None), (1, 1), (1, 1)], "layer 0: SIMD must be 1 to 6 (it has 6 inputs), not None"),
    ([(1, True), (1, 1), (1, 1)], "layer 0: SIMD must be 1 to 6 (it has 6 inputs), not True"),
    ([(1, [1]), (1, 1), (1, 1)], "layer 0: SIMD must be 1 to 6 (it has 6 inputs), not [1]")])
def test_refused(foldings, sentence):
    with pytest.raises(FoldingError) as caught:
        plan(shape(6, 8, 5000, 3), [Folding(*pair) for pair in foldings])
    assert str(caught.value) == sentence


def maps(words, image):
    return random_maps(np.random.default_rng(0), words=words, image=image, time_steps=2)


@pytest.mark.parametrize("words, image, choices", [
    ("c4k3", (5, 12, 1), [1, 2, 3, 4, 6, 12]), ("c4k3s2", (5, 9, 1), [1, 5]),
    ("c4k3-p2", (6, 12, 1), [1, 2, 4, 8, 12, 24]), ("c4k3-p3", (9, 6, 1), [1, 3, 9, 18]),
    ("c4k3-p2", (6, 13, 1), [1, 2, 4, 8, 12, 24])])
def test_pixels(words, image, choices):
    """The positions of a row, of squares in order: whose distances are always the same."""
    description = maps(words, image)
    window = window_of(description.layers[0])
    assert window.pixel_choices == choices
    for pixels in choices:
        stage = plan(description, [Folding(4, 1, pixels=pixels), Folding(1, 1)]).stages[0]
        assert len(window.distances(pixels)) == pixels
        # in order, block after block, each begins at the same distances from its first
        blocks = np.array([divmod(place, window.out_width) for place in stage.places])
        blocks = blocks.reshape(-1, pixels, 2) * window.stride
        assert (blocks - blocks[:, :1] == window.distances(pixels)).all()
        assert stage.image_cycles == len(stage.places) // pixels * max(
            stage.reads, pixels * 4 // stage.lanes * 2)


@pytest.mark.parametrize("folding, sentence", [
    (Folding(4, 1, pixels=3), "layer 0: pixels must be one of 1, 2, 4, 8, not 3"),
    (Folding(4, 1, pixels=0), "layer 0: pixels must be one of 1, 2, 4, 8, not 0"),
    (Folding(4, 1, pixels=True), "layer 0: pixels must be one of 1, 2, 4, 8, not True"),
    (Folding(4, 1, pixels="2"), "layer 0: pixels must be one of 1, 2, 4, 8, not '2'"),
    (Folding(2, 1, pixels=2), "layer 0: for 2 pixels at once PE must be all 4 channels, not 2")])
def test_pixels_refused(folding, sentence):
    with pytest.raises(FoldingError) as caught:
        plan(maps("c4k3-p2", (4, 4, 1)), [folding, Folding(1, 1)])
    assert str(caught.value) == sentence


def test_only_maps_have_pixels():
    with pytest.raises(FoldingError, match="^layer 1: pixels must be 1, not 2$"):
        plan(shape(6, 8, 3), [Folding(8, 1), Folding(3, 1, pixels=2)])


@pytest.mark.parametrize("seed", range(6))
def test_default_of_maps(seed):
    """Compared with every folding without padding there is, pixels among them."""
    rng = np.random.default_rng(seed)
    description = random_maps(rng, words=str(rng.choice(["c4k3-p2", "c2k3w2-p2", "c4k2s2"])),
                              image=(6, 8, int(rng.integers(1, 3))), time_steps=1, classes=4)
    layers = [(layer.channels, layer.channels_in if layer.kind == "convolution" else layer.n_in)
              for layer in description.layers]
    pixels = window_of(description.layers[0]).pixel_choices
    choices = [[Folding(pe, simd, pixels=at_once)
                for pe, simd in product(divisors(n_out), divisors(n_in))
                for at_once in (pixels if index == 0 and pe == n_out else [1])]
               for index, (n_out, n_in) in enumerate(layers)]
    several = 0
    for cycles in (20, 60, 100, 300):
        folding = default_folding(description, cycles)
        several += folding[0].pixels > 1
        best = min(maps_cost(description, foldings, cycles) for foldings in product(*choices))
        assert maps_cost(description, folding, cycles) == best
    assert several


def maps_cost(description, foldings, cycles):
    stages = plan(description, foldings).stages
    return (sum(max(0, stage.image_cycles - cycles) for stage in stages),
            sum(stage.pe * stage.simd * stage.pixels for stage in stages))


def test_given_pe_has_no_default_pixels():
    description = maps("c4k3-p2", (6, 8, 1))
    assert choose_folding(description, cycles=60)[0].pixels > 1
    given = choose_folding(description, pe="2,1", cycles=60)
    assert [folding.pixels for folding in given] == [1, 1]
    plan(description, choose_folding(description, simd="1,1", cycles=60))


def test_nothing_is_pruned_that_would_be_chosen(monkeypatch):
    """Of what may come next only a few are looked at: the choice is that of all."""
    def everything(best, units, sequence):
        return {(pe, at_once): [(at_once * pe // gcd(pe, simd) * sequence, cost, foldings)
                                for simd, (cost, foldings) in best.items()]
                for pe, at_once in units}

    for seed in range(30):
        rng = np.random.default_rng(seed)
        net = random_maps(rng) if seed % 2 else random_description(
            rng, widths=[int(rng.choice([10, 12, 24, 30, 36, 60])) for _ in range(4)])
        for cycles in (1, 10, 100, 1000):
            chosen = default_folding(net, cycles)
            with monkeypatch.context() as patch:
                patch.setattr(folding, "_following", everything)
                assert default_folding(net, cycles) == chosen, (seed, cycles)


def test_numbers_with_many_divisors():
    """Once cubic in them: 3 s, now a tenth."""
    start = time.process_time()
    default_folding(shape(2520, 2520, 2520, 2520, 720), 800)
    assert time.process_time() - start < 1

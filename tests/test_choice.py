"""The schedule with the better expectation, from the activity of recordings."""

import numpy as np
import pytest

from qsnn.hw.plan.activity import activity, choose_for_activity, step_counts
from qsnn.hw.plan.folding import SerialFolding
from qsnn.hw.plan.network import plan
from tests.streams import random_stream

UNITS = 16


def recordings(rng, description, rate, count=6, steps=20):
    return (rng.random((count, steps, description.n_in)) < rate).astype(np.uint8)


def cycles(description, foldings, samples):
    """Mean cycles a step of each layer."""
    stages = plan(description, foldings).stages
    counts = step_counts(stages, *activity(description, samples))
    return [float(stage.step_cycles(count).mean())
            for stage, count in zip(stages, counts, strict=True)]


@pytest.mark.parametrize("seed", range(6))
def test_no_other_is_faster(seed):
    """Against all foldings with one layer changed, of as many units."""
    rng = np.random.default_rng(seed)
    description = random_stream(rng, words=[(12, 2, True), (9, 1, False)])
    samples = recordings(rng, description, rng.choice([0.05, 0.3]))
    chosen = choose_for_activity(description, samples, UNITS)
    assert all(folding.pe * folding.simd <= UNITS for folding in chosen)
    reached = cycles(description, chosen, samples)
    for index, layer in enumerate(description.layers):
        for simd in (1, 2, 4, 8, 16):
            pe = min(layer.n_out, UNITS // simd)
            other = list(chosen)
            other[index] = SerialFolding(pe, simd, True)
            if simd < 2 * layer.n_in:
                # a dense choice may need a little more than the sparse one that it replaces
                bound = 1 if chosen[index].sparse else 0.8
                assert cycles(description, other, samples)[index] >= bound * reached[index]


def test_silence_is_sparse_and_uproar_dense():
    rng = np.random.default_rng(1)
    description = random_stream(rng, words=[(12, 1, False)])
    few = choose_for_activity(description, recordings(rng, description, 0.02), UNITS)
    many = choose_for_activity(description, recordings(rng, description, 0.98), UNITS)
    assert few[0].sparse and not many[0].sparse


def test_counts_follow_the_samples():
    """Samples are independent: what taps saw is cleared between them."""
    rng = np.random.default_rng(2)
    description = random_stream(rng, words=[(8, 3, True)])
    samples = recordings(rng, description, 0.4)
    foldings = [SerialFolding(4, 2), SerialFolding(1, 4)]
    stages = plan(description, foldings).stages
    together = step_counts(stages, *activity(description, samples))
    apart = [step_counts(stages, *activity(description, sample[None])) for sample in samples]
    for index in range(len(stages)):
        assert together[index].tolist() == np.concatenate(
            [counts[index] for counts in apart]).tolist()

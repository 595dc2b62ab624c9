import numpy as np
import pytest

from qsnn.hw.core.readout import ScoreUnit
from qsnn.hw.plan.parameters import ScoreParameters
from tests.simulation import run

IMAGES = 12


def unit(classes, neurons, frac=0, n_in=3, time_steps=2):
    limit = (8 * n_in) << frac
    parameters = ScoreParameters(sum_max=n_in * time_steps, time_steps=time_steps, frac=frac,
                                 bias_limit=limit)
    return ScoreUnit(classes=classes, neurons=neurons, parameters=parameters)


def expected(sums, biases, classes, frac):
    """Beats (score, label, last) of images, as numpy finds them."""
    scores = (sums[:, :classes] << frac) + biases[:classes]
    if classes == 1:
        return [(int(row[0]), int(row[0] > 0), 1) for row in scores]
    return [(int(row[k]), int(row[:k + 1].argmax()), int(k == classes - 1))
            for row in scores for k in range(classes)]


def beat(payload):
    return payload.score, payload.label, payload.last


@pytest.mark.parametrize("ready_rate", [1, 0.5, 0.1])
@pytest.mark.parametrize("valid_rate", [1, 0.4])
@pytest.mark.parametrize("classes, neurons, frac", [(2, 2, 0), (3, 4, 8), (10, 10, 1), (10, 16, 3),
                                                    (8, 8, 5), (5, 9, 0), (1, 1, 0), (1, 3, 2)])
def test_scores(classes, neurons, frac, valid_rate, ready_rate):
    """Sums whenever there is credit, backpressure at random: every beat and every credit."""
    rng = np.random.default_rng(classes)
    dut = unit(classes, neurons, frac)
    sums = rng.integers(0, dut.parameters.sum_max + 1, size=(IMAGES, neurons))
    sums[2], sums[3] = 0, 5  # all scores tie where the biases do
    sums[4, classes - 1] = sums[4].max()
    low, high = -dut.parameters.bias_limit, dut.parameters.bias_limit
    biases = rng.integers(-1, 2, size=neurons) << frac
    biases[-1] = 0
    # the lowest and the highest scores that there are
    lowest, highest = np.full(neurons, low), np.full(neurons, high)
    sums[5], sums[6] = 0, dut.parameters.sum_max
    per_image = [{5: lowest, 6: highest}.get(n, biases) for n in range(IMAGES)]
    wanted = [b for row, bias in zip(sums, per_image, strict=True)
              for b in expected(row[None], bias, classes, frac)]
    found = []

    async def testbench(ctx):
        free, queue, held = 2, [], None
        images = iter(zip(sums, per_image, strict=True))
        while queue or len(found) < len(wanted):
            image = next(images, None) if free and rng.random() < valid_rate else None
            valid = bool(queue) and rng.random() < valid_rate
            ctx.set(dut.take, image is not None)
            ctx.set(dut.valid, valid)
            total, bias = queue.pop(0) if valid else (3, high)
            ctx.set(dut.sum, int(total))
            ctx.set(dut.bias, int(bias))
            ready = rng.random() < ready_rate
            ctx.set(dut.o.ready, ready)
            assert ctx.get(dut.room) == (free > 0)
            popped = False
            if ctx.get(dut.o.valid):
                payload = beat(ctx.get(dut.o.payload))
                assert held in (None, payload), "changed while it was not accepted"
                held = None if ready else payload
                if ready:
                    found.append(payload)
                    popped = payload[2]
            else:
                assert held is None, "retracted"
            free += popped
            if image is not None:
                free -= 1
                queue += zip(*image, strict=True)
            await ctx.tick()
        ctx.set(dut.valid, 0)
        for _ in range(8):
            assert not ctx.get(dut.o.valid), "a beat too many"
            assert ctx.get(dut.room)
            await ctx.tick()

    run(dut, testbench)
    assert found == wanted


def play(dut, rows):
    """(cycle, beat) of all that comes out, never stalled."""
    found = []

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        for cycle, row in enumerate(rows + [{"valid": 0}] * 9):
            for name, value in row.items():
                ctx.set(getattr(dut, name), value)
            if ctx.get(dut.o.valid):
                found.append((cycle, beat(ctx.get(dut.o.payload))))
            await ctx.tick()

    run(dut, testbench)
    return found


@pytest.mark.parametrize("scores, label", [
    ([4, 4, 4], 0), ([3, 4, 4], 1), ([4, 3, 4], 0), ([3, 3, 4], 2), ([-5, -4, -4], 1),
    ([-9, -9, -9], 0), ([-9, 0, -9], 1), ([0, -1, 0], 0)])
def test_ties_go_to_the_first_class(scores, label):
    """The image before, of the highest scores, leaves nothing behind."""
    rows = [{"valid": 1, "sum": 6, "bias": 24}] * 3
    rows += [{"valid": 1, "sum": 0, "bias": bias} for bias in scores]
    beats = [beat for _, beat in play(unit(3, 3), rows)]
    assert [score for score, _, _ in beats] == [30] * 3 + scores
    assert beats[2][1:] == (0, 1) and beats[5][1:] == (label, 1)


def test_latency():
    dut = unit(3, 5)
    assert dut.latency == 4
    assert play(dut, [{}, {"valid": 1, "sum": 2, "bias": -3}]) == [(1 + dut.latency, (-1, 0, 0))]

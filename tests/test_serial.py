# amaranth: UnusedElaboratable=no
"""The time-serial hardware in Amaranth's simulator: every spike, membrane, score, and cycle."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from qsnn.hw.network import Network
from qsnn.hw.plan.folding import FoldingError, SerialFolding, default_serial
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.steps import finish_times, word_counts
from qsnn.hw.serial.words import StepInput
from qsnn.model import streams
from qsnn.model.golden import pooled
from qsnn.sim.trace import in_order
from tests.networks import random_description
from tests.streams import random_serial, random_steps, random_stream

STEPS = 40


def beats(network, x, emit, clear, junk=None):
    """What :py:`i` takes, a list of payloads for each step; ``junk``: a generator of what the last
    words have beyond the inputs, else it is 0."""
    stage = network.plan.stages[0]
    padded = np.zeros((len(x), stage.in_words, stage.simd), int)
    padded.reshape(len(x), -1)[:, :x.shape[1]] = x
    if junk is not None:
        beyond = padded.reshape(len(x), -1)[:, x.shape[1]:]
        beyond[:] = junk.integers(0, 2, beyond.shape)
    words = padded @ (1 << np.arange(stage.simd))
    steps = []
    for t, row in enumerate(words.tolist()):
        chosen = list(enumerate(row))
        if network.events:
            chosen = [(index, word) for index, word in chosen if word] or [(0, 0)]
        step = []
        for place, (index, word) in enumerate(chosen):
            last = place == len(chosen) - 1
            event = {"index": index, "end": int(last)} if network.events else {}
            step.append({"word": word, "emit": int(emit[t] and last),
                         "clear": int(clear[t] and last), **event})
        steps.append(step)
    return steps


def simulate(network, x, emit, clear, *, gaps=None, stalls=None, junk=None):
    """(scores, labels, spikes, membranes, cycle in which each layer is through with each step)."""
    rng = np.random.default_rng(0)
    layers = network.layers
    outputs, spikes, membranes = [], [[] for _ in layers[1:]], [[] for _ in layers[1:]]
    finished = [[] for _ in layers]
    classes = network.description.outputs
    cycle, start = 0, None

    async def feed(ctx):
        for step in beats(network, x, emit, clear, junk):
            for payload in step:
                while gaps and rng.random() < gaps:
                    await ctx.tick()
                ctx.set(network.i.payload, payload)
                ctx.set(network.i.valid, 1)
                await ctx.tick().until(network.i.ready)
                ctx.set(network.i.valid, 0)

    async def watch(ctx):
        nonlocal cycle, start
        watched = [value for layer in layers[:-1] for value in (
            layer.neurons.spikes_valid, layer.neurons.spikes.as_value(),
            layer.neurons.membrane_valid, layer.neurons.membrane.as_value())]
        while len(outputs) < int(emit.sum()) * classes:
            ctx.set(network.o.ready, int(not stalls or rng.random() >= stalls))
            _, _, arrives, ready, valid, score, label, last, *rest = await ctx.tick().sample(
                network.i.valid & network.i.ready, network.o.ready, network.o.valid,
                network.o.p.score, network.o.p.label, network.o.p.last, *watched,
                *(layer.o_done if layer.stage.window else layer.schedule.finished
                  for layer in layers))
            if start is None and arrives:
                start = cycle
            if valid and ready:
                outputs.append((score, label, last))
            for index, layer in enumerate(layers[:-1]):
                fired, row, stepped, state = rest[4 * index:4 * index + 4]
                lanes, p = layer.stage.lanes, layer.neurons.parameters
                if fired:
                    spikes[index] += [row >> lane & 1 for lane in range(lanes)]
                if stepped:
                    for lane in range(lanes):
                        q = state >> lane * p.held_bits & (1 << p.held_bits) - 1
                        signed = p.held_signed and q >> p.held_bits - 1
                        membranes[index].append(q - (signed << p.held_bits))
            for index, done in enumerate(rest[4 * (len(layers) - 1):]):
                if done:
                    finished[index].append(cycle - start)
            cycle += 1
            assert cycle < 100_000, "no result any more"

    simulator = Simulator(network)
    simulator.add_clock(1e-6)
    simulator.add_testbench(watch)
    simulator.add_testbench(feed, background=True)
    simulator.run()
    rows = []
    for group in spikes, membranes:
        for values, stage in zip(group, network.plan.stages, strict=False):
            values = np.array(values).reshape(1, -1, len(stage.places), stage.neurons)
            values = in_order(stage, values)[0, :, :, :stage.n_out]
            rows.append(values.reshape(len(values), -1))
    table = np.array([output[0] for output in outputs]).reshape(-1, classes)
    labels = [output[1] for output in outputs[classes - 1::classes]]
    assert [output[2] for output in outputs] == ([0] * (classes - 1) + [1]) * len(labels)
    return table, labels, rows[:len(layers) - 1], rows[len(layers) - 1:], finished


def length(network):
    """Steps of a test of some thousand cycles."""
    return min(STEPS, max(8, 4000 // network.plan.cycles))


def check(network, x, emit, clear, **pace):
    description = network.description
    expected = streams.run(description, x[None], emit=np.flatnonzero(emit),
                           clear=np.flatnonzero(clear), trace=True)
    scores, labels, spikes, membranes, finished = simulate(network, x, emit, clear, **pace)
    assert scores.tolist() == expected.scores[0].tolist()
    assert labels == expected.labels[0].tolist()
    for index in range(len(description.hidden)):
        assert (spikes[index] == expected.spikes[index][0]).all(), index
        assert (membranes[index] == expected.membranes[index][0]).all(), index
    return expected, finished


def check_cycles(network, x, emit, clear):
    """Integers, and the cycle in which each step is through each layer."""
    expected, finished = check(network, x, emit, clear)
    inputs, counts = x, []
    for layer, stage, fired in zip(network.description.layers, network.plan.stages,
                                   [*expected.spikes, [None]], strict=True):
        counts.append(word_counts(stage, inputs, fired[0], clear))
        inputs = pooled(layer, fired[0]) if layer.kind == "convolution" else fired[0]
    arrivals = [len(step) for step in beats(network, x, emit, clear)]
    planned = finish_times(network.plan, counts, arrivals)
    for index, cycles in enumerate(finished):
        assert cycles == planned[index].tolist(), index


@pytest.mark.parametrize("seed", range(24))
def test_random(seed):
    """Integers and cycles, where the source never waits and the sink is never slow."""
    rng = np.random.default_rng(seed)
    description = random_stream(rng)
    foldings = random_serial(rng, description)
    events = foldings[0].sparse and bool(rng.integers(2))
    network = Network(description, foldings, events=events)
    x, emit, clear = random_steps(rng, description, length(network))
    # a result that waits for the one before would hold up the readout
    emit[:-1] &= np.arange(len(emit) - 1) % 3 == 0
    check_cycles(network, x, emit, clear)


@pytest.mark.parametrize("seed", range(24, 32))
def test_gaps_and_stalls(seed):
    rng = np.random.default_rng(seed)
    description = random_stream(rng)
    network = Network(description, random_serial(rng, description))
    x, emit, clear = random_steps(rng, description, length(network))
    check(network, x, emit, clear, gaps=0.5, stalls=0.7)


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("n_in, simd", [(7, 4), (9, 8), (5, 12)])
def test_what_is_beyond_the_inputs(n_in, simd, events):
    """Random bits beside the inputs of the last word change nothing; steps without a spike too."""
    rng = np.random.default_rng(n_in)
    description = random_stream(rng, words=[(6, 2, True), (4, 1, False)])
    while description.n_in != n_in:
        description = random_stream(rng, words=[(6, 2, True), (4, 1, False)])
    foldings = [SerialFolding(3, simd, True), SerialFolding(2, 3, True), SerialFolding(2, 2)]
    network = Network(description, foldings, events=events)
    x, emit, clear = random_steps(rng, description, STEPS)
    x[5:9] = 0
    check(network, x, emit, clear, junk=rng)


def test_words_without_anything_beyond():
    """The mask is only where SIMD does not divide the inputs, and no encoder gives zeros there."""
    rng = np.random.default_rng(0)
    for description in (random_stream(rng) for _ in range(20)):
        for simd in range(1, 21):
            stage = plan(description, [SerialFolding(1, simd), *(
                SerialFolding(1, 1) for _ in description.layers[1:])]).stages[0]
            divides = description.n_in % simd == 0
            assert (StepInput(stage, events=False).beyond == 0) == divides
            assert StepInput(stage, events=False, padded=True).beyond == 0


def test_silence_and_uproar():
    """No spike at all, and all of them, at every step."""
    rng = np.random.default_rng(5)
    description = random_stream(rng, words=[(9, 2, True), (5, 1, False)])
    for value in (0, 1):
        for sparse in (False, True):
            foldings = [SerialFolding(3, 4, sparse), SerialFolding(2, 3, sparse),
                        SerialFolding(2, 2, sparse)]
            x = np.full((12, description.n_in), value, np.uint8)
            emit = np.arange(12) % 4 == 3
            check(Network(description, foldings), x, emit, np.zeros(12, bool))


def test_zero_words_cost_nothing():
    """The cycles of a sparse layer follow its spikes; those of a dense one do not."""
    rng = np.random.default_rng(6)
    description = random_stream(rng, words=[(8, 1, False)])
    x = np.zeros((2, description.n_in), np.uint8)
    x[1] = 1
    for sparse in (True, False):
        planned = plan(description, [SerialFolding(4, 2, sparse), SerialFolding(1, 2, sparse)])
        stage = planned.stages[0]
        counts = word_counts(stage, x, None, np.zeros(2, bool))
        cycles = stage.step_cycles(counts)
        assert counts.tolist() == ([0, stage.in_words] if sparse else [stage.in_words] * 2)
        assert (cycles[0] < cycles[1]) == (sparse and stage.in_words > 2)


def test_default_folding():
    rng = np.random.default_rng(7)
    description = random_stream(rng, words=[(64, 16, False), (32, 1, True)])
    for cycles in (None, 100, 300):
        planned = plan(description, default_serial(description.layers, cycles))
        if cycles:
            assert all(stage.groups * stage.words <= cycles for stage in planned.stages)


@pytest.mark.parametrize("foldings, sentence", [
    ([SerialFolding(1, 1)], "the network has 3 layers, the folding 1"),
    ([SerialFolding(0, 1)] * 3, "layer 0: PE must be 1 to"),
    ([SerialFolding(1, 1), SerialFolding(99, 1), SerialFolding(1, 1)], "layer 1 has 5 neurons"),
    ([SerialFolding(1, 5000)] * 3, "layer 0: SIMD must be 1 to"),
    ([SerialFolding(1, 1, 1)] * 3, "layer 0: sparse is true or false"),
])
def test_wrong_foldings(foldings, sentence):
    description = random_stream(np.random.default_rng(0), words=[(8, 1, False), (5, 1, True)])
    with pytest.raises(FoldingError, match=sentence):
        plan(description, foldings)


def test_images_are_refused():
    description = random_description(np.random.default_rng(0), widths=(4, 3, 2), input_bits=1)
    with pytest.raises(FoldingError, match="layer 0 cannot be serial"):
        Network(description, [SerialFolding(1, 1)] * 2)

"""The emitted Verilog of networks for streams: random ones, long ones, committed ones."""

import json
from dataclasses import replace

import numpy as np
import pytest

from qsnn.hw.emit.build import NETWORKS, build, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import Folding, SerialFolding
from qsnn.hw.plan.window import window_of
from qsnn.model import audio, streams
from qsnn.model.description import Description, load
from qsnn.model.layers import FullyConnected
from qsnn.model.recordings import encode_beats, excerpt
from qsnn.sim.beats import pack_heartbeats, pack_sounds
from qsnn.sim.runner import simulate_stream
from qsnn.sim.steps import simulate_steps
from qsnn.sim.tools import SimulationError
from tests.networks import with_integer_readout
from tests.streams import (
    random_folded,
    random_map_stream,
    random_serial,
    random_steps,
    random_stream,
    recorded,
)
from tests.whole import parts

COCOTB = 6
COMMITTED = sorted(path.stem for path in NETWORKS.glob("*.qsnn") if load(path).stream)
SOME, MANY = 2_000_000, 8_000_000  # cycles of a test: as many samples as they allow


@pytest.mark.parametrize("seed", [
    pytest.param(seed, marks=[pytest.mark.smoke] if seed < 3 else []) for seed in range(COCOTB)])
def test_random(folder, waves, seed):
    """In cocotb, with gaps, stalls and resets."""
    rng = np.random.default_rng(seed)
    description = random_stream(rng)
    foldings = random_serial(rng, description)
    x, emit, clear = random_steps(rng, description, 25)
    simulate_stream(folder, description, foldings, x, emit, clear,
                    events=foldings[0].sparse and seed % 2 == 1, waves=waves)


@pytest.mark.parametrize("seed", range(3))
def test_random_maps(folder, waves, seed):
    """The same with convolutions."""
    rng = np.random.default_rng(seed)
    description = random_map_stream(rng)
    foldings = random_folded(rng, description)
    x, emit, clear = random_steps(rng, description, 8, clears=0.2)
    simulate_stream(folder, description, foldings, x, emit, clear, waves=waves)


@pytest.mark.parametrize("words, choice", [("c4k3w2-a2-c6k2p0-12w2t2r", 0), ("c8k3s2-c4k3-p2", -1)])
def test_maps(tmp_path, words, choice):
    """3,000 steps: spikes, membranes, scores, and the planned cycles."""
    rng = np.random.default_rng(len(words))
    description = random_map_stream(rng, words, (7, 6, 2))
    foldings = [SerialFolding(2, 5, bool(index % 2)) for index in range(len(description.layers))]
    foldings[:2] = [Folding(layer.channels, 2, pixels=window_of(layer).pixel_choices[choice])
                    for layer in description.layers[:2]]
    facts, description = built(tmp_path, description, foldings)
    x, emit, clear = random_steps(rng, description, 3000)
    outcome = simulate_steps(tmp_path / "stream", facts, description, x, emit, clear)
    assert outcome.ok, outcome.mismatches
    assert outcome.cycles == outcome.planned
    assert all(0.01 < rate < 0.99 for rate in outcome.rates)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("words, image", [("fc9w4it2r-fc8w2i", (13,)),
                                          ("c4k3w4i-a2-fc7w4it2r", (6, 4, 2))])
def test_integers(tmp_path, words, image, sparse):
    """Weights that are all integers: 3,000 steps."""
    rng = np.random.default_rng(len(words))
    description = with_integer_readout(rng, random_map_stream(rng, words, image, 4))
    foldings = [SerialFolding(3, 4, sparse) for _ in description.layers]
    if description.layers[0].kind == "convolution":
        foldings[0] = Folding(4, 2, pixels=2)
    facts, description = built(tmp_path, description, foldings)
    x, emit, clear = random_steps(rng, description, 3000)
    outcome = simulate_steps(tmp_path / "stream", facts, description, x, emit, clear)
    assert outcome.ok, outcome.mismatches
    assert outcome.cycles == outcome.planned
    assert all(0.01 < rate < 0.99 for rate in outcome.rates)


@pytest.mark.parametrize("leak, window", [((1, 1), 8), ((15, 4), 17), ((43, 7), 9), ((255, 8), 8)])
def test_leaky_readout(tmp_path, leak, window):
    """Totals that leak, are read again and again, and saturate: 3,000 steps."""
    rng = np.random.default_rng(window + leak[1])
    description = random_stream(rng, words=[(12, 2, True, 4)])
    hidden, last = description.layers
    description = Description(time_steps=0, layers=[hidden, replace(
        last, leak=leak, window=window, weights=abs(last.weights))])
    facts, description = built(tmp_path, description, random_serial(rng, description))
    x, emit, clear = random_steps(rng, description, 3000, clears=0.01)
    outcome = simulate_steps(tmp_path / "stream", facts, description, x, emit, clear)
    assert outcome.ok, outcome.mismatches
    assert outcome.cycles == outcome.planned and emit.sum() > 300
    if leak == (255, 8):
        assert (outcome.scores - description.readout.bias).max() == (
            description.readout.total_limit << description.readout.frac)


def built(folder, description, foldings, **options):
    return open_build(build(description, foldings, "stream", folder, **options))


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("words", [[(20, 4, True), (12, 1, False)], [(16, 1, False, 2),
                                                               (9, 2, True, 4)]])
def test_without_an_end(tmp_path, sparse, words):
    """20,000 steps and never a clear: spikes, membranes, scores, and the planned cycles."""
    rng = np.random.default_rng(len(words[0]) + sparse)
    description = random_stream(rng, words=words)
    foldings = [SerialFolding(4, 4, sparse), SerialFolding(3, 4, sparse),
                SerialFolding(1, 3, sparse)]
    facts, description = built(tmp_path, description, foldings)
    x, emit, clear = random_steps(rng, description, 20_000, clears=0)
    outcome = simulate_steps(tmp_path / "stream", facts, description, x, emit, clear)
    assert outcome.steps == 20_000 and not clear.any()
    assert outcome.ok, outcome.mismatches
    assert outcome.cycles == outcome.planned
    assert all(0.01 < rate < 0.99 for rate in outcome.rates)


@pytest.mark.parametrize("seed", range(100, 102))
def test_events(tmp_path, seed):
    """Frames and events are the same stream; events take fewer beats."""
    rng = np.random.default_rng(seed)
    description = random_stream(rng)
    foldings = [SerialFolding(folding.pe, folding.simd, True)
                for folding in random_serial(rng, description)]
    x, emit, clear = random_steps(rng, description, 2000)
    outcomes = []
    for events in (False, True):
        facts, description = built(tmp_path / str(events), description, foldings, events=events)
        outcomes.append(simulate_steps(tmp_path / str(events) / "stream", facts, description, x,
                                       emit, clear))
    frames, events = outcomes
    assert frames.ok and events.ok
    assert (frames.scores == events.scores).all()
    assert events.cycles <= frames.cycles and events.cycles == events.planned


def test_a_difference_is_seen(tmp_path):
    """One threshold, weight or recurrent weight that is not the Verilog's is a mismatch."""
    rng = np.random.default_rng(9)
    description = random_stream(rng, words=[(20, 2, True)])
    facts, _ = built(tmp_path, description, choose_folding(description))
    x, emit, clear = random_steps(rng, description, 3000, clears=0)
    layer = description.hidden[0]
    fields = {name: getattr(layer, name) for name in (
        "weights", "threshold", "bias", "input_bits", "membrane_bits", "signed", "shift", "frac",
        "taps", "recurrent")}
    fired = streams.run(description, x[None], trace=True).spikes[0][0].mean(axis=0)
    busy = int(np.argmin(abs(fired - 0.4)))
    for name in ("threshold", "weights", "recurrent"):
        changed = fields[name].copy()
        if name == "threshold":
            changed[busy] += 1 << layer.frac  # a synapse
        else:
            changed[busy] *= -1
        other = Description(time_steps=0, layers=(
            FullyConnected(**fields | {name: changed}), description.readout))
        outcome = simulate_steps(tmp_path / "stream", facts, other, x, emit, clear)
        assert outcome.mismatches["layer 0 membranes"], name


def test_samples_through_the_encoder(tmp_path):
    """Heart beats of a recording as they were sampled; the encoder is a part of the Verilog."""
    description = load(NETWORKS / "ecg-32t24-32t4-b2.qsnn")
    folder = build(description, [SerialFolding(8, 8), SerialFolding(8, 8), SerialFolding(1, 8)],
                   "ecg", tmp_path, encoder="ecg")
    facts, description = open_build(folder)
    samples, intervals, labels = (part[:300] for part in excerpt())
    records = np.repeat([1, 2], 150)  # as if another patient came
    x = encode_beats(samples, intervals, records)
    last = np.tile(np.arange(x.shape[1]) == x.shape[1] - 1, len(x))
    outcome = simulate_steps(folder, facts, description, x.reshape(-1, x.shape[2]), last, last,
                             signal=pack_heartbeats(facts, samples, intervals, records))
    assert outcome.ok, outcome.mismatches
    assert (outcome.labels == labels).mean() > 0.9
    with pytest.raises(SimulationError, match="has the encoder ecg in front"):
        simulate_steps(folder, facts, description, x.reshape(-1, x.shape[2]), last, last)


def test_last_step_must_emit(tmp_path):
    rng = np.random.default_rng(1)
    description = random_stream(rng)
    facts, _ = built(tmp_path, description, choose_folding(description))
    x, emit, clear = random_steps(rng, description, 10)
    emit[-1] = False
    with pytest.raises(SimulationError, match="must emit"):
        simulate_steps(tmp_path / "stream", facts, description, x, emit, clear)


def test_sounds(tmp_path):
    """Sounds of three frames through the encoder in the Verilog, then a network."""
    description = load(NETWORKS / "spoken-digits-64t8-64t4-b2.qsnn")
    facts, description = built(tmp_path, description, choose_folding(description),
                               encoder="spoken-digits")
    rng = np.random.default_rng(0)
    samples = rng.integers(-3000, 3001, (4, 3 * audio.FRAME)).astype(np.int16)
    samples[1] = 0
    samples[2] = rng.choice([-32768, 32767], samples.shape[1])
    x = audio.sound(samples).reshape(12, -1)
    last = np.tile([False, False, True], 4)
    outcome = simulate_steps(tmp_path / "stream", facts, description, x, last, last,
                             signal=pack_sounds(facts, samples))
    assert outcome.ok, outcome.mismatches
    assert 0.1 < x.mean() < 0.9 and all(rate > 0.01 for rate in outcome.rates)


@pytest.mark.parametrize("name, cycles", parts(COMMITTED, SOME, MANY))
def test_committed(tmp_path, name, cycles):
    """Test samples of real recordings through the Verilog; whole sets of some: ``make whole``."""
    measured = json.loads((NETWORKS / f"{name}.json").read_text())
    description = load(NETWORKS / f"{name}.qsnn")
    facts, description = built(tmp_path, description, choose_folding(description))
    samples, labels = recorded(measured["recipe"]["dataset"])
    steps = samples.shape[1] // description.n_in
    dense = max(layer["cycles_per_step"]["dense"] for layer in facts["layers"])
    count = max(30, min(len(samples), cycles // (dense * steps)))
    samples, labels = samples[:count], labels[:count]
    last = np.tile(np.arange(steps) == steps - 1, len(samples))
    outcome = simulate_steps(tmp_path / "stream", facts, description,
                             samples.reshape(-1, description.n_in), last, last)
    assert outcome.ok, outcome.mismatches
    assert outcome.cycles == outcome.planned
    if len(labels) == measured["test"]["images"]:
        assert (outcome.labels == labels).sum() == measured["test"]["correct"]

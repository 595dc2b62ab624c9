"""The package from Python: what its functions say and give, on small networks."""

import gc
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import qsnn
from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.fit import FitError, choose_for_board
from qsnn.hw.emit import build as builds
from qsnn.hw.emit.artefacts import artefacts
from qsnn.hw.plan.activity import choose_for_activity
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.estimate import estimate
from qsnn.hw.plan.folding import Folding, SerialFolding, default_serial
from qsnn.hw.plan.network import plan
from qsnn.model import experiment, golden, streams
from qsnn.model.config import Config, Recipe, TrainingError, config_for
from qsnn.model.data import DataError, find
from qsnn.model.description import save
from qsnn.model.measure import finish
from qsnn.model.reading import Reading
from qsnn.network import Network
from qsnn.sim.workload import chosen
from tests.networks import random_description
from tests.streams import random_steps, random_stream

ROWS = [{"pe": 2, "simd": 8}, {"pe": 1, "simd": 2}]


@pytest.fixture(scope="module")
def net():
    """A network for images of 64 pixels."""
    return Network("small", random_description(np.random.default_rng(5), widths=(64, 8, 3),
                                               time_steps=2, input_bits=4))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)


@pytest.fixture(scope="module")
def stream():
    return Network("flow", random_stream(np.random.default_rng(2), words=[(6, 2, True)]))


@pytest.fixture(scope="module")
def samples(stream):
    steps, _, _ = random_steps(np.random.default_rng(0), stream.description, 40)
    return steps.reshape(8, 5, -1)


def test_import_is_light():
    code = ("import sys, qsnn; assert 'compile' in dir(qsnn); "
            "print([name for name in ('numpy', 'amaranth', 'torch') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    with pytest.raises(AttributeError, match="no attribute 'lode'; there is .*load"):
        qsnn.lode  # noqa: B018


def test_load(tmp_path, net):
    known = qsnn.load("mnist-128-b2")
    facts = json.loads((builds.NETWORKS / "mnist-128-b2.json").read_text())
    assert (known.name, known.description.shape) == ("mnist-128-b2", "784-128-10")
    assert known.accuracy == facts["test"]["accuracy"] and known.training == facts
    assert f"{known.accuracy:.2f} %" in known._repr_html_()
    (tmp_path / "mine").mkdir()
    save(net.description, tmp_path / "mine" / "network.qsnn")
    own = qsnn.load(tmp_path / "mine" / "network.qsnn")
    assert (own.name, own.accuracy, own.training) == ("mine", None, {})
    (tmp_path / "mine" / "result.json").write_text('{"test": {"accuracy": 12.5}}')
    assert qsnn.load(tmp_path / "mine" / "network.qsnn").accuracy == 12.5
    with pytest.raises(builds.BuildError, match="no-such: neither a file nor one of"):
        qsnn.load("no-such")


def test_predict(net, images, tmp_path):
    pixels = images.reshape(-1, 64) >> 4  # the network sees 4 bits
    expected = golden.infer(net.description, pixels, trace=True)
    for given in (images, images[..., None], images[:, None], images.reshape(-1, 64)):
        found = net.predict(given)
        assert np.array_equal(found.labels, expected.labels) and found.spikes is None
        assert np.array_equal(found.scores, expected.scores)
    traced = net.predict(images, trace=True)
    assert np.array_equal(traced.membranes[0], expected.membranes[0])
    np.save(tmp_path / "a.npy", images[:3])
    np.save(tmp_path / "b.npy", images[3:])
    files = net.predict([tmp_path / "a.npy", str(tmp_path / "b.npy")])
    assert np.array_equal(files.scores, expected.scores)
    assert np.array_equal(net.predict(tmp_path / "a.npy").scores, expected.scores[:3])
    with pytest.raises(DataError, match="images: .12, 8, 7. is not of images .N, 64."):
        net.predict(images[:, :, :7])
    with pytest.raises(DataError, match="12 of 12 images are dark on bright"):
        net.predict(np.full_like(images, 250))
    assert len(net.predict(np.full_like(images, 250), invert=False).labels) == 12


def test_predict_of_a_stream(stream, samples):
    found = stream.predict(samples)
    assert np.array_equal(found.scores, streams.classify(stream.description, samples).scores)
    with pytest.raises(ValueError, match=r"steps must have shape \[40, T, "):
        stream.predict(samples.reshape(40, -1))
    with pytest.raises(ValueError, match="the inputs of a stream are spikes"):
        stream.predict(samples + 1)


def test_another_accelerator_in_its_folder(net, samples, tmp_path):
    """What is in a folder is held to what is asked for: else all is equal, to another network."""
    first, second = (qsnn.compile(net, cycles=cycles) for cycles in (8, 80))
    images = np.zeros((2, net.description.n_in), np.uint8)
    first.build(tmp_path / "core")
    second.build(tmp_path / "core")
    for ask in (lambda: first.simulate(images), first.report):
        with pytest.raises(ValueError, match="core holds another accelerator now: build this one"):
            ask()
    assert "cycles" in second.report()


def test_events(stream, tmp_path):
    """The Verilog that qsnn build writes with --events."""
    folder = qsnn.compile(stream, events=True).build(tmp_path / "flow")
    description = stream.description
    files = artefacts(description, choose_folding(description), "flow", events=True)
    verilog = next(name for name in files if name.endswith(".v"))
    assert (folder / verilog).read_text() == files[verilog]
    with pytest.raises(ValueError, match="^events are of streams"):
        qsnn.compile("mnist-128-b2", events=True)


def test_foldings(net, stream, samples, tmp_path):
    (tmp_path / "folding.json").write_text(json.dumps(ROWS))
    wanted = [Folding(**row) for row in ROWS]
    for folding in (ROWS, wanted, tmp_path / "folding.json"):
        assert qsnn.compile(net, folding=folding).foldings == wanted
    for cycles in (0, 50):
        assert qsnn.compile(net, cycles=cycles).foldings == choose_folding(
            net.description, cycles=cycles)
    assert qsnn.compile(net, serial=1).foldings == choose_folding(net.description, serial=1)
    board = BOARDS["icebreaker"]
    for options in (dict(bare=True), dict(loadable=True, link="spi")):
        found = choose_for_board(net.description, board, hz=24e6, **options)
        assert qsnn.compile(net, board="icebreaker", fit=True,
                            **options).foldings == list(found.foldings)
    found = choose_for_board(net.description, board, hz=12e6, fps=50_000)
    assert qsnn.compile(net, board="icebreaker", fps=50_000,
                        clock=12).foldings == list(found.foldings)
    assert qsnn.compile(stream).foldings == default_serial(stream.description.layers)
    found = choose_for_board(stream.description, board, hz=24e6)
    assert qsnn.compile(stream, board="icebreaker", fit=True).foldings == list(found.foldings)
    assert qsnn.compile(stream, folding=[{"pe": 3, "simd": 2}, {"pe": 1, "simd": 3}]).foldings == [
        SerialFolding(3, 2), SerialFolding(1, 3)]
    own = [SerialFolding(3, 2, False), SerialFolding(1, 3)]
    assert qsnn.compile(stream, folding=own).foldings == own
    for units in (4, 12):
        assert qsnn.compile(stream, activity=samples, units=units).foldings == choose_for_activity(
            stream.description, samples, units)
    for wrong in (dict(folding=own), dict(cycles=9), dict(fit=True, board="icebreaker")):
        with pytest.raises(ValueError, match="activity"):
            qsnn.compile(stream, activity=samples, **wrong)
    with pytest.raises(ValueError, match="^activity is of streams"):
        qsnn.compile(net, activity=samples)


@pytest.mark.parametrize("options, sentence", [
    (dict(board="no"), "no board 'no': there are icebreaker"),
    (dict(fit=True), "--fit and --target-fps need a --board"),
    (dict(board="icebreaker", fit=True, fps=5), "give one of them alone"),
    (dict(cycles=9, folding=ROWS), "leave out fit, fps, cycles, activity and serial"),
    (dict(clock=5), "clock and bare are of a board: name one"),
    (dict(board="icebreaker", clock=0.5), "clock takes 1 to 1000 MHz, not 0.5"),
    (dict(board="icebreaker", clock=float("nan")), "clock takes 1 to 1000 MHz, not nan"),
    (dict(board="icebreaker", fps=float("nan")), r"fps takes 0 to 1e\+12, not nan"),
    (dict(cycles=float("inf")), r"cycles takes 0 to 1e\+12, not inf"),
    (dict(cycles="9"), "cycles takes 0 to .*, not '9'"), (dict(cycles=-1), ", not -1$"),
    (dict(board="icebreaker", bare=True, link="spi"), "a bare core has no host link: leave out"),
    (dict(folding=[{"pe": 2}] * 2), "'simd' is missing"),
    (dict(folding=[Folding(1, 1)] * 3), "the network has 2 layers, the folding 3")])
def test_compile_refuses(net, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        qsnn.compile(net, **options)


def test_what_does_not_fit_is_refused():
    with pytest.raises(FitError, match="--fit finds a folding that does"):
        qsnn.compile("mnist-256-b2", board="icebreaker", cycles=20)
    with pytest.raises(FitError, match="the network needs"):
        qsnn.compile("mnist-256-b2", board="icebreaker", folding=[{"pe": 256, "simd": 28},
                                                                  {"pe": 10, "simd": 256}])


def test_estimate(net, stream):
    found = qsnn.compile(net, folding=ROWS).estimate
    layout = plan(net.description, [Folding(**row) for row in ROWS])
    assert (found.cycles, found.latency, found.unit) == (layout.cycles, layout.latency, "image")
    assert found.logic is found.ram is found.rate is None and not found.at_most
    board, host = BOARDS["icebreaker"], dict(loadable=True, link="spi")
    found = qsnn.compile(net, board="icebreaker", folding=ROWS, clock=12, **host).estimate
    needs = estimate(board, layout, **host)
    assert found.logic == (needs.logic, 5280) and found.ram == (needs.blocks, 30)
    assert found.rate == 12e6 / float(layout.cycles)
    assert f"about {needs.logic:,} of 5,280" in str(found) and "at 12 MHz" in str(found)
    found = qsnn.compile(net, board="icebreaker", folding=ROWS, bare=True).estimate
    assert found.logic == (estimate(board, layout, bare=True).logic, 5280)
    found = qsnn.compile(stream, board="icebreaker").estimate
    layout = plan(stream.description, default_serial(stream.description.layers))
    assert (found.cycles, found.unit, found.at_most) == (layout.cycles, "step", True)
    assert found.ram == (estimate(board, layout).blocks, 30)


def test_build(net, tmp_path):
    folder = qsnn.compile(net, folding=ROWS).build(tmp_path / "a" / "mine")
    assert folder == tmp_path / "a" / "mine"
    expected = builds.build(net.description, [Folding(**row) for row in ROWS], "mine",
                            tmp_path / "b")
    files = sorted(path.relative_to(expected) for path in expected.rglob("*"))
    assert files == sorted(path.relative_to(folder) for path in folder.rglob("*"))
    for file in files:
        if (expected / file).is_file():
            assert (folder / file).read_bytes() == (expected / file).read_bytes(), file


@pytest.fixture(scope="module")
def acc(net):
    return qsnn.compile(net, folding=ROWS)


def test_simulate(acc, net, images):
    expected = net.predict(images, trace=True)
    found = acc.simulate(images, trace=True)
    assert found.equal and np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.scores, expected.scores)
    assert np.array_equal(found.spikes[0], expected.spikes[0]) and found.spikes[0].any()
    assert (found.cycles, found.latency) == (acc.estimate.cycles, acc.estimate.latency)
    assert str(found).startswith("12 through the Verilog: every label, score, spike and membrane")
    assert (alone := acc.simulate(images[0])).cycles is None and alone.spikes is None
    assert acc.report() == (acc.folder / "report.txt").read_text() + f"\n{acc.estimate}"
    assert "pe 2" in acc._repr_html_() and "0 differ" in found._repr_html_()


def test_verilog_that_differs(acc, images):
    memory, = (acc.folder / "memory").glob("*_layer1_weights.hex")
    before = memory.read_text()
    memory.write_text("0\n" * len(before.split()))
    with pytest.warns(UserWarning, match=r"NOT EQUAL to the golden model: .*scores"):
        found = acc.simulate(images)
    assert not found.equal and found.mismatches["scores"] > 0
    memory.write_text(before)


def test_folder(net, tmp_path):
    """A temporary one, gone with its object, until one is asked for."""
    acc = qsnn.compile(net, folding=ROWS)
    temporary = acc.folder
    assert temporary.name == "small" and (temporary / "qsnn_small.v").exists()
    acc.build(tmp_path / "mine")
    assert acc.folder == tmp_path / "mine"
    del acc
    gc.collect()
    assert not temporary.parent.exists() and (tmp_path / "mine" / "mine.v").exists()


def test_simulate_a_stream(stream, samples):
    acc = qsnn.compile(stream)
    found = acc.simulate(samples, trace=True)
    expected = stream.predict(samples, trace=True)
    assert found.equal and np.array_equal(found.scores, expected.scores)
    assert np.array_equal(found.membranes[0], expected.membranes[0]) and found.latency is None
    assert 1 <= found.cycles <= acc.estimate.cycles + acc.estimate.latency


def test_encoder():
    """Where the Verilog has an encoder, the samples must come as they were recorded."""
    acc = qsnn.compile("ecg-32t24-32t4-b2", encoder="ecg")
    samples = chosen(acc.net.description, "ecg", 2, encoder="ecg")
    assert acc.net.workload(samples) is samples
    assert builds.open_build(acc.folder)[0]["encoder"] == "ecg"
    with pytest.raises(builds.BuildError, match="the encoder ecg takes signals and no spikes"):
        acc.simulate(samples.samples)


def test_without_a_board(net, images):
    acc = qsnn.compile(net)
    with pytest.raises(builds.BuildError, match=r"say qsnn.compile\(..., board=...\)"):
        acc.bitstream()
    with pytest.raises(builds.BuildError, match=r"board=..., bare=True\)"):
        acc.verify(images)
    with pytest.raises(builds.BuildError, match=r"board=..., bare=True\)"):
        qsnn.compile(net, board="icebreaker").verify(images)


@pytest.mark.slow
def test_verify(net, images):
    """Down to the bitstream, with the tools of an iCE40; the stages have their own tests."""
    acc = qsnn.compile(net, board="icebreaker", bare=True, folding=ROWS)
    said = []
    made = acc.bitstream(seeds=2, say=said.append)
    assert made.path == acc.folder / "icebreaker" / "qsnn_small.bin"
    assert made.path.stat().st_size > 1000
    assert len(made.fmax) == 2 and max(made.fmax) == made.result["fmax_mhz"]["best"]
    assert made.result == json.loads(made.path.with_name("result.json").read_text())
    assert len(said) == 3 and str(made) in acc.report()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = acc.verify(images, stages="rtl", say=pytest.fail)
    assert (found.stage, found.images, found.ok) == ("rtl", 12, True)


def test_train(tmp_path):
    pytest.importorskip("torch")
    lines = []
    options = dict(hidden=(16,), bits=3, epochs=1, batch_size=32, seed=3, out=tmp_path / "mine",
                   report=lines.append)
    net = qsnn.train("digits", **options)
    assert (net.name, net.description.shape) == ("mine", "64-16-10")
    assert net.description.hidden[0].membrane_bits == 3 and len(lines) == 1
    assert net.accuracy == net.training["test"]["accuracy"] > 0
    assert net.training["recipe"]["seed"] == 3 and net.training["equality"]["equal"]
    with pytest.raises(TrainingError, match="holds a training with seed 3, not 4"):
        qsnn.train("digits", **options | {"seed": 4})
    with pytest.raises(TypeError, match="hiden"):
        qsnn.train("digits", hiden=(16,))


def test_config_for():
    colour = config_for("cifar-10", arch="c8k3-p2", last_bits=8)
    assert (colour.image, colour.inputs, colour.last_bits) == ((32, 32, 3), 3072, 8)
    flat = config_for("mnist")
    assert (flat.image, flat.hidden, flat.time_steps, flat.input_bits) == (None, (256, 256), 4, 8)
    heart = config_for("ecg", arch="fc8t2", bits=4)
    assert (heart.stream, heart.inputs, heart.classes, heart.time_steps) == (True, 30, 5, 40)
    for options, sentence in ((dict(arch="fc8", hidden=(8,)), "--arch takes the place of --hidden"),
                              (dict(one_output=True), "ecg has 5 classes, and one output tells"),
                              (dict(time_steps=4), "leave out --time-steps"),
                              (dict(input_bits=4), "leave out --input-bits")):
        with pytest.raises(ValueError, match=sentence):
            config_for("ecg", **options)


def three_kinds(count=60):
    """Rows that are easy to tell apart."""
    labels = np.arange(count) % 3
    return np.random.default_rng(0).normal(size=(count, 6)) + 4 * np.eye(6)[labels], labels


def test_own_data(tmp_path, monkeypatch):
    """From a file to labels by name; what is not measured at once is so later, all the same."""
    monkeypatch.chdir(tmp_path)
    rows, labels = three_kinds()
    names = np.array(["cow", "ant", "bee"])
    np.savez("mine.npz", x=rows, y=names[labels])
    said = []
    net = qsnn.train("mine.npz", hidden=(16,), epochs=40, split=2, report=lambda epoch: None,
                     say=said.append)
    assert said == list(find("mine.npz", reading=Reading(split=2)).said) and len(said) == 2
    assert net.classes == ("ant", "bee", "cow")
    assert net.training["recipe"]["reading"]["split"] == net.description.meaning.split == 2
    assert net.training["command"].endswith(" --split 2")
    found = net.predict(rows).labels
    assert np.mean([net.classes[label] for label in found] == names[labels]) > 0.8
    assert net.accuracy > 70
    shown = [f"{row[0]},{','.join(map(str, row[1:]))}" for row in rows]
    (tmp_path / "new.csv").write_text("a,b,c,d,e,f\n" + "\n".join(shown))
    assert (net.predict("new.csv").labels == found).all()
    config, recipe = Config(**net.training["config"]), Recipe(**net.training["recipe"])
    experiment.run(config, recipe, tmp_path / "later", measured=False)
    assert json.loads(json.dumps(finish(tmp_path / "later"))) == net.training


def test_own_stream(tmp_path):
    """Numbers are encoded as those of the training set were."""
    rows, labels = three_kinds()
    np.savez(tmp_path / "mine.npz", x=rows, y=labels)
    net = qsnn.train(tmp_path / "mine.npz", stream=True, levels=4, arch="fc8t6", epochs=1,
                     out=tmp_path / "out", report=lambda epoch: None)
    assert net.description.stream and net.description.n_in == 4
    test = find(tmp_path / "mine.npz", reading=Reading(stream=True, levels=4)).load("test")[0]
    taken = net.workload(rows[:, :, None]).samples
    assert taken.shape == (60, 6, 4)
    assert {sample.tobytes() for sample in test} < {sample.tobytes() for sample in taken}

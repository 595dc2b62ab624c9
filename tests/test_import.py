"""qsnn import and qsnn export, and the training that an import begins."""

import json
from importlib import import_module

import numpy as np
import pytest
from typer.testing import CliRunner

from qsnn.model import data
from qsnn.model.description import load, save
from qsnn.model.graphs import Bits, quantize
from qsnn.model.graphs.graph import Affine, Conv, Flatten, Graph, Neuron, Pool
from qsnn.model.inference import infer
from tests.frameworks import framework
from tests.networks import random_description, random_maps
from tests.nir import lif, line, write

pytest.importorskip("h5py", reason="NIR files need h5py: pip install 'qsnn-fpga[nir]'")


def call(command, *arguments):
    app = import_module(f"qsnn.scripts.{command}").app
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fitted(rng, hidden=40):
    """Weights of a small network for the digits that is better than chance: random features, and
    classes fitted to their spikes."""
    x, labels = data.load("digits", "train")
    first = rng.normal(size=(hidden, 64)) / 3
    spikes = Graph((64,), (Affine(name="fc", weight=first, bias=np.zeros(hidden)), neuron())).run(
        x / 255, 4).outputs.sum(axis=1, dtype=float)
    second, *_ = np.linalg.lstsq(spikes, np.eye(10)[labels] - 0.1, rcond=None)
    return first, second.T


def neuron(name="lif", **changes):
    return Neuron(**dict(name=name, leak=np.float64(0.5), gain=np.float64(1),
                         threshold=np.float64(1)) | changes)


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    first, second = fitted(np.random.default_rng(0))
    nodes, edges = line({"type": "Linear", "weight": first}, lif(40),
                        {"type": "Affine", "weight": second, "bias": np.zeros(10)}, n=64)
    return write(tmp_path_factory.mktemp("nir") / "digits.nir", nodes, edges)


def test_import_and_export(graph_file, tmp_path):
    out = tmp_path / "mine"
    options = ("--from", "norse", "--dt", 1e-4, "--time-steps", 4, "--dataset", "digits")
    done = call("import", graph_file, *options, "--out", out)
    assert done.exit_code == 0, done.output
    description = load(out / "network.qsnn")
    x, labels = data.load("digits", "test")
    right = 100 * (infer(description, x).labels == labels).mean()
    report = json.loads((out / "import.json").read_text())
    assert report["test"]["integers"] == pytest.approx(right) and right > 60
    assert f"accuracy of 360 test samples: floats {report['test']['floats']:.2f} %, integers " \
        f"{right:.2f} %" in done.output
    for text in ("chosen on 300 training samples", "leak 0.5 as 1/2, reset to zero"):
        assert text in done.output
    assert report["report"]["layers"][0]["taken"] == [1, 1] and description.time_steps == 4
    # the same again gives the same bytes
    before = (out / "network.qsnn").read_bytes()
    assert call("import", graph_file, *options, "--out", out).exit_code == 0
    assert (out / "network.qsnn").read_bytes() == before
    # and out again
    done = call("export", out / "network.qsnn", "--nir", tmp_path / "again.nir")
    assert done.exit_code == 0 and "neurons reset to zero and fire above" in done.output
    done = call("import", tmp_path / "again.nir", "--from", "norse", "--dt", 1e-4, "--time-steps",
                4, "--dataset", "digits", "--out", tmp_path / "again")
    found = json.loads((tmp_path / "again" / "import.json").read_text())["test"]
    assert abs(found["integers"] - right) < 2 and found["same"] > 340


def test_training_begins_with_it(graph_file, tmp_path):
    """The checkpoint's network has the weights of the integers, and their labels; and it trains."""
    pytest.importorskip("torch")
    from qsnn.model.export import fold
    from qsnn.model.training import Training
    done = call("import", graph_file, "--from", "norse", "--dt", 1e-4, "--time-steps", 4,
                "--dataset", "digits", "--weights", 1, "--first", 1, "--last", 1, "--out",
                tmp_path / "mine")
    assert done.exit_code == 0, done.output
    description = load(tmp_path / "mine" / "network.qsnn")
    training = Training.load(tmp_path / "mine" / "checkpoint.safetensors")
    begun = fold(training.net.double().eval())
    for one, other in zip(begun.layers, description.layers, strict=True):
        assert (one.weights == other.weights).all()
    x, labels = data.load("digits", "test")
    before = infer(description, x).labels
    assert (infer(begun, x).labels == before).mean() > 0.95
    command = done.output.split("to train it further: qsnn train ")[1].split()
    assert "--no-standardize" in command and "fc40" in command
    command[command.index("--epochs") + 1] = "8"
    command[command.index("--out") + 1] = str(tmp_path / "trained")
    trained = call("train", *command)
    assert trained.exit_code == 0, trained.output
    after = infer(load(tmp_path / "trained" / "network.qsnn"), x).labels
    assert (after == labels).mean() > (before == labels).mean() + 0.05


@pytest.mark.parametrize("stream", [False, True])
def test_start_of_all_kinds(stream, tmp_path):
    """Maps, rows, own spikes, widths of weights, leaks: each begins as the integers are."""
    pytest.importorskip("torch")
    from qsnn.model.export import fold
    from qsnn.model.graphs.start import save_start
    from qsnn.model.training import Training
    rng = np.random.default_rng(4)
    soft = dict(leak=np.float64(0.75), drop=np.float64(1))
    if stream:
        own = Affine(name="own", weight=rng.normal(size=(9, 9)) / 4, bias=np.zeros(9))
        graph = Graph((7,), (
            Affine(name="a", weight=rng.normal(size=(9, 7)), bias=rng.normal(size=9) / 5),
            neuron("b", recurrent=own), Affine(name="c", weight=rng.normal(size=(3, 9)),
                                               bias=np.zeros(3))))
        x = rng.integers(0, 2, (80, 6 * 7))
    else:
        graph = Graph((2, 8, 8), (
            Conv(name="a", weight=rng.normal(size=(4, 2, 3, 3)) / 2, bias=rng.normal(size=4) / 5),
            neuron("b", **soft), Pool(name="p", kind="mean", size=(2, 2)), Flatten(name="f"),
            Affine(name="c", weight=rng.normal(size=(6, 36)) / 2, bias=np.zeros(6)),
            neuron("d", **soft)))
        x = rng.integers(0, 256, (80, 128))
    for bits in (Bits(4), Bits(1, 8, 1)):
        found = quantize(graph, 0 if stream else 5, x, bits=bits)
        config = save_start(found, x, "mnist", tmp_path / "begin.safetensors")
        begun = fold(Training.load(tmp_path / "begin.safetensors").net.double().eval())
        assert config.stream == stream and begun.shape == found.description.shape
        for one, other in zip(begun.layers, found.description.layers, strict=True):
            assert (one.weights == other.weights).mean() > 0.98 and one.n_in == other.n_in
            assert one.kind == "readout" or (one.leak, one.reset, one.shift - one.frac) == (
                other.leak, other.reset, other.shift - other.frac)
        assert (infer(begun, x).labels == infer(found.description, x).labels).mean() > 0.8


def model(tmp_path, text):
    path = tmp_path / "net.py"
    path.write_text("import torch\nfrom torch import nn\n" + text)
    return path


def test_import_a_model(tmp_path):
    framework("snntorch")
    path = model(tmp_path, """import snntorch as snn
def make():
    torch.manual_seed(0)
    lif = dict(beta=0.75, init_hidden=True)
    return nn.Sequential(nn.Linear(64, 30), snn.Leaky(**lif), nn.Linear(30, 10), snn.Leaky(**lif))
""")
    done = call("import", f"{path}:make", "--time-steps", 9, "--dataset", "digits", "--mean", 0.1,
                "--std", 0.1, "--out", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert "spikes of the net and of its graph on the sample: 0 of" in done.output
    assert "leak 0.75 as 3/4, reset by subtraction" in done.output
    layer = load(tmp_path / "mine" / "network.qsnn").layers[0]
    assert layer.leak == (3, 2) and layer.reset == "subtract"


WINDOWS = """import numpy as np
from qsnn.model.graphs.graph import Affine, Conv, Flatten, Graph, Neuron
def make(channels=2, width=6):
    rng, one = np.random.default_rng(0), np.float64(1)
    lif = dict(leak=one / 2, gain=one, threshold=one / 4)
    return Graph((channels, 1, width), (
        Conv(name="c", weight=rng.normal(size=(4, channels, 1, 3)), bias=np.zeros(4)),
        Neuron(name="l", **lif), Flatten(name="f"),
        Affine(name="fc", weight=rng.normal(size=(3, 4 * width - 8)), bias=np.zeros(3))))
def square():
    return make(6, 6)
"""


def windows(tmp_path, **arrays):
    np.savez(tmp_path / "set.npz", y=np.arange(60) % 3, **arrays)
    path = model(tmp_path, WINDOWS)
    return lambda *options, of="make": call("import", f"{path}:{of}", "--dataset",
                                            tmp_path / "set.npz", *options)


def test_axes_of_a_set_are_turned(tmp_path):
    """[N, L, C] and [N, C, L], with a row or without: one network, of one accuracy."""
    x = np.random.default_rng(1).random((60, 6, 2))  # steps, channels
    first, found = x.swapaxes(1, 2), []
    for at, own in enumerate((x, x[:, None], first, first[:, :, None])):
        done = windows(tmp_path, x=own)("--time-steps", 4, "--out", tmp_path / str(at))
        assert done.exit_code == 0, done.output
        assert ("channels first, as in PyTorch: turned" in done.output) == (at > 0)
        found.append(load(tmp_path / str(at) / "network.qsnn"))
        assert found[-1].input_map == found[-1].meaning.image == (1, 6, 2)
        assert infer(found[-1], data.find(tmp_path / "set.npz", meaning=found[-1].meaning).load(
            "test")[0]).labels.tolist() == (labels := infer(found[0], data.find(
                tmp_path / "set.npz", meaning=found[0].meaning).load("test")[0]).labels.tolist())
        assert len(set(labels)) > 1
    assert all((one.layers[0].weights == found[0].layers[0].weights).all() for one in found)


@pytest.mark.parametrize("shape, of, options, sentence", [
    ((12,), "make", (), "samples of 12, and the network takes 1 x 6 x 2 (height x width x channels)"
     ": say --image 1x6x2 if the channels of a pixel are side by side there"),
    ((3, 4), "make", (), "samples of 3 x 4 x 1, and the network takes 1 x 6 x 2"),
    ((2, 6, 1), "make", (), "samples of 2 x 6 x 1, and the network takes 1 x 6 x 2"),
    ((6, 2), "make", ("--image", "6x2x1"), "samples of 6 x 2 x 1, and the network takes 1 x 6 x 2 "
     "(height x width x channels): give --image 1x6x2"),
    ((6, 6), "square", (), "which axis has the channels its shape does not say: give --image 1x6x6"
     " if it is the last one, else save x.swapaxes(1, 2) and give it too"),
])
def test_as_many_numbers_are_no_reason(shape, of, options, sentence, tmp_path):
    x = np.random.default_rng(1).random((60, *shape))
    done = windows(tmp_path, x=x)("--time-steps", 4, *options, "--out", tmp_path / "out", of=of)
    assert done.exit_code == 2 and done.output.count("error: ") == 1
    assert sentence in done.output and not (tmp_path / "out").exists()


def test_reading_and_its_command(tmp_path):
    """Options of the reading go into the command, which works as it is printed."""
    pytest.importorskip("torch")
    x = np.random.default_rng(1).random((60, 2, 6))
    done = windows(tmp_path, x=x)("--time-steps", 4, "--split", 3, "--out", tmp_path / "out")
    assert done.exit_code == 0 and "--image 1x6x2 --split 3" in done.output, done.output
    trained = call("train", *done.output.split("to train it further: qsnn train ")[1].split(),
                   "--epochs", 1)
    assert trained.exit_code == 0, trained.output
    done = windows(tmp_path, x=x.reshape(60, -1))("--time-steps", 4, "--image", "1x6x2", "--out",
                                                 tmp_path / "rows")
    assert done.exit_code == 0, done.output


def test_streams_of_an_own_set(tmp_path):
    graph = """import numpy as np
from qsnn.model.graphs.graph import Affine, Graph, Neuron
def make():
    rng, one = np.random.default_rng(0), np.float64(1)
    return Graph((8,), (Affine(name="a", weight=rng.normal(size=(5, 8)), bias=np.zeros(5)),
        Neuron(name="l", leak=one / 2, gain=one, threshold=one),
        Affine(name="fc", weight=rng.normal(size=(3, 5)), bias=np.zeros(3))))
"""
    np.savez(tmp_path / "set.npz", y=np.arange(60) % 3,
             x=np.random.default_rng(1).random((60, 9, 2)))
    done = call("import", f"{model(tmp_path, graph)}:make", "--dataset", tmp_path / "set.npz",
                "--stream", "--levels", 4, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert load(tmp_path / "out" / "network.qsnn").meaning.shape == (9, 2)
    assert "no checkpoint" in done.output or "--stream --levels 4" in done.output


@pytest.mark.parametrize("arguments, sentence", [
    (["{nir}", "--from", "norse", "--dataset", "digits"], "give --time-steps: how often an image"),
    (["{nir}", "--time-steps", "4", "--dataset", "digits"], "1: NIR does not say whether a neuron"),
    (["{nir}", "--time-steps", "4", "--dataset", "nothing"], "no data set 'nothing'"),
    (["{nir}", "--time-steps", "4", "--weights", "3"], "weights have 1, 2, 4 or 8 bits, not 3"),
    (["{nir}", "--time-steps", "4", "--leak", "2"], "a leak of '2'"),
    (["{nir}", "--time-steps", "4", "--std", "0"],
     "--mean 0 and --std 0 are those of no pixels of 0 to 1"),
    (["none.nir", "--time-steps", "4", "--dataset", "digits"], "none.nir: no such file"),
    (["{nir}", "--time-steps", "4", "--dataset", "mnist", "--from", "norse", "--dt", "1e-4"],
     "the network takes 64 numbers, samples have 784"),
    (["{py}", "--time-steps", "4", "--dataset", "digits"], "name the function that makes the "),
    (["{py}:none", "--time-steps", "4", "--dataset", "digits"], "net.py has no function none"),
    (["{py}:broken", "--time-steps", "4", "--dataset", "digits"], "net.py: ZeroDivisionError: div"),
    (["{py}:quits", "--time-steps", "4", "--dataset", "digits"],
     "net.py: it ends with sys.exit(0): quits must return the model"),
    (["{py}:text", "--time-steps", "4", "--dataset", "digits"], "a torch.nn.Module is needed, not"),
    (["{py}:small", "--time-steps", "4", "--dataset", "digits"], "the net does not take this samp"),
    (["{py}:small", "--time-steps", "4", "--dataset", "digits", "--dt", "1"],
     "--from, --reset, --compare, --dt and --gain are of NIR files"),
    (["none.py:make", "--time-steps", "4", "--dataset", "digits"], "none.py: no such file"),
])
def test_wrong(arguments, sentence, graph_file, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    path = model(tmp_path, "def broken():\n    return 1 / 0\n\ndef quits():\n"
                           "    raise SystemExit(0)\n\ndef text():\n    return 'net'\n\n"
                           "def small():\n    return nn.Linear(3, 3)\n")
    names = {"nir": graph_file, "py": path}
    done = call("import", *(argument.format(**names) for argument in arguments), "--out", "mine")
    assert done.exit_code == 2 and sentence in done.output, done.output
    assert done.output.count("error: ") == 1 and done.output.count("\n") == 1
    assert not (tmp_path / "mine").exists()


def test_export_of_taps(tmp_path):
    done = call("export", "ecg-32t24-32t4-b2", "--nir", tmp_path / "net.nir")
    assert done.exit_code == 0 and (tmp_path / "net.nir").stat().st_size > 1e6


def test_our_own_files_come_back(tmp_path):
    """--from qsnn is what an export says, and gives its scores; pools of the maximum as well."""
    rng = np.random.default_rng(0)
    description = random_maps(rng, words=["c4k3", "p2", "fc20"], image=(8, 8, 1), time_steps=3,
                              classes=10, input_bits=8)
    save(description, tmp_path / "a.qsnn")
    done = call("export", tmp_path / "a.qsnn", "--nir", tmp_path / "a.nir")
    assert done.exit_code == 0 and "--from qsnn --time-steps 3 --dataset" in done.output
    done = call("import", tmp_path / "a.nir", "--from", "qsnn", "--time-steps", 3, "--dataset",
                "digits", "--image", "8x8", "--out", tmp_path / "again")
    assert done.exit_code == 0, done.output


def test_an_export_does_not_replace_a_network(tmp_path):
    path = tmp_path / "a.qsnn"
    save(random_description(np.random.default_rng(0), widths=(5, 4, 3)), path)
    before = path.read_bytes()
    done = call("export", path, "--nir", path)
    assert done.exit_code == 2 and "say --nir a.nir" in done.output
    assert path.read_bytes() == before


def test_an_import_does_not_replace_a_training(graph_file, tmp_path):
    (tmp_path / "result.json").write_text("{}")
    done = call("import", graph_file, "--time-steps", 4, "--dataset", "digits", "--out", tmp_path)
    assert done.exit_code == 2 and "holds a training: choose another --out" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_classes_of_the_outputs(graph_file, tmp_path):
    """By alphabet, which is said, or as it is asked for; as many as there are outputs."""
    images, labels = data.load("digits", "train")
    words = "zero one two three four five six seven eight nine".split()
    options = ("--from", "norse", "--dt", 1e-4, "--time-steps", 4)
    for count, more, sentence in (
            (10, (), "outputs are taken to be the classes in this order"),
            (10, ("--classes", ",".join(words)), "zero, one, two, three"),
            (9, (), "the network has 10 outputs, and ")):
        chosen = labels < count
        np.savez(tmp_path / "a.npz", x=images[chosen], y=np.array(words)[labels[chosen]])
        done = call("import", graph_file, *options, "--dataset", tmp_path / "a.npz", *more,
                    "--out", tmp_path / f"{count}{len(more)}")
        assert sentence in done.output and (done.exit_code == 0) == (count == 10)
    right = [json.loads((tmp_path / f"10{more}" / "import.json").read_text())["test"]["floats"]
             for more in (0, 2)]
    assert right[0] < 30 and right[1] > 60


def test_a_sample_that_is_none(tmp_path):
    source = model(tmp_path, """
def make():
    return torch.nn.Linear(64, 10), "x"
""")
    done = call("import", f"{source}:make", "--time-steps", 4, "--dataset", "digits", "--out",
                tmp_path / "out")
    assert done.exit_code == 2
    assert "the sample is str: a tensor or an array is needed" in done.output


def test_wrong_export(tmp_path):
    assert call("export", "nothing", "--nir", tmp_path / "net.nir").exit_code == 2

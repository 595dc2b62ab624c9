"""The whole path: driver, pseudo-terminal, pins of the Verilog, and back."""

import dataclasses
import random
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import serial
from amaranth.back import verilog
from amaranth.hdl import Fragment
from PIL import Image

from qsnn.hw.emit.build import NETWORKS, build, contents, open_build
from qsnn.hw.link.accelerator import AcceleratorCore
from qsnn.hw.link.driver import Accelerator, LinkError
from qsnn.hw.link.ports import SpiPort
from qsnn.hw.link.protocol import encoded_bytes
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import Folding
from qsnn.model.data import load, quantize_pixels
from qsnn.model.description import Description, save
from qsnn.model.description import load as load_description
from qsnn.model.golden import infer
from qsnn.sim.link import BAUD, SimulatedBus, compile_link, open_simulated, simulated_port
from tests.device import damage
from tests.networks import random_description, random_maps, random_pixels
from tests.test_load import retrained

SILENCE = 2.0  # seconds
SCRIPT = Path(__file__).parents[1] / "scripts" / "infer.py"
NAME = "mnist-128-b2"


class Noise:
    """A port whose bytes are damaged on their way, in both directions."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.random = random.Random(0)

    def _noise(self, raw, rate):
        return damage(self.random, raw) if raw and self.random.random() < rate else raw

    def write(self, raw):
        super().write(self._noise(raw, 0.1))

    def read(self, size=1):
        return self._noise(super().read(size), 0.01)  # a few bytes, not a frame


class Noisy(Noise, serial.Serial):
    pass


class NoisySpi(Noise, SpiPort):
    pass


def open_noisy(port, link):
    if link == "spi":
        return NoisySpi(SimulatedBus(port), BAUD)
    return Noisy(port, exclusive=True)


def compiled(folder, link="uart"):
    facts, description = open_build(folder)
    return compile_link(folder, facts, description, link), description


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The build folder of a network that takes images of 8 x 8."""
    rng = np.random.default_rng(8)
    description = random_description(rng, widths=(64, 9, 7, 4), time_steps=3, input_bits=5)
    return build(description, [Folding(3, 5), Folding(7, 4), Folding(1, 3)], "small",
                 tmp_path_factory.mktemp("link"))


@pytest.mark.parametrize("link", ["uart", "spi"])
def test_noisy_line(small, link):
    program, description = compiled(small, link)
    pixels = random_pixels(np.random.default_rng(9), description, 300).astype(np.uint8)
    result = infer(description, pixels)
    with simulated_port(program, link) as port:
        with closing(open_noisy(port, link)) as line:
            board = Accelerator(line, name=port, network=description.hash, silence=0.3)
            labels, scores = board.infer(pixels)
            assert board.resent > 10
        # another host afterwards, on a quiet line
        with Accelerator(open_simulated(port, link), name=port, silence=SILENCE) as board:
            status = board.status()
            assert status.bad > 5 and status.good > 300 and status.overruns == 0
            again, _ = board.infer(pixels[:20])
            assert board.resent == 0
            with pytest.raises(LinkError, match="the network on the board is .*, not 0123"):
                board.require("0123" * 16)
    np.testing.assert_array_equal(labels, result.labels)
    np.testing.assert_array_equal(scores, result.scores)
    np.testing.assert_array_equal(again, result.labels[:20])


@pytest.mark.parametrize("image", [(8, 8, 1), (6, 6, 3)])
def test_maps(tmp_path, image):
    """A network with convolutions behind the same link, asked with pictures too."""
    rng = np.random.default_rng(0)
    description = random_maps(rng, words="c4k3-p2-c6k3-a2-fc8", image=image, time_steps=2,
                              input_bits=8)
    folder = build(description, choose_folding(description, cycles=2000), "maps", tmp_path)
    program, _ = compiled(folder)
    pixels = random_pixels(rng, description, 30).astype(np.uint8)
    result = infer(description, pixels)
    with simulated_port(program) as port, Accelerator(
            open_simulated(port, "uart"), name=port, network=description.hash,
            silence=SILENCE) as board:
        labels, scores = board.infer(pixels)
    np.testing.assert_array_equal(labels, result.labels)
    np.testing.assert_array_equal(scores, result.scores)
    maps = pixels.reshape(-1, *image)
    Image.fromarray(maps[0] if image[2] == 3 else maps[0, :, :, 0]).save(tmp_path / "one.png")
    np.save(tmp_path / "two.npy", maps[1:3])
    # noise may look like ink on paper
    done = run("--sim", folder, "--as-is", tmp_path / "one.png", tmp_path / "two.npy")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"label (\d+)", done.stdout) == [str(label) for label in labels[:3]]
    assert "golden model  3 of 3 equal, label and scores" in done.stdout


@pytest.fixture(scope="module")
def loadable(tmp_path_factory):
    """A build folder whose memories can be loaded, and a network of the same shape."""
    rng = np.random.default_rng(3)
    description = random_description(rng, widths=(64, 9, 4), time_steps=2, input_bits=5)
    other = retrained(rng, description)
    out = tmp_path_factory.mktemp("loadable")
    save(other, out / "other.qsnn")
    # 288 bits a word, in two memories
    return build(description, [Folding(9, 32, spram=True), Folding(2, 3)], "net", out), other


def test_other_weights(loadable):
    """Loaded without one lost byte, then over a bad line."""
    folder, other = loadable
    program, description = compiled(folder)
    facts, _ = open_build(folder)
    pixels = random_pixels(np.random.default_rng(4), description, 40).astype(np.uint8)

    def check(board, network):
        result = infer(network, pixels)
        labels, scores = board.infer(pixels)
        np.testing.assert_array_equal(labels, result.labels)
        np.testing.assert_array_equal(scores, result.scores)

    with simulated_port(program) as port:
        with Accelerator.open(port, network=description.hash, silence=SILENCE) as board:
            memories = contents(facts, other)
            assert not board.differing(contents(facts, description))
            check(board, description)
            assert board.load(memories) == list(range(len(memories)))
            check(board, other)
            status = board.status()
            assert (status.bad, status.overruns, board.resent) == (0, 0, 0)
        with Noisy(port, exclusive=True) as line, Accelerator(line, name=port,
                                                              silence=0.3) as board:
            board.load(contents(facts, description))
            check(board, description)
            assert board.resent > 10


def test_script_loads(loadable, tmp_path):
    folder, other = loadable
    pixels = quantize_pixels(load("digits", "test")[0][:3], 5)
    for options, network, loaded in (
            ([], open_build(folder)[1], ""),
            (["--model", folder.parent / "other.qsnn"], other, r"loaded +\d+ bytes into 6 of 6 ")):
        done = run("--sim", folder, *options, "--dataset", "digits", "--images", 3)
        assert (done.returncode, done.stderr) == (0, "")
        assert "golden model  3 of 3 equal, label and scores" in done.stdout
        assert bool(re.search(r"^loaded", done.stdout, re.M)) == bool(loaded)
        assert re.search(loaded, done.stdout), done.stdout
        for scores in infer(network, pixels).scores:
            assert f"scores {' '.join(map(str, scores))}\n" in done.stdout


def test_committed_network(tmp_path):
    """20 images and two faults, one in a request and one in a reply."""
    description = load_description(NETWORKS / f"{NAME}.qsnn")
    program, _ = compiled(build(description, choose_folding(description), NAME, tmp_path))
    pixels = quantize_pixels(load("mnist", "test")[0][:20], description.input_bits)
    result = infer(description, pixels)

    class TwoFaults(Noisy):
        writes = reads = 0

        def _flip(self, raw):
            return bytes([raw[0] ^ 4]) + raw[1:]

        def write(self, raw):
            self.writes += 1
            serial.Serial.write(self, self._flip(raw) if self.writes == 9 else raw)

        def read(self, size=1):
            raw = serial.Serial.read(self, size)
            self.reads += bool(raw)
            return self._flip(raw) if self.reads == 12 else raw

    with simulated_port(program) as port:
        with TwoFaults(port) as line, Accelerator(line, name=port, network=description.hash,
                                                  silence=SILENCE) as board:
            assert board.hello().n_in == 784 and board.hello().window == 8
            labels, scores = board.infer(pixels)
            assert board.resent >= 2 and board.status().bad >= 1
    np.testing.assert_array_equal(labels, result.labels)
    np.testing.assert_array_equal(scores, result.scores)


def run(*options):
    return subprocess.run([sys.executable, SCRIPT, *map(str, options)], capture_output=True,
                          text=True, timeout=300)


def test_script(small, tmp_path):
    """Pictures, arrays and a data set; labels and scores are the golden ones."""
    description = load_description(small / "network.qsnn")
    pixels = load("digits", "test")[0][:3]
    Image.fromarray(pixels[0].reshape(8, 8)).save(tmp_path / "one.png")
    np.save(tmp_path / "three.npy", pixels)
    for options, names in (
            ([tmp_path / "one.png", tmp_path / "three.npy"],
             ["one.png", "three.npy[0]", "three.npy[1]", "three.npy[2]"]),
            (["--link", "spi", "--dataset", "digits", "--images", 3],
             ["digits 0", "digits 1", "digits 2"])):
        done = run("--sim", small, *options)
        assert (done.returncode, done.stderr) == (0, "")
        count = len(names)
        result = infer(description, quantize_pixels(pixels[[0, 0, 1, 2]][-count:], 5))
        for name, label, scores in zip(names, result.labels, result.scores, strict=True):
            assert re.search(rf"^{re.escape(name)} +label {label}  scores "
                             rf"{' '.join(map(str, scores))}$", done.stdout, re.M), done.stdout
        assert f"golden model  {count} of {count} equal, label and scores" in done.stdout


@pytest.mark.parametrize("options, sentence", [
    ([], "either --port or --sim is needed"),
    (["--port", "/dev/no"], "either pictures or a --dataset is needed"),
    (["--port", "/dev/no", "x.png"], "/dev/no: no such port; there is .*"),
    (["--port", "/dev/no", "--model", "x", "x.png"],
     "--model needs the --build that the board has been made from"),
    (["--sim", "{small}", "--model", NAME, "x.png"],
     f".*{NAME}.qsnn needs another circuit than the build: shape is 784-128-10, not 64-9-7-4; run "
     "qsnn build, or train it with --like"),
    (["--sim", "no", "x.png"], "no: not a build folder; run qsnn build"),
    (["--sim", "{small}", "no.png"], "no.png: no such file"),
    (["--sim", "{small}", "--dataset", "mnist"],
     r"mnist: \[20, 28, 28, 1\] is not of images \[N, 64\], nor of height, width and channels that "
     "come to 64 pixels")])
def test_script_errors(small, options, sentence):
    done = run(*(option.format(small=small) for option in options))
    assert done.returncode == 2
    assert re.fullmatch(f"error: {sentence}\n", done.stderr), done.stderr


def test_new_weights_need_no_new_verilog():
    """What differs between networks of a shape is in memory images, the greeting too."""
    description = random_description(np.random.default_rng(1), widths=(6, 4, 3))
    readout = dataclasses.replace(description.layers[-1], bias=description.layers[-1].bias[::-1])
    other = Description(time_steps=description.time_steps,
                        layers=[*description.hidden, readout])
    cores = [AcceleratorCore(network, choose_folding(description), clock_hz=12_000_000,
                             baud=1_000_000, files="net") for network in (description, other)]
    assert cores[0].greeting != cores[1].greeting
    assert len({verilog.convert(core, name="core", emit_src=False) for core in cores}) == 1


def test_what_is_loaded_fits():
    """A word that is longer than an image has room in the queue."""
    description = random_description(np.random.default_rng(1), widths=(40, 64, 3), input_bits=1)
    core = AcceleratorCore(description, [Folding(64, 40), Folding(1, 64)], clock_hz=48_000_000,
                           baud=1_000_000, loadable=True)
    assert core.link.depth >= encoded_bytes(3 + 64 * 40 // 8) > 256
    Fragment.get(core, None)

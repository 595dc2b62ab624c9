"""Programs on the emitted engine: every spike, membrane and score is the golden model's."""

import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from qsnn import sim
from qsnn.hw.emit.build import NETWORKS
from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.engine.engine import Engine
from qsnn.hw.engine.program import compile_program
from qsnn.hw.engine.shape import EngineError, EngineShape
from qsnn.model import golden
from qsnn.model.description import load
from qsnn.sim.engine import compile_engine, run_engine
from tests.networks import random_description, random_maps, random_pixels, random_words

# columns of 4 and 8 channels, 2 to 8 lanes, words of 8 to 32 synapses
SHAPES = [
    EngineShape(pe=24, simd=32, beat=8, steps=4, map_words=512, slab_words=256),
    EngineShape(pe=8, simd=16, beat=4, steps=2, map_words=512, slab_words=256),
    EngineShape(pe=16, simd=8, beat=4, steps=8, map_words=512, slab_words=256, membrane_bits=6),
]
NUMBER = 22  # networks on each
LARGE = EngineShape(pe=16, simd=32, map_words=8192, slab_words=1024, sum_bits=20)
COMMITTED = sorted(path.stem for path in NETWORKS.glob("*.qsnn") if not load(path).stream)


@pytest.fixture(scope="session")
def engines(tmp_path_factory):
    """Shape -> its simulation."""
    made = {}

    def engine(shape):
        if shape not in made:
            made[shape] = compile_engine(shape, tmp_path_factory.mktemp("engine"))
        return made[shape]
    return engine


def random_program(rng, shape):
    """Any network that the engine takes: kernels, strides, paddings, pools, skips, steps, bits,
    channels that fill no group, and a batch of 1 to 16 images, in sets that share lanes or not."""
    while True:
        steps = int(rng.integers(1, shape.steps + 1))
        if rng.integers(3) == 0:
            widths = [int(rng.integers(1, 100)),
                      *map(int, rng.integers(1, 80, rng.integers(1, 4))), int(rng.integers(1, 30))]
            description = random_description(rng, widths=widths, time_steps=steps)
        else:
            image, words, _ = random_words(rng)
            words = [word + "i" * (word[-2:] in ("w2", "w4", "w8") and int(rng.integers(2)))
                     for word in words]
            description = random_maps(rng, words=words, image=image, time_steps=steps)
        try:
            return compile_program(description, shape, int(rng.choice([1, 2, 3, 4, 7, 16])))
        except EngineError:
            pass  # drawn again


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s.pe}x{s.simd}x{s.steps}")
def test_random_networks(shape, engines):
    rng = np.random.default_rng([shape.pe, shape.simd, shape.steps, 3])
    skips = beside = codes = 0
    for seed in range(NUMBER):
        program = random_program(rng, shape)
        description = program.description
        skips += any(layer.skip is not None for layer in description.layers)
        beside += program.share > 0
        codes += any(layer.weight_code == "integer" for layer in description.layers)
        pixels = random_pixels(rng, description, 3 * program.batch)
        outcome = run_engine(engines(shape), program, pixels, seed=seed,
                             stalls=int(rng.choice([0, 40, 128, 230])))
        assert outcome.ok, (seed, description.shape, description.time_steps, outcome.mismatches)
    assert min(skips, beside, codes) >= 2  # else the test is not what it says


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_networks(name, engines):
    """Every committed network for images, on one engine, without another compilation."""
    description = load(NETWORKS / f"{name}.qsnn")
    beside = 1 << LARGE.share(description.time_steps)
    program = compile_program(description, LARGE, beside)
    rng = np.random.default_rng(1)
    outcome = run_engine(engines(LARGE), program, random_pixels(rng, description, 2 * beside))
    assert outcome.ok, outcome.mismatches


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2]], ids=lambda s: f"{s.pe}x{s.simd}")
def test_cycles(shape, engines):
    """What is said of a network before, cycle for cycle, whatever binds: array, memory, pixels."""
    rng = np.random.default_rng(7)
    for _ in range(10):
        program = random_program(rng, shape)
        pixels = random_pixels(rng, program.description, 6 * program.batch)
        outcome = run_engine(engines(shape), program, pixels, trace=False)
        assert outcome.ok
        assert outcome.last_pace == program.time().cycles, program.description.shape


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("words", ["c8k3-c8k3-c8k3+0", "c8k3-r12-p5", "c40k3-c8k3-c40k1+0",
                                   "c9k3-r70s2"])
def test_skips(words, shift, engines):
    """A skip before the pass over the window and behind it, whose counts differ."""
    shape, rng = SHAPES[0], np.random.default_rng(shift)
    program = None
    while program is None:
        description = random_maps(rng, words=words.split("-"), image=(6, 5, 2), classes=3,
                                  time_steps=int(rng.integers(1, 5)), input_bits=4)
        if shift in (layer.skip.shift for layer in description.hidden if layer.skip):
            with suppress(EngineError):  # of a membrane's step, which is drawn
                program = compile_program(description, shape)
    outcome = run_engine(engines(shape), program, random_pixels(rng, description, 4))
    assert outcome.ok, (description.time_steps, outcome.mismatches)


@pytest.mark.parametrize("words, classes", [
    ("c40k3-c40k3-a6", 5), ("c9k3w2-c40k3-c40k3-a6-fc12", 3), ("c40k3-p2-c70k3-a3-fc50w4i-fc7", 4),
    ("c8k3-r8-a6-fc9w8", 2)])
def test_counts_over_a_map(words, classes, engines):
    """A sum pool of a whole map: its positions share the weights of the layer behind it."""
    shape, rng = SHAPES[0], np.random.default_rng(classes)
    for steps in range(1, shape.steps + 1):
        program = None
        while program is None:
            description = random_maps(rng, words=words.split("-"), image=(6, 6, 2),
                                      time_steps=steps, classes=classes, input_bits=4)
            with suppress(EngineError):  # of a membrane's step, which is drawn
                program = compile_program(description, shape)
        pixels = random_pixels(rng, description, 12)
        outcome = run_engine(engines(shape), program, pixels)
        assert outcome.ok, outcome.mismatches
        assert outcome.last_pace == program.time().cycles
        program = compile_program(description, shape, 2)
        outcome = run_engine(engines(shape), program, pixels, stalls=int(rng.choice([0, 128])))
        assert outcome.ok, outcome.mismatches


def test_wrong_weights_are_seen(engines):
    """The comparison can fail: one bit of the program."""
    rng = np.random.default_rng(3)
    program = random_program(rng, SHAPES[0])
    program.words[-2] ^= 1 << 7
    outcome = run_engine(engines(SHAPES[0]), program, random_pixels(rng, program.description, 16
                                                                    * program.batch))
    assert not outcome.ok


def test_icarus(tmp_path):
    """The same Verilog in another simulator, two networks one after the other."""
    shape, rng = SHAPES[1], np.random.default_rng(4)
    (tmp_path / "engine.v").write_text(to_verilog(Engine(shape), "engine"))
    for _ in range(2):
        program = random_program(rng, shape)
        description, words = program.description, program.words[:-1]
        pixels = random_pixels(rng, description, 2 * program.batch)
        (tmp_path / "program.hex").write_text("\n".join(f"{word:08x}" for word in words))
        (tmp_path / "images.hex").write_text("\n".join(f"{byte:02x}" for byte in pixels.ravel()))
        sizes = {"WORDS": len(words), "BYTES": pixels.size, "IMAGES": program.batch,
                 "SCORES": len(pixels) * description.outputs}
        subprocess.run(["iverilog", "-g2005", "-s", "engine_tb", "-o", "tb", "engine.v",
                        Path(sim.__file__).parent / "engine_tb.v",
                        *(f"-Pengine_tb.{name}={value}" for name, value in sizes.items())],
                       cwd=tmp_path, check=True)
        done = subprocess.run(["vvp", "tb"], cwd=tmp_path, check=True, capture_output=True,
                              text=True)
        found = np.array([line.split() for line in done.stdout.splitlines()
                          if line[:1] in "-0123456789"], int)
        expected = golden.infer(description, pixels)
        assert (found[:, 0].reshape(len(pixels), -1) == expected.scores).all()
        assert (found[:, 1].reshape(len(pixels), -1)[:, -1] == expected.labels).all()


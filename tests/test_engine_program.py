"""Programs for an engine: what they hold, and what no engine takes."""

import zlib

import numpy as np
import pytest

from qsnn.hw.emit.build import NETWORKS
from qsnn.hw.engine.loader import descriptor_words
from qsnn.hw.engine.program import MAGIC, compile_program
from qsnn.hw.engine.shape import EngineError, EngineShape
from qsnn.hw.memory.check import HEADER
from qsnn.model.description import load
from tests.networks import leaky_network, random_description, random_maps

SHAPE = EngineShape(pe=16, simd=32, map_words=4096)


def network(name):
    return load(NETWORKS / f"{name}.qsnn")


def test_header_and_crc():
    program = compile_program(network("mnist-128-b2"), SHAPE)
    words = program.words
    assert words[0] == MAGIC and words[1] == SHAPE.version and words[2] == len(words)
    assert words[-1] == zlib.crc32(words[:-1].astype("<u4").tobytes())
    assert program.tobytes() == compile_program(network("mnist-128-b2"), SHAPE).tobytes()


def test_words_of_layers():
    """Nothing but the header, descriptors, parameters, weights and the CRC."""
    program = compile_program(network("mnist-conv-b2"), SHAPE, 2)
    assert len(program.words) == HEADER + descriptor_words(SHAPE.network) + sum(
        layer.words(SHAPE) for layer in program.layers) + 1


def test_useful_bits_are_weights():
    """Bits that meet inputs are those of the network: fan-in x neurons x bits of weights."""
    description = network("mnist-taught-b2")
    program = compile_program(description, SHAPE)
    for layer, time in zip(description.layers, program.layers, strict=True):
        planes = 2 if time is program.layers[0] else 1  # pixels of 8 bits in 4 lanes
        assert time.useful == layer.fan_in * layer.n_out * layer.weight_bits * planes


@pytest.mark.parametrize("changes, words", [
    (dict(steps=2), "time steps"), (dict(map_words=64), "the maps of a batch need"),
    (dict(slab_words=16), "the slab of this engine has 16"), (dict(image_bytes=512), "pixels"),
    (dict(sum_bits=8), "8 bits"), (dict(given_bits=12), "12"), (dict(place=5), "membrane step"),
    (dict(scores=4), "classes of 1 images"),
])
def test_too_small(changes, words):
    shape = EngineShape(**{**dict(pe=16, simd=32, map_words=4096), **changes})
    with pytest.raises(EngineError, match=words) as error:
        compile_program(network("mnist-256-256-b2"), shape)
    assert "\n" not in str(error.value)


def test_refused_networks():
    rng = np.random.default_rng(0)
    with pytest.raises(EngineError, match="stream"):
        compile_program(network("ecg-32t24-32t4-b2"), SHAPE)
    counted = random_maps(rng, words=["c4k3", "a2"], image=(8, 8, 1), time_steps=2)
    with pytest.raises(EngineError, match="count spikes"):
        compile_program(counted, SHAPE, 2)
    compile_program(random_maps(rng, words=["c4k3", "a8"], image=(8, 8, 1), time_steps=2), SHAPE)
    leaky, _ = leaky_network(rng, "leaky")
    with pytest.raises(EngineError, match="^layer 1 has totals that leak: those of the engine add"):
        compile_program(leaky, SHAPE)
    with pytest.raises(EngineError, match="1 to 16 images"):
        compile_program(network("mnist-128-b2"), SHAPE, 17)
    wide = random_description(rng, widths=(20, 9, 3), time_steps=4, membrane_bits=8)
    with pytest.raises(EngineError, match="membranes of 8 bits"):
        compile_program(wide, EngineShape(pe=16, simd=32, membrane_bits=4))


@pytest.mark.parametrize("changes", [
    dict(simd=12), dict(steps=3), dict(beat=5), dict(pe=12), dict(slab_words=500),
    dict(pe=2, beat=4, simd=8)])
def test_impossible_shapes(changes):
    with pytest.raises(EngineError):
        EngineShape(**{**dict(pe=16, simd=32), **changes})


def test_versions():
    """An engine takes no program for another one."""
    shapes = [SHAPE, EngineShape(pe=32, simd=32, map_words=4096),
              EngineShape(pe=16, simd=32, map_words=2048), EngineShape(pe=16, simd=32, place=10)]
    assert len({shape.version for shape in shapes}) == len(shapes)
    assert SHAPE.version == EngineShape(pe=16, simd=32, map_words=4096).version


def test_share():
    assert [SHAPE.share(steps) for steps in (1, 2, 3, 4)] == [2, 1, 0, 0]

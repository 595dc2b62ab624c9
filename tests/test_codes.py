import numpy as np
import pytest

from qsnn.model import golden
from qsnn.model.architecture import ArchitectureError, layers_of
from qsnn.model.codes import CODES
from qsnn.model.config import Config
from qsnn.model.description import (
    Description,
    DescriptionError,
    FullyConnected,
    Readout,
    load,
    save,
)
from tests.networks import random_maps

KINDS = [("odd", bits) for bits in (1, 2, 4, 8)] + [("integer", bits) for bits in (2, 4, 8)]


@pytest.mark.parametrize("name, bits", KINDS)
def test_planes(name, bits):
    """Each number has its own bits, and they mean what the table says."""
    code = CODES[name]
    low, high = code.range(bits)
    numbers = np.arange(low, high + 1, code.step, dtype=np.int16)
    assert len(numbers) == 1 << bits and code.holds(numbers, bits)
    planes = code.to_planes(numbers[:, None], bits)
    assert planes.shape == (bits, 1 << bits, 1)
    assert (code.from_planes(planes)[:, 0] == numbers).all()
    places = 1 << np.arange(bits)[:, None]
    found = ((2 * planes[..., 0] - 1) * places if name == "odd" else planes[..., 0] * places).sum(0)
    assert (found - (0 if name == "odd" else 1 << (bits - 1)) == numbers).all()
    for wrong in (low - 1, high + 1, low + 0.5 * code.step):
        assert wrong % 1 or not code.holds(np.array([int(wrong)]), bits)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_an_integer_is_half_of_an_odd_number_less_one(bits):
    odd, integer = CODES["odd"], CODES["integer"]
    rng = np.random.default_rng(bits)
    planes = rng.integers(0, 2, (bits, 5, 30)).astype(bool)
    x = rng.integers(0, 256, (40, 30))
    sums = golden.synaptic_sum(odd.from_planes(planes), x) - x.sum(axis=1)[:, None]
    assert not (sums & 1).any()
    assert (sums >> 1 == golden.synaptic_sum(integer.from_planes(planes), x)).all()


def layer(kind, weights, **fields):
    zeros = np.zeros(len(weights), int)
    if kind is Readout:
        return Readout(weights=weights, bias=zeros, frac=0, **fields)
    return FullyConnected(weights=weights, threshold=zeros, bias=zeros, input_bits=1,
                          membrane_bits=4, signed=True, shift=2, frac=0, **fields)


def test_ranges():
    """All -8, all 7, and what their sums need."""
    weights = np.full((2, 3), -8)
    weights[1] = 7
    made = layer(FullyConnected, weights, weight_bits=4, weight_code="integer")
    assert made.sum_range == (-24, 21) and made.weights.dtype == np.int8
    own = layer(FullyConnected, weights, weight_bits=4, weight_code="integer",
                recurrent=np.full((2, 2), -8))
    assert own.sum_range == (-40, 35)
    last = layer(Readout, weights, weight_bits=4, weight_code="integer")
    assert last.total_limit == 8 * 24 and last.bias_limit(3, 0, 1, 4, 8, "integer") == 8 * 24


@pytest.mark.parametrize("kind", [FullyConnected, Readout])
@pytest.mark.parametrize("fields, sentence", [
    (dict(weight_bits=4, weight_code="integer"), "weights of 4 bits must be integers in -8 .. 7"),
    (dict(weight_bits=4), "weights of 4 bits must be odd numbers in -15 .. 15"),
    (dict(weight_code="integer"), "weights of 1 bit are no integers"),
    (dict(weight_bits=4, weight_code="even"), "weight_code must be odd or integer, not 'even'"),
])
def test_wrong(kind, fields, sentence):
    with pytest.raises(DescriptionError, match=f"^{sentence}$"):
        layer(kind, np.full((2, 3), 8), **fields)


def test_words():
    image = (8, 8, 1)
    first, second, third = layers_of("c3k3w4i-p2-fc9w2i-fc4w8", image)
    assert [(spec.weight_bits, spec.weight_code) for spec in (first, second, third)] == [
        (4, "integer"), (2, "integer"), (8, "odd")]
    assert layers_of("fc9w4it3r", (8,))[0].taps == 3
    with pytest.raises(ArchitectureError, match="integers of 1 bit are none: leave out the i$"):
        layers_of("fc9w1i", (8,))
    with pytest.raises(ArchitectureError, match="weights have 1, 2, 4 or 8 bits, not 3$"):
        layers_of("fc9w3i", (8,))
    for fields, sentence in ((dict(last_code="even"), "^last_code must be odd or integer, not "),
                             (dict(last_code="integer"), "integer needs last_bits of 2, 4 or 8$")):
        with pytest.raises(ValueError, match=sentence):
            Config(**fields)


def test_a_file(tmp_path):
    """The code is in the file; one that has only the other's is as long as before."""
    rng = np.random.default_rng(0)
    description = random_maps(rng, words="c3k3w4i-p2-fc9w2i-fc4w8", image=(8, 8, 1), time_steps=2)
    assert description.shape == "8x8x1-c3k3w4i-p2-fc9w2i-fc4w8-" + str(description.outputs)
    save(description, tmp_path / "net.qsnn")
    found = load(tmp_path / "net.qsnn")
    assert found.hash == description.hash
    for one, other in zip(found.layers, description.layers, strict=True):
        assert one.weight_code == other.weight_code and (one.weights == other.weights).all()
    other = [layer(FullyConnected, np.ones((2, 3), int)), layer(Readout, np.ones((2, 2), int))]
    assert b"weight_code" not in Description(time_steps=1, layers=other).tobytes()

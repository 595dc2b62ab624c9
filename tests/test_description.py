import dataclasses
import json
import os
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from qsnn.model import description
from qsnn.model.description import (
    Convolution,
    Current,
    Description,
    DescriptionError,
    FullyConnected,
    Readout,
    Skip,
    load,
    save,
)
from tests.files import fuzz, join, split
from tests.networks import random_description, random_maps


def hidden(**changes):
    """A layer of 2 neurons with 3 inputs of 1 bit: sums of -3 .. 3, accumulators of -6 .. 15."""
    fields = dict(weights=np.array([[1, -1, 1], [-1, -1, 1]]), threshold=np.array([2, -1]),
                  bias=np.array([2, 3]), input_bits=1, membrane_bits=2, signed=False, shift=2,
                  frac=1)
    return FullyConnected(**fields | changes)


def readout(**changes):
    fields = dict(weights=np.array([[1, -1], [-1, 1], [1, 1]]), bias=np.array([0, -7, 7]), frac=2)
    return Readout(**fields | changes)


def network(**changes):
    return Description(**dict(time_steps=4, layers=(hidden(), readout())) | changes)


def layer_fields(layer):
    return {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}


def assert_same(a, b):
    assert a.time_steps == b.time_steps
    assert len(a.layers) == len(b.layers)
    for x, y in zip(a.layers, b.layers, strict=True):
        assert type(x) is type(y)
        currents = (getattr(layer, "current", None) for layer in (x, y))
        for one, other in ((x, y), (x.skip, y.skip), currents):
            for name, value in layer_fields(one).items() if one else ():
                found = getattr(other, name)
                assert type(value) is type(found)
                if name not in ("skip", "current"):
                    np.testing.assert_array_equal(value, found, err_msg=name)


@pytest.mark.parametrize("draw", [random_description, random_maps])
@pytest.mark.parametrize("seed", range(50))
def test_round_trip(tmp_path, seed, draw):
    net = draw(np.random.default_rng(seed))
    save(net, tmp_path / "net.qsnn")
    again = load(tmp_path / "net.qsnn")
    assert_same(net, again)
    assert again.hash == net.hash
    assert (tmp_path / "net.qsnn").read_bytes() == net.tobytes() == again.tobytes()


def test_ends_of_ranges_round_trip(tmp_path):
    for end in (0, 1):
        for signed in (False, True):
            ranges = hidden(signed=signed)
            layer = hidden(signed=signed, threshold=np.full(2, ranges.threshold_range[end]),
                           bias=np.full(2, ranges.bias_range[end]))
            net = network(layers=(layer, readout(bias=np.full(3, (-64, 64)[end]))))
            save(net, tmp_path / "net.qsnn")
            assert_same(net, load(tmp_path / "net.qsnn"))


def test_format():
    """The file as a reader without this package sees it."""
    header, data = split(network().tobytes())
    tensors = {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
               for name, entry in header.items() if name != "__metadata__"}
    assert tensors == {
        "0.weights": ("U8", [2, 1], bytes([0b101, 0b100])),  # input 0 is the lowest bit, 1 is +1
        "0.threshold": ("I64", [2], struct.pack("<2q", 2, -1)),
        "0.bias": ("I64", [2], struct.pack("<2q", 2, 3)),
        "1.weights": ("U8", [3, 1], bytes([0b01, 0b10, 0b11])),
        "1.bias": ("I64", [3], struct.pack("<3q", 0, -7, 7)),
    }
    assert json.loads(header["__metadata__"]["qsnn"]) == {
        "version": 1, "time_steps": 4, "layers": [
            {"kind": "fully_connected", "n_in": 3, "n_out": 2, "input_bits": 1, "membrane_bits": 2,
             "signed": False, "shift": 2, "frac": 1},
            {"kind": "readout", "n_in": 2, "n_out": 3, "frac": 2}]}


def test_rows_and_columns(tmp_path):
    """Columns are in the file where they have numbers of their own, and only there."""
    rng = np.random.default_rng(0)
    found = []
    for words in ("c2k3s2-p2-fc3", "c2k1x5s1x2p0x1-p1x2", "c2k3-c3k3s1x2-c3k3+0"):
        net = random_maps(rng, words=words, image=(8, 16, 1))
        save(net, tmp_path / "net.qsnn")
        again = load(tmp_path / "net.qsnn")
        assert again.tobytes() == net.tobytes() and again.shape == net.shape
        layers = json.loads(split(net.tobytes())[0]["__metadata__"]["qsnn"])["layers"]
        found.append([(layer.get("columns"), (layer.get("skip") or {}).get("stride_columns"))
                      for layer in layers if layer["kind"] == "convolution"])
    assert found == [
        [(None, None)], [({"kernel": 5, "stride": 2, "padding": 1, "pool_size": 2}, None)],
        [(None, None), ({"kernel": 3, "stride": 2, "padding": 1, "pool_size": 1}, None),
         (None, 2)]]


def test_same_bytes_in_every_process():
    program = ("import numpy as np; from tests.networks import random_description;"
               "print(random_description(np.random.default_rng(7)).hash)")
    hashes = {subprocess.run([sys.executable, "-c", program], check=True, capture_output=True,
                             env=os.environ | {"PYTHONHASHSEED": seed}, text=True,
                             cwd=Path(__file__).parents[1]).stdout
              for seed in ("0", "1", "2")}
    assert hashes == {random_description(np.random.default_rng(7)).hash + "\n"}


def test_properties():
    net = network()
    assert (net.shape, net.n_in, net.classes, net.input_bits) == ("3-2-3", 3, 3, 1)
    assert net.weight_bits == 12
    assert net.hidden == net.layers[:1] and net.readout is net.layers[1]
    with pytest.raises(ValueError, match="read-only"):
        net.readout.bias[0] = 1


@pytest.mark.parametrize("signed", [False, True])
def test_ranges_change_nothing_beyond_their_ends(signed):
    """Thresholds and biases one inside the ends still make a difference; the ends saturate."""
    layer = hidden(signed=signed, membrane_bits=3)
    accs = [(q << (layer.shift - 1)) + (s << layer.frac)
            for q in range(layer.q_range[0], layer.q_range[1] + 1) for s in range(-3, 4)]
    assert layer.acc_range == (min(accs), max(accs))
    low, high = layer.threshold_range
    assert all(acc >= low for acc in accs) and not all(acc >= low + 1 for acc in accs)
    assert not any(acc >= high for acc in accs) and any(acc >= high - 1 for acc in accs)
    low, high = layer.bias_range
    assert all((acc + low) >> layer.shift <= layer.q_range[0] for acc in accs)
    assert any((acc + low + 1) >> layer.shift > layer.q_range[0] for acc in accs)
    assert all((acc + high) >> layer.shift >= layer.q_range[1] for acc in accs)
    assert any((acc + high - 1) >> layer.shift < layer.q_range[1] for acc in accs)


ARRAY = np.array
LEAK = "leak must be (1, 0), or (m, k) with k 1 .. 8 and m odd below 2**k, not"


@pytest.mark.parametrize("leak", [(1, 0), (3, 2), (255, 8), (1, 8)])
def test_leak_and_reset_in_a_file(tmp_path, leak):
    """They come back; and those of Q-SNN take no byte, so networks from before are the same."""
    layer = hidden(shift=9, leak=leak, reset="subtract", bias_fired=np.array([3, 4]))
    net = Description(time_steps=1, layers=(layer, network().readout))
    save(net, tmp_path / "net.qsnn")
    found = load(tmp_path / "net.qsnn")
    assert (found.layers[0].leak, found.layers[0].reset) == (leak, "subtract")
    assert found.layers[0].bias_fired.tolist() == [3, 4] and found.hash == net.hash
    assert b"leak" not in network().tobytes() and b"reset" not in network().tobytes()
    low, high = layer.acc_range
    accs = [(q * leak[0] << (9 - leak[1])) + (s << layer.frac)
            for q in range(layer.q_range[0], layer.q_range[1] + 1) for s in range(-3, 4)]
    assert (low, high) == (min(accs), max(accs))


def test_current_in_a_file(tmp_path):
    """A second state comes back, and its range is part of what accumulators can be."""
    current = Current(bits=3, leak=(3, 2), shift=4, bias=np.array([5, -6]))
    layer = hidden(current=current)
    net = Description(time_steps=1, layers=(layer, network().readout))
    save(net, tmp_path / "net.qsnn")
    found = load(tmp_path / "net.qsnn").layers[0].current
    assert (found.bits, found.leak, found.shift) == (3, (3, 2), 4)
    assert found.bias.tolist() == [5, -6]
    given = [(i * 3 << 2) + (s << layer.frac) for i in range(-4, 4) for s in range(-3, 4)]
    assert layer.given_range == (min(given), max(given))
    assert layer.acc_range == (min(given), max(given) + (3 << 1))
    low, high = layer.current_bias_range
    assert all((value + low) >> 4 <= -4 and (value + high) >> 4 >= 3 for value in given)
    assert any((value + low + 1) >> 4 > -4 for value in given)
    assert any((value + high - 1) >> 4 < 3 for value in given)
    with pytest.raises(DescriptionError, match="bias of the current must lie in"):
        hidden(current=dataclasses.replace(current, bias=np.array([10 ** 6, 0])))


@pytest.mark.parametrize("changes, sentence", [
    (dict(bits=1), "bits of a current must be 2 .. 8, not 1"),
    (dict(leak=(2, 2)), "leak of a current must be (1, 0), or (m, k) with k 1 .. 8 and m odd below "
                        "2**k, not (2, 2)"),
    (dict(shift=1), "shift of a current must be 2 .. 24, not 1")])
def test_wrong_currents(changes, sentence):
    fields = dict(bits=3, leak=(3, 2), shift=4, bias=np.array([5, -6])) | changes
    with pytest.raises(DescriptionError) as caught:
        Current(**fields)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("changes, sentence", [
    (dict(leak=(2, 2)), f"{LEAK} (2, 2)"),
    (dict(leak=(1, 9)), f"{LEAK} (1, 9)"),
    (dict(leak=(3, 0)), f"{LEAK} (3, 0)"),
    (dict(leak=(5, 2)), f"{LEAK} (5, 2)"),
    (dict(leak=[1, 1]), f"{LEAK} [1, 1]"),
    (dict(leak=(True, 1)), f"{LEAK} (True, 1)"),
    (dict(leak=(15, 4)), "shift must be 4 .. 24, not 2"),
    (dict(reset="half"), "reset must be zero or subtract, not 'half'"),
    (dict(reset="subtract"), "a reset by subtraction needs bias_fired"),
    (dict(bias_fired=np.array([1, 2])), "bias_fired is of a reset by subtraction"),
    (dict(input_bits=0), "input_bits must be 1 .. 8, not 0"),
    (dict(input_bits=9), "input_bits must be 1 .. 8, not 9"),
    (dict(input_bits=True), "input_bits must be 1 .. 8, not True"),
    (dict(membrane_bits=1), "membrane_bits must be 2 .. 8, not 1"),
    (dict(membrane_bits=9), "membrane_bits must be 2 .. 8, not 9"),
    (dict(shift=0), "shift must be 1 .. 24, not 0"),
    (dict(shift=25), "shift must be 1 .. 24, not 25"),
    (dict(shift=2.0), "shift must be 1 .. 24, not 2.0"),
    (dict(frac=-1), "frac must be 0 .. 8, not -1"),
    (dict(frac=9), "frac must be 0 .. 8, not 9"),
    (dict(signed=1), "signed must be False .. True, not 1"),
    (dict(signed=None), "signed must be False .. True, not None"),
    (dict(weights=ARRAY([1, -1])), "weights must have two dimensions, not 1"),
    (dict(weights=ARRAY([[1., 1, 1]])), "weights must be signed integers, not float64"),
    (dict(weights=ARRAY([[1, 1, 1]], np.uint8)), "weights must be signed integers, not uint8"),
    (dict(weights=ARRAY([[1, 0, 1], [1, 1, 1]])), "weights must be -1 or +1"),
    (dict(weights=ARRAY([[1, 257, 1], [1, 1, 1]])), "weights must be -1 or +1"),
    (dict(weights=np.ones((0, 3), int)), "a layer has 1 to 65536 inputs and neurons, not 3 and 0"),
    (dict(weights=np.ones((1, 65537), int)),
     "a layer has 1 to 65536 inputs and neurons, not 65537 and 1"),
    (dict(threshold=ARRAY([1., 2])), "threshold must be integers, not float64"),
    (dict(threshold=ARRAY([1, 2, 3])), "threshold has shape (3,), expected (2,)"),
    (dict(threshold=ARRAY([-7, 0])), "threshold must lie in -6 .. 13"),
    (dict(threshold=ARRAY([14, 0])), "threshold must lie in -6 .. 13"),
    (dict(bias=ARRAY([0, -10])), "bias must lie in -9 .. 18"),
    (dict(bias=ARRAY([0, 19])), "bias must lie in -9 .. 18"),
    (dict(bias=ARRAY([0, 1 << 63], np.uint64)), "bias must lie in -9 .. 18"),
])
def test_wrong_hidden(changes, sentence):
    with pytest.raises(DescriptionError) as caught:
        hidden(**changes)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("changes, sentence", [
    (dict(frac=9), "frac must be 0 .. 8, not 9"),
    (dict(frac=False), "frac must be 0 .. 8, not False"),
    (dict(bias=ARRAY([0, 0, 65])), "bias must lie in -64 .. 64"),
    (dict(bias=ARRAY([0, 0, -65])), "bias must lie in -64 .. 64"),
    (dict(bias=ARRAY([0, 0])), "bias has shape (2,), expected (3,)"),
    (dict(weights=ARRAY([[1, 2], [1, 1], [1, 1]])), "weights must be -1 or +1"),
])
def test_wrong_readout(changes, sentence):
    with pytest.raises(DescriptionError) as caught:
        readout(**changes)
    assert str(caught.value) == sentence


def convolution(**changes):
    """4 channels over a map of 6 x 6 x 2, pooled to 3 x 3 x 4."""
    fields = dict(weights=np.ones((4, 3, 3, 2), int), threshold=np.zeros(4, int),
                  bias=np.zeros(4, int), input_bits=1, membrane_bits=2, signed=False, shift=2,
                  frac=0, height=6, width=6, padding=1, pool="max", pool_size=2)
    return Convolution(**fields | changes)


@pytest.mark.parametrize("changes, sentence", [
    (dict(weights=np.ones((4, 18), int)), "weights must have four dimensions, not 2"),
    (dict(weights=np.ones((4, 16, 16, 2), int)), "a kernel has 1 to 15 rows and columns, not 16"),
    (dict(weights=np.ones((4, 3, 16, 2), int)),
     "a kernel has 1 to 15 rows and columns, not 3 x 16"),
    (dict(weights=np.zeros((4, 3, 3, 2), int)), "weights must be -1 or +1"),
    (dict(weights=2 * np.ones((4, 3, 3, 2), int), weight_bits=2),
     "weights of 2 bits must be odd numbers in -3 .. 3"),
    (dict(weights=5 * np.ones((4, 3, 3, 2), int), weight_bits=2),
     "weights of 2 bits must be odd numbers in -3 .. 3"),
    (dict(weight_bits=3), "weight_bits must be 1, 2, 4 or 8, not 3"),
    (dict(weight_bits=True), "weight_bits must be 1, 2, 4 or 8, not True"),
    (dict(height=0), "height must be 1 .. 4096, not 0"),
    (dict(width=4097), "width must be 1 .. 4096, not 4097"),
    (dict(stride=0), "stride must be 1 .. 15, not 0"),
    (dict(padding=3), "padding must be 0 .. 2, not 3"),
    (dict(weights=np.ones((4, 1, 3, 2), int), padding=(1, 1)), "padding must be 0 .. 0, not 1"),
    (dict(padding=(0, 3)), "padding must be 0 .. 2, not 3"),
    (dict(stride=(1, 2, 3)), "stride must be a number, or rows and columns, not (1, 2, 3)"),
    (dict(stride=(1, True)), "stride must be 1 .. 15, not True"),
    (dict(pool_size=(1, 16)), "pool_size must be 1 .. 15, not 16"),
    (dict(pool_size=(1, 1)), "pool max with squares of 1 x 1"),
    (dict(pool="none", pool_size=(1, 2)), "pool none with squares of 1 x 2"),
    (dict(pool_size=(1, 7)), "a map of 6 x 6 is too small for a kernel of 3 x 3 with padding 1, "
                             "stride 1 and pools of 1 x 7"),
    (dict(pool="mean"), "pool must be none, max or sum, not 'mean'"),
    (dict(pool_size=1), "pool max with squares of 1 x 1"),
    (dict(pool="none"), "pool none with squares of 2 x 2"),
    (dict(pool_size=7), "a map of 6 x 6 is too small for a kernel of 3 x 3 with padding 1, stride "
                        "1 and pools of 7 x 7"),
    (dict(height=4096, width=4096), "67108864 neurons, a convolution has at most 1048576"),
    (dict(skip=3), "skip must be a Skip or None"),
    (dict(skip=Skip(source=0, stride=1, shift=0, weights=np.ones((3, 2), int))),
     "a skip must have as many channels as its convolution"),
    (dict(skip=Skip(source=0, stride=1, shift=0), input_bits=2),
     "a convolution with a skip must take spikes of 1 bit"),
    (dict(threshold=np.zeros(3, int)), "threshold has shape (3,), expected (4,)"),
])
def test_wrong_convolution(changes, sentence):
    with pytest.raises(DescriptionError) as caught:
        convolution(**changes)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("changes, sentence", [
    (dict(source=-1), "source of a skip must be 0 .. 63, not -1"),
    (dict(stride=0), "stride of a skip must be 1 .. 15, not 0"),
    (dict(shift=13), "shift of a skip must be 0 .. 12, not 13"),
    (dict(weights=np.zeros((2, 2), int)), "weights must be -1 or +1"),
])
def test_wrong_skip(changes, sentence):
    with pytest.raises(DescriptionError) as caught:
        Skip(**dict(source=0, stride=1, shift=0) | changes)
    assert str(caught.value) == sentence


def plain(**changes):
    """A convolution that keeps its map of 6 x 6 x 2."""
    return convolution(**dict(weights=np.ones((2, 3, 3, 2), int), threshold=np.zeros(2, int),
                              bias=np.zeros(2, int), pool="none", pool_size=1) | changes)


@pytest.mark.parametrize("layers, sentence", [
    ([hidden(), plain()],
     "layer 1 is a convolution and cannot follow a fully connected layer, which has no map"),
    ([plain(), convolution(height=5)],
     "layer 0 gives a map of 6 x 6 x 2 but layer 1 takes 5 x 6 x 2"),
    ([convolution(), hidden()], "layer 0 has 36 outputs but layer 1 3 inputs"),
    ([plain(pool="sum", pool_size=2), plain(height=3, width=3)],
     "layer 1 must take sums of 3 bits"),
    ([plain(skip=Skip(source=0, stride=1, shift=0)), plain()],
     "layer 0 cannot have a skip: no layer is before it"),
    ([plain(), plain(skip=Skip(source=0, stride=1, shift=0))],
     "layer 1: the skip must come from a layer before layer 0, not from layer 0"),
    ([plain(), plain(), plain(skip=Skip(source=0, stride=2, shift=0))],
     "layer 2: the skip gives 3 rows with stride 2 but the neurons have 6"),
    ([plain(), plain(), plain(skip=Skip(source=0, stride=1, shift=0,
                                        weights=np.ones((2, 3), int)))],
     "layer 2: the skip takes 3 channels but layer 0 has 2"),
])
def test_wrong_maps(layers, sentence):
    last = layers[-1]
    with pytest.raises(DescriptionError) as caught:
        network(layers=[*layers, readout(weights=np.ones((3, last.n_outputs), int))])
    assert str(caught.value) == sentence


def square(**changes):
    """A layer that follows itself."""
    return hidden(weights=np.ones((2, 2), int), **changes)


@pytest.mark.parametrize("changes, sentence", [
    (dict(time_steps=-1), "time_steps must be 0 .. 64, not -1"),
    (dict(time_steps=65), "time_steps must be 0 .. 64, not 65"),
    (dict(time_steps=True), "time_steps must be 0 .. 64, not True"),
    (dict(time_steps=4.0), "time_steps must be 0 .. 64, not 4.0"),
    (dict(time_steps=9), "an image of 9 time steps has a readout with window 9, not 8"),
    (dict(layers=()), "a network has a readout and 1 to 63 hidden layers, not 0 layers"),
    (dict(layers=[readout()]), "a network has a readout and 1 to 63 hidden layers, not 1 layers"),
    (dict(layers=[square()] * 64 + [readout()]),
     "a network has a readout and 1 to 63 hidden layers, not 65 layers"),
    (dict(layers=[readout(), hidden()]), "layer 0 must be of spiking neurons"),
    (dict(layers=[hidden(), hidden()]), "layer 1 must be a readout"),
    (dict(layers=[hidden(), None]), "layer 1 must be a readout"),
    (dict(layers=[hidden(), hidden(), readout()]), "layer 0 has 2 neurons but layer 1 3 inputs"),
    (dict(layers=[square(), square(input_bits=2), readout()]),
     "layer 1 must take spikes of 1 bit"),
])
def test_wrong_network(changes, sentence):
    with pytest.raises(DescriptionError) as caught:
        network(**changes)
    assert str(caught.value) == sentence


def test_most_layers(tmp_path):
    wide = [FullyConnected(**layer_fields(hidden()) | dict(
        weights=np.ones((n_out, n_in), int), threshold=np.zeros(n_out, int),
        bias=np.zeros(n_out, int))) for n_in, n_out in zip([1, 65536] * 31 + [1], [65536, 1] * 32,
                                                           strict=False)]
    net = network(layers=wide + [readout(weights=np.ones((3, 65536), int))])
    save(net, tmp_path / "net.qsnn")
    assert_same(net, load(tmp_path / "net.qsnn"))


def test_most_weights(monkeypatch, tmp_path):
    save(network(), tmp_path / "net.qsnn")
    monkeypatch.setattr(description, "MAX_WEIGHTS", 11)
    with pytest.raises(DescriptionError, match="^more than 11 weights$"):
        network()
    monkeypatch.setattr(description, "_read_layer", None)  # refused before any weight is read
    with pytest.raises(DescriptionError, match="net.qsnn: more than 11 weights$"):
        load(tmp_path / "net.qsnn")


def refusal(path):
    """The sentence that a file is refused with; it starts with the file's name."""
    with pytest.raises(DescriptionError) as caught:
        load(path)
    name, _, sentence = str(caught.value).partition(": ")
    assert name == str(path)
    assert "\n" not in sentence and len(sentence) < 300
    return sentence


def header_refusal(tmp_path, edit, edit_file=lambda header: None):
    """Refusal of a file whose header ``edit`` changed, and whose tensor table ``edit_file`` did."""
    header, data = split(network().tobytes())
    qsnn = json.loads(header["__metadata__"]["qsnn"])
    text = edit(qsnn)
    header["__metadata__"]["qsnn"] = json.dumps(qsnn) if text is None else text
    edit_file(header)
    (tmp_path / "net.qsnn").write_bytes(join(header, data))
    return refusal(tmp_path / "net.qsnn")


@pytest.mark.parametrize("field, value, sentence", [
    ("version", 2, "format version 2, this program reads 1"),
    ("version", 0, "format version 0, this program reads 1"),
    ("version", None, "bad header: version: Input should be a valid integer"),
    ("version", "1", "bad header: version: Input should be a valid integer"),
    ("version", True, "bad header: version: Input should be a valid integer"),
    ("version", 10 ** 4299, "format version 1000"),
    ("time_steps", 65, "time_steps must be 0 .. 64, not 65"),
    ("time_steps", 10 ** 4000, "time_steps must be 0 .. 64, not 1000"),
    ("time_steps", 4.0, "bad header: time_steps: Input should be a valid integer"),
    ("layers", [], "bad header: layers: "),
    ("layers", {}, "bad header: layers: "),
    ("layers", [{"kind": "readout", "n_in": 2, "n_out": 3, "frac": 2}] * 65,
     "bad header: layers: "),
    ("unknown", 1, "bad header: unknown: Extra inputs are not permitted"),
    ("unknown" * 10000, 1, "bad header: unknown"),
    ("un\nknown", 1, "bad header: "),
], ids=lambda value: str(value)[:30])
def test_wrong_header(tmp_path, field, value, sentence):
    assert header_refusal(tmp_path, lambda h: h.update({field: value})).startswith(sentence)


@pytest.mark.parametrize("field, value, sentence", [
    ("kind", "pooling", "bad header: layers.0: "),
    ("kind", "convolution", "bad header: layers.0.convolution."),
    ("kind", "readout", "bad header: layers.0.readout."),
    ("n_in", 0, "bad header: layers.0.fully_connected.n_in: "),
    ("n_in", 65537, "bad header: layers.0.fully_connected.n_in: "),
    ("n_in", 2, "0.weights: bits set beyond the last input"),
    ("n_in", 9, "0.weights is U8 [2, 1], expected U8 [2, 2]"),
    ("n_out", 3, "0.weights is U8 [2, 1], expected U8 [3, 1]"),
    ("n_out", 65536, "0.weights is U8 [2, 1], expected U8 [65536, 1]"),
    ("signed", 1, "bad header: layers.0.fully_connected.signed: "),
    ("shift", 0, "layer 0: shift must be 1 .. 24, not 0"),
    ("frac", 9, "layer 0: frac must be 0 .. 8, not 9"),
    ("input_bits", 9, "layer 0: input_bits must be 1 .. 8, not 9"),
    ("membrane_bits", 10 ** 4000, "layer 0: membrane_bits must be 2 .. 8, not 1000"),
], ids=lambda value: str(value)[:30])
def test_wrong_layer_header(tmp_path, field, value, sentence):
    def edit(header):
        header["layers"][0][field] = value

    assert header_refusal(tmp_path, edit).startswith(sentence)


def test_missing_field(tmp_path):
    def edit(header):
        del header["layers"][1]["frac"]

    assert (header_refusal(tmp_path, edit)
            == "bad header: layers.1.readout.frac: Field required")


@pytest.mark.parametrize("text", [
    "", "{", "null", "[1]", "1" * 100_000, "[" * 50_000, '{"version":' * 5000,
    '{"version": 1, "time_steps": ' + "[" * 50_000 + "]" * 50_000 + "}",
    '{"version": ' + "1" * 5000 + "}",
    '{"version": NaN}', '{"version": 1e999}', '{"version": "\\ud800"}', "\x00",
], ids=lambda text: repr(text[:20]))
def test_header_is_not_json(tmp_path, text):
    assert header_refusal(tmp_path, lambda header: text).startswith("bad header: ")


def test_out_of_range(tmp_path):
    for name, count, sentence in [("0.threshold", 2, "layer 0: threshold must lie in -6 .. 13"),
                                  ("0.bias", 2, "layer 0: bias must lie in -9 .. 18"),
                                  ("1.bias", 3, "layer 1: bias must lie in -64 .. 64")]:
        for value in (-1 << 63, (1 << 63) - 1):
            header, data = split(network().tobytes())
            start, end = header[name]["data_offsets"]
            data = data[:start] + struct.pack("<q", value) * count + data[end:]
            (tmp_path / "net.qsnn").write_bytes(join(header, data))
            assert refusal(tmp_path / "net.qsnn") == sentence


def test_bits_in_padding(tmp_path):
    for bit in range(3, 8):
        header, data = split(network().tobytes())
        data = bytearray(data)
        data[header["0.weights"]["data_offsets"][0] + 1] |= 1 << bit
        (tmp_path / "net.qsnn").write_bytes(join(header, bytes(data)))
        assert (refusal(tmp_path / "net.qsnn")
                == "0.weights: bits set beyond the last input")


def test_wrong_tensors(tmp_path):
    names = "the tensors are not those that the header names"
    keep = {"edit": lambda header: None}

    def renamed(header):
        header["0.thresholds"] = header.pop("0.threshold")

    def extra(header):
        end = max(entry["data_offsets"][1] for name, entry in header.items()
                  if name != "__metadata__")
        header["2.weights"] = {"dtype": "U8", "shape": [0], "data_offsets": [end, end]}

    def retyped(name, dtype):
        return lambda header: header[name].update(dtype=dtype)

    def reshaped(name, shape):
        return lambda header: header[name].update(shape=shape)

    for edit_file, sentence in [
            (renamed, names), (extra, names),
            (retyped("0.weights", "I8"), "0.weights is I8 [2, 1], expected U8 [2, 1]"),
            (retyped("1.bias", "F64"), "1.bias is F64 [3], expected I64 [3]"),
            (retyped("1.bias", "U64"), "1.bias is U64 [3], expected I64 [3]"),
            (reshaped("0.weights", [1, 2]), "0.weights is U8 [1, 2], expected U8 [2, 1]"),
            (reshaped("0.bias", [2, 1]), "0.bias is I64 [2, 1], expected I64 [2]"),
            (reshaped("0.bias", [1, 2]), "0.bias is I64 [1, 2], expected I64 [2]")]:
        assert header_refusal(tmp_path, edit_file=edit_file, **keep) == sentence


def test_missing_tensor(tmp_path):
    header, data = split(network().tobytes())
    last = max((name for name in header if name != "__metadata__"),
               key=lambda name: header[name]["data_offsets"])
    data = data[:header.pop(last)["data_offsets"][0]]
    (tmp_path / "net.qsnn").write_bytes(join(header, data))
    assert (refusal(tmp_path / "net.qsnn")
            == "the tensors are not those that the header names")


def test_wrong_files(tmp_path):
    path = tmp_path / "net.qsnn"
    assert refusal(path) == "no such file"
    assert refusal(tmp_path) == "a folder; name the .qsnn file in it"
    assert refusal(tmp_path / ("x" * 300)) == "File name too long"
    whole = network().tobytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert refusal(path).startswith("not a readable description (")
    path.write_bytes(whole + b"\0")
    assert refusal(path).startswith("not a readable description (")
    for length in (0, 1, len(whole), 1 << 17):
        path.write_bytes(struct.pack("<Q", length) + whole[8:])
        assert refusal(path).startswith("not a readable description (")
    for length in ((1 << 17) + 1, 100_000_000, 1 << 63, (1 << 64) - 1):
        path.write_bytes(struct.pack("<Q", length) + whole[8:])
        assert refusal(path).startswith("not a network, or damaged: a network here is ")


def test_no_metadata(tmp_path):
    header, data = split(network().tobytes())
    for metadata in ({}, {"other": "1"}, None):
        changed = {name: entry for name, entry in header.items() if name != "__metadata__"}
        if metadata is not None:
            changed["__metadata__"] = metadata
        (tmp_path / "net.qsnn").write_bytes(join(changed, data))
        assert (refusal(tmp_path / "net.qsnn")
                .startswith("tensors, but no network: a network here is "))


def test_huge_file_is_not_read(tmp_path):
    path = tmp_path / "net.qsnn"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # sparse
    assert refusal(path) == "1024 GiB, a description has at most 128 MiB"


def test_memory_of_weights(tmp_path):
    """Reading takes a few bytes a weight, not the 8 of an index or an int64."""
    ones, zeros = np.ones((1024, 1024), np.int8), np.zeros(1024, int)
    layer = hidden(weights=ones, threshold=zeros, bias=zeros)
    net = network(layers=[layer, readout(weights=ones[:3])])
    save(net, tmp_path / "net.qsnn")
    tracemalloc.start()
    load(tmp_path / "net.qsnn")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * net.weight_bits


def test_save_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "net.qsnn"
    save(network(), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    for function in ("chmod", "replace"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
            patch.setattr(os, function, fail)
            save(network(time_steps=1), path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
    save(network(time_steps=1), path)
    assert load(path).time_steps == 1
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


# every sentence of a file's checks that a fuzzed file must have reached
REACHED = [
    "OK", "not a readable description", "tensors, but no network", "bad header", "format version",
    "the tensors are not those", "expected U8", "expected I64", "bits set beyond", "weights",
    "time_steps must be", "threshold must lie in", "bias must lie in", "shift must be",
    "frac must be", "membrane_bits must be", "input_bits must be", "neurons but layer",
    "must take spikes", "must be a readout", "must be of spiking neurons",
]


def test_fuzz(tmp_path):
    """Thousands of damaged files, in a process that may take 64 MiB more than it starts with."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.test_description", str(tmp_path)], text=True, timeout=120,
        capture_output=True, cwd=Path(__file__).parents[1],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr[-3000:]
    sentences = json.loads(result.stdout)
    assert sum(sentences.values()) == FUZZED
    for part in REACHED:
        assert any(part in sentence for sentence in sentences), f"no file reached: {part}"


FUZZED = 6000


def fuzz_main(folder):
    rng = np.random.default_rng(0)
    originals = [random_description(rng).tobytes() for _ in range(20)]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
    path, sentences = Path(folder) / "net.qsnn", Counter()
    for _ in range(FUZZED):
        path.write_bytes(fuzz(rng, originals[rng.integers(len(originals))]))
        start = time.process_time()
        try:
            net = load(path)
            net.tobytes()
            sentences["OK"] += 1
        except DescriptionError as error:
            assert str(error).startswith(f"{path}: ")
            sentences[str(error).removeprefix(f"{path}: ")[:200]] += 1
        assert time.process_time() - start < 1
    print(json.dumps(sentences))


if __name__ == "__main__":
    fuzz_main(sys.argv[1])

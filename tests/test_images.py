from dataclasses import replace

import numpy as np
import pytest
from amaranth import Shape

from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.images import (
    ImageError,
    read_hex,
    tables,
    unpack_biases,
    unpack_weights,
    write_hex,
)
from qsnn.hw.plan.network import plan
from tests.networks import random_description, random_foldings, random_maps


def stages(description, foldings):
    """(layer, stage, parameters) of each layer."""
    return [(planned.layer, planned.stage, planned.parameters)
            for planned in plan(description, foldings).layers]


def through_hex(width, words):
    text = write_hex(width, words)
    assert all(len(line) == -(-width // 4) for line in text.splitlines())
    return read_hex(text, width, len(words))


@pytest.mark.parametrize("seed", range(25))
def test_round_trip(seed):
    rng = np.random.default_rng(seed)
    description = (random_maps if seed % 2 else random_description)(rng)
    for layer, stage, parameters in stages(description, random_foldings(rng, description)):
        contents = tables(layer, stage, parameters)
        for width, words in contents.values():
            assert through_hex(width, words) == words
        width, words = contents["weights"]
        assert (width, len(words)) == (stage.pe * stage.simd, stage.groups * stage.reads)
        weights = layer.weights.reshape(layer.channels, -1)
        if layer.skip and layer.skip.weights is not None:
            weights = np.hstack([weights, layer.skip.weights])
        found = unpack_weights(words, stage, weights.shape[1])
        np.testing.assert_array_equal(found, weights)

        fields = [("biases", parameters.bias_shape, parameters.biases(layer, stage))]
        if stage.leaky:
            fields.append(("offsets", parameters.offset_shape, parameters.offsets(layer, stage)))
        if not stage.readout:
            fields.append(("thresholds", parameters.threshold_shape,
                           parameters.thresholds(layer, stage)))
            if layer.reset == "subtract":
                fields.append(("biases_fired", parameters.bias_shape,
                               parameters.fired_biases(layer, stage)))
            if layer.current:
                low, high = parameters.current_bias_range
                fields.append(("biases_current", Shape.cast(range(low, high + 1)),
                               parameters.current_biases(layer, stage)))
        assert contents.keys() == {"weights", *(name for name, _, _ in fields)}
        for name, shape, values in fields:
            width, words = contents[name]
            assert (width, len(words)) == (shape.width * stage.lanes, stage.neurons // stage.lanes)
            assert unpack_biases(words, stage, shape).tolist() == values.tolist()


@pytest.mark.parametrize("seed", range(25))
def test_layout(seed):
    """Every bit of every word is where the module's docstring has it, padding included."""
    rng = np.random.default_rng(seed)
    description = random_description(rng)
    for layer, stage, parameters in stages(description, random_foldings(rng, description)):
        contents = tables(layer, stage, parameters)
        weights = contents["weights"][1]
        for neuron in range(stage.neurons):
            group, pe = divmod(neuron, stage.pe)
            for i in range(stage.words * stage.simd):
                word, synapse = divmod(i, stage.simd)
                bit = weights[group * stage.words + word] >> (pe * stage.simd + synapse) & 1
                meant = neuron < layer.n_out and i < layer.n_in
                assert bit == (layer.weights[neuron, i] > 0 if meant else 1)

            beat, lane = divmod(neuron, stage.lanes)
            meant = neuron < layer.n_out
            for name, values, padding in [("biases", parameters.biases(layer, stage), 0)] + (
                    [] if stage.readout else
                    [("thresholds", parameters.thresholds(layer, stage),
                      parameters.threshold_high)]) + (
                    [("biases_fired", parameters.fired_biases(layer, stage), 0)]
                    if getattr(layer, "reset", "zero") == "subtract" else []) + (
                    [("biases_current", parameters.current_biases(layer, stage), 0)]
                    if getattr(layer, "current", None) else []):
                width, words = contents[name]
                width //= stage.lanes
                element = words[beat] >> (lane * width) & (1 << width) - 1
                assert element == (int(values[neuron]) if meant else padding) % (1 << width)


def test_widths_depend_on_the_shape_only():
    description = random_description(np.random.default_rng(5), widths=(9, 6, 5, 3))
    layers = [replace(layer, weights=-layer.weights, bias=-layer.bias // 2)
              for layer in description.layers]
    layers[0] = replace(layers[0], threshold=layers[0].threshold[::-1] // 2)
    other = replace(description, layers=layers)
    sizes, words = [], []
    for network in (description, other):
        contents = [tables(*layer) for layer in stages(
            network, [Folding(4, 2), Folding(5, 8), Folding(2, 5)])]
        sizes.append([(name, width, len(words)) for memories in contents
                      for name, (width, words) in memories.items()])
        words.append(contents)
    assert sizes[0] == sizes[1] and words[0] != words[1]


def test_hex():
    assert write_hex(9, [0, 1, 0x1ab]) == "000\n001\n1ab\n"
    assert write_hex(8, [255]) == "ff\n" and write_hex(1, [1]) == "1\n"
    assert read_hex("000\r\n1AB\n", 9, 2) == [0, 0x1ab]
    assert read_hex("", 4, 0) == []


@pytest.mark.parametrize("text, width, depth, sentence", [
    ("1\n2\n", 4, 3, "expected 3 words, found 2"),
    ("1\n2\n", 4, 1, "expected 1 words, found 2"),
    ("1\ng\n", 4, 2, "line 2: 'g' is not a hexadecimal number"),
    ("1\n10\n", 4, 2, "line 2: '10' does not fit 4 bits"),
    ("8\n", 3, 1, "line 1: '8' does not fit 3 bits"),
    ("-1\n", 4, 1, "line 1: '-1' is not a hexadecimal number"),
    ("0x1\n", 4, 1, "line 1: '0x1' is not a hexadecimal number"),
    ("1_0\n", 8, 1, "line 1: '1_0' is not a hexadecimal number"),
    ("f" * 60, 8, 1, f"line 1: {'f' * 40!r} does not fit 8 bits"),
    ("x" * 60, 8, 1, f"line 1: {'x' * 40!r} is not a hexadecimal number")])
def test_refused(text, width, depth, sentence):
    with pytest.raises(ImageError) as caught:
        read_hex(text, width, depth)
    assert str(caught.value) == sentence

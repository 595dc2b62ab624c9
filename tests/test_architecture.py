"""Words of networks, the shapes that they give, and the sentences that refuse others."""

from math import prod

import pytest

from qsnn.model.architecture import NAMED, ArchitectureError, layers_of

IMAGE = (28, 20, 3)


def test_shapes():
    found = layers_of("c16k3-p2-c8k5s2p0w4-a2-fc12w8-7", IMAGE)
    assert [(layer.inputs, layer.channels, layer.positions if layer.kernel else None,
             layer.outputs, layer.output_bits, layer.weight_bits) for layer in found] == [
        ((28, 20, 3), 16, (28, 20), (14, 10, 16), 1, 1),
        ((14, 10, 16), 8, (4, 2), (2, 1, 8), 3, 4),
        ((16,), 12, None, (12,), 1, 8),
        ((12,), 7, None, (7,), 1, 1)]


def test_neurons_without_a_whole_square_are_not_there():
    layer, = layers_of("c2k3p0-p3", (10, 9, 1))  # 8 x 7 positions
    assert layer.positions == (6, 6) and layer.outputs == (2, 2, 2)


def test_residual_blocks():
    """What they are short for, and what is added: the spikes before, through 1 x 1 where needed."""
    assert layers_of("c8k3-r8-r16s2", IMAGE) == layers_of(
        "c8k3-c8k3-c8k3+0-c16k3s2-c16k3+2", IMAGE)
    _, _, same, _, wider = layers_of("c8k3-r8-r16s2", IMAGE)
    assert (same.skip, same.skip_stride, same.skip_kernel) == (0, (1, 1), False)
    assert (wider.skip, wider.skip_stride, wider.skip_kernel, wider.skip_channels) == (
        2, (2, 2), True, 8)


def test_rows_and_columns():
    """A window of a sensor is a map of one row."""
    found = layers_of("c16k1x5s1x2-p1x2-c8k1x4p0x1-r12k1x3s1x2-fc9", (1, 100, 3))
    assert [(layer.kernel, layer.stride, layer.padding, layer.pool_size, layer.outputs)
            for layer in found[:3]] == [
        ((1, 5), (1, 2), (0, 2), (1, 2), (1, 25, 16)), ((1, 4), (1, 1), (0, 1), (1, 1), (1, 24, 8)),
        ((1, 3), (1, 2), (0, 1), (1, 1), (1, 12, 12))]
    assert (found[3].skip, found[3].skip_stride, found[4].inputs) == (1, (2, 2), (144,))
    # rows and columns of a skip where one stride does not do for both
    assert layers_of("c2k1-c3k3s1x2-c3k3+0", (5, 8, 1))[2].skip_stride == (1, 2)
    assert layers_of("c4k3x3s2x2p1x1-p2x2", IMAGE) == layers_of("c4k3s2-p2", IMAGE)
    assert layers_of("c4k3x1-p3x1", IMAGE)[0].outputs == (9, 20, 4)


@pytest.mark.parametrize("words, sentence", [
    ("c4k3x16", "layer 0 (c4k3x16): kernels of 1 to 15 rows and columns, not 3 x 16"),
    ("c4k1x3p1", "layer 0 (c4k1x3p1): a padding of 0 to 0, not 1"),
    ("c4k3s1x0", "layer 0 (c4k3s1x0): a stride of 1 to 15, not 1 x 0"),
    ("c4k3-p1x1", "layer 0 (p1x1): squares of 2 to 15, not 1"),
    ("c4k3-p0x2", "layer 0 (p0x2): squares of 2 to 15, not 0 x 2"),
    ("c4k3-p29x1", "layer 0 (p29x1): squares of 2 to 15, not 29 x 1"),
    ("c4k3s9-p2x4", "layer 0 (p2x4): a map of 4 x 3 has no square of 2 x 4"),
    ("c4k3g2", "c4k3g2: every channel of a convolution takes all of its input; there are no "
               "groups, leave out the g"),
    ("c4k3x", "'c4k3x' is not a layer: "),
    ("c4k3x3x3", "'c4k3x3x3' is not a layer: "),
    ("fc32t4w4ir", "'fc32t4w4ir' is not a layer: "),
    ("c16k3-q2", "'q2' is not a layer: they look like c16k3 (convolution), p2 (max pooling), a2 "
                 "(sum pooling), r64 (residual block) or fc64; what follows the number "
                 "stands in this order, fc64w4it8r, c16k3s2p1w4i; see model/architecture.py"),
    ("c16", "'c16' is not a layer: "),
    ("", "'' is not a layer: "),
    ("c0k3", "layer 0 (c0k3): 1 to 65536 neurons or channels, not 0"),
    ("c4k3w3", "layer 0 (c4k3w3): weights have 1, 2, 4 or 8 bits, not 3"),
    ("c4k0", "layer 0 (c4k0): kernels of 1 to 15 rows and columns, not 0"),
    ("c4k16", "layer 0 (c4k16): kernels of 1 to 15 rows and columns, not 16"),
    ("c4k3s0", "layer 0 (c4k3s0): a stride of 1 to 15, not 0"),
    ("c4k3p3", "layer 0 (c4k3p3): a padding of 0 to 2, not 3"),
    ("c4k3s9-p3-c4k3p0", "layer 1 (c4k3p0): a map of 1 x 1 is too small for this kernel"),
    ("p2", "p2 pools the spikes of a convolution, and must follow one"),
    ("c4k3-p2-a2", "a2 pools the spikes of a convolution, and must follow one"),
    ("fc9-p2", "p2 pools the spikes of a convolution, and must follow one"),
    ("c4k3-p1", "layer 0 (p1): squares of 2 to 15, not 1"),
    ("c4k3s5-p5", "layer 0 (p5): a map of 6 x 4 has no square of 5 x 5"),
    ("fc9-c4k3", "layer 1 (c4k3): a convolution needs a map, and a fully connected layer gives "
                 "none"),
    ("r4", "layer 0 (r4): a residual block adds the spikes of the layer before it, and there is "
           "none"),
    ("c4k3+0", "layer 0 (c4k3+0): a skip needs two layers before it"),
    ("c4k3-c4k3+0", "layer 1 (c4k3+0): a skip needs two layers before it"),
    ("c4k3-c4k3-c4k3+1", "layer 2 (c4k3+1): what is added comes from a layer before layer 1"),
    ("c200k3-fc9", "layer 1 (fc9): a neuron has at most 65536 synapses, not 112000"),
    ("c9000k1-p7-c9k1", "layer 0 has 3528000 neurons, a convolution has at most 1048576"),
    ("c600k1-p2", "the output layer would have 84000 inputs, at most 65536 can be: pool more"),
    ("-".join(["fc2"] * 64), "layer 63 (fc2): a network has at most 63 hidden layers"),
    ("c4k3-fc" + "9" * 5000, f"'fc{'9' * 38}' is not a layer: "),
    ("c4k3-c4k3-c4k3w2+0", "layer 2 (c4k3w2+0): weights beside a skip have 1 bit"),
    ("c4k3-c4k3-a2-c4k3+0", "layer 2 (c4k3+0): a convolution that takes sums cannot have a skip"),
    ("c4k3-a2-c4k3-c4k3+0", "layer 2 (c4k3+0): layer 0 is not a convolution that gives spikes"),
    ("c4k3-c4k3-c4k3p0+0", "layer 2 (c4k3p0+0): a map of 28 x 20 of layer 0 cannot be added to "
                           "one of 26 x 18"),
])
def test_refused(words, sentence):
    with pytest.raises(ArchitectureError) as caught:
        layers_of(words, IMAGE)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("name, layers, bits", [
    ("vgg-11", 8, 64 * 27 * 8 + 9 * (64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 3 * 512 * 512)),
    ("resnet-19", 18, 128 * 27 * 8 + 9 * (6 * 128 ** 2 + 128 * 256 + 5 * 256 ** 2 + 256 * 512
                                          + 3 * 512 ** 2) + 128 * 256 + 256 * 512 + 512 * 256)])
def test_networks_of_the_paper(name, layers, bits):
    """1.2 MB for VGG-11 with its readout of 8-bit weights, as the paper has it."""
    found = layers_of(NAMED[name], (32, 32, 3))
    assert len(found) == layers
    assert bits == sum(
        layer.channels * layer.weight_bits * (prod(layer.kernel) * layer.inputs[2]
                                              if layer.kernel else layer.inputs[0])
        + layer.channels * layer.skip_channels * layer.skip_kernel for layer in found)
    assert name != "vgg-11" or 1.1e6 < (bits + 512 * 10 * 8) / 8 < 1.25e6


def test_a_row_of_pixels_has_no_map():
    with pytest.raises(ArchitectureError, match="needs images with height, width and channels$"):
        layers_of("c4k3", (784,))

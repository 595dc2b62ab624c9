"""What a network's wires carry, as the golden model's integers, and the comparison of both.

No simulator is needed here: testbenches in cocotb and in Amaranth's simulator share it.
"""

from dataclasses import dataclass, field

import numpy as np

from qsnn.model import golden

__all__ = ["Trace", "beats_of", "check", "in_order"]


@dataclass
class Trace:
    """Words seen since the last reset, each list with the cycles it was seen in.

    beats      accepted on the input stream
    spikes     per hidden layer, words of ``lanes * time_steps`` bits
    membranes  per hidden layer, words of ``lanes * held_bits`` bits
    outputs    accepted on the output stream: (score, label, last)
    """

    layers: int
    beats: list = field(default_factory=list)
    beat_cycles: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    output_cycles: list = field(default_factory=list)
    spikes: list = None
    membranes: list = None

    def __post_init__(self):
        self.spikes = [[] for _ in range(self.layers)]
        self.membranes = [[] for _ in range(self.layers)]


def beats_of(plan, pixels):
    """Words of the input stream for images [N, n_in], all ones where no pixel is."""
    stage = plan.stages[0]
    padded = np.full((len(pixels), stage.beats * stage.simd), (1 << stage.bits) - 1, dtype=object)
    padded[:, :pixels.shape[1]] = pixels.astype(int)
    places = np.array([1 << (index * stage.bits) for index in range(stage.simd)], dtype=object)
    return (padded.reshape(-1, stage.simd) @ places).tolist()


def _fields(words, count, bits):
    """Each word's ``count`` fields of ``bits`` bits, the lowest first: [words, count]."""
    mask = (1 << bits) - 1
    return np.array([[word >> (index * bits) & mask for index in range(count)] for word in words],
                    dtype=np.int64).reshape(-1, count)


def _pixels(plan, beats):
    """Images that are whole in the input, [N, n_in]."""
    stage = plan.stages[0]
    images = len(beats) // stage.beats
    values = _fields(beats[:images * stage.beats], stage.simd, stage.bits)
    return values.reshape(images, -1)[:, :stage.n_in]


def _spikes(description, stage, words, images):
    """[N, T, positions, neurons], padding included."""
    steps, places = description.time_steps, len(stage.places)
    bits = _fields(words, stage.lanes * steps, 1)
    assert bits.size == images * places * stage.neurons * steps, f"{len(words)} words of spikes"
    return in_order(stage, bits.reshape(images, places, stage.neurons, steps).transpose(0, 3, 1, 2))


def in_order(stage, values):
    """Values [N, T, positions, neurons] as they come -> those of the golden model's order."""
    found = np.empty_like(values)
    found[:, :, stage.places] = values
    return found


def _membranes(description, layer, stage, words, images):
    """[N, T, neurons]."""
    steps, places = description.time_steps, len(stage.places)
    values = _fields(words, stage.lanes, layer.held_bits)
    assert values.size == images * places * stage.neurons * steps, (
        f"{len(words)} words of membranes")
    values -= (values > layer.held_range[1]) << layer.held_bits
    values = values.reshape(images, -1, steps, stage.lanes).transpose(0, 2, 1, 3)
    values = in_order(stage, values.reshape(images, steps, places, stage.neurons))
    return values[..., :stage.n_out].reshape(images, steps, -1)


def check(description, plan, trace):
    """Every spike, membrane, score and label of the images in a trace against golden.

    The images are those that the input stream really took; the network must be idle again.
    Returns the number of images.
    """
    assert len(trace.beats) % plan.stages[0].beats == 0, "the last image is not whole"
    pixels = _pixels(plan, trace.beats)
    images, classes = len(pixels), description.outputs
    expected = golden.infer(description, pixels, trace=True)

    for index, (layer, stage) in enumerate(zip(description.hidden, plan.stages, strict=False)):
        spikes = _spikes(description, stage, trace.spikes[index], images)
        real = spikes[..., :stage.n_out].reshape(images, description.time_steps, -1)
        _equal(real, expected.spikes[index], f"spikes of layer {index}")
        assert not spikes[..., stage.n_out:].any(), f"padding fires in layer {index}"
        membranes = _membranes(description, layer, stage, trace.membranes[index], images)
        _equal(membranes, expected.membranes[index], f"membranes of layer {index}")

    outputs = np.array(trace.outputs).reshape(-1, classes, 3)
    _equal(outputs[:, :, 0], expected.scores, "scores")
    # the label of each beat is the best class so far
    best = [[golden.labels_of(row)] if classes == 1 else
            [row[:end + 1].argmax() for end in range(classes)] for row in expected.scores]
    _equal(outputs[:, :, 1], np.array(best), "labels")
    _equal(outputs[:, -1, 1], expected.labels, "label")
    _equal(outputs[:, :, 2], np.broadcast_to(np.arange(classes) == classes - 1,
                                             (images, classes)), "last")
    return images


def _equal(found, expected, what):
    assert found.shape == expected.shape, f"{what}: {found.shape}, not {expected.shape}"
    wrong = np.argwhere(found != expected)
    assert not len(wrong), (f"{what}: {len(wrong)} of {found.size} differ, first at "
                            f"{wrong[0].tolist()}: {found[tuple(wrong[0])]}, "
                            f"not {expected[tuple(wrong[0])]}")

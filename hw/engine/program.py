"""A description becomes a program for an engine: descriptors, parameters and weights in a row.

A program is words of 32 bits, see :class:`qsnn.hw.engine.loader.Loader`; its last word is the
CRC-32 of all before. The first layer is a 1 x 1 convolution of words that hold whole windows, see
:class:`qsnn.hw.engine.gather.Gather`; a fully connected layer is a convolution whose kernel is as
large as the map. All inputs of a neuron are gone over once for each bit of its weights, and of its
inputs where their bits do not lie in the lanes: passes, those whose sums count most first, since
sums are doubled from one to the next.
"""

import zlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qsnn.hw.engine.shape import PASSES, PLANES, SCORE, EngineError
from qsnn.hw.engine.timing import LayerTime, image_cycles
from qsnn.model.layers import to_planes

__all__ = ["MAGIC", "VERSION", "Program", "compile_program"]

MAGIC = 0x4E4E5351  # "QSNN"
VERSION = 1
MAX_BATCH = 16


@dataclass(frozen=True, eq=False)
class Program:
    """What an engine of a shape runs.

    description, shape
    words        uint32, the whole program with its header and CRC
    layers       a :class:`qsnn.hw.engine.timing.LayerTime` each
    batch        images at once, as its memory is laid out
    """

    description: object
    shape: object
    words: np.ndarray
    layers: tuple
    batch: int

    @property
    def cycles(self):
        """Of a batch, from one to the next, where memory gives a word a cycle."""
        return image_cycles(self.layers, self.shape)

    def tobytes(self):
        return self.words.astype("<u4").tobytes()


@dataclass(frozen=True, eq=False)
class _Map:
    """Where a layer finds its inputs: words of a position, and of a plane of a batch's images."""

    height: int
    width: int
    words: int
    start: int = 0

    @property
    def size(self):
        return self.height * self.width * self.words


def compile_program(description, shape, batch=1):
    """The :class:`Program` of a network for images.

    Raises :class:`qsnn.hw.engine.shape.EngineError` with a sentence where the engine cannot hold
    it.
    """
    _check(description, shape, batch)
    layers = description.layers
    planes = -(-description.input_bits // shape.steps)
    first = layers[0]
    height, width = ((first.out_height, first.out_width) if first.kind == "convolution" else (1, 1))
    pixels = _Map(height, width, -(-first.fan_in // shape.simd))
    places = _allocate(description, shape, planes * pixels.size, batch)
    network = _network(description, shape, pixels, planes)
    words, times = [_descriptor(shape.network, network)], []
    source = pixels
    for index, layer in enumerate(layers):
        merge = index == 0
        passes = _passes(layer, planes if merge else 1, shape)
        target = None
        if layer.kind != "readout":
            rows, columns, channels = (layer.output_map if layer.kind == "convolution"
                                       else (1, 1, layer.n_out))
            target = _Map(rows, columns, -(-channels // shape.simd), places[index])
        fields, time = _layer(layer, index, source, target, passes, shape, merge,
                              index == len(layers) - 1)
        words.append(_descriptor(shape.layer, fields))
        words.append(_groups(layer, source, passes, shape, fields, description.time_steps, merge,
                             planes))
        times.append(time)
        source = target
    body = np.concatenate(words)
    body = np.concatenate([np.array([MAGIC, VERSION, len(body) + 4], "<u4"), body])
    crc = np.array([zlib.crc32(body.astype("<u4").tobytes())], "<u4")
    return Program(description, shape, np.concatenate([body, crc]), tuple(times), batch)


def _check(description, shape, batch):
    def refuse(index, sentence):
        raise EngineError(f"layer {index} {sentence}")
    if description.stream:
        raise EngineError("a stream has no images: the engine takes networks for images")
    if not 1 <= batch <= MAX_BATCH:
        raise EngineError(f"a batch has 1 to {MAX_BATCH} images, not {batch}")
    if description.time_steps > shape.steps:
        raise EngineError(f"the network has {description.time_steps} time steps, this engine takes "
                          f"up to {shape.steps} at once")
    if description.n_in > shape.image_bytes:
        raise EngineError(f"an image has {description.n_in} pixels, this engine takes up to "
                          f"{shape.image_bytes}")
    if description.outputs * batch > shape.scores:
        raise EngineError(f"{description.outputs} classes of {batch} images are more than the "
                          f"{shape.scores} scores that this engine keeps")
    leak = shape.neurons.leak
    for index, layer in enumerate(description.layers):
        if layer.kind == "readout":
            continue
        if layer.leak != leak or layer.reset != "zero" or layer.current is not None:
            refuse(index, "has a neuron that the engine has not: it takes a leak of 1/2, reset to "
                   "zero, no current")
        if layer.membrane_bits > shape.membrane_bits:
            refuse(index, f"has membranes of {layer.membrane_bits} bits, this engine up to "
                   f"{shape.membrane_bits}")
        if layer.shift - 1 > shape.place:
            refuse(index, f"has a membrane step of 2**{layer.shift}, this engine up to "
                   f"2**{shape.place + 1}")
        if layer.kind == "convolution":
            if layer.pool == "sum":
                refuse(index, "has pools that count spikes: the engine takes those of the maximum")
            if layer.skip is not None:
                refuse(index, "has a skip, which the engine does not take yet")
            if max(layer.height, layer.width, layer.out_height, layer.out_width) > 256:
                refuse(index, f"has a map of {layer.height} x {layer.width}, the engine takes up "
                       "to 256 x 256")


def _allocate(description, shape, pixels, batch):
    """First word of each layer's output: as low as those allow that are alive beside it."""
    places, taken = [], [(0, pixels * batch, len(description.layers))]
    for index, layer in enumerate(description.hidden):
        rows, columns, channels = (layer.output_map if layer.kind == "convolution"
                                   else (1, 1, layer.n_out))
        size = rows * columns * -(-channels // shape.simd) * batch
        alive = sorted((start, end) for start, end, last in taken if last >= index)
        at = 0
        for start, end in alive:
            if at + size <= start:
                break
            at = max(at, end)
        if at + size > shape.map_words:
            raise EngineError(f"the maps of {batch} image{'s' * (batch > 1)} need more than the "
                              f"{shape.map_words} words of {shape.simd * shape.steps} bits of this "
                              f"engine, at layer {index}: {at + size}")
        places.append(at)
        taken.append((at, at + size, index + 1))
    return places


def _network(description, shape, pixels, planes):
    first = description.layers[0]
    taps = first.fan_in
    fields = {"image": description.n_in - 1, "steps": description.time_steps,
              "outputs": description.outputs, "planes": planes - 1, "plane_stride": pixels.size,
              "pixels": pixels.start, "fill": pixels.words * shape.simd - taps}
    if first.kind == "convolution":
        source = _Map(first.height, first.width, first.channels_in)
        return fields | {
            "position": _positions(source, first.stride, first.padding, (1, 1),
                                   (first.out_height, first.out_width)),
            "window": _window(source, first.kernel)}
    # a row of pixels: one window, in lines that the counter can hold
    rows = next(rows for rows in range(1, taps + 1) if taps % rows == 0 and taps // rows <= 1024)
    if rows > 256:
        raise EngineError(f"{taps} pixels cannot be counted in 256 rows of at most 1,024")
    source = _Map(rows, 1, taps // rows)
    return fields | {"position": _positions(source, (1, 1), (0, 0), (1, 1), (1, 1)),
                     "window": _window(source, (rows, 1))}


def _positions(source, stride, padding, pool, out, image=None):
    """Fields of :class:`qsnn.hw.engine.walk.PositionWalk`; out: pooled rows and columns.

    image: words from one image to the next, where there are several.
    """
    (down, right), (rows, columns) = stride, out
    line, pixel = source.width * source.words, source.words
    wide, high = columns * pool[1] - 1, rows * pool[0] - 1  # steps from the first to the last
    fields = {
        "start": source.start - padding[0] * line - padding[1] * pixel,
        "start_y": -padding[0], "start_x": -padding[1], "stride_y": down, "stride_x": right,
        "rows": rows - 1, "columns": columns - 1,
        "next_column": right * pixel - (pool[0] - 1) * down * line,
        "next_row": down * line - wide * right * pixel,
    }
    if image is not None:
        fields |= {
            "pool_rows": pool[0] - 1, "pool_columns": pool[1] - 1,
            "back_y": (pool[0] - 1) * down, "back_x": (pool[1] - 1) * right,
            "next_pixel": right * pixel,
            "next_line": down * line - (pool[1] - 1) * right * pixel,
            "next_image": image - high * down * line - wide * right * pixel,
        }
    return fields


def _window(source, kernel):
    """Fields of :class:`qsnn.hw.engine.walk.WindowWalk` without its passes."""
    return {"words": source.words - 1, "rows": kernel[0] - 1, "columns": kernel[1] - 1,
            "next_row": (source.width - kernel[1]) * source.words + 1,
            "height": source.height, "width": source.width}


def _passes(layer, planes, shape):
    """(exponent, plane of the weights, plane of the inputs), in their order."""
    passes = sorted(((bit + shape.steps * plane, bit, plane) for bit in range(layer.weight_bits)
                     for plane in range(planes)), reverse=True)
    if len(passes) > PASSES or planes > PLANES:
        raise EngineError(f"weights of {layer.weight_bits} bits and inputs of {planes} planes are "
                          f"{len(passes)} passes, this engine has {PASSES} over {PLANES} planes")
    return passes


def _layer(layer, index, source, target, passes, shape, merge, final):
    """Fields of a layer's descriptor, and its :class:`qsnn.hw.engine.timing.LayerTime`."""
    if layer.kind == "convolution":
        pool, out = layer.pool_size, layer.output_map[:2]
        kernel, stride, padding = ((1, 1), (1, 1), (0, 0)) if merge else (
            layer.kernel, layer.stride, layer.padding)
    else:
        pool, out, kernel, stride, padding = ((1, 1), (1, 1), (source.height, source.width),
                                              (1, 1), (0, 0))
    gaps = [before[0] - after[0] for before, after in pairwise(passes)]
    doubled = any(gap > 1 for gap in gaps)
    plane_words = source.size
    window = kernel[0] * kernel[1] * source.words
    group_words = len(passes) * window + doubled
    if group_words > shape.slab_words:
        raise EngineError(f"layer {index} needs {group_words} words of weights for {shape.pe} "
                          f"channels, the slab of this engine has {shape.slab_words}")
    if max(kernel) > 256 or source.words > 1024:
        raise EngineError(f"layer {index} goes over {kernel[0]} x {kernel[1]} positions of "
                          f"{source.words} words, the engine over 256 x 256 of 1,024")
    channels = layer.channels
    groups = -(-channels // shape.pe)
    planes = max(plane for _, _, plane in passes) + 1
    used = layer.fan_in if merge else layer_channels(layer, source)
    last = (used - 1) % shape.simd // shape.beat + 1
    fields = {
        "merge": merge, "readout": layer.kind == "readout", "final": final, "doubled": doubled,
        "groups": groups - 1, "group_words": group_words,
        "position": _positions(source, stride, padding, pool, out, image=planes * plane_words),
        "window": _window(source, kernel) | {
            # what fills a last word of pixels up are zeros, and there
            "mask": (1 << shape.columns) - 1 if merge else (1 << last) - 1,
            "passes": len(passes) - 1,
            "planes": [plane * plane_words for plane in range(planes)],
            "table": [{"plane": plane, "doubles": gap}
                      for (_, _, plane), gap in zip(passes, [0, *gaps], strict=True)]},
    }
    most = layer.fan_in * sum(1 << exponent for exponent, _, _ in passes)
    if most >= 1 << shape.sum_bits:
        raise EngineError(f"layer {index} has sums of up to {most}, this engine of "
                          f"{shape.sum_bits} bits")
    if layer.kind == "readout":
        fields |= {"scale": layer.frac, "low": 0, "high": 0, "output": 0, "output_words": 0,
                   "output_columns": 0}
    else:
        low, high = layer.q_range
        fields |= {
            "scale": layer.frac + shape.place - (layer.shift - 1), "low": low, "high": high,
            "output": target.start, "output_words": target.words,
            "output_columns": -(-channels // shape.beat)}
    positions = out[0] * out[1] * pool[0] * pool[1]
    doublings = sum(max(0, gap - 1) for gap in gaps)
    return fields, LayerTime(
        kind=layer.kind, groups=groups, positions=positions,
        steps=len(passes) * window + doublings, interval=shape.interval(layer.kind == "readout"),
        group_words=group_words, useful=_useful(layer, positions))


def layer_channels(layer, source):
    """Channels of a position of a layer's inputs."""
    return layer.channels_in if layer.kind == "convolution" else (
        layer.n_in // (source.height * source.width))


def _useful(layer, positions):
    """Bits of weights that meet inputs, of one image."""
    return layer.fan_in * layer.weight_bits * layer.channels * positions


def _groups(layer, source, passes, shape, fields, time_steps, merge, planes):
    """Parameters and weights of all groups, as words."""
    groups = fields["groups"] + 1
    padded = groups * shape.pe
    taps = 1 if merge else (fields["window"]["rows"] + 1) * (fields["window"]["columns"] + 1)
    bits = to_planes(layer.weights, layer.weight_bits)  # [planes, channels, fan_in]
    each = layer.fan_in // taps
    filled = np.ones((layer.weight_bits, padded, taps, source.words * shape.simd), bool)
    filled[:, :len(layer.weights), :, :each] = bits.reshape(layer.weight_bits, -1, taps, each)
    # [planes, groups, pe, words, simd] -> [groups, passes, words, pe, simd]
    slabs = filled.reshape(layer.weight_bits, groups, shape.pe, -1, shape.simd)
    slabs = slabs.transpose(0, 1, 3, 2, 4)[[bit for _, bit, _ in passes]].swapaxes(0, 1)
    slabs = slabs.reshape(groups, -1, shape.pe * shape.simd)
    if fields["doubled"]:
        slabs = np.concatenate([np.ones_like(slabs[:, :1]), slabs], axis=1)
    packed = np.packbits(slabs, axis=-1, bitorder="little").view("<u4")
    values = _parameters(layer, bits, shape, fields["scale"], time_steps, merge, planes, padded)
    values = values.reshape(groups, -1).astype(np.int64).astype(np.uint32)
    return np.concatenate([values, packed.reshape(groups, -1)], axis=1).ravel()


def _parameters(layer, bits, shape, scale, time_steps, merge, planes, padded):
    """Thresholds and biases [padded, 2] as the neuron units, or the scores, take them.

    What synapses give is ``S + offset``, see :mod:`qsnn.hw.plan.parameters`: of each plane of the
    weights the number of -1, as often as the largest input counts.
    """
    p, inputs = shape.neurons, (1 << shape.steps * planes) - 1 if merge else 1
    minus = (~bits).sum(axis=2, dtype=np.int64)  # [planes, channels]
    offset = inputs * (minus << np.arange(len(bits))[:, None]).sum(axis=0)
    largest = layer.fan_in * inputs * ((1 << layer.weight_bits) - 1) << scale
    values = np.zeros((padded, 2), np.int64)
    if layer.kind == "readout":
        if largest * time_steps >= 1 << shape.given_bits:
            raise EngineError(f"class scores need more than {shape.given_bits} bits")
        values[:len(offset), 1] = layer.bias - (offset * time_steps << scale)
        least = -(1 << min(SCORE, p.bias_shape.width) - 1)
        if values.min() < least or values.max() >= -least:
            raise EngineError("the biases of the classes need more bits than this engine has")
        return values
    if largest >= 1 << shape.given_bits:
        raise EngineError(f"a layer's sums, in units of the engine, need {largest.bit_length()} "
                          f"bits, it has {shape.given_bits}")
    up = scale - layer.frac  # by which the engine's units are smaller
    values[:, 0] = p.threshold_high
    values[:len(offset), 0] = np.clip(
        (layer.threshold << up) + (offset << scale) + p.round_up, p.threshold_low, p.threshold_high)
    values[:len(offset), 1] = np.clip((layer.bias << up) - (offset << scale), p.bias_low,
                                      p.bias_high)
    return values


def _descriptor(layout, fields):
    """Words of a descriptor; numbers below 0 and beyond a field's width count modulo its power of
    two where they are addresses, and must fit where they are not."""
    size = layout.size
    value = _pack(layout, fields)
    words = -(-size // 32)
    return np.frombuffer(value.to_bytes(4 * words, "little"), "<u4")


def _pack(layout, fields):
    """A number of the fields of a layout, nested ones among them."""
    total = 0
    for name, field in layout:
        given = fields.get(name, 0) if isinstance(fields, dict) else (
            fields[name] if name < len(fields) else 0)
        if isinstance(given, dict | list):
            value = _pack(field.shape, given)
        else:
            value = int(given) & (1 << field.width) - 1
        total |= value << field.offset
    return total


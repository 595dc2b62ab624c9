"""A description becomes a program for an engine: descriptors, parameters and weights in a row.

A program is words of 32 bits, see :class:`qsnn.hw.engine.loader.Loader`; its last word is the
CRC-32 of all before. The first layer is a 1 x 1 convolution of words that hold whole windows, see
:class:`qsnn.hw.engine.gather.Gather`; a fully connected layer is a convolution whose kernel is as
large as the map.
"""

from dataclasses import dataclass

import numpy as np

from qsnn.hw.engine.loader import descriptor_words
from qsnn.hw.engine.maps import Map, allocate, mask, positions, window, written
from qsnn.hw.engine.passes import gaps, layer_passes, parameters, slabs
from qsnn.hw.engine.shape import EngineError
from qsnn.hw.engine.timing import LayerTime, batch_time
from qsnn.hw.memory.check import HEADER, seal

__all__ = ["MAGIC", "Program", "compile_program"]

MAGIC = 0x4E4E5351  # "QSNN"
MAX_BATCH = 16


@dataclass(frozen=True, eq=False)
class Program:
    """What an engine of a shape runs.

    description, shape
    words        uint32, the whole program with its header and CRC
    layers       a :class:`qsnn.hw.engine.timing.LayerTime` each
    batch        images at once, as its memory is laid out
    share        ``2**share`` of them lie side by side in the lanes
    slots        sets of these whose pixels have a place at once
    """

    description: object
    shape: object
    words: np.ndarray
    layers: tuple
    batch: int
    share: int
    slots: int

    def time(self, rate=1):
        """The :class:`qsnn.hw.engine.timing.BatchTime` where memory gives so many words a cycle."""
        shape, network, first = self.shape, self.description, self.description.layers[0]
        places = first.n_out // first.channels if first.kind == "convolution" else 1
        return batch_time(
            self.layers, shape, self.batch, self.share, self.slots,
            head=HEADER + descriptor_words(shape.network), pixels=network.n_in, rate=rate,
            outputs=network.outputs,
            windows=places, taps=first.fan_in,
            planes=-(-network.input_bits // shape.steps))

    def tobytes(self):
        return self.words.astype("<u4").tobytes()


def compile_program(description, shape, batch=1):
    """The :class:`Program` of a network for images.

    As many images of a batch lie side by side in the lanes as there is room for, and as the batch
    has whole sets of. Raises :class:`qsnn.hw.engine.shape.EngineError` with a sentence where the
    engine cannot hold it.
    """
    _check(description, shape, batch)
    layers, first = description.layers, description.layers[0]
    planes = -(-description.input_bits // shape.steps)
    height, width = ((first.out_height, first.out_width) if first.kind == "convolution" else (1, 1))
    pixels = Map(height, width, -(-first.fan_in // shape.simd), first.fan_in)
    share = shape.share(description.time_steps)
    while batch % (1 << share):
        share -= 1
    sets = batch >> share
    # of a layer of one group, whose images are gone over once, two sets need a place
    slots = min(2, sets) if first.channels <= shape.pe else sets
    maps = allocate(description, shape, planes * pixels.size * slots << share, sets)
    words = [_descriptor(shape.network, _network(description, shape, pixels, planes)
                         | {"share": share, "slots": slots - 1, "ring": (slots << share) - 1})]
    times, source = [], pixels
    for index, layer in enumerate(layers):
        try:
            fields, parts, time = _layer(layer, source, maps, index, shape,
                                         description.time_steps, share,
                                         planes if index == 0 else None, slots)
        except EngineError as error:
            raise EngineError(f"layer {index}: {error}") from None
        words += [_descriptor(shape.layer, fields), parts]
        times.append(time)
        source = maps.get(index)
    image = seal(np.concatenate(words).tolist(), magic=MAGIC, version=shape.version)
    return Program(description, shape, np.array(image, "<u4"), tuple(times), batch, share, slots)


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
            if layer.leaky:
                refuse(index, "has totals that leak: those of the engine add up all steps")
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
            if layer.pool == "sum" and not (
                    layer.output_map[:2] == (1, 1)
                    and description.layers[index + 1].kind != "convolution"):
                refuse(index, "has pools that count spikes: the engine takes those of the "
                       "maximum, and counts over a whole map before a fully connected layer")
            if max(layer.height, layer.width, layer.out_height, layer.out_width) > 256:
                refuse(index, f"has a map of {layer.height} x {layer.width}, the engine takes up "
                       "to 256 x 256")


def _network(description, shape, pixels, planes):
    first = description.layers[0]
    taps = first.fan_in
    fields = {"image": description.n_in - 1, "steps": description.time_steps,
              "outputs": description.outputs, "planes": planes - 1, "plane_stride": pixels.size,
              "pixels": pixels.start}
    if first.kind == "convolution":
        source = Map(first.height, first.width, first.channels_in, first.channels_in)
        return fields | {
            "position": positions(source, first.stride, first.padding, (1, 1),
                                   (first.out_height, first.out_width)),
            "window": window(source, first.kernel)}
    # a row of pixels: one window, in lines that the counter can hold
    rows = next(rows for rows in range(1, taps + 1) if taps % rows == 0 and taps // rows <= 1024)
    if rows > 256:
        raise EngineError(f"{taps} pixels cannot be counted in 256 rows of at most 1,024")
    source = Map(rows, 1, taps // rows, taps // rows)
    return fields | {"position": positions(source, (1, 1), (0, 0), (1, 1), (1, 1)),
                     "window": window(source, (rows, 1))}


def _layer(layer, source, maps, index, shape, time_steps, share, planes, slots):
    """Fields of a layer's descriptor, the words of its groups, and its
    :class:`qsnn.hw.engine.timing.LayerTime`. planes: of pixels, None of spikes."""
    pool, out, kernel, stride, padding = ((1, 1), (1, 1), (source.height, source.width),
                                          (1, 1), (0, 0))
    # spikes that are counted over a map: each of its positions has the weights of all
    repeat = planes is None and layer.input_bits > 1
    if layer.kind == "convolution":
        out = written(layer)[:2]
        pool = (1, 1) if layer.pool == "sum" else layer.pool_size
        if planes:
            kernel = (1, 1)
        else:
            kernel, stride, padding = layer.kernel, layer.stride, layer.padding
    if max(kernel) > 256 or source.words > 1024:
        raise EngineError(f"it goes over {kernel[0]} x {kernel[1]} positions of {source.words} "
                          "words, the engine over 256 x 256 of 1,024")
    taps, repeats = kernel[0] * kernel[1], 1
    if repeat:
        taps, repeats = 1, taps
    passes, up = layer_passes(layer, taps, shape, planes, repeats)
    doubles, groups = gaps(passes), -(-layer.channels // shape.pe)
    doubled = max(doubles) > 1
    weights = slabs(passes, doubled, groups, shape)
    group_words = weights.shape[1] // shape.slab_columns
    if group_words > shape.slab_words:
        raise EngineError(f"it needs {group_words} words of weights for {shape.pe} channels, the "
                          f"slab of this engine has {shape.slab_words}")
    most = sum(one.most for one in passes)
    if most >= 1 << shape.sum_bits:
        raise EngineError(f"its sums reach {most}, those of this engine have {shape.sum_bits} bits")
    readout, image, lanes = layer.kind == "readout", source.size, (1, 0)
    if planes:  # pixels of an image after those of another
        image, lanes = planes * source.size << share, (1 << share, planes * source.size)
    elif readout:
        lanes = 1 << share, 0
    scale = layer.frac - up
    fields = {"readout": readout, "final": readout, "merge": bool(planes), "repeat": repeat,
              "doubled": doubled,
              "groups": groups - 1, "group_words": group_words,
              "position": positions(source, stride, padding, pool, out, image, lanes,
                                     slots if planes and slots == 2 else None),
              "window": window(source, kernel) | {
                  "mask": mask(source, shape), "passes": len(passes) - 1,
                  "planes": [plane * source.size for plane in range(planes or 1)],
                  "table": [{"skip": one.skip, "plane": one.plane, "doubles": gap}
                            for one, gap in zip(passes, doubles, strict=True)]}}
    if layer.skip:
        other = maps[layer.skip.source]
        fields["position"]["skip"] = positions(other, layer.skip.stride, (0, 0), pool, out,
                                                other.size)["address"]
        fields["window"] |= {"skip_words": other.words - 1, "skip_mask": mask(other, shape)}
    if not readout:
        low, high = layer.q_range
        scale += shape.place - (layer.shift - layer.leak[1])
        fields |= {"low": low, "high": high, "output": maps[index].start,
                   "output_words": maps[index].words,
                   "output_columns": -(-layer.channels // shape.beat)}
    if scale < 0:
        raise EngineError("its sums are made twice as large, and its scale leaves no room for that")
    values = parameters(layer, passes, scale, groups, shape, time_steps)
    values = values.reshape(groups, -1).astype(np.uint32)
    each = out[0] * out[1] * pool[0] * pool[1] * lanes[0]
    time = LayerTime(
        kind=layer.kind, groups=groups, positions=each, group_words=group_words,
        steps=(group_words - doubled) * repeats + sum(max(0, gap - 1) for gap in doubles),
        interval=shape.interval(readout), descriptor=descriptor_words(shape.layer),
        late=readout or bool(planes),
        useful=sum(one.bits.size * one.repeat for one in passes) * each)
    return fields | {"scale": scale}, np.concatenate([values, weights], axis=1).ravel(), time


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


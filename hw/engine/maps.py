"""Where the maps of a batch lie in an engine's memory, and the ways over them."""

from dataclasses import dataclass

from qsnn.hw.engine.shape import EngineError

__all__ = ["Map", "allocate", "mask", "positions", "window", "written"]


@dataclass(frozen=True, eq=False)
class Map:
    """Where a layer finds its inputs: words of a position, channels in them, the first word."""

    height: int
    width: int
    words: int
    channels: int
    start: int = 0

    @property
    def size(self):
        return self.height * self.width * self.words


def allocate(description, shape, pixels, sets):
    """index -> :class:`Map` of each layer's output: as low as those allow that are alive beside
    it, until the last layer that takes it.

    pixels: words of these. sets: of images that lie side by side in the lanes.
    """
    layers = description.layers
    last = {index: index + 1 for index in range(len(description.hidden))}
    for index, layer in enumerate(layers):
        if layer.skip:
            last[layer.skip.source] = max(last[layer.skip.source], index)
    maps, taken = {}, [(0, pixels, len(layers))]
    for index, layer in enumerate(description.hidden):
        rows, columns, channels = written(layer)
        words = -(-channels // shape.simd)
        size, at = rows * columns * words * sets, 0
        for start, end in sorted((start, end) for start, end, until in taken if until >= index):
            if at + size <= start:
                break
            at = max(at, end)
        if at + size > shape.map_words:
            raise EngineError(f"the maps of a batch need {at + size} words of "
                              f"{shape.simd * shape.steps} bits at layer {index}, this engine has "
                              f"{shape.map_words}")
        maps[index] = Map(rows, columns, words, channels, at)
        taken.append((at, at + size, last[index]))
    return maps


def written(layer):
    """Rows, columns and channels that a layer writes: who takes spikes that are counted over a
    map takes the map, and counts."""
    if layer.kind != "convolution":
        return 1, 1, layer.n_out
    if layer.pool == "sum":
        return layer.out_height, layer.out_width, layer.channels
    return layer.output_map


def positions(source, stride, padding, pool, out, image=None, lanes=(1, 0), slots=None):
    """Fields of :class:`qsnn.hw.engine.walk.PositionWalk`; out: pooled rows and columns.

    image: words from one set of images to the next, where there are several. lanes: images of a
    set that are taken one by one, and words from one to the next. slots: sets that have a place,
    where there are fewer than sets.
    """
    (down, right), (rows, columns) = stride, out
    line, pixel = source.width * source.words, source.words
    wide, high = columns * pool[1] - 1, rows * pool[0] - 1  # steps from the first to the last
    address = {
        "start": source.start - padding[0] * line - padding[1] * pixel,
        "column": right * pixel - (pool[0] - 1) * down * line,
        "row": down * line - wide * right * pixel,
    }
    fields = {"address": address, "start_y": -padding[0], "start_x": -padding[1],
              "stride_y": down, "stride_x": right, "rows": rows - 1, "columns": columns - 1}
    if image is not None:
        address |= {
            "pixel": right * pixel, "line": down * line - (pool[1] - 1) * right * pixel,
            "image": image - high * down * line - wide * right * pixel,
        }
        address["back"] = address["image"] - image * (slots or 0)
        count, step = lanes
        address = {name: value - (count - 1) * step * (name != "start")
                   for name, value in address.items()} | {"lane": step}
        fields |= {"address": address, "lanes": count - 1, "ring": slots - 1 if slots else 15}
        fields |= {"pool_rows": pool[0] - 1, "pool_columns": pool[1] - 1,
                   "back_y": (pool[0] - 1) * down, "back_x": (pool[1] - 1) * right}
    return fields


def window(source, kernel):
    """Fields of :class:`qsnn.hw.engine.walk.WindowWalk` without its passes."""
    return {"words": source.words - 1, "rows": kernel[0] - 1, "columns": kernel[1] - 1,
            "next_row": (source.width - kernel[1]) * source.words + 1,
            "height": source.height, "width": source.width}


def mask(source, shape):
    """Columns of the last word of a pixel that have channels."""
    return (1 << ((source.channels - 1) % shape.simd // shape.beat + 1)) - 1

"""How convolutions and skips go over a map: rows, positions and what a buffer holds of them."""

from dataclasses import dataclass
from functools import cached_property

__all__ = ["CREDIT_CYCLES", "SkipPlan", "Window", "ceil_div", "window_of"]

CREDIT_CYCLES = 3  # from the first beat of an image's row to that of the next, at least


def ceil_div(a, b):
    return -(-a // b)


@dataclass(frozen=True)
class Window:
    """How a convolution goes over its input map: everything that follows from the shape.

    height, width, channels  of the input map, channels that the layer before pads included
    kernel, stride, padding, pool_size  pairs, as :class:`qsnn.model.layers.Convolution` has them
    out_height, out_width    positions of neurons
    pool                     none where there is no pooling
    chunks                   words of a pixel
    """

    height: int
    width: int
    channels: int
    kernel: tuple
    stride: tuple
    padding: tuple
    out_height: int
    out_width: int
    pool_size: tuple
    pool: str
    chunks: int

    @property
    def units(self):
        """Rows of the output map. Each is begun when the rows that it needs have arrived."""
        return self.out_height // self.pool_size[0]

    @property
    def positions(self):
        """Positions of a unit, those of a pool's square one after the other."""
        return self.out_width * self.pool_size[0]

    @property
    def square(self):
        """Positions of a pool's rectangle."""
        return self.pool_size[0] * self.pool_size[1]

    @cached_property
    def pixel_choices(self):
        """How many of a unit's positions, one after the other, can be computed at once.

        Their distances must be the same wherever they begin: some columns of a pool's square,
        some rows of it, some squares.
        """
        rows, columns = self.pool_size
        return sorted({before * part for before, most in (
            (1, columns), (columns, rows), (self.square, self.out_width // columns))
            for part in range(1, most + 1) if most % part == 0})

    def parts(self, pixels):
        """Columns of a square, rows of a square and squares that so many positions are."""
        columns = min(pixels, self.pool_size[1])
        rows = min(pixels // columns, self.pool_size[0])
        return columns, rows, pixels // columns // rows

    def distances(self, pixels):
        """Rows and columns of the input from the first of so many positions to each."""
        columns, rows, squares = self.parts(pixels)
        down, right = self.stride
        return [(row * down, (square * self.pool_size[1] + column) * right)
                for square in range(squares) for row in range(rows) for column in range(columns)]

    def loops(self, pixels):
        """(count, rows, columns) of the loops over a map's positions, from the innermost one.

        rows, columns: of the input, that a step of the loop goes on.
        """
        (high, wide), (down, right) = self.pool_size, self.stride
        columns, rows, squares = self.parts(pixels)
        return [(wide // columns, 0, columns * right), (high // rows, rows * down, 0),
                (self.out_width // wide // squares, 0, squares * wide * right),
                (self.units, high * down, 0)]

    @property
    def step(self):
        """Rows of the input from one unit to the next."""
        return self.pool_size[0] * self.stride[0]

    @cached_property
    def rows(self):
        """Rows that the buffer holds: those of a unit, and those that the next one adds."""
        later = (*self.needed[1:], self.height + self.needed[0])
        return max(need - freed for need, freed in zip(later, (0, *self.freed), strict=False))

    @cached_property
    def needed(self):
        """Rows of the input that each unit needs, counted from the image's first."""
        needed = [(unit + 1) * self.step - self.stride[0] + self.kernel[0] - self.padding[0]
                  for unit in range(self.units)]
        return (*(min(max(rows, 1), self.height) for rows in needed[:-1]), self.height)

    @cached_property
    def freed(self):
        """Rows that nobody needs after each unit."""
        freed = [max(0, (unit + 1) * self.step - self.padding[0]) for unit in range(self.units)]
        # no more than have come: a stride may be longer than its kernel
        return (*(min(pair) for pair in zip(freed[:-1], self.needed, strict=False)), self.height)


@dataclass(frozen=True)
class SkipPlan:
    """What a skip needs of its own.

    source   index of the layer that it comes from
    window   :class:`Window` over that layer's map, its kernel a single pixel
    channels of it that mean something
    shift    as in :class:`qsnn.model.layers.Skip`
    weights  whether it is a convolution; else each neuron takes its own channel
    ahead    rows that its buffer holds more: they wait for the layers that are skipped
    """

    source: int
    window: Window
    channels: int
    shift: int
    weights: bool
    ahead: int

    @property
    def rows(self):
        """Rows that its buffer holds."""
        return self.window.rows + self.ahead

    @property
    def words(self):
        """Words of inputs of each group, before those of the convolution."""
        return self.window.chunks if self.weights else 0


def window_of(layer, channels=1, chunks=1):
    """The :class:`Window` of a convolution."""
    return Window(height=layer.height, width=layer.width, channels=channels, kernel=layer.kernel,
                  stride=layer.stride, padding=layer.padding, out_height=layer.out_height,
                  out_width=layer.out_width, pool_size=layer.pool_size, pool=layer.pool,
                  chunks=chunks)

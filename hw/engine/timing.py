"""How long an engine takes: the array against the memory that feeds it."""

from dataclasses import dataclass

__all__ = ["LayerTime", "image_cycles"]


@dataclass(frozen=True)
class LayerTime:
    """What a layer costs.

    groups, positions   of channels; of an image
    steps, interval     cycles of a position: of its words, and of its neurons at least
    group_words         words of the slab
    useful              bits of weights that meet inputs, of an image
    """

    kind: str
    groups: int
    positions: int
    steps: int
    interval: int
    group_words: int
    useful: int

    def busy(self, images):
        """Cycles of a group."""
        return images * self.positions * max(self.steps, self.interval)


def image_cycles(layers, shape, images=1):
    return sum(layer.groups * layer.busy(images) for layer in layers)

"""What the line to a host, or the pins of a check, ask of a network's plan."""

__all__ = ["CHECK", "MAX_WORDS", "SCK_CYCLES", "USE", "input_beats"]

MAX_WORDS = 1 << 16  # of a memory that a host loads, as a request counts them
SCK_CYCLES = 6  # fewest cycles of the core's clock in one of an SPI's
CHECK, USE = 16, 8  # cycles in which the host link checks a byte, and uses it


def input_beats(plan):
    """Pixels of a beat, and beats of an image: the narrowest beat that keeps the network busy."""
    first = plan.stages[0]
    total = first.beats * first.simd
    pixels = next(lanes for lanes in range(1, first.simd + 1) if first.simd % lanes == 0 and
                  (total // lanes <= plan.cycles or lanes == first.simd))
    return pixels, total // pixels

"""What the line to a host, or the pins of a check, ask of a network's plan."""

__all__ = ["CHECK", "MAX_CLASSES", "MAX_MEMORIES", "MAX_REPLY", "MAX_WORDS", "OVERHEAD",
           "SCK_CYCLES", "USE", "input_beats", "most_classes", "score_bytes", "too_many_classes"]

OVERHEAD = 6  # bytes of a frame beside its payload, before encoding
MAX_REPLY = 254 - OVERHEAD  # bytes of payload: a reply is one COBS block at most
MAX_CLASSES = (1 << 16) - 1  # as a greeting counts them
MAX_MEMORIES = 255  # that a host loads: a greeting has a byte for their number
MAX_WORDS = 1 << 16  # of a memory that a host loads, as a request counts them
SCK_CYCLES = 6  # fewest cycles of the core's clock in one of an SPI's
CHECK, USE = 16, 8  # cycles in which the host link checks a byte, and uses it


def score_bytes(plan):
    """Bytes of a class score in a reply; follows from shapes, as the score's width does."""
    return -(-plan.layers[-1].parameters.score_shape.width // 8)


def most_classes(score_bytes):
    """Classes that a reply has room for, with the label behind their scores.

    So few that a label is a byte. Of more classes a reply has the largest score alone.
    """
    return (MAX_REPLY - 1) // score_bytes


def too_many_classes(plan):
    """Why a host link cannot answer for the classes of a network; empty if it can."""
    classes = plan.stages[-1].n_out
    if classes <= MAX_CLASSES:
        return ""
    return (f"the network has {classes} classes, the host link counts at most {MAX_CLASSES}: build "
            "it with --bare, a few pins in place of the host link")


def input_beats(plan):
    """Pixels of a beat, and beats of an image: the narrowest beat that keeps the network busy."""
    first = plan.stages[0]
    total = first.beats * first.simd
    pixels = next(lanes for lanes in range(1, first.simd + 1) if first.simd % lanes == 0 and
                  (total // lanes <= plan.cycles or lanes == first.simd))
    return pixels, total // pixels

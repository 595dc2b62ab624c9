"""Cycles of a network, exactly: when each layer can begin each part of each image.

A layer begins a unit, a row of a map or a whole image, when what it needs has arrived, when it is
done with the unit before, and when the next layer has room for what it will give. All of that
follows from the plan; the simulations are held to it.
"""

from fractions import Fraction

__all__ = ["timing"]

IMAGES = 24  # of the longest stream that is looked at
READOUT_IMAGES = 2  # whose scores wait in the queue of a score unit


class _Stage:
    """A layer, its input buffer, and what is known of both so far.

    begins  cycle of each unit's beginning
    """

    def __init__(self, stage, following):
        self.stage, self.following = stage, following
        self.begins = []
        window = stage.window
        # per unit of an image: rows that must have arrived, and rows freed by it, from row 0 on
        self.needed = window.needed if window else (1,)
        self.freed = window.freed if window else (1,)
        self.rows = window.height if window else 1  # rows of an image, those of the buffer
        self.capacity = window.rows if window else 2

    def wanted(self):
        """Index of the last row that the next unit needs."""
        image, unit = divmod(len(self.begins), self.stage.units)
        return image * self.rows + self.needed[unit] - 1

    def free(self, row):
        """Cycle from which a row can be taken by a writer; None if that is not known yet."""
        old = row - self.capacity  # whose place it takes
        if old < 0:
            return 0
        image, place = divmod(old, self.rows)
        unit = next(index for index, freed in enumerate(self.freed) if freed > place)
        index = image * self.stage.units + unit
        if index >= len(self.begins):
            return None
        return self.begins[index] + 1 + self.stage.released + 1

    def written(self, row):
        """Cycle of the last beat of the row of its output, or None."""
        # a row of a map for a convolution, else all units of an image
        units = self.stage.units
        index = row if self.following is not None and self.following.stage.window \
            else (row + 1) * units - 1
        if index >= len(self.begins):
            return None
        return self.begins[index] + 1 + self.stage.written


class _Readout(_Stage):
    """The output: the queue of scores, never stalled."""

    def __init__(self, stage):
        super().__init__(stage, None)

    def room(self, image):
        """Cycle from which an image may begin: the one before last has left the queue."""
        old = image - READOUT_IMAGES
        if old < 0:
            return 0
        return self.finished(old) + 1 if old < len(self.begins) else None

    def finished(self, image):
        """Cycle of an image's last class."""
        return self.begins[image] + 1 + self.stage.written


def _simulate(plans, images):
    """Begins of all units, first beats and last classes of so many images in a stream."""
    stages = [_Readout(plans[-1])]
    for plan in reversed(plans[:-1]):
        stages.insert(0, _Stage(plan, stages[0]))
    first, last = stages[0], stages[-1]
    arrived = []  # cycle in which the last beat of each row of the input is written
    beats = plans[0].unit_beats
    moving = True
    while moving:
        moving = False
        while len(arrived) < images * first.rows:
            free = first.free(len(arrived))
            if free is None:
                break
            # a row's first beat is accepted when there is room, after the row before; its last one
            # is written a cycle later. Of one beat alone, readiness is no register
            start = max(free + (beats > 1), arrived[-1] if arrived else 0)
            arrived.append(start + beats)
            moving = True
        for index, stage in enumerate(stages):
            while len(stage.begins) < images * stage.stage.units:
                when = _begin(stages, index, arrived)
                if when is None:
                    break
                stage.begins.append(when)
                moving = True
    return ([arrived[image * first.rows] - beats for image in range(images)],
            [last.finished(image) for image in range(images)])


def _begin(stages, index, arrived):
    """Cycle in which a layer begins its next unit, or None if that is not known yet."""
    stage = stages[index]
    row = stage.wanted()
    if index:
        written = stages[index - 1].written(row)
    else:
        written = arrived[row] if row < len(arrived) else None
    image, unit = divmod(len(stage.begins), stage.stage.units)
    following = stage.following
    if following is None:
        room = stage.room(image)
    elif following.stage.window:
        room = following.free(len(stage.begins))
    else:
        room = following.free(image) if unit == 0 else 0
    if written is None or room is None:
        return None
    done = stage.begins[-1] + stage.stage.unit_cycles if stage.begins else 0
    return max(written + 1, room, done)


def timing(stages):
    """Latency in cycles, and cycles from one image to the next as a :class:`Fraction`.

    The latter of a stream without gaps whose output is never stalled, once it has filled.
    """
    starts, ends = _simulate(stages, 1)
    _, stream = _simulate(stages, IMAGES)
    half = IMAGES // 2
    return ends[0] - starts[0] + 1, Fraction(stream[-1] - stream[-1 - half], half)

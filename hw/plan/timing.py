"""Cycles of a network, exactly: when each layer can begin each part of each image.

A layer begins a unit, a row of a map or a whole image, when what it needs has arrived, when it is
done with the unit before, and when the next layer has room for what it will give. All of that
follows from the plan; the simulations are held to it.
"""

from bisect import bisect_right
from fractions import Fraction

from qsnn.hw.plan.window import CREDIT_CYCLES

__all__ = ["map_times", "timing"]

IMAGES = 24  # of the longest stream that is looked at
READOUT_IMAGES = 2  # whose scores wait in the queue of a score unit


class _Buffer:
    """Rows of a map, or images, that a layer reads; free again when it is done with them.

    late           what happens to rows counts a cycle later
    needed, freed  per unit of an image, from row 0 on
    rows           of an image; those that the buffer has places for
    delay          cycles from the last word of a unit's rows to the end of their use
    """

    def __init__(self, reader, window, capacity, delay=0):
        self.reader, self.capacity, self.delay = reader, capacity, delay
        self.needed = window.needed if window else (1,)
        self.freed = window.freed if window else (1,)
        self.rows = window.height if window else 1
        self.whole = not window  # it takes images
        self.late = bool(window)

    def wanted(self, unit):
        """Index of the last row that a unit needs."""
        image, unit = divmod(unit, len(self.needed))
        return image * self.rows + self.needed[unit] - 1

    def free(self, row):
        """Cycle from which a row can be taken by a writer; None if that is not known yet."""
        old = row - self.capacity  # whose place it takes
        if old < 0:
            return 0
        image, place = divmod(old, self.rows)
        unit = bisect_right(self.freed, place)  # the first that frees more rows than that
        begins = self.reader.begins
        index = image * len(self.freed) + unit
        if index >= len(begins):
            return None
        return begins[index] + 1 + self.reader.stage.released + self.delay + 1 + self.late


class _Stage:
    """A layer, its buffers, and the cycles in which its units begin, as far as they are known.

    inputs  (buffer, index of the layer that writes it or -1)
    """

    def __init__(self, index, stage):
        self.stage, self.begins = stage, []
        self.inputs = [(_Buffer(self, stage.window, stage.window.rows if stage.window else 2),
                        index - 1)]
        if stage.skip:
            self.inputs.append((_Buffer(self, stage.skip.window, stage.skip.rows,
                                        stage.skip_delay), stage.skip.source))

    def written(self, row, whole):
        """Cycle of the last beat of a row of its output, or of a whole image; or None."""
        index = (row + 1) * self.stage.units - 1 if whole else row
        if index >= len(self.begins):
            return None
        return self.begins[index] + 1 + self.stage.written


def _simulate(plans, images, sink=None):
    """First beats of so many images in a stream, and last beats that each layer gives.

    sink: what takes the steps of the last layer where that is no readout, see :func:`map_times`.
    """
    stages = [_Stage(index, plan) for index, plan in enumerate(plans)]
    sinks = [[] for _ in stages]  # buffers that each layer writes
    for stage in stages:
        for buffer, source in stage.inputs:
            if source >= 0:
                sinks[source].append(buffer)
    sinks[-1] += [sink] if sink else []
    first, beats = stages[0].inputs[0][0], plans[0].unit_beats
    wait = max(0, CREDIT_CYCLES - beats) if first.late else 0  # behind a short row
    arrived = []  # cycle in which the last beat of each row of the input is written
    moving = True
    while moving:
        moving = False
        while len(arrived) < images * first.rows:
            free = first.free(len(arrived))
            if free is None:
                break
            # a row's first beat is accepted when there is room, after the row before; its last one
            # is written a cycle later. Of an image of one beat, readiness is no register
            start = max(free + (beats > 1 or first.late), arrived[-1] + wait if arrived else 0)
            arrived.append(start + beats)
            moving = True
        for index, stage in enumerate(stages):
            while len(stage.begins) < images * stage.stage.units:
                when = _begin(stages, index, sinks[index], arrived)
                if when is None:
                    break
                stage.begins.append(when)
                moving = True
                if sink and stage is stages[-1] and len(stage.begins) % stage.stage.units == 0:
                    sink.arrive(stage.written(len(stage.begins) // stage.stage.units - 1, True) + 1)
    return ([arrived[image * first.rows] - beats for image in range(images)],
            [[stage.written(image, True) for image in range(images)] for stage in stages])


def _begin(stages, index, sinks, arrived):
    """Cycle in which a layer begins its next unit, or None if that is not known yet."""
    stage, unit = stages[index], len(stages[index].begins)
    times = [stage.begins[-1] + stage.stage.unit_cycles if stage.begins else 0]
    for buffer, source in stage.inputs:
        row = buffer.wanted(unit)
        if source >= 0:
            written = stages[source].written(row, buffer.whole)
        else:
            written = arrived[row] if row < len(arrived) else None
        times.append(None if written is None else written + 1 + buffer.late)
    image, place = divmod(unit, stage.stage.units)
    for buffer in sinks:
        if not buffer.whole:
            times.append(buffer.free(unit))
        elif place == 0:
            times.append(buffer.free(image))
    if stage.stage.stored and image and place == 0:
        times.append(stage.written(image - 1, True) + 1)
    old = image - READOUT_IMAGES  # whose place the scores take
    if stage.stage.readout and old >= 0:
        times.append(stage.written(old, True) + 1)
    return None if None in times else max(times)


def timing(stages):
    """Latency in cycles, and cycles from one image to the next as a fraction.

    The latter of a stream without gaps whose output is never stalled, once it has filled.
    """
    starts, ends = _simulate(stages, 1)
    stream = _simulate(stages, IMAGES)[1][-1]
    half = IMAGES // 2
    return ends[-1][0] - starts[0] + 1, Fraction(stream[-1] - stream[-1 - half], half)


def map_times(stages, steps, sink):
    """When each step of a stream is through each of its convolutions, where the source never waits.

    [layers][T], in cycles after the first beat. sink: the layers behind them. ``free(step)`` is the
    cycle from which they take a step, or None; ``arrive(cycle)`` says when the next one is there.
    Both count from the same cycle, some before the first beat, which comes third.
    """
    starts, ends = _simulate(stages, steps, sink)
    return [[end - starts[0] for end in layer] for layer in ends], starts[0]

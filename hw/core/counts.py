"""Sums of weights that are integers: half of those of odd numbers, less the inputs."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.schedule import Sequencer

__all__ = ["IntegerSums"]


class IntegerSums(wiring.Component):
    """Takes the inputs' sum from what a :class:`qsnn.hw.core.schedule.Sequencer` hands on.

    ``sum = (xnor + ~count) >> 1``, a carry chain for each lane; see :mod:`qsnn.model.codes` for why
    and :mod:`qsnn.hw.plan.parameters` for the constant that it has more. All neurons of a position
    share the count of a step.

    Parameters
    ----------
    stage : :class:`qsnn.hw.plan.stages.StagePlan`
    sequencer : :class:`qsnn.hw.core.schedule.Sequencer`
        Whose members these are; it is not connected here.

    Members
    -------
    start : In(1)
        That of the sequencer.
    counts : In(array of unsigned, pixels * steps)
        Sums of the inputs, there when those of the sequencer are.
    sequencer : In
        What the sequencer hands on.
    parameter, valid, first, last, current :
        As those of the sequencer, a cycle later.
    """

    HANDED = ("parameter", "valid", "first", "last", "current")

    def __init__(self, stage, sequencer):
        self.stage = stage
        self.steps = stage.sums
        handed = {name: sequencer.signature.members[name] for name in self.HANDED}
        count = Shape.cast(range(stage.count_max + 1))
        super().__init__({
            "start": In(1), "counts": In(data.ArrayLayout(count, stage.pixels * self.steps)),
            "sequencer": In(wiring.Signature(handed)),
            **handed, "current": Out(data.ArrayLayout(Shape.cast(range(stage.sum_max + 1)),
                                                      stage.lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        stage, given, steps = self.stage, self.sequencer, self.steps
        m.d.sync += [getattr(self, name).eq(getattr(given, name)) for name in self.HANDED[:-1]]
        load = self.start
        for cycle in range(Sequencer.LEAD):
            later = Signal(name=f"load_{cycle}")
            m.d.sync += later.eq(load)
            load = later

        # the count in front is that of the sums: steps go round, behind a position its steps go
        held = Signal(self.counts.shape(), reset_less=True)
        count = held[0]
        front = steps * len(count)
        if stage.pixels > 1:
            beats = stage.pe // stage.lanes
            beat = Signal(range(max(2, beats)))
            with m.If(given.valid & given.last):
                m.d.sync += beat.eq(Mux(beat == beats - 1, 0, beat + 1))
            position_end = given.last & (beat == beats - 1)
        with m.If(load):
            m.d.sync += held.eq(self.counts)
        if steps > 1 or stage.pixels > 1:
            flat = held.as_value()
            turned = Cat(flat[:front].rotate_right(len(count)), flat[front:])
            with m.Elif(given.valid):
                m.d.sync += held.eq(turned if stage.pixels == 1 else
                                    Mux(position_end, flat >> front, turned))
        for lane in range(stage.lanes):
            m.d.sync += self.current[lane].eq((given.current[lane] + ~count) >> 1)
        return m

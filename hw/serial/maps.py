"""Convolutions of a stream: maps step by step, membranes in a memory."""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.layer import SpikingLayer, parallel_layer
from qsnn.hw.serial.buffer import RAM
from qsnn.hw.serial.synapses import delayed

__all__ = ["MapConvolution", "map_layer"]

COMMANDS = 4  # steps that may be in a layer at once, and one: it has rows of two, and a result


def map_layer(plan, index, *, files, loadable):
    """The gateware of a convolution of a stream; as :func:`qsnn.hw.core.layer.parallel_layer`."""
    return parallel_layer(plan, index, files=files, loadable=loadable, hidden=MapConvolution)


class MapConvolution(SpikingLayer):
    """Convolution whose membranes stay from step to step.

    A step is what an image of one time step is to its base. Rows of the next one may come while it
    is computed; it is begun when the last result of this one is there, and so membranes are whole,
    and its commands known.

    Members
    -------
    done, emit, clear : In(1)
        The last beat of a step comes with its commands.
    o_done, o_emit, o_clear : Out(1)
        The last beat of its result, likewise.
    busy : Out(1)
        A whole step waits or is under way.
    """

    def __init__(self, stage, parameters, **kwargs):
        super().__init__(stage, parameters, members={
            "done": In(1), "emit": In(1), "clear": In(1),
            "o_done": Out(1), "o_emit": Out(1), "o_clear": Out(1), "busy": Out(1),
        }, **kwargs)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        stage, neurons, schedule = self.stage, self.neurons, self.schedule
        valid = self.sums.valid
        at, last = Signal(range(max(2, stage.neuron_beats))), Signal()
        m.d.comb += last.eq(at == stage.neuron_beats - 1)
        with m.If(valid):
            m.d.sync += at.eq(Mux(last, 0, at + 1))

        membranes = Memory(shape=len(neurons.membrane.as_value()), depth=max(2, stage.neuron_beats),
                           init=[], attrs=RAM)
        m.submodules.membranes = membranes
        read, write = membranes.read_port(), membranes.write_port()
        before = Signal(len(read.data), reset_less=True)
        m.d.sync += before.eq(read.data)
        m.d.comb += [read.addr.eq(at), neurons.before.eq(before),
                     write.en.eq(neurons.membrane_valid), write.data.eq(neurons.membrane),
                     write.addr.eq(delayed(m, at, neurons.latency, "membrane_to"))]

        wait = neurons.latency + (self.pool.latency if self.pool else 0)
        done = self.o_done
        m.d.comb += done.eq(delayed(m, valid & last, wait, "done"))
        commands = Array(Signal(2, name=f"commands_{index}") for index in range(COMMANDS))
        come, gone = Signal(range(COMMANDS)), Signal(range(COMMANDS))
        with m.If(self.done):
            m.d.sync += [commands[come].eq(Cat(self.emit, self.clear)), come.eq(come + 1)]
        fresh, begun = Signal(init=1), Signal(range(stage.units + 1))
        m.d.comb += [
            Cat(self.o_emit, self.o_clear).eq(commands[gone]), self.busy.eq(come != gone),
            # in place of what an image has: its first step is fresh, and rooms are all it waits for
            neurons.first.eq(fresh), schedule.room.eq(self.o_room & (begun != stage.units)),
        ]
        with m.If(schedule.begin):
            m.d.sync += begun.eq(begun + 1)
        with m.If(done):
            m.d.sync += [gone.eq(gone + 1), begun.eq(0), fresh.eq(self.o_clear)]
        return m

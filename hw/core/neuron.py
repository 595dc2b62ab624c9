"""Spiking neurons: low-bit membrane, leak, threshold, reset."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["NeuronUnit"]


class NeuronUnit(wiring.Component):
    """``lanes`` neurons that advance one time step a cycle, bit-exact with
    :func:`qsnn.model.golden.neuron_step`.

    The sums arrive as the synapses make them, ``sum = S + offset``: the constant ``offset`` of
    each neuron is part of its ``threshold`` and ``bias`` here. Only the membrane must go round a
    loop, and with ``m = shift - 1`` the golden equations need nothing of the sum but a few bits::

        (q << m) + sum >= theta            is   q >= need           need = (theta' - sum) >> m
        ((q << m) + sum + beta) >> shift   is   (q + carry) >> 1    carry = (sum + beta) >> m

    with ``theta' = theta + 2**m - 1``, which rounds up. ``need`` and ``carry`` saturate where more
    would change nothing, so the loop is ``b`` bits wide whatever the width of the sum, and
    everything before it is pipelined. Both saturate at powers of two, where no carry is needed to
    see it.

    Parameters
    ----------
    lanes : int
        Neurons side by side.
    parameters : :class:`qsnn.hw.plan.parameters.NeuronParameters`
        Widths and constants of the layer.
    time_steps : int
        Steps of a neuron before the next one takes its place.
    stored : bool
        Whether membranes come from a memory, by :py:`before`, at each step.

    Attributes
    ----------
    latency : int
        Cycles from :py:`valid` to the step's result: 3.

    Members
    -------
    valid, first, last : In(1)
        A step; the first and the last of the neurons.
    sum : In(array of unsigned, lanes)
    threshold, bias : In(array, lanes)
    before : In(array, lanes), if stored
        The membranes before the step, two cycles after :py:`valid`.
    spikes_valid, spikes : Out
        After the last step: the spikes of all steps, step 0 in the lowest bit, of each lane.
    membrane_valid, membrane : Out
        After each step the membrane of each lane: what the tests watch.
    """

    latency = 3

    def __init__(self, *, lanes, parameters, time_steps, stored=False):
        self.lanes = lanes
        self.stored = stored
        self.parameters = p = parameters
        self.time_steps = time_steps
        self.q_shape = Shape(p.bits, signed=p.signed)
        super().__init__({
            "valid": In(1), "first": In(1), "last": In(1),
            "sum": In(data.ArrayLayout(Shape.cast(range(p.sum_max + 1)), lanes)),
            "threshold": In(data.ArrayLayout(p.threshold_shape, lanes)),
            "bias": In(data.ArrayLayout(p.bias_shape, lanes)),
            "spikes_valid": Out(1),
            "spikes": Out(data.ArrayLayout(time_steps, lanes)),
            "membrane_valid": Out(1),
            "membrane": Out(data.ArrayLayout(self.q_shape, lanes)),
            **({"before": In(data.ArrayLayout(self.q_shape, lanes))} if stored else {}),
        })

    def elaborate(self, platform):
        m = Module()
        valid, first, last = [self.valid], [self.first], [self.last]
        for stage in (1, 2):
            for flags, name in ((valid, "valid"), (first, "first"), (last, "last")):
                flag = Signal(name=f"{name}_{stage}", reset_less=name != "valid")
                m.d.sync += flag.eq(flags[-1])
                flags.append(flag)
        m.d.sync += self.membrane_valid.eq(valid[2])
        m.d.sync += self.spikes_valid.eq(valid[2] & last[2])
        for lane in range(self.lanes):
            self._lane(m, lane, step=valid[2], first=first[2])
        return m

    def _lane(self, m, lane, *, step, first):
        p = self.parameters
        leak = p.shift - 1
        sums = self.sum[lane] << p.frac

        # stage 1: the two wide additions
        largest = p.sum_max << p.frac
        below = Signal(range(p.threshold_low - largest, p.threshold_high + 1), reset_less=True)
        biased = Signal(range(p.bias_low, largest + p.bias_high + 1), reset_less=True)
        m.d.sync += [below.eq(self.threshold[lane] - sums), biased.eq(sums + self.bias[lane])]

        # stage 2: all that the loop needs of them
        need = Signal(range(p.q_low, p.q_high + 2), reset_less=True)
        carry = Signal(signed(p.bits + 2), reset_less=True)
        m.d.sync += need.eq(_need(below >> leak, p))
        m.d.sync += carry.eq(_fold(biased >> leak, p.bits + 2))

        # stage 3: the loop
        membrane = self.membrane[lane]
        q = Mux(first, 0, self.before[lane] if self.stored else membrane)
        fire = Signal(name=f"fire_{lane}")
        m.d.comb += fire.eq(q >= need)
        with m.If(step):
            m.d.sync += membrane.eq(Mux(fire, 0, saturate((q + carry) >> 1, p.q_low, p.q_high)))
            m.d.sync += self.spikes[lane].eq(Cat(self.spikes[lane], fire)[1:])


def _need(value, p):
    """``value`` saturated into ``q_low .. q_high + 1``; the latter is a power of two."""
    bits = p.bits - 1 if p.signed else p.bits
    negative = value[-1]
    low = negative & ~value[bits:].all() if p.signed else negative
    return Mux(low, p.q_low, Mux(~negative & value[bits:].any(), p.q_high + 1, value))


def _fold(value, bits):
    """``value`` saturated into a signed number of so many bits."""
    if len(value) <= bits:
        return value
    negative, upper = value[-1], value[bits - 1:]
    return Mux(negative & ~upper.all(), -1 << (bits - 1),
               Mux(~negative & upper.any(), (1 << (bits - 1)) - 1, value))


def saturate(value, low, high):
    """``value``, or the end of ``low .. high`` that it lies beyond."""
    return Mux(value < low, low, Mux(value > high, high, value))

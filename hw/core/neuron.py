"""Spiking neurons: low-bit membrane, leak, threshold, reset."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.plan.latency import CURRENT_LATENCY, neuron_latency

__all__ = ["NeuronUnit", "times"]

TABLE_BITS = 4  # of a membrane: what a LUT takes


class NeuronUnit(wiring.Component):
    """``lanes`` neurons that advance one time step a cycle, bit-exact with
    :func:`qsnn.model.golden.neuron_step`.

    The sums arrive as the synapses make them, ``sum = S + offset``: the constant ``offset`` of
    each neuron is part of its ``threshold`` and ``bias`` here. Only the membrane must go round a
    loop. With a leak of ``m / 2**k`` and ``p = shift - k`` the golden equations need nothing of the
    sum but a few bits::

        (q m << p) + sum >= theta            is   q m >= need            need = (theta' - sum) >> p
        ((q m << p) + sum + beta) >> shift   is   (q m + carry) >> k     carry = (sum + beta) >> p

    with ``theta' = theta + 2**p - 1``, which rounds up. ``need`` and ``carry`` saturate where more
    would change nothing, so the loop is ``b + k`` bits wide whatever the width of the sum, and
    everything before it is pipelined. Both saturate at powers of two, where no carry is needed to
    see it. Of up to 4 bits of ``q``, ``q m`` is a table, a LUT for each of its bits, else sums of
    shifted ``q``. Where the reset subtracts, a neuron that fires has a carry of its own.

    A current is a loop of the same kind before that one, and takes the place of the sum.

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
    ranged : bool
        Whether the ends of the membranes come by :py:`low` and :py:`high`, within those of the
        parameters.

    Attributes
    ----------
    latency : int
        Cycles from :py:`valid` to the step's result: 3, with a current 6.

    Members
    -------
    valid, first, last : In(1)
        A step; the first and the last of the neurons.
    sum : In(array of unsigned, lanes)
    threshold, bias : In(array, lanes)
    bias_fired : In(array, lanes), if the reset subtracts
        The bias of a neuron that fires.
    bias_current : In(array, lanes), if there is a current
        Its bias. The others come :py:`CURRENT_LATENCY` cycles after :py:`valid` then.
    low, high : In, if ranged
    before : In(array, lanes), if stored
        The membranes before the step, currents above them, two cycles after :py:`valid`.
    spikes_valid, spikes : Out
        After the last step: the spikes of all steps, step 0 in the lowest bit, of each lane.
    membrane_valid, membrane : Out
        After each step the membrane of each lane, its current above it: what the tests watch.
    """

    def __init__(self, *, lanes, parameters, time_steps, stored=False, ranged=False):
        self.lanes = lanes
        self.stored, self.ranged = stored, ranged
        self.parameters = p = parameters
        self.time_steps = time_steps
        self.latency = neuron_latency(p.current)
        self.q_shape = Shape(p.bits, signed=p.signed)
        held = self.q_shape if p.current is None else signed(p.held_bits)
        super().__init__({
            "valid": In(1), "first": In(1), "last": In(1),
            "sum": In(data.ArrayLayout(Shape.cast(range(p.sum_max + 1)), lanes)),
            "threshold": In(data.ArrayLayout(p.threshold_shape, lanes)),
            "bias": In(data.ArrayLayout(p.bias_shape, lanes)),
            "spikes_valid": Out(1),
            "spikes": Out(data.ArrayLayout(time_steps, lanes)),
            "membrane_valid": Out(1),
            "membrane": Out(data.ArrayLayout(held, lanes)),
            **({"bias_fired": In(data.ArrayLayout(p.bias_shape, lanes))} if p.subtracts else {}),
            **({"bias_current": In(data.ArrayLayout(p.current_bias_shape, lanes))}
               if p.current else {}),
            **({"before": In(data.ArrayLayout(held, lanes))} if stored else {}),
            **({"low": In(self.q_shape), "high": In(self.q_shape)} if ranged else {}),
        })

    def elaborate(self, platform):
        m = Module()
        valid, first, last = [self.valid], [self.first], [self.last]
        for stage in range(1, self.latency):
            for flags, name in ((valid, "valid"), (first, "first"), (last, "last")):
                flag = Signal(name=f"{name}_{stage}", reset_less=name != "valid")
                m.d.sync += flag.eq(flags[-1])
                flags.append(flag)
        m.d.sync += self.membrane_valid.eq(valid[-1])
        m.d.sync += self.spikes_valid.eq(valid[-1] & last[-1])
        for lane in range(self.lanes):
            given, before, held = self.sum[lane] << self.parameters.frac, None, None
            if self.stored:
                before = self.before[lane]
            if self.parameters.current:
                given, before, held = self._current(m, lane, given, before, step=valid[2],
                                                    first=first[2])
            self._lane(m, lane, given, before, held, step=valid[-1], first=first[-1])
        return m

    def _current(self, m, lane, sums, before, *, step, first):
        """The loop of a lane's current: what its membrane is given, its membrane before the step,
        and its current after it, each when the membrane wants it."""
        p = self.parameters
        bits, (factor, k), _ = p.current
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        bias_low, bias_high = p.current_bias_range
        largest = p.sum_max << p.frac

        def delayed(value, cycles, name):
            for cycle in range(cycles):
                after = Signal(value.shape(), reset_less=True, name=f"{name}_{lane}_{cycle}")
                m.d.sync += after.eq(value)
                value = after
            return value

        biased = Signal(range(bias_low, largest + bias_high + 1), reset_less=True,
                        name=f"current_biased_{lane}")
        carry = Signal(signed(bits + k + 1), reset_less=True, name=f"current_carry_{lane}")
        current = Signal(signed(bits), name=f"current_{lane}")
        given = Signal(range(p.given_min, p.given_max + 1), reset_less=True, name=f"given_{lane}")
        m.d.sync += [biased.eq(sums + self.bias_current[lane]),
                     carry.eq(_fold(biased >> p.current_place, len(carry)))]
        i = Mux(first, 0, before[p.bits:].as_signed() if self.stored else current)
        product = times(m, i, factor, bits, low, high, f"current_product_{lane}")
        m.d.sync += given.eq((product << p.current_place) + delayed(sums, 2, "sum"))
        with m.If(step):
            m.d.sync += current.eq(saturate((product + carry) >> k, low, high))
        if self.stored:
            before = before[:p.bits]
            before = delayed(before.as_signed() if p.signed else before, CURRENT_LATENCY, "before")
        return given, before, delayed(current, CURRENT_LATENCY, "after")

    def _lane(self, m, lane, sums, before, current, *, step, first):
        p = self.parameters
        multiplier, k = p.leak

        # stage 1: the two wide additions
        least, largest = p.given_min, p.given_max
        below = Signal(range(p.threshold_low - largest, p.threshold_high + 1 - least),
                       reset_less=True)
        biases = {"": self.bias[lane]}
        if p.subtracts:
            biases["_fired"] = self.bias_fired[lane]
        biased = {name: Signal(range(p.bias_low + least, largest + p.bias_high + 1),
                               reset_less=True, name=f"biased{name}") for name in biases}
        m.d.sync += below.eq(self.threshold[lane] - sums)
        m.d.sync += [biased[name].eq(sums + biases[name]) for name in biases]

        # stage 2: all that the loop needs of them
        low, high = _ends(p)
        need = Signal(range(low, high + 1), reset_less=True)
        carries = [Signal(signed(p.bits + k + 1), reset_less=True, name=f"carry{name}")
                   for name in biases]
        m.d.sync += need.eq(_need(below >> p.place, low, high))
        m.d.sync += [carry.eq(_fold(value >> p.place, len(carry)))
                     for carry, value in zip(carries, biased.values(), strict=True)]

        # stage 3: the loop
        membrane = self.membrane[lane]
        if current is not None:
            membrane = Signal(self.q_shape, name=f"membrane_{lane}")
            m.d.comb += self.membrane[lane].eq(Cat(membrane, current).as_signed())
        q = Mux(first, 0, before if self.stored else membrane)
        product = times(m, q, multiplier, p.bits, p.q_low, p.q_high, f"product_{lane}")
        fire = Signal(name=f"fire_{lane}")
        m.d.comb += fire.eq(product >= need)

        ends = (self.low, self.high) if self.ranged else (p.q_low, p.q_high)

        def after(carry):
            return saturate((product + carry) >> k, *ends)
        quiet, *fired = carries
        following = after(Mux(fire, fired[0], quiet)) if fired else Mux(fire, 0, after(quiet))
        with m.If(step):
            m.d.sync += membrane.eq(following)
            m.d.sync += self.spikes[lane].eq(Cat(self.spikes[lane], fire)[1:])


def _ends(p):
    """Powers of two that no ``q m`` is below, and that none reaches; 0 where none is below 0."""
    m = p.leak[0]
    bits = max((p.q_high * m).bit_length(), (-p.q_low * m - 1).bit_length() if p.signed else 0)
    return -(1 << bits) if p.signed else 0, 1 << bits


def _need(value, low, high):
    """``value`` saturated into ``low .. high``, see :func:`_ends`."""
    bits = high.bit_length() - 1
    negative = value[-1]
    below = negative & ~value[bits:].all() if low else negative
    return Mux(below, low, Mux(~negative & value[bits:].any(), high, value))


def times(m, q, factor, bits, low, high, name):
    """``q``, of ``low`` .. ``high``, times the m of its leak, without a multiplier."""
    if factor == 1:
        return q
    product = Signal(range(low * factor, high * factor + 1), name=name)
    if bits <= TABLE_BITS:
        with m.Switch(q.as_unsigned()):
            for value in range(low, high + 1):
                with m.Case(value % (1 << bits)):
                    m.d.comb += product.eq(value * factor)
        return product
    # signed digits, no two of them beside each other: as few terms as there can be
    total, place = 0, 0
    while factor:
        digit = 2 - (factor & 3) if factor & 1 else 0
        if digit:
            total = total + (q << place) if digit > 0 else total - (q << place)
        factor, place = (factor - digit) >> 1, place + 1
    m.d.comb += product.eq(total)
    return product


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

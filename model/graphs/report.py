"""What became of a graph: one line a layer, and the labels."""

from dataclasses import asdict, dataclass

__all__ = ["LayerReport", "Report", "kept_text", "weights_text"]

EXACT = 1e-6  # part of the weights' norm: of floats with 24 bits no more is known


@dataclass(frozen=True)
class LayerReport:
    """A layer of neurons.

    leak, spread, taken  what is to stay of a membrane, mean and spread over the neurons, and the
                         (m, k) that does
    scales, error        of the weights: smallest and largest of a channel; what is lost of them,
                         as a part of their norm
    theta                smallest and largest threshold
    clipped              part of the membranes that the ends of their range have changed
    differ, spikes       spikes that are not the float network's, of so many
    rate, float_rate     part of the neurons that fire, of the integers and of the floats
    silent, always       neurons, or channels of maps, that never and that always fire, of
                         ``channels``
    weight_code          odd or integer, see :mod:`qsnn.model.codes`
    current              leak of a current that decays, wanted and taken (m, k), and its bits; None:
                         there is none
    """

    name: str
    leak: float
    spread: float
    taken: tuple
    reset: str
    weight_bits: int
    membrane_bits: int
    signed: bool
    shift: int
    frac: int
    scales: tuple
    error: float
    theta: tuple
    clipped: float
    differ: int
    spikes: int
    rate: float
    float_rate: float
    silent: int
    always: int
    channels: int
    current: tuple | None = None
    weight_code: str = "odd"

    def lines(self):
        m, k = self.taken
        leak = "none" if k == 0 else f"{m}/{2 ** k}"
        spread = f" +- {self.spread / 2:.3g}" if self.spread else ""
        current = ""
        if self.current:
            wanted, (m, k), bits = self.current
            current = f"current {wanted:.4g} as {m}/{2 ** k}, {bits} bits, "
        yield (f"{self.name}: leak {self.leak:.4g}{spread} as {leak}, {current}reset "
               f"{'to zero' if self.reset == 'zero' else 'by subtraction'}, weights of "
               f"{weights_text(self.weight_bits, self.weight_code)} ({kept_text(self.error)}, "
               f"scales {self.scales[0]:.3g} to {self.scales[1]:.3g}), membranes of "
               f"{self.membrane_bits} bits{', signed' * self.signed}, theta {self.theta[0]} to "
               f"{self.theta[1]}")
        yield (f"  {self.differ:,} of {self.spikes:,} spikes differ; {100 * self.rate:.1f} % fire, "
               f"of the floats {100 * self.float_rate:.1f} %; {100 * self.clipped:.1f} % of the "
               "membranes clipped")
        for count, what in ((self.silent, "never fires"), (self.always, "always fires")):
            if count == self.channels:
                yield f"  warning: every neuron {what}: is the scale of the inputs right?"
            elif count:
                yield f"  warning: {count} of {self.channels:,} channels: each {what}"


def weights_text(bits, code):
    return f"{bits} bit{'s' * (bits > 1)}{', integers' * (code == 'integer')}"


def kept_text(error):
    return "kept exactly" if error <= EXACT else f"{100 * error:.1f} % lost"


@dataclass(frozen=True)
class Report:
    """layers: a :class:`LayerReport` each. last: the sentence on the readout. same_labels: of
    integers and floats, of ``samples``. correct: labels of the floats and of the integers that are
    right, or None."""

    layers: tuple
    last: str
    notes: tuple
    samples: int
    steps: int
    same_labels: int
    correct: tuple | None

    def __str__(self):
        lines = [*self.notes, *(line for layer in self.layers for line in layer.lines()),
                 self.last,
                 f"{self.same_labels:,} of {self.samples:,} labels are those of the floats"]
        if self.correct:
            floats, integers = (100 * correct / self.samples for correct in self.correct)
            lines.append(f"accuracy: floats {floats:.2f} %, integers {integers:.2f} %")
        return "\n".join(lines)

    def asdict(self):
        return asdict(self)

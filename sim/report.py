"""What a run of the whole test set shows people: a table."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

__all__ = ["CLOCK", "Bar", "steps_table", "table"]

CLOCK = 50e6  # Hz, for images a second


class Bar(Progress):
    """A bar over the images of a simulation; it is called with the number that are done."""

    def __init__(self, total, what="images"):
        super().__init__(what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = self.add_task("", total=total)

    def __call__(self, done):
        self.update(self.bar, completed=done)


def table(description, facts, labels, result, outcome):
    """The result of :func:`qsnn.sim.compiled.simulate` as text."""
    golden = (result.labels == labels).mean()
    rtl = (outcome.labels == labels).mean()
    planned = "at most" if facts.get("at_most") else "planned"
    rows = [
        ("network", f"{description.shape}, T = {description.time_steps}, "
                    f"{description.hidden[0].membrane_bits}-bit membranes"),
        ("images", f"{len(labels):,}"),
        ("accuracy, golden model", f"{golden:.2%}"),
        ("accuracy, Verilog", f"{rtl:.2%}"),
        ("mismatches", ""),
        *((f"  {name}", f"{count:,}") for name, count in outcome.mismatches.items()),
        ("cycles per image", f"{outcome.cycles_per_image:g}"
                             f" ({planned} {facts['cycles_per_image']:g})"),
        ("latency in cycles", f"{outcome.latency:,} ({planned} {facts['latency']:,})"),
        ("images/s at 50 MHz", f"{CLOCK / outcome.cycles_per_image:,.0f}"),
    ]
    lines = [f"{name:<26}{value}" for name, value in rows]
    lines.append("equal: every label, score, spike and membrane" if outcome.ok
                 else "NOT EQUAL: the Verilog differs from the golden model")
    return "\n".join(lines)


def steps_table(description, facts, labels, outcome):
    """The result of :func:`qsnn.sim.steps.simulate_steps` on samples with these labels, as text."""
    right = int((outcome.labels == labels).sum())
    rows = [
        ("network", f"{description.shape}, {description.hidden[0].membrane_bits}-bit membranes"),
        ("samples", f"{len(labels):,}, {outcome.steps:,} steps"),
        ("accuracy, Verilog", f"{right / len(labels):.2%}"),
        ("mismatches", ""),
        *((f"  {name}", f"{count:,}") for name, count in outcome.mismatches.items()),
        ("firing rates", " ".join(f"{rate:.3f}" for rate in outcome.rates)),
        ("words read a step", ", ".join(f"{read:.1f} of {words}" for read, words in outcome.reads)),
        ("cycles per step", f"{outcome.cycles / outcome.steps:.1f}" + (
            f" (planned {outcome.planned / outcome.steps:.1f})" if outcome.planned else "")),
    ]
    lines = [f"{name:<26}{value}" for name, value in rows]
    lines.append("equal: every label, score, spike and membrane" if outcome.ok
                 else "NOT EQUAL: the Verilog differs from the golden model")
    return "\n".join(lines)

"""What a run of the whole test set shows people: a table."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

__all__ = ["Bar", "table"]

NAMED = 20  # classes that have a line each


class Bar(Progress):
    """A bar over the samples of a simulation; it is called with the number that are done."""

    def __init__(self, total, what="samples"):
        super().__init__(what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = self.add_task("", total=total)

    def __call__(self, done):
        self.update(self.bar, completed=done)


def table(description, facts, labels, outcome):
    """What came out of :func:`qsnn.sim.workload.run`, on samples with these labels, as text.

    labels: None where nobody knows them.
    """
    right = [] if labels is None else [
        ("accuracy, golden model", f"{(outcome.expected == labels).mean():.2%}"),
        ("accuracy, Verilog", f"{(outcome.labels == labels).mean():.2%}")]
    if labels is not None and description.meaning and description.classes <= NAMED:
        right += [(f"  {name}", f"{(outcome.labels[labels == label] == label).sum():,} of "
                                f"{(labels == label).sum():,}")
                  for label, name in enumerate(description.meaning.classes)]
    rows = [
        ("network", f"{description.shape}, "
                    + f"T = {description.time_steps}, " * bool(description.time_steps)
                    + f"{description.hidden[0].membrane_bits}-bit membranes"),
        ("samples", f"{len(outcome.labels):,}"),
        *right,
        ("mismatches", ""),
        *((f"  {name}", f"{count:,}") for name, count in outcome.mismatches.items()),
        *outcome.rows(facts),
    ]
    lines = [f"{name:<25} {value}" for name, value in rows]
    lines.append("equal: every label, score, spike and membrane" if outcome.ok
                 else "NOT EQUAL: the Verilog differs from the golden model")
    return "\n".join(lines)

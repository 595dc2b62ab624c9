"""What a run of the whole test set shows people: a table."""

__all__ = ["CLOCK", "table"]

CLOCK = 50e6  # Hz, for images a second


def table(description, facts, labels, result, outcome):
    """The result of :func:`sim.compiled.simulate` as text."""
    golden = (result.labels == labels).mean()
    rtl = (outcome.labels == labels).mean()
    rows = [
        ("network", f"{description.shape}, T = {description.time_steps}, "
                    f"{description.hidden[0].membrane_bits}-bit membranes"),
        ("images", f"{len(labels):,}"),
        ("accuracy, golden model", f"{golden:.2%}"),
        ("accuracy, Verilog", f"{rtl:.2%}"),
        ("mismatches", ""),
        *((f"  {name}", f"{count:,}") for name, count in outcome.mismatches.items()),
        ("cycles per image", f"{outcome.cycles_per_image:g}"
                             f" (planned {facts['cycles_per_image']:g})"),
        ("latency in cycles", f"{outcome.latency:,} (planned {facts['latency']:,})"),
        ("images/s at 50 MHz", f"{CLOCK / outcome.cycles_per_image:,.0f}"),
    ]
    lines = [f"{name:<26}{value}" for name, value in rows]
    lines.append("equal: every label, score, spike and membrane" if outcome.ok
                 else "NOT EQUAL: the Verilog differs from the golden model")
    return "\n".join(lines)

"""One page of text for people about a build: its pace, and what each layer takes."""

__all__ = ["report"]

NAMED = 20  # classes that are listed
CLOCK = 50e6  # Hz, for images or steps a second
# heading, width and value of the columns of a layer, by its schedule
SHARED = (("layer", 7, lambda index, layer: index),
          ("inputs", 8, lambda index, layer: layer["inputs"]),
          ("neurons", 9, lambda index, layer: layer["neurons"]),
          ("PE", 6, lambda index, layer: layer["pe"]),
          ("SIMD", 6, lambda index, layer: layer["simd"]))
PARALLEL = (*SHARED, ("pixels", 8, lambda index, layer: layer["pixels"]),
            ("cycles", 9, lambda index, layer: layer["cycles"]),
            ("in use", 8, lambda index, layer: f"{layer['utilisation']:.0%}"))
COLUMNS = {
    "parallel": PARALLEL, "map": PARALLEL,
    "serial": (*SHARED, ("taps", 6, lambda index, layer: layer["taps"]),
               ("own", 5, lambda index, layer: "yes" if layer["recurrent"] else "-"),
               ("sparse", 8, lambda index, layer: "yes" if layer["sparse"] else "no"),
               ("cycles a step", 18, lambda index, layer: _span(layer))),
}
TITLES = {
    "parallel": "memory in bits; in use: share of the PE x SIMD x pixels x cycles that meet a "
                "synapse",
    "map": "convolutions: a map of each time step after the other, membranes in memory",
    "serial": "one time step after the other; a sparse layer reads the words of inputs that have "
              "a spike",
}
SIZES = ("weights", 11), ("params", 9), ("buffer", 9), ("state", 8)


def report(name, facts):
    """The text, of what the JSON of the build says."""
    lines = [
        f"{name}: {facts['shape']}, "
        + (f"{facts['time_steps']} time steps" if facts["time_steps"] else "a stream of steps")
        + f", top module {facts['top']}",
        f"description {facts['description_sha256'][:16]}", *_classes(facts), "", *_pace(facts),
    ]
    for schedule, columns in COLUMNS.items():
        rows = [(index, layer) for index, layer in enumerate(facts["layers"])
                if layer["schedule"] == schedule]
        if rows:
            lines += ["", TITLES[schedule], *_table(rows, columns)]
    return "\n".join(lines) + "\n"


def _classes(facts):
    """The names of the classes, if they have some."""
    names = facts.get("classes", [])
    if names == [str(label) for label in range(len(names))]:
        return []  # numbers that say nothing new
    shown = [f"{label} {name}" for label, name in enumerate(names[:NAMED])]
    return [f"classes {', '.join(shown)}" + f" and {len(names) - NAMED} more" * (
        len(names) > NAMED)] if names else []


def _pace(facts):
    unit, bound = facts["unit"], " at most" * facts["at_most"]
    cycles = facts[f"cycles_per_{unit}"]
    lines = [f"cycles per {unit}  {cycles:g}{bound}"]
    if "latency" in facts:
        lines.append(f"latency           {facts['latency']} cycles{bound}")
    rate = f"{CLOCK / cycles:,.0f} at 50 MHz" + (", at least" if bound else "")
    return [*lines, f"{unit + 's/s':<18}{rate}"]


def _table(rows, columns):
    """Heading, a line a layer, and the sums of their memories."""
    parts = [_sizes(layer) for _, layer in rows]
    sizes = [(title, width) for title, width in SIZES if any(part[title] for part in parts)]
    before = sum(width for _, width, _ in columns)
    lines = ["".join(f"{title:<{width}}" if title == "layer" else f"{title:>{width}}"
                     for title, width, *_ in (*columns, *sizes))]
    for (index, layer), part in zip(rows, parts, strict=True):
        values = "".join(f"{value(index, layer):{'<' if title == 'layer' else '>'}{width}}"
                         for title, width, value in columns)
        lines.append(values + "".join(f"{part[title]:>{width},}" for title, width in sizes))
    return [*lines, f"{'sum':<{before}}" + "".join(
        f"{sum(part[title] for part in parts):>{width},}" for title, width in sizes)]


def _sizes(layer):
    """Bits of a layer's memories."""
    bits = {name: entry["width"] * entry["depth"] for name, entry in layer["memories"].items()}
    weights = bits.pop("weights") + bits.pop("weights_upper", 0)
    return {"weights": weights, "params": sum(bits.values()), "buffer": layer["buffer_bits"],
            "state": layer.get("state_bits", 0)}


def _span(layer):
    """Cycles of a step without spikes, and of one whose every word has a spike."""
    cycles = layer["cycles_per_step"]
    least = cycles["without_spikes"] if layer["sparse"] else cycles["dense"]
    return f"{least:,} to {cycles['dense']:,}"

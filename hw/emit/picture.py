"""A network as a picture: what each layer is, what it costs, and how busy it is."""

import io

from qsnn.model.layers import by

__all__ = ["draw_network"]

WIDTH, GAP = 2.6, 0.5  # of a box and between two of them
LINES = 9


def draw_network(description, facts):
    """The bytes of a PNG: a box a layer, with shapes, bits, memory and cycles."""
    import matplotlib  # slow to import, wanted here only

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    layers = facts["layers"]
    cycles = [_cycles(layer) for layer in layers]
    figure, ax = plt.subplots(figsize=(0.78 * (len(layers) + 1) * (WIDTH + GAP), 3.4))
    inputs = [f"{description.input_bits}-bit pixels", f"T = {description.time_steps}"] if \
        description.time_steps else ["spikes", "a step at a time"]
    boxes = [(["input", _map(description.input_map or (description.n_in,)), *inputs], None)]
    boxes += [(_text(description, index, facts), busy / max(cycles))
              for index, busy in enumerate(cycles)]
    for place, (lines, load) in enumerate(boxes):
        left = place * (WIDTH + GAP)
        color = "#eeeeee" if load is None else plt.cm.Blues(0.08 + 0.5 * load)
        ax.add_patch(plt.Rectangle((left, 0), WIDTH, LINES, facecolor=color, edgecolor="#444444"))
        ax.text(left + WIDTH / 2, LINES - 0.7, lines[0], ha="center", va="center", weight="bold",
                fontsize=9)
        for row, line in enumerate(lines[1:], 1):
            ax.text(left + WIDTH / 2, LINES - 0.7 - 0.92 * row, line, ha="center", va="center",
                    fontsize=7.5)
        if place:
            _arrow(ax, left - GAP, left, LINES / 2)
    for index, layer in enumerate(description.layers):
        if layer.skip:
            _skip(ax, layer.skip.source + 1, index + 1)
    ax.set_xlim(-0.1, len(boxes) * (WIDTH + GAP))
    ax.set_ylim(-0.2, LINES + (2.2 if any(layer.skip for layer in description.layers) else 0.2))
    ax.set_axis_off()
    unit = facts["unit"]
    figure.suptitle(f"{facts['top']}: {facts[f'cycles_per_{unit}']:,.0f} cycles "
                    f"a{'n' * (unit == 'image')} {unit}{' at most' * facts['at_most']}, "
                    "the darker the busier", fontsize=9)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120, bbox_inches="tight",
                   metadata={"Software": None})
    plt.close(figure)
    return picture.getvalue()


def _cycles(layer):
    """Of an image, or of a step where it has no end."""
    return layer.get("cycles") or layer["cycles_per_step"]["dense"]


def _map(sides):
    return " × ".join(map(str, sides))


def _text(description, index, facts):
    """What stands in the box of a layer, its title first."""
    layer, fact = description.layers[index], facts["layers"][index]
    bits = f"{layer.weight_bits}-bit {'integer ' * (layer.weight_code == 'integer')}weights"
    if layer.kind == "readout":
        title, gives = "readout", f"{layer.n_out} classes" if layer.n_out > 1 else "yes or no"
    elif layer.kind == "fully_connected":
        title, gives = "fully connected", f"{layer.n_out} neurons"
    else:
        title = "convolution"
        bits = _map(layer.kernel) + f", stride {by(layer.stride, ' × ')}" * (
            layer.stride != (1, 1)) + f", {bits}"
        gives = _map((layer.out_height, layer.out_width, layer.channels))
        if layer.pool != "none":
            gives += f", {layer.pool} {_map(layer.pool_size)}"
    membranes = [] if layer.kind == "readout" else [f"{layer.membrane_bits}-bit membranes"]
    memory = sum(entry["width"] * entry["depth"] for name, entry in fact["memories"].items()
                 if name.startswith("weights"))
    if fact["schedule"] == "serial":
        seen = [f"{fact['taps']} steps seen"] * (fact["taps"] > 1) + (
            ["own spikes seen"] * fact["recurrent"])
        bits = ", ".join([bits, *seen])
    use = [f"{fact['utilisation']:.0%} in use"] if "utilisation" in fact else []
    return [f"{index}: {title}", bits, gives, *membranes, f"{memory:,} bits of weights",
            f"{fact['buffer_bits']:,} of buffer", f"PE {fact['pe']} × SIMD {fact['simd']}"
            + (f" × {fact['pixels']} pixels" if fact["pixels"] > 1 else ""),
            f"{_cycles(fact):,} cycles" + " a step" * ("cycles" not in fact), *use]


def _arrow(ax, start, end, height):
    ax.annotate("", (end, height), (start, height),
                arrowprops={"arrowstyle": "->", "color": "#444444"})


def _skip(ax, source, target):
    """An arc over the boxes."""
    start, end = ((place + 0.5) * (WIDTH + GAP) - GAP / 2 for place in (source, target))
    ax.annotate("", (end, LINES), (start, LINES), arrowprops={
        "arrowstyle": "->", "color": "#c03030",
        "connectionstyle": f"arc3,rad=-{0.5 / max(1, target - source):.2f}"})

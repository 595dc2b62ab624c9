"""A program as a picture: which layer works when, and whether the array binds or the memory."""

import io

__all__ = ["draw_time"]

ARRAY, MEMORY, IDLE = "#3a6ea5", "#c8793a", "#eeeeee"
NAMED = 0.03  # part of the time from which a layer has room for its name


def draw_time(program, rate, clock_hz):
    """The bytes of a PNG: from left to right the layers of a batch, above what part of each the
    array works, below in what part the memory gives words.

    rate     words that the memory gives in a cycle, on average
    clock_hz of the engine
    """
    import matplotlib  # slow to import, wanted here only

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    time = program.time(rate)
    total = sum(cycles for cycles, _, _ in time.layers)
    figure, axes = plt.subplots(2, 1, sharex=True, figsize=(10, 3.6), layout="constrained")
    for row, (ax, name, color) in enumerate(zip(
            axes, ("array works", "memory gives words"), (ARRAY, MEMORY), strict=True)):
        begin = 0.0
        for index, (layer, of) in enumerate(zip(program.description.layers, time.layers,
                                                strict=True)):
            width, part = 1e3 * of[0] / clock_hz, of[1 + row]
            ax.bar(begin, 1, width, align="edge", color=IDLE, edgecolor="white", linewidth=0.8)
            ax.bar(begin, part, width, align="edge", color=color, edgecolor="white", linewidth=0.8)
            if of[0] / total > NAMED:
                ax.text(begin + width / 2, 0.5, f"{part:.0%}", ha="center", va="center",
                        fontsize=8, color="white" if part > 0.55 else "#222222")
                if not row:
                    ax.text(begin + width / 2, 1.04, f"{index} {_name(layer)}", ha="left",
                            va="bottom", fontsize=7.5, rotation=30)
            begin += width
        ax.set_ylim(0, 1)
        ax.set_xlim(0, begin)
        ax.set_yticks([0, 1], ["0", "100 %"])
        ax.set_ylabel(name, fontsize=8)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    axes[1].set_xlabel(f"ms of a batch of {program.batch} at {clock_hz / 1e6:g} MHz: "
                       f"{clock_hz * program.batch / time.cycles:,.0f} images/s", fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
    return picture.getvalue()


def _name(layer):
    if layer.kind == "convolution":
        return f"c{layer.channels}" + f"p{layer.pool_size[0]}" * (layer.pool != "none")
    return "readout" if layer.kind == "readout" else f"fc{layer.n_out}"

"""Pictures of a network at work: spikes over time, confusion matrix, firing rates."""

import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  after the choice of the back end
import numpy as np  # noqa: E402

from qsnn.model.inference import infer  # noqa: E402

__all__ = ["draw"]

NAMED = 20  # classes that are written at an axis

SHOWN = 1000
STEPS = 8  # time steps that are shown


@matplotlib.rc_context({"text.parse_math": False})  # names of classes are no formulas
def draw(folder, description, workload, outcome):
    """Write spikes.png, confusion.png and rates.png of a :class:`qsnn.sim.workload.Workload` and
    what came out of it; returns their paths.

    Labels of the confusion matrix are those of the Verilog, rates those of the first
    ``SHOWN`` samples.
    """
    result = infer(description, workload.samples[:SHOWN], trace=True)
    spikes = _spikes if description.time_steps else _raster
    figures = {"spikes.png": spikes(description, workload.samples, workload.labels, result),
               "confusion.png": _confusion(description, workload.labels, outcome.labels),
               "rates.png": _rates(result)}
    paths = []
    for name, figure in figures.items():
        with warnings.catch_warnings():  # of letters that the font has not
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            figure.savefig(folder / name, dpi=110, bbox_inches="tight", metadata={"Software": None})
        plt.close(figure)
        paths.append(folder / name)
    return paths


def _raster(description, samples, labels, result, index=0):
    """Inputs and spikes of a recording over its steps, a row a neuron."""
    rows = [("inputs", samples[index]), *(
        (f"layer {layer}", spikes[index]) for layer, spikes in enumerate(result.spikes))]
    figure, axes = plt.subplots(len(rows), 1, sharex=True, squeeze=False, layout="constrained",
                                figsize=(8, 1 + 1.7 * len(rows)))
    for ax, (name, fired) in zip(axes[:, 0], rows, strict=True):
        ax.imshow(fired.T, cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        ax.set_ylabel(f"{name}\n{fired.shape[1]} in all", fontsize=8)
        ax.set_yticks([])
    axes[-1, 0].set_xlabel("time step")
    names = _names(description)
    figure.suptitle(f"spikes of one recording of class {names[labels[index]]}, found to be "
                    f"{names[result.labels[index]]}: black fires")
    return figure


def _names(description):
    """A text for each class."""
    return description.meaning.classes if description.meaning else [
        str(label) for label in range(description.classes)]


def _grid(values):
    """Neurons or pixels as a picture, as square as it gets; NaN where nothing is."""
    width = int(np.ceil(np.sqrt(values.size)))
    grid = np.full(width * -(-values.size // width), np.nan)
    grid[:values.size] = values
    return grid.reshape(-1, width)


def _tiles(values, shape):
    """The channels of a map side by side, as square as it gets; NaN between them."""
    height, width, channels = shape
    columns = int(np.ceil(np.sqrt(channels * height / width)))
    rows = -(-channels // columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for channel, tile in enumerate(np.moveaxis(values.reshape(shape), 2, 0)):
        row, column = divmod(channel, columns)
        row, column = row * (height + 1), column * (width + 1)
        grid[row:row + height, column:column + width] = tile
    return grid


def _input(description, pixels):
    """An image as it was meant."""
    shape = description.input_map
    if shape is None or shape[2] not in (1, 3):
        return _grid(pixels.astype(float))
    image = pixels.reshape(shape) / ((1 << description.input_bits) - 1)
    return image if shape[2] == 3 else image[:, :, 0]


def _spikes(description, pixels, labels, result, index=0):
    hidden = description.hidden
    times = np.unique(np.linspace(0, description.time_steps - 1, STEPS).astype(int))
    steps = len(times)
    figure, axes = plt.subplots(len(hidden) + 1, steps, squeeze=False,
                                figsize=(1.9 * steps + 1, 2.2 * (len(hidden) + 1)))
    for ax in axes.flat:
        ax.set_axis_off()
    if (description.input_map or (0,))[0] == 1:  # a window of a sensor
        axes[0][0].plot(pixels[index].reshape(description.input_map[1:]), linewidth=0.8)
    else:
        axes[0][0].imshow(_input(description, pixels[index]), cmap="gray_r")
    names = _names(description)
    axes[0][0].set_title(f"input: {names[labels[index]]}")
    if steps > 1:
        ax = axes[0][-1]
        ax.set_axis_on()
        scores = result.scores[index]
        best = result.labels[index]
        ax.barh(range(len(scores)), scores,
                color=["C3" if k == best or len(scores) == 1 else "C7" for k in range(len(scores))])
        shown = range(len(scores) if len(scores) <= 12 else 0)
        ax.set_yticks(shown, [names[label] for label in shown] if len(scores) > 1 else ["score"])
        ax.invert_yaxis()
        ax.tick_params(labelsize=7)
        ax.set_xticks([])  # only their order decides
        ax.set_title(f"scores: class {names[best]}", fontsize=9)
    for row, spikes in enumerate(result.spikes, 1):
        for place, t in enumerate(times):
            ax, layer = axes[row][place], description.layers[row - 1]
            fired = spikes[index, t].astype(float)
            grid = _tiles(fired, (layer.out_height, layer.out_width, layer.channels)) \
                if layer.kind == "convolution" else _grid(fired)
            ax.set_facecolor("#d0d8f0")  # between maps
            ax.imshow(grid, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            ax.set_axis_on()
            ax.set_xticks([])
            ax.set_yticks([])
            count = int(spikes[index, t].sum())
            ax.set_title(f"layer {row - 1}, step {t}: {count}/{spikes.shape[2]}", fontsize=8)
    figure.suptitle("spikes of one image: black fires")
    return figure


def _confusion(description, labels, predicted):
    n = description.classes
    matrix = np.zeros((n, n), dtype=int)
    np.add.at(matrix, (labels, predicted), 1)
    figure, ax = plt.subplots(figsize=(6, 6))
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count and n <= NAMED:
            ax.text(column, row, count, ha="center", va="center", fontsize=8,
                    color="white" if share[row, column] > 0.5 else "black")
    ax.set_xlabel("class that the Verilog gave")
    ax.set_ylabel("true class")
    shown, names = range(n) if n <= NAMED else range(0, n, -(-n // NAMED)), _names(description)
    long = max(len(names[label]) for label in shown) > 2
    ax.set_xticks(shown, [names[label] for label in shown], rotation=90 * long)
    ax.set_yticks(shown, [names[label] for label in shown])
    ax.set_title(f"{(labels == predicted).mean():.2%} of {len(labels):,} samples")
    return figure


def _rates(result):
    figure, ax = plt.subplots(figsize=(6, 3.2))
    for index, spikes in enumerate(result.spikes):
        rates = spikes.mean(axis=(0, 2))
        ax.plot(range(len(rates)), rates, marker="o" * (len(rates) <= 16) or None,
                label=f"layer {index}, mean {result.rates[index]:.3f}")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("time step")
    ax.set_ylabel("share of neurons that fire")
    ax.set_title(f"firing rate of each layer, {len(result.labels):,} samples")
    ax.legend()
    return figure

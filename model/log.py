"""The log of a training, beside its results: a line an epoch, for people and for programs.

``log.csv`` has loss and accuracy, in percent, of each epoch's training images as they were shown,
and the firing rate of each hidden layer; ``curve.png`` is drawn of it at the end. TensorBoard gets
the same numbers where it is asked for.
"""

import csv
import io

from qsnn.model.config import TrainingError
from qsnn.model.files import write_whole

__all__ = ["CURVE", "LOG", "Log", "draw_curve"]

LOG = "log.csv"
CURVE = "curve.png"
BOARD = "tensorboard"  # the folder of its files


class Log:
    """Called with each :class:`~qsnn.model.training.Epoch`, it writes the log of a folder.

    done         epochs that are behind; lines of others, of a training that was stopped between
                 log and checkpoint, go
    tensorboard  whether it gets them too
    """

    def __init__(self, folder, done=0, tensorboard=False):
        self.path = folder / LOG
        try:
            rows = [row for row in _rows(self.path) if 1 <= int(row["epoch"]) <= done]
        except (OSError, ValueError, KeyError, TypeError):
            rows = []  # none yet, or damaged: what comes is logged
        self.lines = [list(row.values()) for row in rows]
        self.board = _board(folder / BOARD, done) if tensorboard else None

    def __call__(self, epoch):
        self.lines.append([epoch.number, f"{epoch.loss:.6f}", f"{100 * epoch.accuracy:.4f}",
                           *(f"{rate:.4f}" for rate in epoch.rates)])
        text = io.StringIO()
        names = ["epoch", "loss", "accuracy", *(f"rate_{k}" for k in range(len(epoch.rates)))]
        csv.writer(text, lineterminator="\n").writerows([names, *self.lines])
        write_whole(self.path, text.getvalue().encode())
        if self.board:
            for name, value in zip(names[1:], self.lines[-1][1:], strict=True):
                self.board.add_scalar(name, float(value), epoch.number)
            self.board.flush()


def _board(folder, done):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError("--tensorboard needs its package: pip install tensorboard, or leave it "
                            f"out: {LOG} has the same numbers") from None
    return SummaryWriter(folder, purge_step=done + 1)


def _rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def draw_curve(folder, title):
    """Write ``curve.png`` of the log of a folder: loss and accuracy over the epochs."""
    import matplotlib  # slow to import, wanted here only

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    try:
        rows = _rows(folder / LOG)
        columns = {name: [float(row[name]) for row in rows]
                   for name in ("epoch", "loss", "accuracy")}
    except (OSError, ValueError, KeyError, TypeError):
        return  # a training of before there was a log
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(6, 5), layout="constrained")
    for ax, name, unit in ((above, "loss", ""), (below, "accuracy", ", %")):
        ax.plot(columns["epoch"], columns[name], marker="." * (len(rows) < 30) or None)
        ax.set_ylabel(f"{name} in training{unit}")
        ax.grid(alpha=0.3)
    above.set_yscale("log")
    below.set_xlabel("epoch")
    below.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title, fontsize=10)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    write_whole(folder / CURVE, picture.getvalue())

"""Training in Python: what ``qsnn train`` does."""

from dataclasses import fields
from pathlib import Path

from qsnn.hw.emit.build import network_of
from qsnn.model.config import NETWORK, Recipe, config_for, default_folder, recipe_for
from qsnn.model.data import find
from qsnn.model.reading import Reading
from qsnn.network import load

__all__ = ["train"]


def train(dataset="mnist", *, out=None, data_dir=None, device="cpu", threads=1, time_limit=None,
          report=lambda epoch: print(f"epoch {epoch.number}: {100 * epoch.accuracy:.2f} %"),
          say=print, **options):
    """Train a network, turn it into integers, and return its :class:`qsnn.network.Network`.

    dataset   one of :data:`qsnn.model.data.DATASETS`, or an own one: an ``.npz``, a ``.csv``, or a
              folder of pictures by class, see :mod:`qsnn.model.reading`
    out       folder of the results; a training that is there is continued
    data_dir  the only folder of the data; None: those of :mod:`qsnn.model.data`
    device    cpu or cuda
    threads   of PyTorch; another number gives other bits
    time_limit  seconds; there are as many epochs as fit
    report    gets a :class:`qsnn.model.training.Epoch` after each
    say       gets a line for each thing that is found in an own set
    like      in options: a build folder or network whose circuit the new weights shall fit
    options   of the network, see :func:`qsnn.model.config.config_for`: hidden, arch, bits, ...;
              of the way, see :func:`qsnn.model.config.recipe_for`: epochs, lr, seed, ...;
              and of an own set, see :class:`qsnn.model.reading.Reading`: label, image, stream, ...

    Needs PyTorch. Raises ``ValueError``, :class:`qsnn.model.data.DataError` or
    :class:`qsnn.model.config.TrainingError`.
    """
    def taken(kind):
        return {name: options.pop(name) for name in {field.name for field in fields(kind)}
                & options.keys()}
    found = find(dataset, data_dir, Reading(**taken(Reading)))
    for line in found.said:
        say(line)
    recipe = recipe_for(found, **taken(Recipe))
    config = config_for(found, **options)
    if not config.has_integers:
        raise ValueError("a network for ablation, or a teacher, has no integers, so no hardware: "
                         "train it with qsnn.model.experiment.run, or qsnn train --rectified")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device is cpu or cuda, not {device!r}")
    if type(threads) is not int or not 1 <= threads <= 1024:
        raise ValueError(f"threads are 1 to 1024, not {threads!r}")
    import torch  # seconds, which wrong options do not take

    from qsnn.model.experiment import run
    from qsnn.model.export import pinned
    torch.set_num_threads(threads)
    if recipe.like:
        config = pinned(config, network_of(recipe.like), recipe.like)
    out = Path(out or default_folder(found.name, config))
    run(config, recipe, out, data_dir, report, device, time_limit, found=found)
    return load(out / NETWORK)

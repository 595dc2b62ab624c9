"""A trained network in Python: :func:`load`, and what it says of images."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qsnn.hw.emit.build import find_network
from qsnn.model import description as descriptions
from qsnn.model import streams
from qsnn.model.asked import of_shape
from qsnn.model.config import RESULT
from qsnn.model.data import quantize_pixels
from qsnn.model.inference import infer
from qsnn.model.own import read_asked
from qsnn.model.pictures import as_pixels
from qsnn.sim.workload import Workload
from qsnn.table import html

__all__ = ["Network", "load"]


@dataclass(frozen=True, eq=False)
class Network:
    """A network of integers, with its name.

    name         of build folders
    description  :class:`qsnn.model.description.Description`: layers, shape, classes, hash
    training     what was written down when it was trained: command, recipe, accuracy; empty where
                 nothing stands beside its file
    """

    name: str
    description: descriptions.Description
    training: dict = field(default_factory=dict)

    @property
    def accuracy(self):
        """Of the integers on the test set that it was trained for, in percent, or None."""
        return self.training.get("test", {}).get("accuracy")

    @property
    def classes(self):
        """Names of the classes, in the order of the labels."""
        meaning = self.description.meaning
        return meaning.classes if meaning else tuple(map(str, range(self.description.classes)))

    def workload(self, images, *, invert=None):
        """The integers that the network takes, as a :class:`qsnn.sim.workload.Workload`.

        images  of 0 .. 255, arrays or files, in any form of :mod:`qsnn.model.pictures`, which says
                what it converts, and what ``invert`` is; of a stream: spikes [N, T, n_in], 0 or 1;
                or a workload, such as :func:`qsnn.sim.workload.of_dataset` gives
        Raises ``ValueError`` or :class:`qsnn.model.data.DataError` with what to do.
        """
        net = self.description
        if isinstance(images, Workload):
            return images
        if net.stream:
            if net.meaning and net.meaning.levels:
                images = of_shape(images, net.meaning.shape)
                images = net.meaning.samples(images).reshape(len(images), -1, net.n_in)
            return Workload(streams.check_steps(net, images, len(images)))
        files = [images] if isinstance(images, str | Path) else images
        if isinstance(files, list | tuple) and files and all(
                isinstance(file, str | Path) for file in files):
            pixels = np.concatenate([
                read_asked(file, net.n_in, net.input_map, net.meaning, invert=invert)[0]
                for file in files])
        else:
            pixels = as_pixels(images, net.n_in, net.input_map, invert=invert, meaning=net.meaning)
        return Workload(quantize_pixels(pixels, net.input_bits))

    def predict(self, images, *, trace=False, invert=None):
        """What the golden model, exact integers, gives: :class:`qsnn.model.golden.Result`.

        Labels [N], scores [N, classes] and firing rates of the layers; with ``trace`` also the
        spikes and membranes of each hidden layer, [N, T, n_out]. images: as for :meth:`workload`.
        """
        return infer(self.description, self.workload(images, invert=invert).samples, trace=trace)

    def _repr_html_(self):
        net = self.description
        return html(self.name, [
            ("network", net.shape),
            ("inputs", "spikes, step after step" if net.stream else
             f"{net.input_bits}-bit pixels, shown {net.time_steps} times"),
            ("weights", f"{net.weight_bits:,} bits"),
            ("membranes", f"{net.hidden[0].membrane_bits} bits"),
            *([("accuracy", f"{self.accuracy:.2f} %")] if self.accuracy is not None else [])])


def load(name):
    """The network of a ``.qsnn`` file, or one that comes along, such as ``mnist-128-b2``.

    Raises :class:`qsnn.hw.emit.build.BuildError`, which lists those, or
    :class:`qsnn.model.description.DescriptionError`.
    """
    path = find_network(str(name))
    own = path.stem == "network"  # of a training, in a folder of its own
    try:
        training = json.loads((path.with_name(RESULT) if own else path.with_suffix(".json"))
                              .read_text())
    except (OSError, ValueError):
        training = {}
    return Network(path.resolve().parent.name if own else path.stem, descriptions.load(path),
                   training if isinstance(training, dict) else {})

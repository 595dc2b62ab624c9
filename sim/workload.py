"""Samples for a network, images or recordings: where they come from, and their way through Verilog.

The one place here that knows both kinds: commands and the API ask it for what they need.
"""

import json
import sys
from dataclasses import dataclass

import numpy as np

from qsnn.hw.emit.build import NETWORKS
from qsnn.model.audio import sound
from qsnn.model.data import (
    DATASETS,
    IMAGES,
    DataError,
    find,
    input_values,
    load_beats,
    load_images,
    load_sounds,
    load_steps,
    quantize_pixels,
)
from qsnn.model.pictures import as_pixels
from qsnn.model.recordings import TASKS, encode_beats, excerpt
from qsnn.sim.beats import pack_heartbeats, pack_sounds, pack_steps
from qsnn.sim.compiled import simulate
from qsnn.sim.steps import simulate_steps

__all__ = ["RANDOM", "Workload", "chosen", "dataset_of", "of_dataset", "run"]

RANDOM = "random"  # in place of a data set's name
PACK = {"ecg": pack_heartbeats, "spoken-digits": pack_sounds}  # encoders of the Verilog
READ = {"ecg": load_beats, "spoken-digits": load_sounds}  # and what they take
RANDOM_COUNT = 1000  # samples, where nobody says how many
RANDOM_STEPS, RANDOM_RATE = 20, 0.2  # of a sample


@dataclass(frozen=True, eq=False)
class Workload:
    """Samples as the golden model takes them.

    samples  integers [N, n_in] of images, spikes [N, T, n_in] of recordings
    labels   [N], or None
    raw      what an encoder in the Verilog makes these spikes of: arrays with a row a sample each
    """

    samples: np.ndarray
    labels: np.ndarray | None = None
    raw: tuple | None = None

    @property
    def units(self):
        """What a sample takes: one image, or so many steps."""
        return self.samples.shape[1] if self.samples.ndim == 3 else 1

    @property
    def last(self):
        """Which of all steps is the last of its sample, [N * T] bool."""
        return np.tile(np.arange(self.units) == self.units - 1, len(self.samples))

    @property
    def steps(self):
        """All steps, one sample behind the other: [N * T, n_in]."""
        return self.samples.reshape(-1, self.samples.shape[2])

    def beats(self, facts):
        """The input of a stream's Verilog, each sample with a result and a clear behind it."""
        if facts["encoder"]:
            return PACK[facts["encoder"]](facts, *self.raw)
        return pack_steps(facts, self.steps, self.last, self.last)[0]


def dataset_of(description, folder):
    """The data set that a network was trained for: one that comes along, or by its folder's name.

    Raises :class:`qsnn.model.data.DataError` with those that it could be: none is taken by guess.
    """
    for path in NETWORKS.glob("*.json"):
        training = json.loads(path.read_text())
        if training["sha256"] == description.hash:
            return training["recipe"]["dataset"]
    if description.meaning:
        raise DataError(f"{folder}: its network is of somebody's own data: say --dataset with the "
                        f"file or folder, or --dataset {RANDOM}")
    name = folder.resolve().name
    named = [dataset for dataset in DATASETS if name == dataset or name.startswith(f"{dataset}-")]
    if named:
        return max(named, key=len)
    sizes = {task: TASKS[task].inputs for task in TASKS} if description.stream else {
        dataset: int(np.prod(image)) for dataset, image in IMAGES.items()}
    fitting = [dataset for dataset, size in sizes.items() if size == description.n_in]
    raise DataError(f"{folder}: neither its network nor its name says which data it is for; say "
                    + " or ".join(f"--dataset {dataset}" for dataset in [*fitting, RANDOM]))


def of_dataset(description, dataset, count=None, *, encoder="", split="test", data_dir=None):
    """The first samples of a data set, or random ones, as a :class:`Workload` for a network.

    Raises :class:`qsnn.model.data.DataError`.
    """
    if dataset == RANDOM and not encoder:
        return chosen(description, RANDOM, count or RANDOM_COUNT)
    if dataset not in DATASETS:
        return _own(description, dataset, count, split, encoder)
    if not description.stream:
        images, labels = load_images(dataset, split, data_dir)
        pixels = as_pixels(images[:count], description.n_in, description.input_map, invert=False,
                           name=dataset)
        return Workload(quantize_pixels(pixels, description.input_bits), labels[:count])
    samples, labels = load_steps(dataset, split, description.n_in, data_dir)
    raw = tuple(part[:count] for part in READ[encoder](split, data_dir)[:-1]) if encoder else None
    return Workload(samples[:count], labels[:count], raw)


def _own(description, dataset, count, split, encoder):
    """The first samples of somebody's own set, as the network takes them."""
    found = find(dataset, meaning=description.meaning)
    if found.doubt:
        print(f"warning: {found.doubt}", file=sys.stderr)
    if encoder and encoder != getattr(found.meaning, "encoder", ""):
        raise DataError(f"{dataset} has nothing that the encoder of this Verilog takes, {encoder}: "
                        "build without --encoder")
    has = found.stream, found.inputs
    if has != (description.stream, description.n_in) or len(found.classes) > description.classes:
        raise DataError(f"{dataset} has {found.inputs} inputs and {len(found.classes)} classes"
                        + ", step by step" * found.stream + ", the network "
                        f"{description.n_in} and {description.classes}"
                        + ", step by step" * description.stream)
    samples, labels = found.load(split)
    samples = input_values(description, samples[:count])
    if found.stream:
        samples = samples.reshape(len(samples), -1, description.n_in)
    raw = (found.raw(split)[:count].reshape(len(samples), -1),) if encoder else None
    return Workload(samples, labels[:count], raw)


def chosen(description, dataset, count, *, encoder="", seed=0, data_dir=None):
    """So many samples that show much: distinct images of all classes in turn; or random ones.

    Raises :class:`qsnn.model.data.DataError` where there are not so many.
    """
    rng = np.random.default_rng(seed)
    if description.stream:
        return _recordings(description, dataset, count, encoder, rng, data_dir)
    if dataset == RANDOM:
        return Workload(rng.integers(0, 1 << description.input_bits,
                                     size=(count, description.n_in)))
    everything = of_dataset(description, dataset, data_dir=data_dir)
    pixels, labels = everything.samples, everything.labels
    distinct = np.sort(np.unique(pixels, axis=0, return_index=True)[1])
    turn = np.zeros(len(distinct), np.int64)  # how many of its class come before an image
    for label in range(description.classes):
        turn[labels[distinct] == label] = np.arange((labels[distinct] == label).sum())
    order = distinct[np.lexsort((labels[distinct], turn))][:count]
    _enough(order, count, f"distinct test images of {dataset}")
    return Workload(pixels[order], labels[order])


def _recordings(description, dataset, count, encoder, rng, data_dir):
    own = dataset not in (*DATASETS, RANDOM)
    if encoder == "spoken-digits" and not own:
        samples, labels = load_sounds("test", data_dir)
        _enough(samples, count, "sounds")
        return Workload(sound(samples[:count]), labels[:count], (samples[:count],))
    if encoder and not own:
        if data_dir is None:
            samples, intervals, labels = excerpt()
            records = np.zeros(len(samples), np.int64)
        else:
            samples, intervals, records, labels = load_beats("test", data_dir)
        _enough(samples, count, "heart beats")
        samples, intervals, records = samples[:count], intervals[:count], records[:count]
        return Workload(encode_beats(samples, intervals, records), labels[:count],
                        (samples, intervals, records))
    if dataset == RANDOM:
        shape = count, RANDOM_STEPS, description.n_in
        return Workload((rng.random(shape) < RANDOM_RATE).astype(np.uint8))
    found = of_dataset(description, dataset, count, encoder=encoder, data_dir=data_dir)
    _enough(found.samples, count, "samples")
    return found


def _enough(found, count, what):
    if len(found) < count:
        raise DataError(f"there are {len(found)} {what}, not {count}")


def run(folder, facts, description, workload, **options):
    """The samples through the Verilog of a build folder, against the golden model.

    options: waves and progress of :func:`qsnn.sim.compiled.simulate`. Returns its outcome, or that
    of :func:`qsnn.sim.steps.simulate_steps`.
    """
    if description.stream:
        signal = workload.beats(facts) if facts["encoder"] else None
        return simulate_steps(folder, facts, description, workload.steps, workload.last,
                              workload.last, signal=signal, **options)
    return simulate(folder, facts, description, workload.samples, **options)

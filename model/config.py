"""What a training is asked for: the network and the recipe. Nothing here needs PyTorch."""

import math
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from qsnn.model.architecture import NAMED, layers_of
from qsnn.model.codes import CODES
from qsnn.model.data import IMAGES, Dataset, find
from qsnn.model.layers import (
    MAX_FRAC,
    MAX_SHIFT,
    MAX_TIME_STEPS,
    MAX_WEIGHTS,
    RESETS,
    WEIGHT_BITS,
)
from qsnn.model.leak import leak_of
from qsnn.model.reading import Reading, is_own
from qsnn.model.recordings import TASKS

__all__ = ["CHECKPOINT", "NET", "NETWORK", "RESULT", "Config", "Recipe", "TrainingError",
           "config_for", "default_folder", "recipe_for"]

RESULT = "result.json"  # in the folder of a training
CHECKPOINT = "checkpoint.safetensors"  # there too, see :mod:`qsnn.model.training`
NETWORK = "network.qsnn"  # there too: the integers
NET = "network.safetensors"  # there too, see :mod:`qsnn.model.weights`
MAX_STEPS = 4096  # of a sample of a stream
MAX_MOVE = 1000  # pixels
MAX_RATE_WEIGHT = 1000  # more, and nothing of the task is left in the loss
MAX_COUNT = 10 ** 8  # epochs, samples
STEPS, SHOWN, MOST, SMALLEST = 40, 90_000, 300, 16  # of a small set: steps of an epoch, samples
# that are shown in all, epochs, and a batch
MAX_SEED = 10 ** 12  # times a million, and the epoch, it has 63 bits
KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


class TrainingError(Exception):
    """A training cannot start or continue."""


def _within(low, high):
    return (lambda value: low <= value <= high), f"{low} to {high}"


def _check_fields(values, ranges):
    """Each field's type, and where each number lies: name -> (condition, its words).

    No number is without a range: NaN, which is in none, and infinity would pass. Raises
    ``ValueError``.
    """
    for field in fields(values):
        name, kind, value = field.name, field.type, getattr(values, field.name)
        if kind not in KINDS:
            continue
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"{name} must be {KINDS[kind]}, not {value!r}")
        if kind in (int, float):
            holds, words = ranges[name]
            if not holds(value):
                raise ValueError(f"{name} must be {words}, not {value!r}")


@dataclass(frozen=True)
class Config:
    """Shape and method of a network.

    inputs          pixels of an image, or spikes of a step
    hidden          neurons of each hidden layer, or its word, see :mod:`qsnn.model.architecture`
    classes         classes of the output layer; 1: one output, whose sign tells two apart
    input_bits      bits of a pixel, 1 to 8; pixels are integers 0 .. 2**input_bits - 1
    time_steps      T, 1 to 64; the same image is shown at every step. In a stream: the steps of
                    a sample, 1 to 4096
    membrane_bits   b, 2 to 8, or 0 for a float membrane (ablation only: it has no integers)
    signed          whether a membrane may be below its resting potential 0
    standardize     weight half of WS-DR
    rate_weight     spike half of WS-DR: lambda of the firing-rate term; 0 switches it off
    image           height, width and channels of an image; convolutions need them
    last_bits       bits of the output layer's weights: 1, 2, 4 or 8
    last_code       odd or integer: which numbers they are, see :mod:`qsnn.model.codes`
    dynamic         membranes are quantized by the maximum of a batch, as in the paper (ablation
                    only: it has no integers)
    stream          each step has spikes of its own, see :mod:`qsnn.model.streams`
    rectified       float weights, and rectified sums in place of spikes (a teacher only: it has no
                    integers); one time step
    steps           membrane step of each hidden layer, the power of two of so many synapses, that
                    is not to move, see :mod:`qsnn.model.alike`; empty: training chooses
    leak            what stays of a membrane from one time step to the next: 1 (no leak), 1/2, 3/4,
                    15/16, ..; of all hidden layers, or of each, with commas
    reset           of a neuron that fires: to zero, or by what its threshold is, subtract
    readout_leak    what stays of a total of the readout, likewise; 1: all of it
    current         what stays of a second state, before the membrane and with as many bits, signed
                    (CubaLIF); none: there is none. Of all hidden layers, or of each, with commas
    """

    inputs: int = 784
    hidden: tuple = (256, 256)
    classes: int = 10
    input_bits: int = 8
    time_steps: int = 4
    membrane_bits: int = 2
    signed: bool = False
    standardize: bool = True
    rate_weight: float = 0.0
    image: tuple | None = None
    last_bits: int = 1
    last_code: str = "odd"
    dynamic: bool = False
    stream: bool = False
    rectified: bool = False
    steps: tuple = ()
    leak: str = "1/2"
    reset: str = "zero"
    current: str = "none"
    readout_leak: str = "1"

    def __post_init__(self):
        for name in ("hidden", "image", "steps"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) and (name != "image" or value is not None):
                raise ValueError(f"{name} must be a tuple, not {value!r}")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        object.__setattr__(self, "steps", tuple(self.steps))
        _check_fields(self, {
            "inputs": _within(1, 65536), "classes": _within(1, 1024), "input_bits": _within(1, 8),
            "time_steps": _within(1, MAX_STEPS if self.stream else MAX_TIME_STEPS),
            "membrane_bits": (lambda bits: bits in (0, *range(2, 9)), "2 to 8, or 0 for floats"),
            "rate_weight": _within(0, MAX_RATE_WEIGHT),
            "last_bits": (lambda bits: bits in WEIGHT_BITS, "1, 2, 4 or 8")})
        if self.image is not None:
            object.__setattr__(self, "image", tuple(self.image))
            if (len(self.image) != 3 or not all(type(side) is int for side in self.image)
                    or math.prod(self.image) != self.inputs):
                raise ValueError(f"image must be height, width and channels with {self.inputs} "
                                 f"pixels, not {self.image!r}")
        if not self.hidden:
            raise ValueError("hidden must name at least one layer: spikes come from hidden layers")
        if self.last_code not in CODES:
            raise ValueError(f"last_code must be {' or '.join(CODES)}, not {self.last_code!r}")
        if self.last_bits < CODES[self.last_code].least:
            raise ValueError("last_code integer needs last_bits of 2, 4 or 8")
        self._check_stream(layers_of(self.hidden, self.image or (self.inputs,)))
        if self.weight_bits > MAX_WEIGHTS:  # which the description would refuse after the training
            raise ValueError(f"{self.weight_bits:,} bits of weights, a network has at most "
                             f"{MAX_WEIGHTS:,}")
        if self.dynamic and not self.membrane_bits:
            raise ValueError("dynamic quantizes membranes: they need 2 to 8 bits, not 0")
        if self.rectified and (self.stream or self.time_steps > 1):
            raise ValueError("a rectified network sees images, and each once: time_steps must be "
                             f"1, not {self.time_steps}")
        leak_of(self.readout_leak)  # says what is wrong
        if self.reset not in RESETS:
            raise ValueError(f"reset must be zero or subtract, not {self.reset!r}")
        for name in ("leak", "current"):
            if len(getattr(self, f"{name}s")) != len(self.layers):
                raise ValueError(f"{name} must be one for all hidden layers or one for each of the "
                                 f"{len(self.layers)}, not {getattr(self, name)!r}")
        if self.current != "none" and not self.has_integers:
            raise ValueError("a current needs membranes with 2 to 8 bits and steps of their own")
        if self.steps and not (self.has_integers and len(self.steps) == len(self.layers) and all(
                type(step) is int and k - MAX_FRAC <= step <= MAX_SHIFT
                for step, k in zip(self.steps, self.finest, strict=True))):
            low = max(self.finest) - MAX_FRAC
            raise ValueError(f"steps must be a number of {low} to {MAX_SHIFT} for each hidden "
                             f"layer of a network with integers, not {self.steps!r}")

    def _check_stream(self, layers):
        for index, layer in enumerate(layers):
            if not self.stream and (layer.taps > 1 or layer.recurrent):
                raise ValueError(f"layer {index} sees earlier steps: only a stream has those")
            if self.stream and layer.skip is not None:
                raise ValueError(f"layer {index} has a skip: only a network for images has those")
        if self.stream and self.input_bits > 1:
            raise ValueError("a stream has inputs of 1 bit")

    @property
    def weight_bits(self):
        """Bits of all weights; a float counts as one."""
        hidden = sum(layer.weight_count * max(1, layer.weight_bits) for layer in self.layers)
        return hidden + math.prod(self.layers[-1].outputs) * self.classes * self.last_bits

    @property
    def labels(self):
        """Classes that labels tell apart."""
        return max(2, self.classes)

    @property
    def has_integers(self):
        """Whether a description can be made of it, and so hardware."""
        return self.membrane_bits > 0 and not (self.dynamic or self.rectified)

    @cached_property
    def layers(self):
        """The :class:`qsnn.model.architecture.Layer` of each hidden layer."""
        layers = layers_of(self.hidden, self.image or (self.inputs,))
        return [replace(layer, weight_bits=0) for layer in layers] if self.rectified else layers

    @property
    def leaks(self):
        """(m, k) of each hidden layer, see :mod:`qsnn.model.leak`."""
        return self._of_each(self.leak.split(","))

    @property
    def currents(self):
        """Likewise of each hidden layer's current; None where there is none."""
        return self._of_each([None if text.strip() == "none" else text
                              for text in self.current.split(",")])

    @property
    def finest(self):
        """Units that a membrane step of each hidden layer has at least, as powers of two."""
        return tuple(max(k, current[1] - self.current_place if current else 0)
                     for (_, k), current in zip(self.leaks, self.currents, strict=True))

    @property
    def current_place(self):
        """The power of two of membrane steps that one of a current is: so it reaches as far."""
        return 0 if self.signed else 1

    def _of_each(self, texts):
        leaks = tuple(None if text is None else leak_of(text) for text in texts)
        return leaks * len(self.layers) if len(leaks) == 1 else leaks

    def asdict(self):
        return asdict(self)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, and on what.

    dataset      name of the training images, see :mod:`qsnn.model.data`, or the path of an own set
    validation   how many of the training images, the last ones, are held out
    epochs       times that every image is shown
    batch_size   images of a step
    lr           largest learning rate of Adam; warm-up, then a cosine down to 0
    warmup       steps until it is reached
    shift        images are moved by up to so many pixels, each way; samples of a stream by steps,
                 all steps as images where the task has a map
    warp         images are also scaled, sheared and turned by up to this fraction
    flip         every second image is mirrored, left to right
    erase        side of a square that is erased from every image; 0: none
    mix          part of the images that have a rectangle of another one, and so of its label
    drop         part of the spikes of a stream that are left out, at random
    smoothing    part of a label that is spread over all classes
    compiled     by torch.compile, see :meth:`qsnn.model.qsnn.QSNN.run_on`
    balance      0: a class is shown as often as it occurs; 1: as often as the others; between:
                 its share to the power of 1 - balance
    plain        last part of the epochs, in which images are shown as they are
    draws        samples of an epoch, drawn at random; 0: each once, or as many as there are
    teacher      folder or checkpoint of a training of another network for the same images, whose
                 logits most of the loss follows
    start        folder or checkpoint of a training with the same layers, whose network is the
                 first one here; other bits, time steps or images are what it is for
    like         the network or build folder whose membrane steps the network has, as it was named
    lean         what is added behind the training to the score of each class, whole numbers with
                 commas, in quarters of a spike; empty: nothing. It is free in hardware
    whole_norms  whether batch norms have the statistics of batches to the end, and then those of
                 all samples to train on; else those that ran along, from three quarters of it on
    seed         of everything random
    reading      the :class:`~qsnn.model.reading.Reading` of an own set
    """

    dataset: str = "mnist"
    validation: int = 0
    epochs: int = 40
    batch_size: int = 256
    lr: float = 5e-3
    warmup: int = 200
    shift: int = 1
    warp: float = 0.0
    flip: bool = False
    erase: int = 0
    mix: float = 0.0
    drop: float = 0.0
    smoothing: float = 0.0
    compiled: bool = False
    balance: float = 0.0
    draws: int = 0
    plain: float = 0.2
    teacher: str = ""
    start: str = ""
    like: str = ""
    lean: str = ""
    whole_norms: bool = False
    seed: int = 0
    reading: Reading = Reading()

    def __post_init__(self):
        if isinstance(self.reading, dict):  # of a file
            object.__setattr__(self, "reading", Reading(**self.reading))
        if not isinstance(self.reading, Reading):
            raise ValueError(f"reading must be a Reading, not {self.reading!r}")
        count, move, part = _within(0, MAX_COUNT), _within(0, MAX_MOVE), (
            lambda value: 0 <= value < 1, "at least 0 and below 1")
        _check_fields(self, {
            "validation": count, "epochs": _within(1, MAX_COUNT), "batch_size":
            _within(2, MAX_COUNT), "draws": count, "warmup": count, "seed": _within(0, MAX_SEED),
            "lr": (lambda value: 0 < value < 1, "between 0 and 1"), "balance": _within(0, 1),
            "shift": move, "erase": move, "warp": part, "smoothing": part, "drop": part,
            "plain": _within(0, 1), "mix": _within(0, 1)})
        if self.dataset in TASKS and (self.warp or self.flip or self.erase or self.mix):
            raise ValueError("warp, flip, erase and mix change images, and "
                             f"{self.dataset} has streams of spikes")
        if self.dataset in IMAGES and self.drop:
            raise ValueError(f"drop leaves out spikes, and {self.dataset} has images")
        self.offsets  # noqa: B018  which says what is wrong with it

    @property
    def offsets(self):
        """The whole numbers of ``lean``, one a class, or none."""
        try:
            return tuple(int(number) for number in self.lean.split(",")) if self.lean else ()
        except ValueError:
            raise ValueError("lean must be whole numbers with commas, one a class, not "
                             f"{self.lean!r}") from None


def config_for(dataset, *, hidden=(), arch="", bits=2, time_steps=None, input_bits=None,
               one_output=False, **others):
    """The :class:`Config` of a network for a data set, which sets its inputs and classes.

    dataset     a name, a path, or what :func:`qsnn.model.data.find` gave
    hidden      widths of fully connected layers; 256 and 256 if neither this nor ``arch`` is given
    arch        hidden layers as words, or a name, see :mod:`qsnn.model.architecture`
    bits        of a membrane
    time_steps, input_bits  of images; 4 and 8 if not given
    one_output  whether the sign of one score tells two classes apart, in place of two scores
    others      fields of :class:`Config`
    Raises ``ValueError`` or :class:`qsnn.model.data.DataError`.
    """
    if arch and hidden:
        raise ValueError("--arch takes the place of --hidden: give one of them")
    layers = NAMED.get(arch, arch).split("-") if arch else hidden or (256, 256)
    found = dataset if isinstance(dataset, Dataset) else find(dataset)
    if one_output and len(found.classes) != 2:
        raise ValueError(f"{found.name} has {len(found.classes)} classes, and one output tells two "
                         "apart: leave out --one-output")
    shape = dict(inputs=found.inputs, classes=1 if one_output else len(found.classes))
    if found.stream:
        if time_steps or input_bits:
            raise ValueError(f"{found.name} has streams of spikes: leave out "
                             f"{'--time-steps' if time_steps else '--input-bits'}")
        task = TASKS.get(found.name)
        shape |= dict(stream=True, input_bits=1, time_steps=found.shape[0],
                      image=task.map if task and str(layers[0])[0] in "cr" else None)
    else:
        square = found.image and found.image[0] == found.image[1] and found.image[2] == 1
        shape |= dict(image=found.image if arch or not square else None, input_bits=input_bits or 8,
                      time_steps=time_steps or (1 if others.get("rectified") else 4))
    return Config(hidden=layers, membrane_bits=bits, **shape, **others)


def recipe_for(found, **given):
    """The :class:`Recipe` for a :class:`qsnn.model.data.Dataset`.

    given: its fields. Those that are not follow the size of a small set, and of any own set: some
    40 to 80 steps an epoch, some 3,000 in all, a tenth of them warm-up; rows and streams are not
    moved; batch norms have the statistics of the whole set. Of a large named set they are the
    defaults of :class:`Recipe`.
    """
    given = {name: value for name, value in given.items() if value is not None}
    given |= dict(dataset=found.name, reading=found.reading)
    if not found.count:
        return Recipe(**given)
    count = max(2, found.count - given.get("validation", 0))
    batch = min(max(SMALLEST, 1 << (count // STEPS).bit_length() - 1 if count >= STEPS else 0),
                Recipe.batch_size, count)
    batch = given.get("batch_size", batch)
    epochs = given.get("epochs", min(max(Recipe.epochs, SHOWN // count), MOST))
    steps = epochs * ((given.get("draws") or count) // batch)
    return Recipe(**dict(batch_size=batch, epochs=epochs, shift=1 if found.image else 0,
                         warmup=min(Recipe.warmup, steps // 10), whole_norms=True) | given)


def default_folder(dataset, config):
    """Where a training goes if nobody says where."""
    name = Path(dataset).stem if is_own(dataset) else dataset
    return Path("runs") / "-".join(map(str, [name, *config.hidden, f"b{config.membrane_bits}"]))

"""What a training is asked for: the network and the recipe. Nothing here needs PyTorch."""

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from qsnn.model.architecture import NAMED, layers_of
from qsnn.model.data import IMAGES
from qsnn.model.layers import WEIGHT_BITS
from qsnn.model.recordings import TASKS

__all__ = ["NET", "RESULT", "Config", "Recipe", "TrainingError", "config_for", "default_folder"]

RESULT = "result.json"  # in the folder of a training
NET = "network.safetensors"  # there too, see :mod:`qsnn.model.weights`
MAX_STEPS = 4096  # of a sample of a stream
MAX_MOVE = 1000  # pixels


class TrainingError(Exception):
    """A training cannot start or continue."""


@dataclass(frozen=True)
class Config:
    """Shape and method of a network.

    inputs          pixels of an image, or spikes of a step
    hidden          neurons of each hidden layer, or its word, see :mod:`qsnn.model.architecture`
    classes         classes of the output layer
    input_bits      bits of a pixel, 1 to 8; pixels are integers 0 .. 2**input_bits - 1
    time_steps      T, 1 to 8; the same image is shown at every step. In a stream: the steps of
                    a sample, 1 to 4096
    membrane_bits   b, 2 to 8, or 0 for a float membrane (ablation only: it has no integers)
    signed          whether a membrane may be below its resting potential 0
    standardize     weight half of WS-DR
    rate_weight     spike half of WS-DR: lambda of the firing-rate term; 0 switches it off
    image           height, width and channels of an image; convolutions need them
    last_bits       bits of the output layer's weights: 1, 2, 4 or 8
    dynamic         membranes are quantized by the maximum of a batch, as in the paper (ablation
                    only: it has no integers)
    stream          each step has spikes of its own, see :mod:`qsnn.model.streams`
    rectified       float weights, and rectified sums in place of spikes (a teacher only: it has no
                    integers); one time step
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
    dynamic: bool = False
    stream: bool = False
    rectified: bool = False

    def __post_init__(self):
        object.__setattr__(self, "hidden", tuple(self.hidden))
        steps = range(1, MAX_STEPS + 1 if self.stream else 9)
        for name, values in (("input_bits", range(1, 9)), ("time_steps", steps),
                             ("membrane_bits", (0, *range(2, 9))), ("classes", range(2, 1025)),
                             ("inputs", range(1, 65537))):
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be {values[0]} to {values[-1]}, "
                                 f"not {getattr(self, name)!r}")
        if self.image is not None:
            object.__setattr__(self, "image", tuple(self.image))
            if len(self.image) != 3 or math.prod(self.image) != self.inputs:
                raise ValueError(f"image must be height, width and channels with {self.inputs} "
                                 f"pixels, not {self.image!r}")
        if self.last_bits not in WEIGHT_BITS:
            raise ValueError(f"last_bits must be 1, 2, 4 or 8, not {self.last_bits!r}")
        if not self.hidden:
            raise ValueError("hidden must name at least one layer: spikes come from hidden layers")
        self._check_stream(layers_of(self.hidden, self.image or (self.inputs,)))
        if self.dynamic and not self.membrane_bits:
            raise ValueError("dynamic quantizes membranes: they need 2 to 8 bits, not 0")
        if self.rectified and (self.stream or self.time_steps > 1):
            raise ValueError("a rectified network sees images, and each once: time_steps must be "
                             f"1, not {self.time_steps}")
        if self.rate_weight < 0:
            raise ValueError(f"rate_weight must not be negative, it is {self.rate_weight!r}")

    def _check_stream(self, layers):
        for index, layer in enumerate(layers):
            if not self.stream and (layer.taps > 1 or layer.recurrent):
                raise ValueError(f"layer {index} sees earlier steps: only a stream has those")
            if self.stream and (layer.kernel or layer.weight_bits > 1):
                raise ValueError(f"layer {index}: a stream has fully connected layers with "
                                 "weights of 1 bit")
        if self.stream and (self.image or self.input_bits > 1 or self.last_bits > 1):
            raise ValueError("a stream has inputs and weights of 1 bit, and no image")

    @property
    def has_integers(self):
        """Whether a description can be made of it, and so hardware."""
        return self.membrane_bits > 0 and not (self.dynamic or self.rectified)

    @cached_property
    def layers(self):
        """The :class:`qsnn.model.architecture.Layer` of each hidden layer."""
        layers = layers_of(self.hidden, self.image or (self.inputs,))
        return [replace(layer, weight_bits=0) for layer in layers] if self.rectified else layers

    def asdict(self):
        return asdict(self)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, and on what.

    dataset      name of the training images, see :mod:`qsnn.model.data`
    validation   how many of the training images, the last ones, are held out
    epochs       times that every image is shown
    batch_size   images of a step
    lr           largest learning rate of Adam; warm-up, then a cosine down to 0
    shift        images are moved by up to so many pixels, each way; samples of a stream by steps,
                 all steps as images where the task has a map
    warp         images are also scaled, sheared and turned by up to this fraction
    flip         every second image is mirrored, left to right
    erase        side of a square that is erased from every image; 0: none
    drop         part of the spikes of a stream that are left out, at random
    smoothing    part of a label that is spread over all classes
    compiled     by torch.compile, see :meth:`qsnn.model.qsnn.QSNN.compile_neurons`
    balance      0: a class is shown as often as it occurs; 1: as often as the others; between:
                 its share to the power of 1 - balance
    plain        last part of the epochs, in which images are shown as they are
    draws        samples of an epoch, drawn at random; 0: each once, or as many as there are
    teacher      folder or checkpoint of a training of another network for the same images, whose
                 logits most of the loss follows
    start        folder or checkpoint of a training with the same layers, whose network is the
                 first one here; other bits, time steps or images are what it is for
    seed         of everything random
    """

    dataset: str = "mnist"
    validation: int = 0
    epochs: int = 40
    batch_size: int = 256
    lr: float = 5e-3
    shift: int = 1
    warp: float = 0.0
    flip: bool = False
    erase: int = 0
    drop: float = 0.0
    smoothing: float = 0.0
    compiled: bool = False
    balance: float = 0.0
    draws: int = 0
    plain: float = 0.2
    teacher: str = ""
    start: str = ""
    seed: int = 0

    def __post_init__(self):
        for name, low in (("validation", 0), ("epochs", 1), ("batch_size", 2), ("shift", 0),
                          ("erase", 0), ("draws", 0), ("seed", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")
        for name in ("shift", "erase"):
            if getattr(self, name) > MAX_MOVE:
                raise ValueError(f"{name} must be at most {MAX_MOVE}, not {getattr(self, name)}")
        if not 0 < self.lr < 1:
            raise ValueError(f"lr must be between 0 and 1, not {self.lr}")
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance must be 0 to 1, not {self.balance}")
        if self.dataset in TASKS and (self.warp or self.flip or self.erase):
            raise ValueError("warp, flip and erase change images, and "
                             f"{self.dataset} has streams of spikes")
        if self.dataset not in TASKS and self.drop:
            raise ValueError(f"drop leaves out spikes, and {self.dataset} has images")
        for name in ("warp", "smoothing", "drop"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, "
                                 f"not {getattr(self, name)}")


def config_for(dataset, *, hidden=(), arch="", bits=2, time_steps=None, input_bits=None, **others):
    """The :class:`Config` of a network for a data set, which sets its inputs and classes.

    hidden      widths of fully connected layers; 256 and 256 if neither this nor ``arch`` is given
    arch        hidden layers as words, or a name, see :mod:`qsnn.model.architecture`
    bits        of a membrane
    time_steps, input_bits  of images; 4 and 8 if not given
    others      fields of :class:`Config`
    Raises ``ValueError``.
    """
    if arch and hidden:
        raise ValueError("--arch takes the place of --hidden: give one of them")
    layers = NAMED.get(arch, arch).split("-") if arch else hidden or (256, 256)
    if dataset in TASKS:
        if time_steps or input_bits:
            raise ValueError(f"{dataset} has streams of spikes: leave out "
                             f"{'--time-steps' if time_steps else '--input-bits'}")
        task = TASKS[dataset]
        shape = dict(stream=True, inputs=task.inputs, classes=len(task.classes), input_bits=1,
                     time_steps=task.steps)
    else:
        image = IMAGES.get(dataset, (28, 28, 1))
        shape = dict(inputs=math.prod(image), image=image if arch else None,
                     input_bits=input_bits or 8,
                      time_steps=time_steps or (1 if others.get("rectified") else 4))
    return Config(hidden=layers, membrane_bits=bits, **shape, **others)


def default_folder(dataset, config):
    """Where a training goes if nobody says where."""
    return Path("runs") / "-".join(map(str, [dataset, *config.hidden, f"b{config.membrane_bits}"]))

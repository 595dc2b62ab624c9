"""Training of a Q-SNN: one visible loop, and checkpoints that continue it bit for bit.

A training is its :class:`~qsnn.model.qsnn.Config` and its :class:`Recipe`. Random numbers are drawn
anew for every epoch, from the seed and the number of the epoch, and all schedules depend on the
epoch alone; so the state after an epoch is the network and Adam's moments, nothing else. On one
thread the same seed gives the same bits, whether or not the training was interrupted.
"""

import hashlib
import json
import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors

from qsnn.model.augment import augment, draw_balanced, mix_images
from qsnn.model.config import CHECKPOINT, Config, Recipe, TrainingError
from qsnn.model.files import write_whole
from qsnn.model.qsnn import QSNN, paired

__all__ = ["CHECKPOINT", "Epoch", "Recipe", "Training", "TrainingError", "fast_products"]

SHARPNESS = (0.1, 10.0)  # t of the gradient of sign in the first and in the last epoch
FREEZE_STEPS = 0.4  # part of the epochs after which the membrane steps stay
FREEZE_NORMS = 0.75  # ... after which batch norms use their statistics, as the integers will
WHOLE = 512  # samples at once, of those that statistics are taken of
RESERVE = 0.02  # part of the time that is left which an estimate of it leaves free
WARM = 3  # steps before a GPU records one


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: its number from 1, means over the training images and their spikes.

    total: how many there will be.
    """

    number: int
    total: int
    loss: float
    accuracy: float
    rates: tuple


@contextmanager
def fast_products(on):
    """Products of convolutions in bfloat16 where the processor has it, sums in float32.

    The forward pass stays exact: weights, spikes, counts and pixels have 8 significant bits at
    most. Gradients lose some of theirs. Off, nothing changes.
    """
    settings = (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul) if on else ()
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "bf16"
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


class _Recorded:
    """A step that a GPU records once and repeats: to launch its parts one by one takes longer.

    What a step decides in Python is decided once; tensors may have other values each time.
    """

    def __init__(self, step, *inputs):
        self.inputs = [value.clone() for value in inputs]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            step(*self.inputs)

    def __call__(self, *inputs):
        for kept, value in zip(self.inputs, inputs, strict=True):
            kept.copy_(value)
        self.graph.replay()


class Training:
    """A network and its optimizer between two epochs; ``done`` of ``total`` are behind them."""

    def __init__(self, config, recipe, device="cpu"):
        self.config, self.recipe, self.device = config, recipe, device
        self.done, self.total = 0, recipe.epochs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.net = QSNN(config).run_on(device, recipe.compiled)
        self.teacher, self.teacher_hash = None, ""
        self.data_hash = ""  # of the samples that it has begun with
        # on a GPU the step with all its numbers is there
        where = {} if device == "cpu" else dict(fused=True, capturable=True)
        lr = recipe.lr if device == "cpu" else torch.tensor(recipe.lr, device=device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr, **where)
        self._recorded = None  # and the state of the schedules that it was recorded in
        # sums of an epoch; nothing waits for them before it ends
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self._rates = torch.zeros(len(self.net.hidden), device=device)

    def epochs(self, pixels, labels, limit=None):
        """Train to the end, yielding an :class:`Epoch` after each.

        pixels: integers [N, inputs]; labels: [N]. Held-out images are not among them. limit:
        seconds; ``total`` becomes what fits into them, and the schedules with it.
        """
        recipe = self.recipe
        self._know(pixels, labels)
        pixels = torch.tensor(pixels, dtype=torch.uint8).to(self.device)
        labels = torch.tensor(labels, dtype=torch.long).to(self.device)
        drawn = recipe.draws or len(pixels)
        # labels, or what each class has of them
        targets = F.one_hot(labels, self.config.labels).float() if recipe.mix else labels
        steps = drawn // recipe.batch_size
        if not steps:
            raise TrainingError(f"a batch of {recipe.batch_size} images, but only {drawn} to "
                                "train on: choose a smaller --batch-size")
        if limit is None and self.done < self.total:
            self.total = recipe.epochs  # of a run that had a limit there may be fewer
        ends = [time.monotonic()]
        while self.done < self.total:
            part = self.done / self.total
            generator = torch.Generator(self.device).manual_seed(
                recipe.seed * 1_000_003 + self.done)
            if recipe.balance or recipe.draws:
                order = draw_balanced(labels, recipe.balance, drawn, generator)
            else:
                order = torch.randperm(len(pixels), generator=generator, device=self.device)
            self._prepare(part)
            self._forget()
            for step in range(steps):
                chosen = order[step * recipe.batch_size:(step + 1) * recipe.batch_size]
                x, y = pixels[chosen].float(), targets[chosen]
                if part < 1 - recipe.plain:
                    x = augment(x, self.config, recipe, generator)
                    if recipe.mix:
                        x, y = mix_images(x, y, recipe.mix, generator, self.config.image)
                self._set_lr(self.done * steps + step, self.total * steps)
                self._learn(x, y)
            self.done += 1
            seen = self._loss.item(), self._correct.item(), self._rates.tolist()
            ends.append(time.monotonic())
            if limit is not None:
                self._fit(ends, limit)
            if recipe.whole_norms and self.done == self.total:
                self._settle(pixels)
            loss, correct, rates = seen
            if not math.isfinite(loss):
                raise TrainingError(f"the loss of epoch {self.done} is {loss}: the training has "
                                    "lost its way; choose a smaller --lr")
            yield Epoch(self.done, self.total, loss / steps,
                        correct / (steps * recipe.batch_size),
                        tuple(rate / steps for rate in rates))

    def _know(self, pixels, labels):
        """Remember the samples, or refuse others than those of the epochs before."""
        found = hashlib.sha256(np.ascontiguousarray(pixels, np.uint8).tobytes())
        found.update(np.ascontiguousarray(labels, np.int64).tobytes())
        found = found.hexdigest()
        if self.data_hash not in ("", found):
            raise TrainingError("the samples are not those that this training began with: choose "
                                "another --out, or give it the data of before")
        self.data_hash = found

    def _fit(self, ends, limit):
        """Fit the epochs to the time; once something is frozen, there are only ever fewer.

        ends: when this run began, and when each of its epochs ended.
        """
        left = limit - (ends[-1] - ends[0])
        if len(ends) < 4:  # the first one compiles, the second one may record
            if left < ends[-1] - ends[-2]:
                self.total = self.done
            return
        recent = ends[2:][-10:]
        each = (recent[-1] - recent[0]) / (len(recent) - 1)
        fit = self.done + int(left / max(each, 1e-9) * (1 - RESERVE))
        most = self.recipe.epochs if self.done < FREEZE_STEPS * self.total else self.total
        self.total = max(self.done, min(fit, most))

    def _forget(self):
        for total in (self._loss, self._correct, self._rates):
            total.zero_()

    def _learn(self, x, y):
        """A step, recorded where that pays; the first epoch of a process compiles what it needs."""
        if self.device == "cpu" or not self.recipe.compiled:
            self._step(x, y)
            return
        state = [(layer.log_step_frozen, layer.norm.training) for layer in self.net.hidden]
        if self._recorded is None:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM):
                    self._step(x, y)
                self._forget()
            torch.cuda.current_stream().wait_stream(side)
        if self._recorded is None or self._recorded[0] != state:
            self._recorded = None  # its memory is free for the next one
            self.optimizer.zero_grad()
            self._recorded = state, _Recorded(self._step, x, y)
        self._recorded[1](x, y)

    def _step(self, x, y):
        with fast_products(self.config.image is not None):
            taught = None
            if self.teacher is not None:
                with torch.no_grad():
                    taught = paired(self.teacher(x)[0].mean(0))
            loss, logits, rates = self.net.loss(x, y, self.recipe.smoothing, taught)
            self.optimizer.zero_grad()
            loss.backward()
        self.optimizer.step()
        self._loss += loss.detach()
        self._correct += (logits.argmax(1) == (y if y.ndim == 1 else y.argmax(1))).sum()
        self._rates += rates

    def _prepare(self, part):
        """Put the network into the state of the schedules at this part of the epochs."""
        net, (first, last) = self.net, SHARPNESS
        net.train()
        progress = self.done / max(self.total - 1, 1)
        net.set_sharpness(first * (last / first) ** progress)
        for layer in net.hidden:
            layer.log_step_frozen = part >= FREEZE_STEPS
            layer.norm.train(self.recipe.whole_norms or part < FREEZE_NORMS)

    @torch.no_grad()
    def _settle(self, pixels):
        """Give all batch norms the statistics of all samples, with the weights as they are now.

        Running means follow the sums of the last ten or so steps, but in one step many weights of
        a bit flip. A small set has few steps: its running means are those of a network that is no
        more, and a training that goes on with them loses what it had.
        """
        norms = [layer.norm for layer in self.net.hidden]
        self.net.eval()
        for norm in norms:  # those before it have theirs, as the integers will
            norm.train()
            kept, norm.momentum = norm.momentum, 1.0  # what runs is then what the samples had
            count = mean = square = 0
            for start in range(0, len(pixels), WHOLE):
                part = pixels[start:start + WHOLE]
                if len(part) == 1 and count:
                    continue  # one row has no variance
                self.net(part.float())
                found, variance = norm.running_mean.double(), norm.running_var.double()
                count += len(part)
                mean = mean + len(part) * found
                square = square + len(part) * (variance + found ** 2)
            norm.running_mean.copy_(mean / count)
            norm.running_var.copy_(square / count - (mean / count) ** 2)
            norm.momentum = kept
            norm.eval()

    def _set_lr(self, step, steps):
        warmup = min(1.0, (step + 1) / max(1, self.recipe.warmup))
        lr = self.recipe.lr * warmup * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in self.optimizer.param_groups:
            if torch.is_tensor(group["lr"]):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def save(self, path):
        """Write a checkpoint: tensors, and the training as JSON; whole or not at all."""
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        for name, parameter in self.net.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
        header = {"config": self.config.asdict(), "recipe": asdict(self.recipe), "done": self.done,
                  "total": self.total, "teacher": self.teacher_hash,
                  "data": self.data_hash}
        # one metadata key: safetensors keeps no order between several
        write_whole(path, to_safetensors(tensors, metadata={"training": json.dumps(header)}))

    @classmethod
    def load(cls, path, device="cpu"):
        """Read a checkpoint. Raises :class:`TrainingError`."""
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()["training"])
                training = cls(Config(**header["config"]), Recipe(**header["recipe"]),
                               device)
                training._restore({name: file.get_tensor(name) for name in file.keys()})
                training.done = header["done"]
                training.total = header.get("total", training.recipe.epochs)
                if not (type(training.done) is type(training.total) is int
                        and 0 <= training.done <= training.total <= training.recipe.epochs):
                    raise ValueError(f"epoch {training.done} of {training.total}")
                training.teacher_hash = str(header.get("teacher", ""))
                training.data_hash = str(header.get("data", ""))
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError,
                RuntimeError, RecursionError) as error:
            raise TrainingError(f"{path}: not a checkpoint of this version ({error}); delete it to "
                                "start anew") from None
        return training

    def _restore(self, tensors):
        def part(prefix):
            return {name[len(prefix):]: value for name, value in tensors.items()
                    if name.startswith(prefix)}
        self.net.load_state_dict(part("net."))
        moments = {key: part(f"adam.{key}.") for key in ("step", "exp_avg", "exp_avg_sq")}
        for name, parameter in self.net.named_parameters():
            for key, values in moments.items():
                shape = () if key == "step" else parameter.shape
                if values[name].shape != shape or values[name].dtype != torch.float32:
                    raise ValueError(f"adam.{key}.{name} has another shape or type")
            self.optimizer.state[parameter] = {
                key: values[name].to(self.device) for key, values in moments.items()}

    def _begin_with(self, path):
        """Take the network of another training, and none of its moments."""
        remedy = "choose another --start"
        other = _other(path, remedy)
        if _network(other.config) != _network(self.config):
            its, mine = _shape(other.config), _shape(self.config)
            if other.config.image != self.config.image and other.config.image:
                remedy += f", or give --image {'x'.join(map(str, other.config.image))}"
            raise TrainingError(f"{path} holds another network, {its}"
                                + f", and this one is {mine}" * (its != mine) + f": {remedy}")
        state = other.net.state_dict()
        # weights of other bits have another size, the logits shall not
        state["log_scale"] += QSNN.first_log_scale(self.config) - QSNN.first_log_scale(other.config)
        for index, step in enumerate(self.config.steps):
            state[f"hidden.{index}.log_step"] = torch.tensor(step)
        self.net.load_state_dict(state)

    def _listen_to(self, path):
        """Follow the network of another training, which sees the same images."""
        remedy = "choose another --teacher"
        other = _other(path, remedy)
        for name in ("inputs", "classes", "input_bits"):
            mine, its = getattr(self.config, name), getattr(other.config, name)
            if mine != its:
                raise TrainingError(f"the network of {path} has {its} {name.replace('_', ' of ')}, "
                                    f"this one {mine}: {remedy}")
        found = hashlib.sha256(b"".join(
            value.numpy().tobytes() for value in other.net.state_dict().values())).hexdigest()
        if self.teacher_hash not in ("", found):
            raise TrainingError(f"{path} holds another network than when this training began: "
                                f"{remedy}, or another --out to begin anew")
        self.teacher_hash = found
        self.teacher = other.net.run_on(self.device, self.recipe.compiled).eval()

    @classmethod
    def start(cls, config, recipe, path, device="cpu"):
        """The training of ``path`` if it is this one, a new one if there is none."""
        if Path(path).exists():
            training = cls.load(path, device)
            asked = config.asdict() | asdict(recipe)
            found = training.config.asdict() | asdict(training.recipe)
            for name, value in asked.items():
                if found[name] != value:
                    raise TrainingError(f"{Path(path).parent} holds a training with {name} "
                                        f"{_said(found[name])}, not {_said(value)}: choose "
                                        "another --out or delete it")
        else:
            training = cls(config, recipe, device)
            if recipe.start:
                training._begin_with(recipe.start)
        if recipe.teacher:
            training._listen_to(recipe.teacher)
        return training


def _other(path, remedy):
    """The training of a folder or of a checkpoint."""
    path = Path(path)
    try:
        file = path / CHECKPOINT if path.is_dir() else path
        there = file.exists()
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}; {remedy}") from None
    if not there:
        raise TrainingError(f"{file} is not there: {remedy}")
    try:
        return Training.load(file)
    except TrainingError:
        raise TrainingError(f"{file} is not a checkpoint of this version: {remedy}") from None


def _said(value):
    return "none" if value == "" else value


def _shape(config):
    """A network in words, its inputs as sides of a map where they are one."""
    inputs = "x".join(map(str, config.image or (config.inputs,)))
    return "-".join(map(str, (inputs, *config.hidden, config.classes)))


def _network(config):
    """What of a network decides whether the weights of another one fit it."""
    layers = tuple(replace(layer, weight_bits=1, weight_code="odd") for layer in config.layers)
    return config.inputs, layers, config.classes

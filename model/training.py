"""Training of a Q-SNN: one visible loop, and checkpoints that continue it bit for bit.

A training is its :class:`~qsnn.model.qsnn.Config` and its :class:`Recipe`. Random numbers are drawn
anew for every epoch, from the seed and the number of the epoch, and all schedules depend on the
epoch alone; so the state after an epoch is the network and Adam's moments, nothing else. On one
thread the same seed gives the same bits, whether or not the training was interrupted.
"""

import json
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors

from qsnn.model.config import Config, Recipe, TrainingError
from qsnn.model.files import write_whole
from qsnn.model.qsnn import QSNN
from qsnn.model.recordings import TASKS

__all__ = ["CHECKPOINT", "Epoch", "Recipe", "Training", "TrainingError", "draw_balanced",
           "erase_squares", "fast_products", "flip_images", "shift_images", "shift_steps",
           "warp_images"]

WARMUP = 200  # steps until the learning rate is reached
CHECKPOINT = "checkpoint.safetensors"
SHARPNESS = (0.1, 10.0)  # t of the gradient of sign in the first and in the last epoch
FREEZE_STEPS = 0.4  # part of the epochs after which the membrane steps stay
FREEZE_NORMS = 0.75  # ... after which batch norms use their statistics, as the integers will
STOP_SHIFT = 0.8  # ... after which images are shown as they are


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: its number from 1, means over the training images and their spikes."""

    number: int
    loss: float
    accuracy: float
    rates: tuple


def _maps(pixels, image):
    """[B, n] -> [B, C, H, W]; images without a shape are square and grey."""
    side = math.isqrt(pixels.shape[1])
    return pixels.unflatten(1, image or (side, side, 1)).permute(0, 3, 1, 2)


def _rows(maps):
    """[B, C, H, W] -> [B, n]."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def shift_images(pixels, limit, generator, image=None):
    """Move images by -limit .. limit pixels each way, filling with 0: [B, n] -> [B, n].

    image: height, width and channels; None for square grey ones.
    """
    maps = _maps(pixels, image)
    count, height, width = len(maps), *maps.shape[2:]
    padded = F.pad(maps, (limit,) * 4)
    dy, dx = torch.randint(0, 2 * limit + 1, (2, count, 1), generator=generator)
    rows, columns = (torch.arange(height) + dy).unsqueeze(2), (torch.arange(width) + dx)[:, None]
    # indices around the channels put those last
    return padded[torch.arange(count)[:, None, None], :, rows, columns].flatten(1)


def shift_steps(spikes, limit, generator, steps):
    """Move samples of a stream by -limit .. limit steps, filling with 0: [B, n] -> [B, n]."""
    samples = spikes.unflatten(1, (steps, -1))
    moves = torch.randint(-limit, limit + 1, (len(samples), 1), generator=generator)
    source = torch.arange(steps) - moves
    there = (source >= 0) & (source < steps)
    chosen = source.clamp(0, steps - 1).unsqueeze(2).expand_as(samples)
    return (samples.gather(1, chosen) * there.unsqueeze(2)).flatten(1)


def draw_balanced(labels, balance, count, generator):
    """Indices of ``count`` samples, drawn with replacement, see :class:`Recipe`."""
    shares = torch.bincount(labels).float().clamp(min=1)
    return torch.multinomial((shares ** -balance)[labels], count, replacement=True,
                             generator=generator)


def flip_images(pixels, generator, image=None):
    """Mirror every second image, left to right, by chance: [B, n] -> [B, n]."""
    maps = _maps(pixels, image)
    chosen = torch.rand(len(maps), 1, 1, 1, generator=generator) < 0.5
    return _rows(torch.where(chosen, maps.flip(3), maps))


def erase_squares(pixels, side, generator, image=None):
    """Set a square of side x side pixels to 0, part of it outside the image, in each image.

    DeVries and Taylor's cutout (arXiv 1708.04552): [B, n] -> [B, n].
    """
    maps = _maps(pixels, image)
    count, height, width = len(maps), *maps.shape[2:]
    inside = torch.ones(())
    for axis, length in ((2, height), (3, width)):
        centre = torch.randint(0, length, (count, 1), generator=generator)
        near = (torch.arange(length) - centre + side // 2).clamp(-1, side)
        near = (near >= 0) & (near < side)
        inside = inside * near.view(count, *[length if a == axis else 1 for a in (1, 2, 3)])
    return _rows(maps * (1 - inside))


def warp_images(pixels, limit, generator, image=None):
    """Map images by random matrices near the identity, to whole pixel values.

    Each of the four entries is off by up to ``limit``; what lies outside an image is 0.
    [B, n] -> [B, n]
    """
    maps = _maps(pixels, image)
    off = (2 * torch.rand(len(maps), 2, 2, generator=generator) - 1) * limit
    matrices = F.pad(torch.eye(2) + off, (0, 1))
    grid = F.affine_grid(matrices, list(maps.shape), align_corners=False)
    return _rows(F.grid_sample(maps, grid, align_corners=False).round())


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


class Training:
    """A network and its optimizer between two epochs; ``done`` epochs are behind them."""

    def __init__(self, config, recipe, device="cpu"):
        self.config, self.recipe, self.done, self.device = config, recipe, 0, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.net = QSNN(config).to(device)
        self.net.compile_neurons(recipe.compiled)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=recipe.lr)

    def epochs(self, pixels, labels):
        """Train to the end, yielding an :class:`Epoch` after each.

        pixels: integers [N, inputs]; labels: [N]. Held-out images are not among them.
        """
        recipe, net = self.recipe, self.net
        pixels = torch.tensor(pixels, dtype=torch.uint8)
        labels = torch.tensor(labels, dtype=torch.long)
        drawn = recipe.draws or len(pixels)
        steps = drawn // recipe.batch_size
        if not steps:
            raise TrainingError(f"a batch of {recipe.batch_size} images, but only {drawn} to "
                                "train on: choose a smaller --batch-size")
        while self.done < recipe.epochs:
            part = self.done / recipe.epochs
            generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.done)
            if recipe.balance or recipe.draws:
                order = draw_balanced(labels, recipe.balance, drawn, generator)
            else:
                order = torch.randperm(len(pixels), generator=generator)
            self._prepare(part)
            loss_sum, correct, rates_sum = 0.0, 0, 0.0
            for step in range(steps):
                chosen = order[step * recipe.batch_size:(step + 1) * recipe.batch_size]
                x, y = pixels[chosen].float(), labels[chosen]
                if part < STOP_SHIFT:
                    x = self._augment(x, generator)
                x, y = x.to(self.device), y.to(self.device)
                self._set_lr(self.done * steps + step, recipe.epochs * steps)
                with fast_products(self.config.image is not None):
                    loss, logits, rates = net.loss(x, y, recipe.smoothing)
                    self.optimizer.zero_grad()
                    loss.backward()
                self.optimizer.step()
                loss_sum += loss.item()
                correct += (logits.argmax(1) == y).sum().item()
                rates_sum += rates
            self.done += 1
            yield Epoch(self.done, loss_sum / steps, correct / (steps * recipe.batch_size),
                        tuple((rates_sum / steps).tolist()))

    def _augment(self, x, generator):
        recipe, image = self.recipe, self.config.image
        if recipe.warp:
            x = warp_images(x, recipe.warp, generator, image)
        if recipe.shift:
            x = self._shift(x, generator)
        if recipe.flip:
            x = flip_images(x, generator, image)
        if recipe.drop:
            x = x * (torch.rand(x.shape, generator=generator) >= recipe.drop)
        if recipe.erase:
            x = erase_squares(x, recipe.erase, generator, image)
        return x

    def _shift(self, x, generator):
        limit, config = self.recipe.shift, self.config
        if not config.stream:
            return shift_images(x, limit, generator, config.image)
        task = TASKS.get(self.recipe.dataset)
        if not (task and task.map):
            return shift_steps(x, limit, generator, config.time_steps)
        # the steps of a sample are colours of one image
        maps = x.unflatten(1, (config.time_steps, *task.map)).permute(0, 2, 3, 1, 4).flatten(3)
        moved = shift_images(maps.flatten(1), limit, generator, tuple(maps.shape[1:]))
        moved = moved.unflatten(1, (*task.map[:2], config.time_steps, task.map[2]))
        return moved.permute(0, 3, 1, 2, 4).flatten(1)

    def _prepare(self, part):
        """Put the network into the state of the schedules at this part of the epochs."""
        net, (first, last) = self.net, SHARPNESS
        net.train()
        progress = self.done / max(self.recipe.epochs - 1, 1)
        net.set_sharpness(first * (last / first) ** progress)
        for layer in net.hidden:
            layer.log_step_frozen = part >= FREEZE_STEPS
            layer.norm.train(part < FREEZE_NORMS)

    def _set_lr(self, step, steps):
        warmup = min(1.0, (step + 1) / WARMUP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * warmup * 0.5 * (1 + math.cos(math.pi * step / steps))

    def save(self, path):
        """Write a checkpoint: tensors, and the training as JSON; whole or not at all."""
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        for name, parameter in self.net.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
        header = {"config": self.config.asdict(), "recipe": asdict(self.recipe), "done": self.done}
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
                training.done = int(header["done"])
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
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
            self.optimizer.state[parameter] = {
                key: values[name].to("cpu" if key == "step" else self.device)
                for key, values in moments.items()}

    def _begin_with(self, path):
        """Take the network of another training, and none of its moments."""
        path, remedy = Path(path), "choose another --start"
        try:
            file = path / CHECKPOINT if path.is_dir() else path
            there = file.exists()
        except OSError as error:
            raise TrainingError(f"{path}: {error.strerror}; {remedy}") from None
        if not there:
            raise TrainingError(f"{file} is not there: {remedy}")
        try:
            other = type(self).load(file)
        except TrainingError:
            raise TrainingError(f"{file} is not a checkpoint of this version: {remedy}") from None
        if _network(other.config) != _network(self.config):
            shape = other.config.inputs, *other.config.hidden, other.config.classes
            raise TrainingError(f"{path} holds another network, {'-'.join(map(str, shape))}: "
                                f"{remedy}")
        state = other.net.state_dict()
        # weights of other bits have another size, the logits shall not
        state["log_scale"] += QSNN.first_log_scale(self.config) - QSNN.first_log_scale(other.config)
        for index, step in enumerate(self.config.steps):
            state[f"hidden.{index}.log_step"] = torch.tensor(step)
        self.net.load_state_dict(state)

    @classmethod
    def start(cls, config, recipe, path, device="cpu"):
        """The training of ``path`` if it is this one, a new one if there is none."""
        if not Path(path).exists():
            training = cls(config, recipe, device)
            if recipe.start:
                training._begin_with(recipe.start)
            return training
        training = cls.load(path, device)
        asked = config.asdict() | asdict(recipe)
        found = training.config.asdict() | asdict(training.recipe)
        for name, value in asked.items():
            if found[name] != value:
                raise TrainingError(f"{Path(path).parent} holds a training with {name} "
                                    f"{_said(found[name])}, not {_said(value)}: choose another "
                                    "--out or delete it")
        return training


def _said(value):
    return "none" if value == "" else value


def _network(config):
    """What of a network decides whether the weights of another one fit it."""
    layers = tuple(replace(layer, weight_bits=1) for layer in config.layers)
    return config.inputs, layers, config.classes

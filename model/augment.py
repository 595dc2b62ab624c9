"""Changed copies of training images and samples, made where the batch is: a CPU or a GPU."""

import math

import torch
import torch.nn.functional as F

from qsnn.model.recordings import TASKS

__all__ = ["augment", "draw_balanced", "erase_squares", "flip_images", "mix_images", "shift_images",
           "shift_steps", "warp_images"]


def augment(x, config, recipe, generator):
    """What a :class:`~qsnn.model.config.Recipe` does to pixels or spikes: [B, n] -> [B, n].

    generator: of the random numbers, on the device of ``x``, as in all functions here.
    """
    image = config.image
    if recipe.warp:
        x = warp_images(x, recipe.warp, generator, image)
    if recipe.shift:
        x = _shift(x, config, recipe, generator)
    if recipe.flip:
        x = flip_images(x, generator, image)
    if recipe.drop:
        x = x * (torch.rand(x.shape, generator=generator, device=x.device) >= recipe.drop)
    if recipe.erase:
        x = erase_squares(x, recipe.erase, generator, image)
    return x


def _shift(x, config, recipe, generator):
    limit = recipe.shift
    if not config.stream:
        return shift_images(x, limit, generator, config.image)
    task = TASKS.get(recipe.dataset)
    if not (task and task.map):
        return shift_steps(x, limit, generator, config.time_steps)
    # the steps of a sample are colours of one image
    maps = x.unflatten(1, (config.time_steps, *task.map)).permute(0, 2, 3, 1, 4).flatten(3)
    moved = shift_images(maps.flatten(1), limit, generator, tuple(maps.shape[1:]))
    moved = moved.unflatten(1, (*task.map[:2], config.time_steps, task.map[2]))
    return moved.permute(0, 3, 1, 2, 4).flatten(1)


def _maps(pixels, image):
    """[B, n] -> [B, C, H, W]; images without a shape are square and grey."""
    side = math.isqrt(pixels.shape[1])
    return pixels.unflatten(1, image or (side, side, 1)).permute(0, 3, 1, 2)


def _rows(maps):
    """[B, C, H, W] -> [B, n]."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def shift_images(pixels, limit, generator, image=None):
    """Move images by -limit .. limit pixels each way, filling with 0: [B, n] -> [B, n]. Rows are
    not moved where there is but one, nor columns.

    image: height, width and channels; None for square grey ones.
    """
    maps = _maps(pixels, image)
    count, height, width = len(maps), *maps.shape[2:]
    padded = F.pad(maps, (limit,) * 4)
    device = maps.device
    dy, dx = torch.randint(0, 2 * limit + 1, (2, count, 1), generator=generator, device=device)
    for move, side in ((dy, height), (dx, width)):
        if side == 1:  # nothing would be left of most
            move.fill_(limit)
    rows = (torch.arange(height, device=device) + dy).unsqueeze(2)
    columns = (torch.arange(width, device=device) + dx)[:, None]
    # indices around the channels put those last
    return padded[torch.arange(count, device=device)[:, None, None], :, rows, columns].flatten(1)


def shift_steps(spikes, limit, generator, steps):
    """Move samples of a stream by -limit .. limit steps, filling with 0: [B, n] -> [B, n]."""
    samples = spikes.unflatten(1, (steps, -1))
    moves = torch.randint(-limit, limit + 1, (len(samples), 1), generator=generator,
                          device=spikes.device)
    source = torch.arange(steps, device=spikes.device) - moves
    there = (source >= 0) & (source < steps)
    chosen = source.clamp(0, steps - 1).unsqueeze(2).expand_as(samples)
    return (samples.gather(1, chosen) * there.unsqueeze(2)).flatten(1)


def draw_balanced(labels, balance, count, generator):
    """Indices of ``count`` samples, drawn with replacement; ``balance`` is that of a
    :class:`~qsnn.model.config.Recipe`."""
    shares = torch.bincount(labels).float().clamp(min=1)
    return torch.multinomial((shares ** -balance)[labels], count, replacement=True,
                             generator=generator)


def flip_images(pixels, generator, image=None):
    """Mirror every second image, left to right, by chance: [B, n] -> [B, n]."""
    maps = _maps(pixels, image)
    chosen = torch.rand(len(maps), 1, 1, 1, generator=generator, device=maps.device) < 0.5
    return _rows(torch.where(chosen, maps.flip(3), maps))


def erase_squares(pixels, side, generator, image=None):
    """Set a square of side x side pixels to 0, part of it outside the image, in each image.

    DeVries and Taylor's cutout (arXiv 1708.04552): [B, n] -> [B, n].
    """
    maps = _maps(pixels, image)
    count, height, width = len(maps), *maps.shape[2:]
    inside = torch.ones((), device=maps.device)
    for axis, length in ((2, height), (3, width)):
        centre = torch.randint(0, length, (count, 1), generator=generator, device=maps.device)
        near = (torch.arange(length, device=maps.device) - centre + side // 2).clamp(-1, side)
        near = (near >= 0) & (near < side)
        inside = inside * near.view(count, *[length if a == axis else 1 for a in (1, 2, 3)])
    return _rows(maps * (1 - inside))


def mix_images(pixels, targets, part, generator, image=None):
    """Put a rectangle of another image of the batch into ``part`` of the images, by chance.

    Yun et al.'s CutMix (arXiv 1905.04899): the rectangle has the sides of the image times one
    factor, so that all areas are as likely, and its centre may be any pixel; a label has the share
    of the pixels that are its own. pixels [B, n] and targets [B, classes], sums of 1 -> the same.
    """
    maps = _maps(pixels, image)
    count, device = len(maps), maps.device
    draw = torch.rand(4, count, 1, generator=generator, device=device)
    factor = draw[0].sqrt() * (draw[1] < part)
    inside = torch.ones((count, 1, 1), dtype=torch.bool, device=device)
    for axis, length in ((1, maps.shape[2]), (2, maps.shape[3])):
        start = (draw[1 + axis] * length).floor() - (factor * length / 2).floor()
        places = torch.arange(length, device=device)
        near = (places >= start) & (places < start + (factor * length).floor())
        inside = inside & near.unsqueeze(3 - axis)
    other = torch.randperm(count, generator=generator, device=device)
    share = inside.float().mean((1, 2)).unsqueeze(1)
    mixed = torch.where(inside.unsqueeze(1), maps[other], maps)
    return _rows(mixed), targets * (1 - share) + targets[other] * share


def warp_images(pixels, limit, generator, image=None):
    """Map images by random matrices near the identity, to whole pixel values.

    Each of the four entries is off by up to ``limit``; what lies outside an image is 0.
    [B, n] -> [B, n]
    """
    maps = _maps(pixels, image)
    off = torch.rand(len(maps), 2, 2, generator=generator, device=maps.device)
    matrices = F.pad(torch.eye(2, device=maps.device) + (2 * off - 1) * limit, (0, 1))
    grid = F.affine_grid(matrices, list(maps.shape), align_corners=False)
    return _rows(F.grid_sample(maps, grid, align_corners=False).round())

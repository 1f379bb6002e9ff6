"""Random changes of images that leave their class as it is, many images at a time.

All functions take pixels as float ``[images, 3, height, width]`` from 0 to 255 and draw from a generator,
so that equal seeds give equal images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

GREY = (124.0, 116.0, 104.0)
"""What fills the places that an image was moved away from: the mean of ImageNet."""


def crop_and_flip(images: Tensor, draw: Generator, padding: int = 4) -> Tensor:
    """Move every image by up to ``padding`` pixels each way, and mirror half of them."""
    count, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    top, left = torch.randint(2 * padding + 1, (2, count, 1, 1, 1), generator=draw)
    rows = top + torch.arange(height)[:, None]
    columns = torch.arange(width).expand(count, 1, 1, width)
    mirrored = torch.rand(count, 1, 1, 1, generator=draw) < 0.5
    columns = left + torch.where(mirrored, width - 1 - columns, columns)
    return padded[torch.arange(count)[:, None, None, None], torch.arange(3)[:, None, None], rows, columns]


def erase(images: Tensor, draw: Generator, probability: float = 0.25) -> Tensor:
    """Random erasing: a rectangle of 2 to 33 % of the area becomes noise (Zhong et al., arXiv:1708.04896)."""
    count, _, height, width = images.shape
    share = torch.empty(count).uniform_(0.02, 1 / 3, generator=draw)
    aspect = torch.empty(count).uniform_(math.log(0.3), math.log(1 / 0.3), generator=draw).exp()
    tall = ((share * height * width * aspect).sqrt().round()).clamp(1, height)
    wide = ((share * height * width / aspect).sqrt().round()).clamp(1, width)
    top = (torch.rand(count, generator=draw) * (height - tall + 1)).floor()
    left = (torch.rand(count, generator=draw) * (width - wide + 1)).floor()
    chosen = torch.rand(count, generator=draw) < probability

    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    inside_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    hit = (inside_rows[:, :, None] & inside_columns[:, None, :] & chosen[:, None, None])[:, None]
    noise = 127.5 + 63.75 * torch.randn(images.shape, generator=draw)
    return torch.where(hit, noise, images)


def rand_augment(images: Tensor, draw: Generator, magnitude: float = 9.0, layers: int = 2) -> Tensor:
    """RandAugment as timm's ``rand-m9-mstd0.5-inc1``, which DeiT is trained with.

    In each layer every image gets one of fifteen changes with probability 1/2, at a strength drawn
    around ``magnitude`` out of 10.

    References
    ----------
    Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space",
    NeurIPS 2020. arXiv:1909.13719.
    """
    images = images.clone()
    for _ in range(layers):
        count = len(images)
        level = (magnitude + 0.5 * torch.randn(count, generator=draw)).clamp(0, 10) / 10
        sign = torch.randint(2, (count,), generator=draw) * 2.0 - 1.0
        change = torch.randint(len(_CHANGES), (count,), generator=draw)
        applied = torch.rand(count, generator=draw) < 0.5
        for index, make in enumerate(_CHANGES):
            at = ((change == index) & applied).nonzero()[:, 0]
            if len(at):
                images[at] = make(images[at].round(), level[at], sign[at]).clamp(0, 255)
    return images


def _each(values: Tensor) -> Tensor:
    """A number an image, broadcasting against the images."""
    return values[:, None, None, None]


def _moved(images: Tensor, maps: Tensor) -> Tensor:
    """Each image seen through an affine map of its coordinates ``[images, 2, 3]``; grey comes in."""
    grey = torch.tensor(GREY)[:, None, None]
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images - grey, grid, align_corners=False) + grey


def _identity(count: int) -> Tensor:
    return torch.eye(2, 3).repeat(count, 1, 1)


def _rotate(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    angle = sign * level * math.radians(30)
    maps = _identity(len(images))
    maps[:, 0, 0] = maps[:, 1, 1] = angle.cos()
    maps[:, 0, 1], maps[:, 1, 0] = angle.sin(), -angle.sin()
    return _moved(images, maps)


def _entry(row: int, column: int, most: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Shear or translation: one entry of the affine map, up to ``most``."""

    def change(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
        maps = _identity(len(images))
        maps[:, row, column] = sign * level * most
        return _moved(images, maps)

    return change


def _blend(dull: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Between an image without some quality and one with more of it: factors from 0.1 to 1.9."""

    def change(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
        without = dull(images)
        return without + _each(1 + sign * level * 0.9) * (images - without)

    return change


def _luma(images: Tensor) -> Tensor:
    """Brightness of each pixel, by Pillow's weights."""
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    return (images * weights).sum(1, keepdim=True)


def _smooth(images: Tensor) -> Tensor:
    """Pillow's smoothing filter; borders stay."""
    kernel = torch.tensor([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13
    smooth = images.clone()
    inner = F.conv2d(images, kernel.expand(3, 1, 3, 3), groups=3)
    smooth[:, :, 1:-1, 1:-1] = inner
    return smooth


def _auto_contrast(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) * 255 / (high - low).clamp_min(1), images)


def _equalize(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Spread the histogram of each channel evenly, as ``PIL.ImageOps.equalize``."""
    flat = images.flatten(0, 1).flatten(1).long()
    histogram = torch.zeros(len(flat), 256, dtype=torch.long).scatter_add_(1, flat, torch.ones_like(flat))
    brightest = histogram.gather(1, flat.amax(1, keepdim=True))
    step = (histogram.sum(1, keepdim=True) - brightest) // 255
    below = histogram.cumsum(1) - histogram
    table = ((below + step // 2) // step.clamp_min(1)).clamp(max=255)
    return torch.where(step > 0, table.gather(1, flat), flat).to(images).view_as(images)


def _posterize(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    size = 2 ** (8 - (4 - (level * 4).floor()))  # 4 bits are left at level 0, none at level 1
    return images.div(_each(size), rounding_mode="floor") * _each(size)


def _solarize(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    return torch.where(images < _each(256 - (level * 256).floor()), images, 255 - images)


def _solarize_add(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    return torch.where(images < 128, (images + _each((level * 110).floor())).clamp(max=255), images)


_CHANGES: tuple[Callable[[Tensor, Tensor, Tensor], Tensor], ...] = (
    _auto_contrast,
    _equalize,
    lambda images, level, sign: 255 - images,
    _rotate,
    _posterize,
    _solarize,
    _solarize_add,
    _blend(_luma),
    _blend(lambda images: _luma(images).mean((2, 3), keepdim=True)),
    _blend(torch.zeros_like),
    _blend(_smooth),
    _entry(0, 1, 0.3),
    _entry(1, 0, 0.3),
    _entry(0, 2, 0.9),  # of half the width, which is 1 in these coordinates
    _entry(1, 2, 0.9),
)

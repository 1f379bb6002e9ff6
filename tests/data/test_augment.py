"""Changes of images against Pillow's, one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from etude.data import augment

LEVEL = torch.full((8,), 0.9)
UP = torch.ones(8)


@pytest.fixture
def pictures() -> Tensor:
    """Eight smooth pictures with something in every channel."""
    draw = torch.Generator().manual_seed(0)
    small = 255 * torch.rand(8, 3, 5, 5, generator=draw)
    return torch.nn.functional.interpolate(small, (16, 16), mode="bilinear").round()


def by_pillow(pictures: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    arrays = [picture.permute(1, 2, 0).byte().numpy() for picture in pictures]
    changed = [np.array(change(Image.fromarray(array))) for array in arrays]
    return torch.stack([torch.from_numpy(array).permute(2, 0, 1).float() for array in changed])


@pytest.mark.parametrize(
    ("ours", "pillow"),
    [
        (augment._equalize, ImageOps.equalize),
        (augment._posterize, lambda image: ImageOps.posterize(image, 1)),
        (augment._solarize, lambda image: ImageOps.solarize(image, 26)),
    ],
)
def test_tables_are_those_of_pillow(pictures: Tensor, ours: Callable[..., Tensor], pillow: object) -> None:
    assert torch.equal(ours(pictures, LEVEL, UP), by_pillow(pictures, pillow))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("index", "kind"),
    [
        (7, ImageEnhance.Color),
        (8, ImageEnhance.Contrast),
        (9, ImageEnhance.Brightness),
        (10, ImageEnhance.Sharpness),
    ],
)
def test_blends_are_those_of_pillow_but_for_rounding(pictures: Tensor, index: int, kind: object) -> None:
    ours = augment._CHANGES[index](pictures, LEVEL, UP).clamp(0, 255)
    theirs = by_pillow(pictures, lambda image: kind(image).enhance(1.81))  # type: ignore[operator]
    assert (ours - theirs).abs().max() < 2


def test_auto_contrast_is_that_of_pillow_but_for_rounding(pictures: Tensor) -> None:
    theirs = by_pillow(pictures, ImageOps.autocontrast)
    assert (augment._auto_contrast(pictures, LEVEL, UP) - theirs).abs().max() <= 1


@pytest.mark.parametrize("change", [augment.crop_and_flip, augment.rand_augment, augment.erase])
def test_equal_seeds_give_equal_images(pictures: Tensor, change: Callable[..., Tensor]) -> None:
    before = pictures.clone()
    first, again, other = (change(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(pictures, before) and first.shape == pictures.shape


def test_without_padding_a_crop_is_the_image_or_its_mirror(pictures: Tensor) -> None:
    cropped = augment.crop_and_flip(pictures, torch.Generator().manual_seed(0), padding=0)
    for picture, same in zip(pictures, cropped, strict=True):
        assert torch.equal(same, picture) or torch.equal(same, picture.flip(-1))


def test_erasing_leaves_images_that_were_not_chosen(pictures: Tensor) -> None:
    draw = torch.Generator().manual_seed(0)
    assert torch.equal(augment.erase(pictures, draw, probability=0.0), pictures)
    changed = (augment.erase(pictures, draw, probability=1.0) != pictures).any(1).float().mean((1, 2))
    assert ((changed > 0) & (changed < 0.6)).all()

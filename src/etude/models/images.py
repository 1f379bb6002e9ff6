"""How pixels become what an image model takes: size and scale, from ``preprocessor_config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.models import checkpoint

PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class Preprocessing:
    """What is done to images before a model sees them.

    Parameters
    ----------
    side : height and width in pixels.
    mean, std : of each channel, after pixels were scaled to 0 to 1.

    Examples
    --------
    >>> Preprocessing(side=2)(torch.full((1, 3, 2, 2), 255.0)).unique()
    tensor([1.])
    """

    side: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels ``[images, 3, side, side]`` from 0 to 255 as float32 of the model's scale."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def write(self, folder: Path) -> None:
        """Write it as transformers reads it."""
        values = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": {"height": self.side, "width": self.side},
            "resample": 2,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        (folder / PREPROCESSOR).write_text(json.dumps(values, indent=2) + "\n")


def preprocessing(folder: Path, model: Any) -> Preprocessing:
    """The preprocessing of a checkpoint; that of ViT where its folder does not say.

    Raises
    ------
    InputError : if the model takes no square images of three channels, or the file is malformed.
    """
    side, channels = getattr(model.config, "image_size", None), getattr(model.config, "num_channels", 3)
    if not isinstance(side, int) or channels != 3 or model.main_input_name != "pixel_values":
        raise InputError("model", f"{type(model).__name__} takes no square images in colour")
    path = folder / PREPROCESSOR
    if not path.is_file():
        return Preprocessing(side)
    values = checkpoint.read_json(path)
    try:
        mean, std = (
            tuple(float(v) for v in values.get(name, (0.5,) * 3)) for name in ("image_mean", "image_std")
        )
    except (TypeError, ValueError) as error:
        raise InputError("model", f"{path}: image_mean and image_std must be lists of numbers") from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise InputError("model", f"{path}: image_mean and image_std need three numbers, std above 0")
    return Preprocessing(side, mean, std)

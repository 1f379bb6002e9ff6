"""What is done to pixels before a model sees them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from etude.errors import InputError
from etude.models.images import PREPROCESSOR, Preprocessing, preprocessing


def model(**config: Any) -> Any:
    return SimpleNamespace(config=SimpleNamespace(**config), main_input_name="pixel_values")


def test_what_is_written_is_read_by_us_and_by_transformers(tmp_path: Path) -> None:
    from transformers import ViTImageProcessor

    written = Preprocessing(4, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    written.write(tmp_path)
    assert preprocessing(tmp_path, model(image_size=4)) == written
    pixels = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    theirs = ViTImageProcessor.from_pretrained(tmp_path)(pixels, return_tensors="pt")["pixel_values"]
    assert torch.allclose(written(pixels), theirs, atol=1e-6)


def test_without_a_file_it_is_that_of_vit(tmp_path: Path) -> None:
    assert preprocessing(tmp_path, model(image_size=8)) == Preprocessing(8)


@pytest.mark.parametrize(
    "values",
    [{"image_mean": [0.5]}, {"image_std": [0, 1, 1]}, {"image_mean": "half"}, {"image_std": [None] * 3}],
)
def test_a_malformed_file_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    (tmp_path / PREPROCESSOR).write_text(json.dumps(values))
    with pytest.raises(InputError, match="image_mean and image_std"):
        preprocessing(tmp_path, model(image_size=4))


@pytest.mark.parametrize("config", [{}, {"image_size": [4, 8]}, {"image_size": 4, "num_channels": 1}])
def test_a_model_of_other_images_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="square images in colour"):
        preprocessing(tmp_path, model(**config))

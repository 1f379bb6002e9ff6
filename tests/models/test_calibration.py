"""Calibration that a model cannot take is refused, and whatever it can take is not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models.zoo import IDS, ZOO, bert, llama, vit
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.blocks import walk
from etude.models.calibration import check_calibration

IMAGES = torch.zeros(2, 3, 16, 16)


@pytest.mark.parametrize("make", ZOO.values(), ids=ZOO.keys())
def test_what_a_model_takes_is_accepted(make: Any) -> None:
    model = make()
    if model.main_input_name == "pixel_values":
        check_calibration(model, {"pixel_values": IMAGES})
        return
    check_calibration(model, {"input_ids": IDS})
    check_calibration(
        model, {"input_ids": IDS.int(), "attention_mask": torch.ones_like(IDS, dtype=torch.bool)}
    )


def test_embeddings_stand_in_for_tokens() -> None:
    check_calibration(llama(), {"inputs_embeds": torch.zeros(2, 4, 32)})
    with pytest.raises(InputError, match=r"^calibration: has no input_ids"):
        check_calibration(llama(), {"inputs_embeds": torch.zeros(2, 4, 32)}, predicts=True)


def test_of_a_module_that_tells_nothing_only_the_form_is_checked() -> None:
    check_calibration(nn.Linear(2, 2), {"x": torch.zeros(3, 2)})


@pytest.mark.parametrize(
    ("calibration", "complaint"),
    [
        (None, "is a NoneType; give forward arguments by name"),
        ({}, "holds no segments"),
        ({"input_ids": IDS[:0]}, "holds no segments"),
        ({"input_ids": IDS.tolist()}, "input_ids is a list, not a tensor"),
        ({"input_ids": IDS[0]}, r"input_ids has shape \(12,\)"),
        ({"attention_mask": torch.ones_like(IDS)}, "has no input_ids, .* it has attention_mask"),
        ({"input_ids": IDS[..., None]}, r"input_ids has shape \(2, 12, 1\)"),
        ({"input_ids": IDS[:, :0]}, r"input_ids has shape \(2, 0\)"),
        ({"input_ids": IDS.float()}, "input_ids is float32, not int64"),
        ({"input_ids": IDS.bool()}, "input_ids is bool, not int64"),
        ({"input_ids": IDS + 64}, r"input_ids holds 87; the model's vocabulary is 0\.\.63"),
        ({"input_ids": IDS - 1}, "input_ids holds -1"),
        ({"input_ids": IDS.repeat(1, 6)}, "segments of 72 tokens are longer than the model's 64 positions"),
        (
            {"input_ids": IDS, "attention_mask": torch.ones(1, 12)},
            "number of segments: input_ids 2, attention_mask 1",
        ),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 11)}, r"attention_mask has shape \(2, 11\)"),
        ({"input_ids": IDS, "attention_mask": torch.full((2, 12), 0.5)}, "attention_mask holds more than 0"),
        (
            {"input_ids": IDS, "attention_mask": torch.tensor([[1], [0]]).expand(2, 12)},
            "segment 1 has 0 tokens",
        ),
        (
            {"inputs_embeds": torch.full((2, 4, 32), torch.nan)},
            "inputs_embeds holds numbers that are not finite",
        ),
    ],
)
def test_what_it_cannot_take_is_refused(calibration: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=f"^calibration: .*{complaint}"):
        check_calibration(llama(), calibration)


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 16), torch.zeros(2, 1, 16, 16), torch.zeros(2, 3, 8, 8), IMAGES.long()]
)
def test_images_of_another_kind_are_refused(images: Tensor) -> None:
    with pytest.raises(
        InputError, match=r"^calibration: pixel_values is .*, not float \[images, 3, 16, 16\]"
    ):
        check_calibration(vit(), {"pixel_values": images})


def test_prediction_needs_two_tokens_in_every_segment() -> None:
    check_calibration(llama(), {"input_ids": IDS[:, :1]})
    with pytest.raises(InputError, match=r"^domain: input_ids .* not \[segments, 2 or more tokens\]"):
        check_calibration(llama(), {"input_ids": IDS[:, :1]}, "domain", predicts=True)
    mask = torch.ones_like(IDS)
    mask[1, 1:] = 0
    with pytest.raises(InputError, match=r"^domain: segment 1 has 1 tokens that are not padding"):
        check_calibration(llama(), {"input_ids": IDS, "attention_mask": mask}, "domain", predicts=True)


def test_a_walk_begins_with_it() -> None:
    with pytest.raises(InputError, match=r"^calibration: input_ids holds 64"):
        next(walk(bert(), {"input_ids": torch.full((1, 4), 64)}))

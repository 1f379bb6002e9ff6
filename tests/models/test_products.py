"""Products of attention, open: the same until rounded, and rounded again after loading."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, ViTConfig, ViTModel

from etude import models
from etude.errors import InputError
from etude.models import inputs
from etude.models.inputs import InputRounding
from etude.models.numbers import Numbers
from etude.models.products import OPERANDS, Products, attentions, close_products, open_products, operands
from etude.seeds import seeded

SIZES: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4
}  # fmt: skip


def bert() -> Any:
    with seeded(0):
        return BertModel(BertConfig(vocab_size=32, **SIZES)).eval()


def vit() -> Any:
    with seeded(0):
        return ViTModel(ViTConfig(image_size=8, patch_size=4, **SIZES)).eval()


def llama() -> Any:
    with seeded(0):
        return LlamaForCausalLM(LlamaConfig(vocab_size=32, num_key_value_heads=2, **SIZES)).eval()


def arguments(model: Any) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.randn(3, 3, 8, 8, generator=draw)}
    mask = torch.ones(3, 6, dtype=torch.long)
    mask[2, 4:] = 0
    return {"input_ids": torch.randint(32, (3, 6), generator=draw), "attention_mask": mask}


@torch.no_grad()
def computed(model: Any) -> Tensor:
    found: Tensor = model(**arguments(model))[0]
    return found[:, :4]  # not what padding becomes


def rounded(model: Any) -> None:
    open_products(model, attentions(model))
    numbers = Numbers(lowest=-6, largest=6, mantissa=1, bias=1)
    for at, name in enumerate(operands(model)):
        inputs.install(model, {name: InputRounding(numbers, "tensor", torch.tensor(0.02 * (1 + at % 4)))})


@pytest.mark.parametrize("make", [bert, vit, llama])
def test_open_products_are_the_same_attention(make: Any) -> None:
    model = make()
    before, names = computed(model), model.state_dict().keys()
    open_products(model, attentions(model))
    assert len(operands(model)) == 2 * len(OPERANDS)
    torch.testing.assert_close(computed(model), before, rtol=1e-5, atol=1e-5)
    assert model.state_dict().keys() == names
    close_products(model)
    assert torch.equal(computed(model), before)


@pytest.mark.parametrize("make", [bert, vit, llama])
def test_rounded_products_come_back(make: Any, tmp_path: Path) -> None:
    model = make()
    before = computed(model)
    rounded(model)
    found = computed(model)
    assert float((found - before).norm() / before.norm()) > 1e-4
    assert torch.equal(computed(copy.deepcopy(model)), found)
    models.save(model, None, tmp_path / "model")
    again, _ = models.load(tmp_path / "model")
    assert torch.equal(computed(again), found)
    assert set(inputs.installed(again)) == set(operands(model))
    if not isinstance(model, LlamaForCausalLM):  # transformers alone loads it too, without the roundings
        assert torch.equal(computed(AutoModel.from_pretrained(tmp_path / "model")), before)


def test_every_operand_is_rounded_as_written() -> None:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, generator=draw) for _ in range(3))
    products, numbers = Products(), Numbers.whole(3)
    roundings = {name: InputRounding(numbers, "tensor", torch.tensor(0.3)) for name in OPERANDS}
    inputs.install(products, roundings)
    q_, k_, v_ = (roundings["queries"].round(x) for x in (q, k, v))
    weights = roundings["probabilities"].round((q_ @ k_.mT * 0.5).softmax(-1))
    assert torch.equal(products(q, k, v, None, 0.5), weights @ v_)


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model: Sequential has an attention of its own"):
        attentions(nn.Sequential(nn.Linear(2, 2)))
    model = bert()
    rounded(model)
    models.save(model, None, tmp_path / "model")
    schemes = tmp_path / "model" / inputs.SCHEMES
    schemes.write_text(schemes.read_text().replace("encoder.layer.1", "encoder.layer.7"))
    with pytest.raises(InputError, match=r"names encoder\.layer\.7\.\S+, which the model does not have"):
        models.load(tmp_path / "model")

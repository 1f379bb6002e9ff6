"""LoRC on whole models: the base plus a product, and never further from the weights with more rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from etude import models
from etude.compress.quantize import FullPrecision, Gptq, Lorc, Rtn, formats
from etude.compress.quantize.task import TASK, Inputs
from etude.errors import InputError
from etude.models.blocks import block_linears

from .models import llama, logits, tokens


@pytest.mark.parametrize("base", ["rtn", "gptq"])
def test_rank_0_is_the_base(base: Any) -> None:
    ours, theirs = llama(), llama()
    Lorc(base=base, bits=3, rank=0).quantize(ours, tokens())
    Rtn(bits=3, group="channel").quantize(theirs) if base == "rtn" else Gptq(
        bits=3, group="channel"
    ).quantize(theirs, tokens())
    for one, other in zip(block_linears(ours), block_linears(theirs), strict=True):
        assert torch.equal(one.weight, other.weight)


def test_weights_come_nearer_and_outputs_too() -> None:
    dense = llama()
    weights = {linear.name: linear.weight for linear in block_linears(dense)}
    expected = logits(dense)
    left: list[dict[str, float]] = []
    outputs: list[float] = []
    for rank in (0, 4, 16):
        model = llama()
        stored = Lorc(bits=2, rank=rank).quantize(model, tokens())
        left.append({name: float((layer.weight() - weights[name]).norm()) for name, layer in stored.items()})
        outputs.append(float((logits(model) - expected).norm()))
    for name in weights:
        assert left[0][name] > left[1][name] > left[2][name]
    assert outputs[2] < outputs[1] < outputs[0]


@pytest.mark.parametrize("base", ["rtn", "gptq"])
def test_the_least_of_outputs_on_whole_models(base: Any) -> None:
    """The codes are those of the base, and outputs of the first layers err less than with plain products."""
    dense, lost = llama(), {}
    expected = {
        name: x @ dense.get_submodule(name).weight.detach().T for name, x in first_inputs(dense).items()
    }
    for least in ("weights", "outputs"):
        model, plain = llama(), llama()
        stored = Lorc(base=base, bits=2, rank=4, least=least).quantize(model, tokens())  # type: ignore[arg-type]
        codes = Lorc(base=base, bits=2, rank=0).quantize(plain, tokens())
        for name, layer in stored.items():
            assert base == "gptq" or torch.equal(layer.codes, codes[name].codes)
            assert torch.equal(layer.weight(), model.get_submodule(name).weight)
        inputs = first_inputs(dense)
        lost[least] = {
            name: float((inputs[name] @ stored[name].weight().T - y).norm()) for name, y in expected.items()
        }
    assert all(lost["outputs"][name] < lost["weights"][name] for name in expected)


def test_the_least_of_outputs_needs_text() -> None:
    for method in (Lorc(least="outputs"), Lorc(base="gptq")):
        with pytest.raises(InputError, match="calibration"):
            method.quantize(llama())


def first_inputs(model: Any) -> dict[str, Tensor]:
    """What enters queries, keys and values of the first block, ``[tokens, features]``."""
    attention, kept = model.model.layers[0].self_attn, []
    handle = attention.q_proj.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    with torch.no_grad():
        model(**tokens())
    handle.remove()
    return dict.fromkeys(
        (f"model.layers.0.self_attn.{name}_proj" for name in "qkv"), kept[0].reshape(-1, kept[0].shape[-1])
    )


@pytest.mark.parametrize("name", ["etude", "compressed-tensors"])
def test_products_are_not_merged_into_their_base(name: Any, tmp_path: Path) -> None:
    """Not by another rounding, not by taking the adapter for a model, and not by peft."""
    folder, tokenizer = tmp_path / "model", models.load("nano-llama")[1]
    model = llama(vocabulary=len(tokenizer))
    formats.write(name, model, tokenizer, Lorc(bits=3, rank=2).quantize(model), folder)
    case = TASK.open(Inputs(model=str(folder), samples=2, length=16, segments=2))
    with pytest.raises(InputError, match=r"model: .* quantise the model that it was made from"):
        case.check(Rtn(bits=3, group=32))
    case.check(FullPrecision())
    if name == "compressed-tensors":
        with pytest.raises(InputError, match=r"model: .* merged into it they would lose its grid"):
            models.load(folder / "adapter")
        peft = pytest.importorskip("peft")
        with pytest.raises(ValueError, match="not supported"):
            peft.PeftModel.from_pretrained(models.load(folder)[0], folder / "adapter")


def test_a_base_alone_may_be_rounded_again(tmp_path: Path) -> None:
    folder, tokenizer = tmp_path / "model", models.load("nano-llama")[1]
    model = llama(vocabulary=len(tokenizer))
    formats.write("etude", model, tokenizer, Rtn(bits=3, group=32).quantize(model), folder)
    case = TASK.open(Inputs(model=str(folder), samples=2, length=16, segments=2))
    method = Rtn(bits=3, group=32)
    case.check(method)
    trial = case.trial(0)
    trial.apply(method)
    assert 3 < trial.score()["bits_per_weight"] < 5


def test_the_model_computes_with_the_base_and_the_product() -> None:
    """As an adapter over the quantised base does: ``y = x W^T + (x V^T) U^T``."""
    model = llama()
    stored = Lorc(bits=3, rank=8, factors="int8").quantize(model, tokens())
    for linear in block_linears(model):
        layer = stored[linear.name]
        assert layer.low_rank is not None
        x = torch.randn(5, layer.shape[1], generator=torch.Generator().manual_seed(0))
        adapted = x @ layer.base().T + (x @ layer.low_rank.right.T) @ layer.low_rank.left.T
        torch.testing.assert_close(x @ linear.weight.T, adapted, rtol=1e-4, atol=1e-4)

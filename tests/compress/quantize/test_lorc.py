"""LoRC on whole models: the base plus a product, and never further from the weights with more rank."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from etude.compress.quantize import Gptq, Lorc, Rtn
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

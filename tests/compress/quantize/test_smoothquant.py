"""SmoothQuant and ZeroQuant: the same function before rounding, factors as in the paper, parts apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from etude.compress.quantize import Rtn, SmoothQuant, ZeroQuant
from etude.errors import InputError
from etude.models import inputs
from etude.models.blocks import block_linears, walk
from etude.models.stats import Extremes

from .models import gpt2, llama, logits, opt, tokens


@pytest.mark.parametrize("make", [llama, gpt2, opt])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8])
def test_smoothing_changes_nothing_but_the_place_of_the_difficulty(make: Any, alpha: float) -> None:
    model = make()
    before = logits(model)
    weights = [linear.weight.clone() for linear in block_linears(model)]
    SmoothQuant(alpha=alpha).smooth(model, tokens())
    torch.testing.assert_close(logits(model), before, rtol=1e-3, atol=1e-4)
    moved = sum(not torch.equal(a, b.weight) for a, b in zip(weights, block_linears(model), strict=True))
    assert moved >= 4  # what reads a norm, in both blocks


def test_factors_are_the_papers() -> None:
    """``max|X|^a / max|W|^(1-a)`` over all layers that read the norm, found in its weight."""
    model, alpha = llama(), 0.6
    block = next(iter(walk(model, tokens(), measure=Extremes, feed="dense")))
    readers = [
        linear for linear in block.linears if linear.name.split(".")[-1] in ("q_proj", "k_proj", "v_proj")
    ]
    weight = torch.cat([linear.weight for linear in readers]).abs().amax(0)
    expected = readers[0].inputs.peak() ** alpha / weight ** (1 - alpha)
    norm = model.model.layers[0].input_layernorm.weight.detach().clone()
    SmoothQuant(alpha=alpha).smooth(model, tokens())
    torch.testing.assert_close(
        norm / model.model.layers[0].input_layernorm.weight, expected, rtol=1e-4, atol=0
    )


def test_half_makes_inputs_and_weights_equally_large() -> None:
    model = llama()
    SmoothQuant(alpha=0.5).smooth(model, tokens())
    block = next(iter(walk(model, tokens(), measure=Extremes, feed="dense")))
    readers = [linear for linear in block.linears if linear.name in ("mlp.gate_proj", "mlp.up_proj")]
    weight = torch.cat([linear.weight for linear in readers]).abs().amax(0)
    torch.testing.assert_close(readers[0].inputs.peak(), weight, rtol=1e-3, atol=0)


@pytest.mark.parametrize("how", ["token", "tensor", "static"])
def test_the_three_granularities(how: Any) -> None:
    """O1 to O3: all are near the model at 8 bits, and only static ranges are kept."""
    model, before = llama(), logits(llama())
    SmoothQuant(activation_range=how).quantize(model, tokens())
    assert float((logits(model) - before).norm() / before.norm()) < 0.1
    fixed = [rounding.scale is not None for rounding in inputs.installed(model).values()]
    assert all(fixed) if how == "static" else not any(fixed)


def test_parts_of_zeroquant() -> None:
    dense, weights, both = llama(), llama(), llama()
    before = logits(dense)
    Rtn(bits=4, group="channel", symmetric=True).quantize(weights)
    alone = llama()
    assert len(ZeroQuant(bits=4, part="weights").quantize(alone)) == 14
    assert torch.equal(logits(alone), logits(weights))
    assert ZeroQuant(part="activations").quantize(dense) == {}
    assert not torch.equal(logits(dense), before)
    ZeroQuant(bits=4).quantize(both)
    inputs.remove(both)
    assert torch.equal(logits(both), logits(weights))
    with pytest.raises(InputError) as error:
        ZeroQuant(activations="none")
    assert error.value.field == "activations"
    with pytest.raises(InputError) as error:
        ZeroQuant(activation_range="static").quantize(llama())
    assert error.value.field == "calibration"

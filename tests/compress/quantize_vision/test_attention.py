"""Rounded attention: without rounding it is the attention that it replaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from etude.compress.quantize_vision.attention import ProductAttention, QueryKeyAttention, Sizes, attentions
from etude.compress.quantize_vision.checks import tiny_residual, tiny_transformer
from etude.compress.quantize_vision.layers import Activations, starting
from etude.compress.quantize_vision.transformer import Design, inner_weights
from etude.compress.quantize_vision.weights import Grid, Latent
from etude.errors import InputError

SIZES = Sizes(8, "tensor", tokens=5, width=16, heads=2)


class Exact(Grid):
    """Rounds nothing."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight


@pytest.fixture
def hidden() -> Tensor:
    return torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))


def exact(make: Callable[..., Any], *arguments: Any) -> Any:
    """An attention that rounds neither weights nor activations."""
    attention = make(*arguments)
    for name, child in list(attention.named_children()):
        if isinstance(child, Activations):
            setattr(attention, name, nn.Identity())
    attention.o_proj.inputs = None
    return attention


def first(model: Any) -> Any:
    return next(iter(attentions(model).values()))


def test_without_rounding_it_is_the_attention_in_full_precision(hidden: Tensor) -> None:
    dense = first(tiny_transformer())
    rounded = exact(QueryKeyAttention, dense, SIZES, lambda _: Exact(8))
    assert torch.allclose(rounded(hidden)[0], dense(hidden)[0], atol=1e-6)


def test_the_product_gives_the_same_scores_where_there_are_no_biases(hidden: Tensor) -> None:
    dense = first(tiny_transformer(qkv_bias=False))
    rounded = exact(ProductAttention, dense, SIZES, lambda _: Exact(8), False)
    assert torch.allclose(rounded(hidden)[0], dense(hidden)[0], atol=1e-6)


def test_the_bias_of_queries_is_dropped_or_kept_exactly(hidden: Tensor) -> None:
    dense = first(tiny_transformer())
    for parameter in dense.parameters():
        parameter.data.mul_(5)
    dropped, kept = (
        exact(ProductAttention, dense, SIZES, lambda _: Exact(8), keep)(hidden)[0] for keep in (False, True)
    )
    assert torch.allclose(kept, dense(hidden)[0], atol=1e-6)
    assert not torch.allclose(dropped, dense(hidden)[0], atol=1e-4)


def test_gradients_of_the_product_reach_both_factors(hidden: Tensor) -> None:
    design = Design(bits=2, activation_bits=4, weights="statsq", reparameterise=True)
    attention = design._attention(first(tiny_transformer()), tokens=5)
    with starting(attention):
        attention(hidden)
    attention(hidden)[0].square().sum().backward()
    assert attention.product.queries.grad.abs().sum() > 0 and attention.product.keys.grad.abs().sum() > 0


@pytest.mark.parametrize("share", ["tensor", "token"])
@pytest.mark.parametrize("reparameterise", [False, True])
def test_at_eight_bits_little_is_lost(share: Any, reparameterise: bool) -> None:
    dense, model = tiny_transformer(), tiny_transformer()
    design = Design(
        bits=8, activation_bits=8, weights="lsq", share=share, reparameterise=reparameterise, query_bias=True
    )
    design.apply(model)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with starting(model):
        model(images)
    found, expected = model(images).logits, dense(images).logits
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.98


def test_blocks_have_few_bits_and_ends_have_eight() -> None:
    model = tiny_transformer()
    Design(bits=3, activation_bits=2, weights="statsq").apply(model)
    inner = inner_weights(model)
    every = [module for module in model.modules() if isinstance(module, Latent)]
    assert {weight.bits for weight in inner} == {3} and len(inner) == 12
    assert [weight.bits for weight in every if all(weight is not each for each in inner)] == [8, 8]
    steps = [module for module in model.modules() if isinstance(module, Activations)]
    assert [module.bits for module in steps].count(8) == 2
    assert sum(not module.signed for module in steps) == 4  # probabilities and what comes out of GELU


def test_steps_start_from_the_mean_magnitude() -> None:
    signed, unsigned = Activations(4), Activations(4, signed=False)
    x = torch.rand(2, 3, 4)
    for activations in (signed, unsigned):
        with starting(activations):
            activations(x)
    assert signed.step.item() == pytest.approx(2 * float(x.mean()) / 7**0.5)
    assert unsigned.step.item() == pytest.approx(4 * float(x.mean()) / 15**0.5)


def test_a_token_has_a_step_of_its_own(hidden: Tensor) -> None:
    activations = Activations(4, (5, 1))
    with starting(activations):
        activations(hidden)
    expected = 2 * hidden.abs().mean((0, 2)) / 7**0.5
    assert torch.allclose(activations.step[:, 0], expected)


def test_other_models_are_refused() -> None:
    with pytest.raises(InputError, match="no vision transformer"):
        Design(bits=2, activation_bits=2, weights="lsq").apply(tiny_residual())

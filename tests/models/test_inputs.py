"""Inputs of linear layers rounded to a few bits: right numbers, gradients, installed, removed, saved."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from etude.errors import InputError
from etude.models import inputs
from etude.models.inputs import InputRounding
from etude.models.numbers import Numbers
from etude.seeds import seeded

FP8 = Numbers(lowest=-448, largest=448, mantissa=3, bias=7)
E2M1 = Numbers(lowest=-6, largest=6, mantissa=1, bias=1)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def llama() -> Any:
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    with seeded(0):
        return LlamaForCausalLM(config).eval()


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=torch.arange(12).view(2, 6)).logits
        return found


def test_float8_is_torchs() -> None:
    """``x.to(float8_e4m3fn)`` up to 448; beyond, ours stays there."""
    x = random(4000) * torch.exp2(torch.randint(-12, 9, (4000,)).float())
    x = x[x.abs() <= 448]
    assert torch.equal(FP8.round(x, torch.tensor(1.0), None), x.to(torch.float8_e4m3fn).float())
    assert float(FP8.round(torch.tensor(1e6), torch.tensor(1.0), None)) == 448


def test_e2m1_ties_go_to_the_even_mantissa() -> None:
    ties = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
    expected = torch.tensor([0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0])
    assert torch.equal(E2M1.round(ties, torch.tensor(1.0), None), expected)
    assert torch.equal(E2M1.round(-ties, torch.tensor(1.0), None), -expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.booleans(), st.sampled_from(["token", "tensor", 4]), st.integers(0, 99))
def test_integers_err_by_half_a_step_at_most(bits: int, symmetric: bool, by: Any, seed: int) -> None:
    """Inside the range; the highest of the levels around 0 lies half a step lower, by convention."""
    numbers = Numbers.whole(bits, symmetric=symmetric)
    x = random(3, 5, 8, seed=seed)
    groups = x.flatten() if by == "tensor" else x.unflatten(-1, (-1, 8 if by == "token" else 4))
    scale, zero = numbers.fit(groups)
    error = (InputRounding(numbers, by).round(x).view_as(groups) - groups).abs()
    slack = 0.5 if zero is None else 1.0  # a zero that was rounded moves both ends
    assert bool((error <= scale * slack * (1 + 1e-4)).all())


def test_zeros_stay_zero_and_a_token_is_rounded_by_itself() -> None:
    x = random(4, 8)
    x[1] = 0
    rounded = InputRounding(Numbers.whole(4), "token").round(x)
    assert float(rounded[1].abs().max()) == 0
    for row, alone in zip(rounded, x, strict=True):
        assert torch.equal(row, InputRounding(Numbers.whole(4), "token").round(alone[None])[0])


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([FP8, E2M1]), st.integers(-6, 6))
def test_powers_of_two_pass_through(numbers: Numbers, exponent: int) -> None:
    """Rounding ``2^k x`` under the scale ``s`` is ``2^k`` times rounding ``x`` under ``2^-k s``, exactly."""
    x, scale, factor = random(64), torch.tensor(0.37), 2.0**exponent
    assert torch.equal(
        numbers.round(x * factor, scale, None), factor * numbers.round(x, scale / factor, None)
    )


def test_gradients_pass_within_a_fixed_range_only() -> None:
    x = torch.tensor([[0.2, 5.0, -9.0]], requires_grad=True)
    y = InputRounding(Numbers.whole(4), scale=torch.tensor(1.0)).round(x)
    y.sum().backward()
    assert y.tolist() == [[0.0, 5.0, -8.0]]
    assert x.grad is not None and x.grad.tolist() == [[1.0, 1.0, 0.0]]


def test_installed_removed_and_installed_on_a_copy() -> None:
    model = llama()
    plain = logits(model)
    name = "model.layers.0.self_attn.q_proj"
    inputs.install(model, {name: InputRounding(Numbers.whole(2))})
    rounded = logits(model)
    assert not torch.equal(plain, rounded)
    assert torch.equal(logits(copy.deepcopy(model)), rounded)
    inputs.install(model, {name: InputRounding(FP8)})
    assert len(inputs.installed(model)) == 1
    inputs.remove(model)
    assert torch.equal(logits(model), plain)


def _roundings() -> dict[str, InputRounding]:
    return {
        "model.layers.0.mlp.up_proj": InputRounding(Numbers.whole(4, symmetric=False), 8),
        "model.layers.1.mlp.up_proj": InputRounding(FP8, "tensor"),
        "model.layers.1.self_attn.o_proj": InputRounding(
            Numbers.whole(4, symmetric=False), scale=torch.tensor(0.1), zero=torch.tensor(3.0)
        ),
        "model.layers.1.mlp.down_proj": InputRounding(E2M1, scale=torch.rand(24) + 0.1),
    }


def test_written_and_read(tmp_path: Path) -> None:
    model, other = llama(), llama()
    inputs.install(model, _roundings())
    inputs.write(model, tmp_path)
    inputs.attach(other, tmp_path)
    assert torch.equal(logits(model), logits(other))


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = llama()
    inputs.install(model, _roundings())
    inputs.write(model, tmp_path)
    text = (tmp_path / inputs.SCHEMES).read_text()
    for bad in (
        text.replace("up_proj", "no_proj"),
        text.replace('"version": 1', '"version": 2'),
        text.replace("mantissa", "matissa"),
        text[:-9],
    ):
        (tmp_path / inputs.SCHEMES).write_text(bad)
        with pytest.raises(InputError) as error:
            inputs.attach(llama(), tmp_path)
        assert error.value.field == "model"

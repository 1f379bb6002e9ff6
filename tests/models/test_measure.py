"""Sizes, zeros, operations and speeds of models of every shape."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from tests.models import zoo
from torch import nn

from etude import models
from etude.errors import InputError
from etude.models import measure

# Weights in linear layers of one block of the llama in the zoo: q, k, v, o and gate, up, down.
BLOCK = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 48


def test_parameters_and_bytes_count_tied_weights_once(tmp_path: Path) -> None:
    tied, untied = zoo.llama(), zoo.llama(tie_word_embeddings=False)
    assert measure.parameter_count(untied) - measure.parameter_count(tied) == 64 * 32
    assert measure.parameter_count(tied) == 2 * BLOCK + 64 * 32 + 5 * 32
    assert measure.size_in_bytes(tied) == 4 * measure.parameter_count(tied)
    assert measure.size_in_bytes(tied.half()) == 2 * measure.parameter_count(tied)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "sub" / "b").write_bytes(b"4567")
    assert measure.bytes_on_disk(tmp_path) == 7


@pytest.mark.parametrize("kind", zoo.ZOO)
def test_zeros_in_blocks_and_in_all(kind: str) -> None:
    model = zoo.ZOO[kind]()
    assert models.sparsity(model) < 1e-3
    for linear in models.blocks.block_linears(model):
        linear.weight[: linear.weight.shape[0] // 2] = 0
    assert models.sparsity(model) == pytest.approx(0.5, abs=1e-3)
    weights = sum(linear.weight.numel() for linear in models.blocks.block_linears(model))
    zeros = 1 - measure.nonzero_fraction(model)
    extra = sum(int((p == 0).sum()) for p in model.parameters()) - weights / 2  # such as padding tokens
    assert zeros * measure.parameter_count(model) == pytest.approx(weights / 2 + extra)


def test_the_head_and_the_embedding_are_not_part_of_the_sparsity() -> None:
    model = zoo.llama(tie_word_embeddings=False)
    model.lm_head.weight.data.zero_()
    model.model.embed_tokens.weight.data.zero_()
    assert models.sparsity(model) == 0


@pytest.mark.parametrize("length", [1, 16, 64])
def test_operations_of_a_decoder_by_the_formula(length: int) -> None:
    attention = 2 * 4 * 32 * length
    head = 2 * 64 * 32
    assert measure.flops_per_token(zoo.llama(), length) == 2 * 2 * BLOCK + head + attention
    untied = zoo.llama(tie_word_embeddings=False, attention_bias=True, mlp_bias=True)
    assert measure.flops_per_token(untied, length) == 2 * 2 * BLOCK + head + attention


def test_operations_fall_with_widths_and_not_with_zeros() -> None:
    model = zoo.llama()
    full = measure.flops_per_token(model, 16)
    for linear in models.blocks.block_linears(model):
        linear.weight.zero_()
    assert measure.flops_per_token(model, 16) == full
    feed_forward = model.model.layers[0].mlp
    for layer, shape in (
        (feed_forward.gate_proj, (20, 32)),
        (feed_forward.up_proj, (20, 32)),
        (feed_forward.down_proj, (32, 20)),
    ):
        layer.weight = nn.Parameter(torch.zeros(shape))
    assert full - measure.flops_per_token(model, 16) == 2 * 3 * 28 * 32
    attention = model.model.layers[1].self_attn
    for layer, shape in (
        (attention.q_proj, (16, 32)),
        (attention.k_proj, (8, 32)),
        (attention.v_proj, (8, 32)),
        (attention.o_proj, (32, 16)),
    ):
        layer.weight = nn.Parameter(torch.zeros(shape))
    saved = 2 * 3 * 28 * 32 + 2 * (16 * 32 * 2 + 8 * 32 * 2) + 4 * 16 * 16
    assert full - measure.flops_per_token(model, 16) == saved


@pytest.mark.parametrize("kind", zoo.ZOO)
def test_every_shape_has_operations_and_a_speed(kind: str) -> None:
    model = zoo.ZOO[kind]()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    assert measure.flops_per_token(model, 16) > 2 * 2 * 2 * 32 * 48
    assert measure.tokens_per_second(model, length=16, runs=1) > 0
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    assert next(model.parameters()).device.type == "cpu"


def test_speed_is_tokens_over_the_median_of_the_timed_runs() -> None:
    # The clock is read before and after each run: the untimed one, then three of 1, 9 and 2 seconds.
    times = iter(itertools.accumulate([0, 50, 0, 1, 0, 9, 0, 2]))
    speed = measure.tokens_per_second(zoo.llama(), length=16, batch=3, runs=3, clock=lambda: next(times))
    assert speed == 48 / 2
    times = iter(itertools.accumulate([0, 50, 0, 4]))
    speed = measure.decoded_tokens_per_second(zoo.llama(), length=8, new=6, runs=1, clock=lambda: next(times))
    assert speed == 6 / 4


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt"])
def test_decoders_decode(kind: str) -> None:
    assert measure.decoded_tokens_per_second(zoo.ZOO[kind](), length=4, new=2, runs=1) > 0


def test_what_cannot_be_measured() -> None:
    model = zoo.llama()
    for work in (measure.flops_per_token, lambda m, n: measure.tokens_per_second(m, length=n)):
        for length in (0, -1, 65):
            with pytest.raises(InputError, match="length: "):
                work(model, length)
    with pytest.raises(InputError, match="batch: "):
        measure.tokens_per_second(model, batch=0)
    with pytest.raises(InputError, match="length: "):
        measure.decoded_tokens_per_second(model, length=60, new=6)
    with pytest.raises(InputError, match="model: "):
        measure.decoded_tokens_per_second(zoo.bert())
    with pytest.raises(InputError, match="model: "):
        models.sparsity(nn.Linear(2, 2))


def test_context_length() -> None:
    assert measure.context_length(zoo.llama()) == 64
    assert measure.context_length(zoo.gpt2()) == 64
    assert measure.context_length(zoo.t5_encoder()) is None

"""Walking beside the model as it was: inputs are of the edited model, targets of the dense one."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from etude.errors import InputError
from etude.models.beside import beside
from etude.models.blocks import first_tensor
from etude.seeds import seeded


def llama() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2
    )
    with seeded(0):
        return LlamaForCausalLM(config).eval()


def hidden(model: LlamaForCausalLM, ids: torch.Tensor) -> list[torch.Tensor]:
    """What enters each block, and what leaves the last."""
    kept: list[torch.Tensor] = []
    hooks = [
        block.register_forward_hook(
            lambda _, args, output: kept.append(first_tensor(output).detach()), always_call=True
        )
        for block in model.model.layers
    ]
    with torch.no_grad():
        model(input_ids=ids)
    for hook in hooks:
        hook.remove()
    return kept


def test_inputs_are_of_the_edited_model_and_targets_of_the_dense_one() -> None:
    model = llama()
    dense = copy.deepcopy(model)
    ids = torch.randint(16, (5, 6), generator=torch.Generator().manual_seed(1))
    edited, targets, dense_inputs = [], [], []
    for step in beside(model, {"input_ids": ids}, chunk=2):
        edited.append(torch.cat([passage.call[0][0] for passage in step.passages]))
        dense_inputs.append(torch.cat([passage.dense[0][0] for passage in step.passages]))
        targets.append(torch.cat([passage.target for passage in step.passages]))
        for parameter in step.module.parameters():
            parameter.data.mul_(1.5)
    for found, expected in zip(targets, hidden(dense, ids), strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(dense_inputs[1:], targets, strict=False):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(edited[1:], hidden(model, ids), strict=False):
        torch.testing.assert_close(found, expected)
    assert torch.equal(edited[0], dense_inputs[0])


def test_nothing_is_left_behind() -> None:
    model = llama()
    walk = beside(model, {"input_ids": torch.zeros(2, 4, dtype=torch.long)})
    next(walk)
    walk.close()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="calibration"):
        next(beside(llama(), {"input_ids": torch.full((2, 4), 99)}))

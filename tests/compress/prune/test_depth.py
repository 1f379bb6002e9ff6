"""Blocks that change nothing go first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.compress.prune.reference import calibration
from tests.compress.prune.test_units import blocks_of
from tests.models import zoo
from tests.models.test_structure import decoder, generated
from tests.models.zoo import llama, same
from torch.nn.functional import cosine_similarity
from transformers import AutoModelForCausalLM

from etude import models
from etude.compress.prune import Depth
from etude.compress.prune.depth import block_similarities

MODELS = {
    "llama": lambda: llama(num_hidden_layers=5),
    "qwen2": lambda: decoder("Qwen2", num_key_value_heads=2),
    "gpt2": zoo.gpt2,
    "opt": zoo.opt,
}


@pytest.mark.parametrize("name", MODELS)
def test_similarities(name: str) -> None:
    """Against hidden states that the model itself gives out; the last one is taken before the final norm."""
    model, part = MODELS[name](), calibration(padding=True)
    blocks = model.config.num_hidden_layers
    with torch.no_grad():
        hidden = model(**part, output_hidden_states=True).hidden_states
    real = part["attention_mask"].bool()
    found = block_similarities(model, part)
    assert len(found) == blocks
    for index in range(blocks - 1):
        expected = cosine_similarity(hidden[index][real], hidden[index + 1][real], dim=1).mean()
        assert abs(float(found[index] - expected)) < 1e-6


def test_a_block_that_does_nothing_goes_first() -> None:
    model, whole = llama(num_hidden_layers=5), llama(num_hidden_layers=5)
    for each in (model, whole):
        each.model.layers[3].self_attn.o_proj.weight.data.zero_()
        each.model.layers[3].mlp.down_proj.weight.data.zero_()
    Depth(ratio=0.2).prune(model, calibration())
    assert model.config.num_hidden_layers == 4
    assert same(model, whole)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 0.99])
def test_budget_and_stock_checkpoint(name: str, ratio: float, tmp_path: Path) -> None:
    model: Any = MODELS[name]()
    before, blocks = blocks_of(model), model.config.num_hidden_layers
    Depth(ratio=ratio).prune(model, calibration())
    assert abs(blocks_of(model) - (1 - ratio) * before) <= before / blocks
    assert model.config.num_hidden_layers >= 1
    assert torch.equal(*(generated(model, use_cache=cache) for cache in (True, False)))
    models.save(model, None, tmp_path / "pruned")
    assert not (tmp_path / "pruned" / "etude.json").exists()
    assert same(AutoModelForCausalLM.from_pretrained(tmp_path / "pruned", dtype=torch.float32).eval(), model)

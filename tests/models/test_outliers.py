"""Planted outliers: a few large features, the same function."""

from __future__ import annotations

import torch

from etude import models
from etude.models.blocks import walk
from etude.models.stats import Extremes


def test_the_same_function_with_larger_features() -> None:
    plain, tokenizer = models.load("nano-llama")
    model, _ = models.load("nano-llama-outliers")
    ids = tokenizer("It was a dark and stormy night, and the rain fell in torrents.", return_tensors="pt")
    batch = {"input_ids": ids["input_ids"]}
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, plain(**batch).logits, rtol=1e-3, atol=1e-3)

    def spread(which: torch.nn.Module) -> torch.Tensor:
        peaks = [
            linear.inputs.peak()
            for block in walk(which, batch, measure=Extremes, feed="dense")
            for linear in block.linears
            if linear.name.endswith(("q_proj", "up_proj"))
        ]
        return torch.stack([peak.max() / peak.median() for peak in peaks])

    assert float((spread(model) / spread(plain)).min()) > 2
    assert float(spread(model).median()) > 15

"""Structured magnitude pruning."""

from __future__ import annotations

import pytest
import torch
from tests.compress.prune.test_flap import MODELS

from etude.compress.prune import MagnitudeSP
from etude.compress.prune.units import equal_counts
from etude.models.structure import find_sites


@pytest.mark.parametrize("name", MODELS)
def test_the_smallest_columns_go(name: str) -> None:
    model, whole = MODELS[name](), MODELS[name]()
    sites, lost = equal_counts(whole, 0.4)
    MagnitudeSP(ratio=0.4).prune(model)
    for site, before in zip(find_sites(model), sites, strict=True):
        norms = before.output.weight.norm(dim=0).view(before.units, -1).sum(1)
        kept = norms.argsort(descending=True)[: before.units - lost[site.kind]].sort().values
        columns = before.output.weight.view(len(before.output.weight), before.units, -1)[:, kept]
        assert torch.equal(site.output.weight, columns.flatten(1))

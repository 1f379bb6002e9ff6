"""Budgets that are met to the unit, and files of importance that are not mistaken for another model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tests.models import zoo

from etude.compress.examples import biased, fused, grouped
from etude.compress.prune.importance import (
    Stored,
    apportion,
    load,
    remove_lowest,
    save,
    saving,
    share_of_linears,
)
from etude.errors import InputError
from etude.models.blocks import block_linears


def random_importance(model: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {linear.name: torch.rand(linear.weight.shape) for linear in block_linears(model)}


def zeros(weight: torch.Tensor) -> int:
    return int((weight == 0).sum())


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=40), st.floats(0, 1))
def test_a_budget_is_split_exactly_and_fairly(sizes: list[int], share: float) -> None:
    counts = apportion(sizes, share)
    assert sum(counts) == round(share * sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))
    assert all(abs(count - share * size) <= 1 for count, size in zip(counts, sizes, strict=True))


@pytest.mark.parametrize("make", [grouped, biased, fused])
@pytest.mark.parametrize("share", [0.0, 0.123, 0.5, 1.0])
def test_the_lowest_of_every_layer_go(make: Any, share: float) -> None:
    model, before = make(), make()
    importance = random_importance(model)
    remove_lowest(model, importance, share)
    weights = [linear.weight for linear in block_linears(model)]
    assert sum(map(zeros, weights)) == round(share * sum(weight.numel() for weight in weights))
    for linear, old in zip(block_linears(model), block_linears(before), strict=True):
        scores, gone = importance[linear.name], linear.weight == 0
        assert abs(zeros(linear.weight) - share * gone.numel()) <= 1
        assert torch.equal(linear.weight[~gone], old.weight[~gone])  # survivors, to the last bit
        if gone.any() and not gone.all():
            assert scores[gone].max() < scores[~gone].min()


def test_runs_of_columns_have_budgets_of_their_own() -> None:
    model = grouped()
    importance = random_importance(model)
    remove_lowest(model, importance, 0.3, runs=4)
    for linear in block_linears(model):
        scores = importance[linear.name].tensor_split(4, 1)
        for part, score in zip(linear.weight.tensor_split(4, 1), scores, strict=True):
            gone = part == 0
            assert abs(int(gone.sum()) - 0.3 * gone.numel()) <= 1
            assert score[gone].max() < score[~gone].min()


def test_runs_that_no_layer_can_be_cut_into() -> None:
    model = grouped()
    remove_lowest(model, random_importance(model), 0.5, runs=1000)
    weights = [linear.weight for linear in block_linears(model)]
    assert sum(map(zeros, weights)) == sum(weight.numel() for weight in weights) // 2


def test_ties_go_by_position_and_counts_stay_exact() -> None:
    model = grouped()
    remove_lowest(model, {x.name: torch.zeros(x.weight.shape) for x in block_linears(model)}, 0.5)
    for linear in block_linears(model):
        flat = linear.weight.flatten() == 0
        assert bool(flat[: flat.numel() // 2].all()) and not bool(flat[flat.numel() // 2 :].any())


def test_a_share_of_all_parameters() -> None:
    model = grouped()
    total = sum(parameter.numel() for parameter in model.parameters())
    remove_lowest(model, random_importance(model), share_of_linears(model, 0.4, "parameters"))
    assert sum(zeros(linear.weight) for linear in block_linears(model)) == round(0.4 * total)


def test_a_share_of_all_parameters_that_the_linears_do_not_hold() -> None:
    with pytest.raises(InputError, match=r"^sparsity: 0\.99 of all .* at most 0\.\d+"):
        share_of_linears(grouped(), 0.99, "parameters")
    assert share_of_linears(grouped(), 0.99, "linears") == 0.99


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = fused()
    importance = random_importance(model)
    save(importance, tmp_path / "new" / "importance.safetensors", model, {"regularisation": 0.1})
    found = load(tmp_path / "new" / "importance.safetensors", fused())
    assert found.keys() == importance.keys()
    assert all(torch.equal(found[name], importance[name]) for name in found)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["importance.safetensors"]


def test_another_models_importance_is_refused(tmp_path: Path) -> None:
    model = grouped()
    save(random_importance(model), tmp_path / "importance.safetensors", model, {})
    block_linears(model)[0].weight[0, 0] += 1
    for other in (model, biased()):
        with pytest.raises(InputError, match=r"^importances: .* is of another model"):
            load(tmp_path / "importance.safetensors", other)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04."])
def test_files_that_hold_none_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "importance.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"^importances: .* cannot be read"):
        load(path, grouped())


def test_layer_by_layer_and_as_any_safetensors_reader_has_it(tmp_path: Path) -> None:
    model, path = zoo.gpt2(), tmp_path / "importance.safetensors"  # its weights are stored transposed
    importance = random_importance(model)
    with saving(path, model, {"norm": "l1"}) as put:
        for name in reversed(importance):
            put(name, importance[name])
        assert not path.exists()
    stored, read = Stored(path, model), load_file(path)
    assert list(stored) == list(importance) and stored.keys() == read.keys()
    for name, expected in importance.items():
        assert torch.equal(stored[name], expected)
        assert torch.equal(read[name], expected)
    with pytest.raises(ZeroDivisionError), saving(path, model, {}):
        raise ZeroDivisionError
    assert torch.equal(Stored(path, model)[name], expected)

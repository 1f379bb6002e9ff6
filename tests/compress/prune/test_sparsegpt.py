"""SparseGPT against its published algorithm put down column by column, and the identities of its sheet."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.prune.reference import MODELS, calibration, same_weights, weights
from tests.models import zoo
from torch import Tensor

from etude.compress.hessian import inverse_factor
from etude.compress.prune import SparseGPT, Wanda
from etude.compress.prune.masks import removal_mask
from etude.compress.prune.sparsegpt import scan
from etude.errors import InputError
from etude.models.blocks import walk
from etude.models.stats import Gram
from etude.testing import check_method

DAMPING = 0.01


def problem(rows: int, columns: int, seed: int, tokens: int = 400) -> tuple[Tensor, Tensor]:
    """A weight, and inputs whose features go together and differ in size; float64."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=draw, dtype=torch.float64) / columns**0.5
    x = torch.randn(tokens, columns, generator=draw, dtype=torch.float64)
    x = x @ (mix + torch.eye(columns)) * torch.randn(columns, generator=draw).exp()
    return torch.randn(rows, columns, generator=draw, dtype=torch.float64), x


def hessian_of(x: Tensor, segments: int = 4) -> Tensor:
    return x.T @ x * (2 / segments)


def prune(weight: Tensor, hessian: Tensor, **fields: Any) -> Tensor:
    """What `SparseGPT` makes of one weight."""
    method, pruned = SparseGPT(**fields), weight.clone()
    factor = inverse_factor(hessian, method.damping)
    scan(pruned, hessian, method._choose(pruned), width=method._run, factor=factor)
    return pruned


def by_columns(
    weight: Tensor, hessian: Tensor, sparsity: float, width: int = 128, kept: tuple[int, int] | None = None
) -> Tensor:
    """Algorithm 1 of the paper, one column after the other, with two Cholesky decompositions."""
    weight, hessian, (rows, columns) = weight.clone(), hessian.clone(), weight.shape
    dead = hessian.diagonal() == 0
    hessian[dead, dead] = 1
    weight[:, dead] = 0
    hessian += DAMPING * hessian.diagonal().mean() * torch.eye(columns)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    upper = torch.linalg.cholesky(inverse, upper=True)
    width = width if kept is None else kept[1]
    mask = torch.zeros_like(weight, dtype=torch.bool)
    for j in range(columns):
        if j % width == 0:
            end = min(j + width, columns)
            score = weight[:, j:end] ** 2 / upper.diagonal()[j:end] ** 2
            if kept is None:
                count = int(rows * end * sparsity) - int(rows * j * sparsity)
                order = score.flatten().argsort(stable=True)[:count]
                mask[:, j:end] = (
                    torch.zeros(score.numel(), dtype=torch.bool).scatter(0, order, True).view(rows, -1)
                )
            else:
                order = score.argsort(dim=1, stable=True)[:, : kept[1] - kept[0]]
                mask[:, j:end] = torch.zeros_like(score, dtype=torch.bool).scatter(1, order, True)
        error = torch.where(mask[:, j], weight[:, j], 0) / upper[j, j]
        weight[:, j:] -= torch.outer(error, upper[j, j:])
        weight[mask[:, j], j] = 0
    return weight


def error(pruned: Tensor, weight: Tensor, x: Tensor) -> float:
    return float(((pruned - weight) @ x.T).square().sum())


@settings(deadline=None, max_examples=12)
@given(
    st.integers(1, 9),
    st.integers(1, 70),
    st.floats(0.05, 0.95),
    st.sampled_from([1, 7, 16, 64]),
    st.integers(0, 99),
)
def test_halving_columns_is_the_algorithm(
    rows: int, columns: int, sparsity: float, width: int, seed: int
) -> None:
    weight, x = problem(rows, columns, seed)
    pruned = prune(weight, hessian_of(x), sparsity=sparsity, width=width)
    torch.testing.assert_close(
        pruned, by_columns(weight, hessian_of(x), sparsity, width), rtol=1e-5, atol=1e-7
    )
    assert (pruned == 0).sum() == int(rows * columns * sparsity)


@settings(deadline=None, max_examples=12)
@given(
    st.integers(1, 9),
    st.integers(1, 20),
    st.sampled_from([(2, 4), (4, 8), (1, 4), (1, 2)]),
    st.integers(0, 99),
)
def test_n_of_m_is_chosen_with_the_weights_as_they_are_by_then(
    rows: int, groups: int, kept: tuple[int, int], seed: int
) -> None:
    n, m = kept
    weight, x = problem(rows, groups * m, seed)
    pruned = prune(weight, hessian_of(x), sparsity=1 - n / m, pattern=f"{n}:{m}")
    expected = by_columns(weight, hessian_of(x), 1 - n / m, kept=kept)
    torch.testing.assert_close(pruned, expected, rtol=1e-5, atol=1e-7)
    assert ((pruned.view(rows, -1, m) == 0).sum(2) == m - n).all()


@settings(deadline=None, max_examples=20)
@given(
    st.integers(1, 9), st.integers(1, 60), st.floats(0, 0.95), st.sampled_from([8, 128]), st.integers(0, 99)
)
def test_independent_inputs_of_one_size_leave_magnitude_by_run(
    rows: int, columns: int, sparsity: float, width: int, seed: int
) -> None:
    weight, _ = problem(rows, columns, seed)
    pruned = prune(weight, 3 * torch.eye(columns, dtype=torch.float64), sparsity=sparsity, width=width)
    kept = pruned != 0
    assert torch.equal(pruned[kept], weight[kept])
    for start in range(0, columns, width):
        part, stays = weight[:, start : start + width].abs(), kept[:, start : start + width]
        if stays.any() and not stays.all():
            assert part[~stays].max() <= part[stays].min()


@pytest.mark.parametrize("row", [[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0]])
def test_exactly_half_goes_where_a_threshold_takes_more(row: list[float]) -> None:
    """The authors' code removes all up to the third lowest: 3 of these, 4 of equals."""
    pruned = prune(torch.tensor([row]), torch.eye(4))
    assert pruned.tolist() == [[0, 0, *row[2:]]]


@pytest.mark.parametrize("name", MODELS)
def test_nothing_asked_nothing_changed(name: str) -> None:
    """Not even what comes after an input that was always 0."""
    model = MODELS[name]()
    SparseGPT(sparsity=0.0).prune(model, calibration())
    assert same_weights(model, MODELS[name]())


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_the_update_pays(pattern: str) -> None:
    """Less error than the same mask without the update, and than Wanda with as many weights removed."""
    ours, unmoved, wanda = [], [], []
    for seed in range(8):
        weight, x = problem(16, 64, seed)
        pruned = prune(weight, hessian_of(x), pattern=pattern)
        ours.append(error(pruned, weight, x))
        unmoved.append(error(torch.where(pruned == 0, 0, weight), weight, x))
        mask = removal_mask(weight.abs() * x.square().sum(0).sqrt(), 0.5, pattern)
        assert mask.sum() == (pruned == 0).sum()
        wanda.append(error(weight.masked_fill(mask, 0), weight, x))
    assert all(a < b for a, b in zip(ours, unmoved, strict=True))
    assert all(a < b for a, b in zip(ours, wanda, strict=True))


def test_inputs_that_are_always_zero() -> None:
    weight, x = problem(6, 24, seed=0)
    x[:, [2, 3, 17]] = 0
    pruned = prune(weight, hessian_of(x), sparsity=0.25)
    assert not pruned[:, [2, 3, 17]].any()
    torch.testing.assert_close(pruned, by_columns(weight, hessian_of(x), 0.25), rtol=1e-7, atol=1e-9)
    assert (pruned == 0).sum() == 6 * 24 // 4


def test_more_features_than_tokens() -> None:
    """The Hessian is singular: damping, or float64, or more damping makes it definite."""
    weight, x = problem(6, 24, seed=0, tokens=5)
    for damping in (0.01, 1e-9, 0.0):
        pruned = prune(weight.float(), hessian_of(x).float(), damping=damping)
        assert pruned.isfinite().all()
        assert (pruned == 0).sum() == 6 * 12


@pytest.mark.parametrize("feed", ["linear", "block", "dense"])
@pytest.mark.parametrize("name", MODELS)
def test_exact_counts_in_every_layer(name: str, feed: Any) -> None:
    model, dense = MODELS[name](), MODELS[name]()
    SparseGPT(sparsity=0.37, width=10, feed=feed).prune(model, calibration(padding=True))
    for before, weight in zip(weights(dense).values(), weights(model).values(), strict=True):
        dead = bool((weight == 0).all(0).any())  # OPT's ReLU: units that no calibration token woke
        assert (weight == 0).sum() == int(weight.numel() * 0.37) or dead
        assert name == "opt" or not dead
        assert not torch.equal(weight[weight != 0], before[weight != 0])
    others = [
        torch.equal(value, dense.state_dict()[key])
        for key, value in model.state_dict().items()
        if value.ndim != 2 or "embed" in key
    ]
    assert all(others)


def test_a_model_is_pruned_layer_by_layer() -> None:
    """Each weight as it comes out alone, with the inputs that the walk measures at that moment."""
    model, expected = zoo.llama(), zoo.llama()
    SparseGPT(sparsity=0.5).prune(model, calibration())
    for block in walk(expected, calibration(), measure=Gram, feed="linear"):
        for linear in block.linears:
            hessian = linear.inputs.matrix() * (2 / linear.inputs.segments)
            linear.weight.copy_(by_columns(linear.weight.double(), hessian.double(), 0.5))
    for one, other in zip(weights(model).values(), weights(expected).values(), strict=True):
        assert float(((one == 0) == (other == 0)).float().mean()) > 0.999
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_outputs_stay_closer_than_with_wanda() -> None:
    part = calibration(segments=32)
    with torch.no_grad():
        dense = zoo.llama()(**part).logits
        distance = {}
        for method in (SparseGPT, Wanda):
            model = zoo.llama()
            method(sparsity=0.5).prune(model, part)
            distance[method.name] = float((model(**part).logits - dense).norm())
    assert distance["sparsegpt"] < distance["wanda"]


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    model = zoo.llama()
    with pytest.raises(InputError, match="pattern: 1:5"):
        SparseGPT(sparsity=0.8, pattern="1:5").prune(model, calibration())
    assert same_weights(model, zoo.llama())


@pytest.mark.parametrize("fields", [{"pattern": "2:4"}, {"feed": "block"}])
def test_variants_pass_what_every_method_must(fields: dict[str, Any]) -> None:
    check_method(SparseGPT, **fields)

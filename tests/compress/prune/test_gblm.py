"""GBLM-Pruner against its rule put down plainly, and the identities of its sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.compress.prune import reference
from tests.compress.prune.reference import MODELS, calibration, same_weights, survivors_are_untouched, weights
from tests.models import zoo

from etude.compress.prune import GBLM, Wanda, gblm
from etude.compress.prune.gblm import gradient_norms, norms_backwards
from etude.compress.prune.masks import removal_mask
from etude.errors import InputError
from etude.models.blocks import Block, block_linears
from etude.testing import check_method


def by_hand(model: Any, norm: str, alpha: float, choose: Any, **part: Any) -> None:
    """The paper's order: gradients on the dense model, activations block by block behind pruned ones."""
    gradients = reference.gradient_norms(model, calibration(**part), norm)

    def score(name: str, weight: torch.Tensor, activation: torch.Tensor) -> torch.Tensor:
        return weight.abs() * activation + alpha * weight.abs() * gradients[name].float()

    reference.prune_by_block(model, calibration(**part), score, choose)


def overlap(one: Any, other: Any) -> float:
    """Share of linear weights that both keep or both remove."""
    pairs = list(zip(weights(one).values(), weights(other).values(), strict=True))
    return sum(float(((a == 0) == (b == 0)).sum()) for a, b in pairs) / sum(a.numel() for a, _ in pairs)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("name", MODELS)
def test_gradient_norms(name: str, norm: Any) -> None:
    model = MODELS[name]()
    expected = reference.gradient_norms(model, calibration(padding=True), norm)
    norms = gradient_norms(model, calibration(padding=True), norm)
    assert norms.keys() == expected.keys()
    for linear, value in norms.items():
        torch.testing.assert_close(value, expected[linear].float(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("name", MODELS)
def test_the_rule_of_the_paper(name: str, norm: Any) -> None:
    pruned, expected = MODELS[name](), MODELS[name]()
    GBLM(sparsity=0.6, norm=norm, feed="block").prune(pruned, calibration(padding=True))
    by_hand(expected, norm, 100, lambda score: reference.lowest_of_rows(score, 0.6), padding=True)
    assert overlap(pruned, expected) > 0.9995


def test_n_of_m() -> None:
    pruned, expected = zoo.llama(), zoo.llama()
    GBLM(pattern="2:4", feed="block").prune(pruned, calibration())
    by_hand(expected, "l1", 100, lambda score: reference.lowest_of_groups(score, 2, 4))
    assert overlap(pruned, expected) > 0.9995
    for weight in weights(pruned).values():
        assert ((weight.reshape(-1, 4) == 0).sum(1) == 2).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pattern": "2:4"},
        {"rule": "cumulative"},
        {"feed": "block"},
        {"feed": "linear"},
        {"sparsity": 0.3},
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_without_the_gradient_it_is_wanda(name: str, options: dict[str, Any]) -> None:
    pruned, expected = MODELS[name](), MODELS[name]()
    GBLM(alpha=0.0, **options).prune(pruned, calibration(padding=True))
    Wanda(**{"feed": "dense", **options}).prune(expected, calibration(padding=True))
    assert same_weights(pruned, expected)


@pytest.mark.parametrize("within", ["row", "matrix"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_without_the_activation_it_is_the_gradient_alone(norm: Any, within: Any) -> None:
    pruned, dense, drowned = zoo.llama(), zoo.llama(), zoo.llama()
    GBLM(score="gradient", norm=norm, within=within).prune(pruned, calibration())
    norms = gradient_norms(dense, calibration(), norm)
    for name, weight in weights(dense).items():
        mask = removal_mask(weight.abs() * norms[name], 0.5, within=within)
        assert torch.equal(weights(pruned)[name] == 0, mask)
    GBLM(alpha=1e12, norm=norm, within=within).prune(drowned, calibration())
    assert overlap(drowned, pruned) > 0.9995


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.75])
@pytest.mark.parametrize("score", ["both", "gradient"])
@pytest.mark.parametrize("name", MODELS)
def test_exact_counts_and_untouched_survivors(name: str, score: Any, sparsity: float) -> None:
    model = MODELS[name]()
    GBLM(sparsity=sparsity, score=score).prune(model, calibration())
    for weight in weights(model).values():
        assert ((weight == 0).sum(1) == int(weight.shape[1] * sparsity)).all()
    assert survivors_are_untouched(model, MODELS[name]())
    assert sparsity > 0 or same_weights(model, MODELS[name]())


def test_with_one_segment_both_norms_are_one() -> None:
    one, other = zoo.llama(), zoo.llama()
    GBLM(norm="l1").prune(one, calibration(segments=1))
    GBLM(norm="l2").prune(other, calibration(segments=1))
    assert overlap(one, other) > 0.9995
    norms = [gradient_norms(zoo.llama(), calibration(segments=1), norm) for norm in ("l1", "l2")]  # type: ignore[arg-type]
    for name in norms[0]:
        torch.testing.assert_close(norms[0][name], norms[1][name])


def test_how_norms_grow_with_the_number_of_segments() -> None:
    part = calibration()
    many = {key: value.repeat(9, 1) for key, value in part.items()}
    for norm, growth in (("l1", 9), ("l2", 3)):
        once, often = (gradient_norms(zoo.llama(), data, norm) for data in (part, many))  # type: ignore[arg-type]
        for name in once:
            torch.testing.assert_close(often[name], growth * once[name], rtol=1e-4, atol=1e-7)


def test_small_gradients_are_not_lost_in_large_sums() -> None:
    """In float16, in which the authors' code adds up, 2,048 and 1 are 2,048."""
    gradients = iter([2048.0, *[1.0] * 100])

    def visit_all(_: Any, part: Any, visit: Any, **__: Any) -> Iterator[Block]:
        linear = block_linears(model)[0]
        for value in gradients:
            visit(linear, torch.full((1, 1), value))
        yield Block(0, linear.module, [linear])

    model = zoo.llama()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gblm, "walk_back", visit_all)
        ((_, norm),) = norms_backwards(model, calibration(), "l1")
    assert norm.item() == 2148


def test_ratios_tell_how_the_terms_weigh() -> None:
    model = zoo.llama()
    gradients = reference.gradient_norms(model, calibration(padding=True), "l1")
    activations = reference.activation_norms(model, calibration(padding=True))
    ratios = GBLM(alpha=7.0).ratios(model, calibration(padding=True))
    assert list(ratios) == [linear.name for linear in block_linears(model)]
    for name, ratio in ratios.items():
        expected = 7 * gradients[name].median() / activations[name].median()
        assert ratio == pytest.approx(float(expected), rel=1e-3)
    assert same_weights(model, zoo.llama())


@pytest.mark.parametrize("balance", [0.25, 1.0, 8.0])
def test_balance_sets_the_ratio(balance: float) -> None:
    ratios = GBLM(alpha="balance", balance=balance).ratios(zoo.llama(), calibration())
    assert all(math.isclose(ratio, balance, rel_tol=1e-5) for ratio in ratios.values())


def test_balance_does_not_depend_on_the_scale_of_the_gradient() -> None:
    """Twice the segments: under a fixed alpha the gradient gains weight, under "balance" it does not."""
    part = calibration()
    twice = {key: torch.cat([value, value]) for key, value in part.items()}
    balanced, fixed = [], []
    for data in (part, twice):
        balanced.append(zoo.llama())
        fixed.append(zoo.llama())
        GBLM(alpha="balance").prune(balanced[-1], data)
        GBLM(alpha=10.0).prune(fixed[-1], data)
    assert overlap(*balanced) > 0.9995
    assert overlap(*fixed) < 0.9995


def test_gradients_are_kept_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, fresh, expected = tmp_path / "kept", zoo.llama(), zoo.llama()
    GBLM(gradients=str(folder)).prune(fresh, calibration())
    GBLM().prune(expected, calibration())
    assert same_weights(fresh, expected)
    (file,) = folder.iterdir()

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(gblm, "walk_back", never)
    for options in ({}, {"sparsity": 0.7}, {"pattern": "2:4"}, {"score": "gradient"}, {"alpha": "balance"}):
        GBLM(gradients=str(folder), **options).prune(zoo.llama(), calibration())
    for options, data in (({"norm": "l2"}, calibration()), ({}, calibration(padding=True))):
        with pytest.raises(AssertionError, match="computed again"):
            GBLM(gradients=str(folder), **options).prune(zoo.llama(), data)
    with pytest.raises(AssertionError, match="computed again"):
        GBLM(gradients=str(folder)).prune(fresh, calibration())  # the pruned model is another
    assert list(folder.iterdir()) == [file]


def test_gradients_of_another_model_are_refused(tmp_path: Path) -> None:
    GBLM(gradients=str(tmp_path)).prune(zoo.llama(), calibration())
    (stale,) = tmp_path.iterdir()
    other = zoo.llama()
    with torch.no_grad():
        other.model.layers[0].mlp.up_proj.weight[0, 0] += 1
    GBLM(gradients=str(tmp_path)).prune(other, calibration())
    (file,) = set(tmp_path.iterdir()) - {stale}
    stale.rename(file)
    other = zoo.llama()
    with torch.no_grad():
        other.model.layers[0].mlp.up_proj.weight[0, 0] += 1
    before = weights(other)
    with pytest.raises(InputError, match=r"gradients: .* is of another model"):
        GBLM(gradients=str(tmp_path)).prune(other, calibration())
    assert all(torch.equal(before[name], weight) for name, weight in weights(other).items())
    file.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"gradients: .* cannot be read"):
        GBLM(gradients=str(tmp_path)).prune(other, calibration())


@pytest.mark.parametrize("name", ["bert masked", "t5 encoder", "vit"])
def test_a_model_without_a_next_token_loss_is_refused(name: str) -> None:
    model = zoo.ZOO[name]()
    with pytest.raises(InputError, match=r"model: .* predicts no next token"):
        GBLM().prune(model, calibration())
    with pytest.raises(InputError, match=r"model: .* predicts no next token"):
        GBLM().ratios(model, calibration())


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    for fields in ({"pattern": "2:4"}, {"within": "matrix"}):
        with pytest.raises(InputError, match="rule: "):
            GBLM(rule="cumulative", **fields)
    for alpha in (-1.0, "equal", math.inf):
        with pytest.raises(InputError, match="alpha: "):
            GBLM(alpha=alpha)
    model = zoo.llama()
    with pytest.raises(InputError, match="pattern: 1:5"):
        GBLM(sparsity=0.8, pattern="1:5").prune(model, calibration())
    assert same_weights(model, zoo.llama())


@pytest.mark.parametrize(
    "fields", [{"pattern": "2:4", "norm": "l2"}, {"score": "gradient"}, {"alpha": "balance"}]
)
def test_variants_pass_what_every_method_must(fields: dict[str, Any]) -> None:
    check_method(GBLM, **fields)


def test_one_pass_measures_what_a_walk_through_the_dense_model_does(tmp_path: Path) -> None:
    one_pass, walked = zoo.llama(), zoo.llama()
    GBLM().prune(one_pass, calibration(padding=True))
    GBLM(gradients=str(tmp_path)).prune(walked, calibration(padding=True))
    assert overlap(one_pass, walked) > 0.9995

"""D-Pruner against its own equations, computed here the long way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from etude.compress.examples import biased, fused, grouped, tokens
from etude.compress.prune import importance as files
from etude.compress.prune.d_pruner import DPruner
from etude.compress.prune.sparsegpt import scan
from etude.errors import InputError
from etude.models.blocks import block_linears
from etude.seeds import seeded

GENERAL, DOMAIN = tokens(1), tokens(2)


def importance(pruner: DPruner, model: Any = None, **texts: Any) -> dict[str, Tensor]:
    with seeded(0):
        return dict(
            pruner.importance(
                model or grouped(), texts.get("general", GENERAL), domain=texts.get("domain", DOMAIN)
            )
        )


def loss_of(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Mean over the tokens that are not padding, by hand."""
    logits, ids, mask = model(**batch).logits, batch["input_ids"], batch["attention_mask"]
    losses = [
        cross_entropy(logits[row, at], ids[row, at + 1])
        for row in range(len(ids))
        for at in range(ids.shape[1] - 1)
        if mask[row, at + 1]
    ]
    return torch.stack(losses).mean()


def matrices(model: Any) -> dict[str, Tensor]:
    """The weights of the linear layers, as they lie in a LLaMA."""
    return {linear.name: linear.module.weight for linear in block_linears(model)}


def by_hand(pruner: DPruner, general: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Steps 2 to 4 as the paper's equations say them, with nothing shared with the library."""
    count = len(DOMAIN["input_ids"])
    with seeded(0):
        order = [rows for _ in range(pruner.epochs) for rows in torch.randperm(count).split(pruner.batch)]
    found = {name: torch.zeros_like(weight) for name, weight in matrices(model).items()}
    seen: dict[str, list[Tensor]] = {name: [] for name in found}
    for step, rows in enumerate(order, 1):
        progress = step / max(2, len(order))
        rate = pruner.rate * (progress / 0.1 if progress < 0.1 else (1 - progress) / 0.9)
        parameters = dict(model.named_parameters())
        loss = loss_of(model, {name: value[rows] for name, value in DOMAIN.items()})
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        for name, weight in matrices(model).items():
            g = gradients[f"{name}.weight"]
            seen[name].append(g**2)
            h = sum(seen[name]) / step
            held = 2 * pruner.regularisation * rate**2 * general[name]
            g = g + held * (g * h if pruner.form == "paper" else g**2 / count)
            gradients[f"{name}.weight"] = g
            change = g * weight.detach()
            second = change**2 / (2 * count)
            change = change + (second if pruner.sign == "plus" else -second)
            found[name] += (change + (weight.detach() ** 3 if pruner.cubic else 0)).abs()
        length = torch.sqrt(sum((g**2).sum() for g in gradients.values()))
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter -= rate * gradients[name] * min(1.0, pruner.clip / (length + 1e-6))
    return found


def close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=tolerance, atol=1e-8)


VARIANTS = [
    {},
    {"form": "code"},
    {"sign": "minus", "cubic": True},
    {"clip": 0.01, "rate": 3.0, "epochs": 2},
    {"batch": 6},
    {"batch": 1, "epochs": 3},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("make", [grouped, biased])
def test_dual_importance_is_that_of_the_equations(make: Any, settings: dict[str, Any]) -> None:
    # So strong a lambda that what it adds is of the size of the gradient.
    pruner = DPruner(**{"regularisation": 1e7, "rate": 0.3, "batch": 2} | settings)
    general = pruner.general_importance(make(), GENERAL)
    found = importance(pruner, make())
    close(found, by_hand(pruner, dict(general), make()))
    without = importance(DPruner(**{"regularisation": 0.0, "rate": 0.3, "batch": 2} | settings), make())
    assert any(not torch.allclose(found[name], without[name], rtol=1e-2) for name in found)


def test_transposed_layers_are_scored_the_same_way() -> None:
    pruner = DPruner(regularisation=0.0, rate=0.0, batch=6)
    model, found = fused(), importance(pruner, fused())
    loss_of(model, DOMAIN).backward()
    expected = {}
    for name, weight in matrices(model).items():
        change = (weight.grad * weight.detach()).T
        expected[name] = (change + change**2 / 12).abs()
    close(found, expected)


def test_one_batch_without_lambda_and_descent() -> None:
    """I = |g w + (g w)^2 / 2N|."""
    found = importance(DPruner(regularisation=0.0, rate=0.0, batch=6))
    model = grouped()
    loss_of(model, DOMAIN).backward()
    change = {name: weight.grad * weight.detach() for name, weight in matrices(model).items()}
    close(found, {name: (c + c**2 / (2 * 6)).abs() for name, c in change.items()})


def test_magnitudes_are_summed_not_sums_measured() -> None:
    pruner = DPruner(regularisation=0.0, rate=0.0, batch=3)
    found = importance(pruner)
    with seeded(0):
        halves = torch.randperm(6).split(3)
    expected = {name: torch.zeros_like(weight) for name, weight in matrices(grouped()).items()}
    for rows in halves:
        model = grouped()
        loss_of(model, {name: value[rows] for name, value in DOMAIN.items()}).backward()
        for name, weight in matrices(model).items():
            change = weight.grad * weight.detach()
            expected[name] += (change + change**2 / 12).abs()
    close(found, expected)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_no_general_importance_is_no_lambda(form: str) -> None:
    """G = 0 and lambda = 0 are one and the same, to the last bit."""
    none = {name: torch.zeros_like(weight) for name, weight in matrices(grouped()).items()}
    some = {name: torch.full_like(weight, 1e6) for name, weight in matrices(grouped()).items()}
    results = []
    for strength, general in ((0.1, none), (0.0, some), (0.0, None)):
        with seeded(0):
            pruner = DPruner(regularisation=strength, form=form)
            results.append(pruner.dual_importance(grouped(), DOMAIN, general))
    for other in results[1:]:
        assert all(torch.equal(other[name], results[0][name]) for name in other)


def first_inputs(model: Any) -> Tensor:
    """What enters the projections of the first block, without padding: float64 ``[tokens, features]``."""
    heard: list[Tensor] = []
    layer = model.model.layers[0].self_attn.q_proj
    handle = layer.register_forward_pre_hook(lambda _, args: heard.append(args[0].detach()))
    with torch.no_grad():
        model(**GENERAL)
    handle.remove()
    return heard[0][GENERAL["attention_mask"].bool()].double()


def test_general_importance_of_the_first_columns_is_that_of_the_dense_weights() -> None:
    """G = w^2 / U_jj^2 with U from a plain Cholesky factorisation in float64, before any compensation."""
    general = DPruner(width=8).general_importance(grouped(), GENERAL)
    x = first_inputs(grouped())
    hessian = 2 / len(GENERAL["input_ids"]) * x.T @ x
    hessian += 0.01 * hessian.diagonal().mean() * torch.eye(len(hessian))
    upper = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True)
    for layer in ("q_proj", "k_proj", "v_proj"):
        name = f"model.layers.0.self_attn.{layer}"
        dense = matrices(grouped())[name].detach().double() ** 2 / upper.diagonal() ** 2
        found = general[name].double()
        torch.testing.assert_close(found[:, :8], dense[:, :8], rtol=1e-4, atol=0)
        assert not torch.allclose(found[:, 8:], dense[:, 8:], rtol=1e-2)  # these have been compensated


def test_general_importance_without_removal_is_that_of_the_dense_weights() -> None:
    whole = DPruner(scanned=0.0, width=8).general_importance(grouped(), GENERAL)
    single = DPruner(scanned=0.0, width=1000).general_importance(grouped(), GENERAL)
    close(dict(whole), dict(single))


def test_general_importance_leaves_out_dead_inputs() -> None:
    def make() -> Any:
        model = grouped()
        model.model.layers[0].input_layernorm.weight.data[3] = 0
        return model

    general = DPruner().general_importance(make(), GENERAL)
    assert general.keys() == matrices(make()).keys()
    for name, scores in general.items():
        assert scores.shape == matrices(make())[name].shape and bool((scores >= 0).all())
    dead = general["model.layers.0.self_attn.q_proj"]
    assert bool((dead[:, 3] == 0).all()) and bool((dead[:, 4] > 0).all())


def test_general_importance_scores_an_output_error() -> None:
    """Of the last column, which nothing can make up for, G is the squared output error itself."""
    x = first_inputs(grouped())
    general = DPruner(scanned=0.0, damping=1e-9).general_importance(grouped(), GENERAL)
    name = "model.layers.0.self_attn.q_proj"
    weight = matrices(grouped())[name].detach().double()
    error = 2 / len(GENERAL["input_ids"]) * (x[:, -1:] @ weight[:, -1:].T).square().sum(0)
    torch.testing.assert_close(general[name][:, -1].double(), error, rtol=1e-3, atol=0)


def scores(weight: Tensor, hessian: Tensor) -> Tensor:
    """What a scan says of the weights, run by run, while it removes the lower half."""
    heard: list[Tensor] = []

    def choose(score: Tensor) -> Tensor:
        heard.append(score.clone())
        return score < score.median()

    scan(weight.clone(), hessian, choose, width=4, damping=0.01)
    return torch.cat(heard, 1)


def test_among_independent_inputs_general_importance_is_wandas_score_squared() -> None:
    """A diagonal H: G = w^2 (H_jj + damping); among inputs that are alike, w^2 up to a factor."""
    torch.manual_seed(0)
    weight, diagonal = torch.randn(5, 12), torch.rand(12) + 0.5
    damped = diagonal + 0.01 * diagonal.mean()
    torch.testing.assert_close(scores(weight, diagonal.diag()), weight**2 * damped)
    torch.testing.assert_close(scores(weight, 3 * torch.eye(12)), weight**2 * 3.03)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.77])
@pytest.mark.parametrize("settings", [{}, {"blocking": True, "width": 8}, {"over": "parameters"}], ids=str)
def test_the_original_weights_are_pruned_to_the_unit(sparsity: float, settings: dict[str, Any]) -> None:
    model, before = grouped(), grouped()
    DPruner(sparsity=sparsity, **settings).prune(model, GENERAL, domain=DOMAIN)
    weights = matrices(model)
    everything = "over" in settings
    total = sum(p.numel() for p in (model.parameters() if everything else weights.values()))
    assert sum(int((weight == 0).sum()) for weight in weights.values()) == round(sparsity * total)
    old = dict(before.named_parameters())
    for name, parameter in model.named_parameters():
        kept = parameter != 0
        assert torch.equal(parameter[kept], old[name][kept])


def test_blocking_gives_every_layer_as_many_runs_as_the_narrowest() -> None:
    """As in LLaMA-7B, where 4096 inputs have runs of 128 and 11008 have runs of 344: 32 of each."""
    model = grouped()
    DPruner(sparsity=0.5, blocking=True, width=8).prune(model, GENERAL, domain=DOMAIN)
    for name, weight in matrices(model).items():
        run = 16 if name.endswith("down_proj") else 8
        for part in weight.split(run, 1):
            assert abs(int((part == 0).sum()) - part.numel() / 2) <= 1


def test_adapted_weights_are_kept_on_request() -> None:
    original, adapted = grouped(), grouped()
    with seeded(0):
        DPruner(sparsity=0.5).prune(original, GENERAL, domain=DOMAIN)
    with seeded(0):
        DPruner(sparsity=0.5, adapted=True).prune(adapted, GENERAL, domain=DOMAIN)
    trained = grouped()
    by_hand(DPruner(regularisation=0.0), {name: torch.zeros(()) for name in matrices(trained)}, trained)
    for name, weight in matrices(adapted).items():
        gone = weight == 0
        assert torch.equal(gone, matrices(original)[name] == 0)
        torch.testing.assert_close(weight[~gone], matrices(trained)[name][~gone], rtol=1e-4, atol=1e-6)


def test_importance_leaves_the_model_alone() -> None:
    model = grouped()
    importance(DPruner(rate=1.0), model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), grouped().parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_importance_serves_any_sparsity() -> None:
    kept = importance(DPruner())
    for sparsity in (0.2, 0.6):
        whole, again = grouped(), grouped()
        with seeded(0):
            DPruner(sparsity=sparsity).prune(whole, GENERAL, domain=DOMAIN)
        DPruner(sparsity=sparsity).remove(again, kept)
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_folder_of_importances_is_used_again(tmp_path: Path) -> None:
    def run(sparsity: float, seed: int = 0, **settings: Any) -> Any:
        model = grouped()
        with seeded(seed):
            DPruner(sparsity=sparsity, importances=str(tmp_path), **settings).prune(
                model, GENERAL, domain=DOMAIN
            )
        return model

    run(0.3)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    model, fresh = run(0.6), grouped()
    with seeded(0):
        DPruner(sparsity=0.6).prune(fresh, GENERAL, domain=DOMAIN)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))
    assert [path.stat().st_mtime_ns] == [p.stat().st_mtime_ns for p in tmp_path.iterdir()] == [written]
    assert files.load(path, grouped()).keys() == matrices(grouped()).keys()
    run(0.3, rate=0.1)
    run(0.3, seed=1)
    assert len(list(tmp_path.iterdir())) == 3


def test_bad_input() -> None:
    with pytest.raises(InputError, match=r"^domain: is missing"):
        DPruner().prune(grouped(), GENERAL)
    with pytest.raises(InputError, match=r"^domain: 6 of its segments are in the calibration too"):
        DPruner().prune(grouped(), GENERAL, domain=GENERAL)
    with pytest.raises(InputError, match=r"^domain: input_ids has shape"):
        DPruner().prune(grouped(), GENERAL, domain={"input_ids": DOMAIN["input_ids"][:, :1]})
    with pytest.raises(InputError, match=r"^sparsity: "):
        DPruner(over="parameters", sparsity=0.95).prune(grouped(), GENERAL, domain=DOMAIN)
    with pytest.raises(InputError, match=r"^adapted: "):
        DPruner(adapted=True, importances="here")

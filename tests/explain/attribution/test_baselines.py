"""Baselines agree with captum on the same input, and with their definitions."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from etude.explain.attribution import (
    AttentionLast,
    AttentionRollout,
    InputXGradient,
    IntegratedGradients,
    Lime,
    Occlusion,
)
from etude.explain.attribution.attention_rollout import rollout
from etude.explain.attribution.lime import fit, kernel
from etude.explain.attribution.probe import Probe
from etude.explain.examples import biased, fused, grouped, tokenizer

captum = pytest.importorskip("captum.attr")
PROMPT = torch.tensor([3, 7, 11, 5, 2, 9])
TARGET = 8
KINDS = [grouped, biased, fused]


def log_probability(model: Any) -> Any:
    """Of the target behind embeddings ``[rows, length, width]``."""
    return lambda embeddings: model(inputs_embeds=embeddings).logits[:, -1].log_softmax(-1)[:, TARGET]


@pytest.mark.parametrize("kind", KINDS)
def test_input_x_gradient_is_captums(kind: Any) -> None:
    model = kind()
    ours = InputXGradient().attribute(model, tokenizer(), PROMPT, TARGET)
    embeddings = model.get_input_embeddings()(PROMPT)[None].detach().requires_grad_()
    theirs = captum.InputXGradient(log_probability(model)).attribute(embeddings).sum(2)[0]
    assert ours.raw == pytest.approx(theirs.tolist(), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_gradients_are_captums(kind: Any) -> None:
    model = kind()
    ours = IntegratedGradients(points=20).attribute(model, tokenizer(), PROMPT, TARGET)
    embeddings = model.get_input_embeddings()(PROMPT)[None].detach()
    method = captum.IntegratedGradients(log_probability(model))
    theirs = method.attribute(embeddings, n_steps=20, method="riemann_middle").sum(2)[0]
    assert ours.raw == pytest.approx(theirs.tolist(), abs=1e-5)


def test_integrated_gradients_are_complete() -> None:
    """Where the norm is smooth at zero embeddings; RMSNorm is not, and needs many more points."""
    model = fused()
    found = IntegratedGradients(points=200).attribute(model, tokenizer(), PROMPT, TARGET)
    embeddings = model.get_input_embeddings()(PROMPT)[None].detach()
    with torch.no_grad():
        whole, nothing = log_probability(model)(torch.cat([embeddings, 0 * embeddings])).tolist()
    assert sum(found.raw) == pytest.approx(whole - nothing, rel=0.05, abs=1e-3)


def test_occlusion_is_captums_ablation() -> None:
    model = grouped()
    ours = Occlusion().attribute(model, tokenizer(), PROMPT, TARGET)
    method = captum.FeatureAblation(lambda ids: model(input_ids=ids).logits[:, -1].log_softmax(-1)[:, TARGET])
    with torch.no_grad():
        theirs = method.attribute(PROMPT[None], baselines=tokenizer().unk_token_id)[0]
    assert ours.raw == pytest.approx(theirs.tolist(), abs=1e-5)


def test_limes_regression_is_captums_on_the_same_samples() -> None:
    """All 64 subsets of the prompt, each once, without a penalty."""
    model, blank = grouped(), tokenizer().unk_token_id
    subsets = torch.tensor(list(itertools.product([False, True], repeat=len(PROMPT))))
    with torch.no_grad():
        logits = model(input_ids=torch.where(subsets, PROMPT, blank)).logits[:, -1]
    answers = logits.log_softmax(-1)[:, TARGET]
    ours = fit(subsets, answers, kernel(subsets, 1.0), ridge=1e-9)

    from captum._utils.models.linear_model import SkLearnLinearRegression
    from captum.attr._core.lime import LimeBase

    def similar(original: Any, perturbed: Any, mask: Any, **_: Any) -> Any:
        return kernel(mask.bool(), 1.0)

    def samples(*_: Any, **__: Any) -> Any:
        yield from subsets.float()[:, None]

    method = LimeBase(
        lambda mask: answers[(subsets == mask.bool()).all(1)],
        SkLearnLinearRegression(),
        similar,
        samples,
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda mask, *_, **__: mask,
        to_interp_rep_transform=None,
    )
    theirs = method.attribute(PROMPT[None].float(), n_samples=len(subsets))[0]
    assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-5)


def test_lime_finds_the_coefficients_of_an_additive_model() -> None:
    torch.manual_seed(0)
    there = torch.rand(60, 5) < 0.5
    truth = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    answers = there.double() @ truth - 7
    assert fit(there, answers, kernel(there, 0.3), ridge=1e-9).tolist() == pytest.approx(
        truth.tolist(), abs=1e-6
    )


def test_rollout_multiplies_the_layers() -> None:
    torch.manual_seed(0)
    layers = torch.rand(3, 5, 5).tril()
    layers = layers / layers.sum(2, keepdim=True)
    whole = torch.eye(5)
    for layer in layers:
        whole = (0.5 * layer + 0.5 * torch.eye(5)) @ whole
    assert torch.allclose(rollout(layers), whole[-1], atol=1e-6)
    assert float(rollout(layers).sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("method", [AttentionLast(), AttentionRollout()])
def test_the_kernel_of_attention_is_put_back(method: Any) -> None:
    model = grouped()
    before = model.config._attn_implementation
    method.attribute(model, tokenizer(), PROMPT)
    assert model.config._attn_implementation == before


def test_lime_and_occlusion_agree_on_what_matters_most() -> None:
    torch.manual_seed(0)
    model = grouped()
    lime = Lime(samples=400).attribute(model, tokenizer(), PROMPT)
    occlusion = Occlusion().attribute(model, tokenizer(), PROMPT)
    assert lime.ranks.index(1) == occlusion.ranks.index(1)


def test_logits_are_computed_for_the_last_position_only() -> None:
    probe = Probe(grouped(), tokenizer(), PROMPT)
    with torch.no_grad():
        whole = probe.model(input_ids=PROMPT[None]).logits[0, -1].softmax(0)
    assert torch.allclose(probe.probabilities, whole, atol=1e-6)

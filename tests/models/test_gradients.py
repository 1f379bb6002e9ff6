"""Gradients against ``loss.backward()`` on the parameters, one segment at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.models import zoo
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.blocks import block_linears, is_transposed, walk
from etude.models.gradients import gradients, language_loss, segment_gradients, segment_losses
from etude.models.stats import Norms

MODELS = {name: zoo.ZOO[name] for name in ("llama", "llama with biases, untied", "gpt2", "opt")}
SEGMENTS, LENGTH = 5, 12


def batch(padding: str = "none") -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(2, 64, (SEGMENTS, LENGTH), generator=draw)
    mask = torch.ones_like(ids)
    for segment, pads in ((1, 4), (3, 7)) if padding != "none" else ():
        mask[segment, slice(None, pads) if padding == "left" else slice(-pads, None)] = 0
    return {"input_ids": ids, "attention_mask": mask}


def by_autograd(model: Any, part: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients as transformers and autograd give them, on a copy."""
    model = copy.deepcopy(model).eval().requires_grad_(True)
    labels = part["input_ids"].masked_fill(part["attention_mask"] == 0, -100)
    for row, first in zip(labels, part["attention_mask"].argmax(1), strict=True):
        row[first] = -100  # behind padding nothing predicts the first token
    loss = model(**part, labels=labels).loss
    loss.backward()
    return float(loss.detach()), {
        x.name: x.module.weight.grad.T if is_transposed(x.module) else x.module.weight.grad
        for x in block_linears(model)
    }


@contextmanager
def left_as_it_was(model: Any) -> Iterator[None]:
    def state() -> Any:
        modules = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
        parameters = [(p.requires_grad, p.grad is None, p.sum().item()) for p in model.parameters()]
        return modules, parameters, model.config.use_cache, torch.is_grad_enabled()

    before = state()
    yield
    assert state() == before


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize("together", [1, 2, SEGMENTS, None])
@pytest.mark.parametrize("name", MODELS)
def test_every_segment_has_its_own_gradient(name: str, together: int | None, padding: str) -> None:
    model, calibration = MODELS[name](), batch(padding)
    seen: dict[str, list[Tensor]] = {x.name: [] for x in block_linears(model)}
    with left_as_it_was(model):
        segment_gradients(model, calibration, lambda x, g: seen[x.name].append(g.clone()), together=together)
    for segment in range(SEGMENTS):
        part = {key: value[segment : segment + 1] for key, value in calibration.items()}
        for linear, expected in by_autograd(model, part)[1].items():
            torch.testing.assert_close(seen[linear][segment], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_of_a_batch(name: str) -> None:
    model, seen = MODELS[name](), {}
    with left_as_it_was(model):
        loss = gradients(model, batch("right"), lambda linear, gradient: seen.update({linear.name: gradient}))
    expected, gradient = by_autograd(model, batch("right"))
    assert loss == pytest.approx(expected)
    assert seen.keys() == gradient.keys()
    for linear, value in gradient.items():
        torch.testing.assert_close(seen[linear], value, rtol=1e-4, atol=1e-7)


def test_losses_are_those_of_transformers() -> None:
    model = zoo.llama()
    part = batch("right")
    losses = segment_losses(model, part).detach()
    for segment in range(SEGMENTS):
        one = {key: value[segment : segment + 1] for key, value in part.items()}
        assert float(losses[segment]) == pytest.approx(by_autograd(model, one)[0])
        assert float(language_loss(model, one).detach()) == pytest.approx(by_autograd(model, one)[0])
    assert float(language_loss(model, part).detach()) == pytest.approx(by_autograd(model, part)[0])


@pytest.mark.parametrize("padding", ["left", "right"])
def test_padding_changes_nothing(padding: str) -> None:
    """A padded segment has the gradient of the segment without its padding."""
    model, padded, alone = zoo.llama(), [], []
    segment_gradients(model, batch(padding), lambda _, gradient: padded.append(gradient.clone()), together=1)
    ids = batch()["input_ids"][3:4]
    ids = ids[:, 7:] if padding == "left" else ids[:, :-7]
    segment_gradients(model, {"input_ids": ids}, lambda _, gradient: alone.append(gradient.clone()))
    for one, other in zip(padded[3 * len(alone) : 4 * len(alone)], alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_a_custom_loss() -> None:
    model, seen = zoo.llama(), {}

    def doubled(model: Any, part: Any) -> Tensor:
        return 2 * language_loss(model, part)

    gradients(model, batch(), lambda linear, gradient: seen.update({linear.name: gradient}), loss=doubled)
    for linear, value in by_autograd(model, batch())[1].items():
        torch.testing.assert_close(seen[linear], 2 * value, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("padding", ["none", "right"])
@pytest.mark.parametrize("name", MODELS)
def test_inputs_are_measured_in_the_same_pass(name: str, padding: str) -> None:
    model = MODELS[name]()
    found = segment_gradients(model, batch(padding), lambda *_: None, measure=Norms, together=2)
    for block in walk(model, batch(padding), feed="dense"):
        for linear in block.linears:
            measured = next(
                value for key, value in found.items() if key.endswith(f"{block.index}.{linear.name}")
            )
            assert (measured.tokens, measured.segments) == (linear.inputs.tokens, linear.inputs.segments)
            torch.testing.assert_close(measured.norm(), linear.inputs.norm())


@pytest.mark.parametrize("together", [1, 3])
def test_a_layer_that_is_called_twice_has_the_sum(together: int) -> None:
    model = zoo.llama()
    model.model.layers[1].mlp = model.model.layers[0].mlp
    seen: dict[str, list[Tensor]] = {}
    segment_gradients(
        model, batch(), lambda x, g: seen.setdefault(x.name, []).append(g.clone()), together=together
    )
    part = {key: value[1:2] for key, value in batch().items()}
    expected = by_autograd(model, part)[1]
    assert len(expected) == 11
    for linear, value in expected.items():
        torch.testing.assert_close(seen[linear][1], value, rtol=1e-4, atol=1e-7)


def test_frozen_parameters_stay_frozen_and_have_gradients_all_the_same() -> None:
    model, seen = zoo.llama(), []
    model.requires_grad_(False)
    model.model.norm.weight.requires_grad_(True)
    model.train()
    model.model.layers[0].eval()
    with left_as_it_was(model):
        segment_gradients(model, batch(), lambda *pair: seen.append(pair))
    assert len(seen) == 14 * SEGMENTS


@pytest.mark.parametrize("run", [gradients, segment_gradients])
def test_everything_is_put_back_when_the_visitor_raises(run: Callable[..., Any]) -> None:
    model = zoo.gpt2()

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with left_as_it_was(model), torch.no_grad(), pytest.raises(ZeroDivisionError):
        run(model, batch(), fail)


@pytest.mark.parametrize("run", [gradients, segment_gradients])
def test_weights_without_a_gradient_are_refused(run: Callable[..., Any]) -> None:
    model = zoo.llama()
    quantised = model.model.layers[1].mlp.up_proj
    quantised.weight = nn.Parameter(torch.ones_like(quantised.weight, dtype=torch.int8), requires_grad=False)
    with pytest.raises(InputError, match=r"model: model\.layers\.1\.mlp\.up_proj is quantised \(int8\)"):
        run(model, batch(), lambda *_: None)

    model = zoo.llama()
    mlp = model.model.layers[1].mlp
    mlp.forward = torch.no_grad()(mlp.forward)
    with pytest.raises(InputError, match=r"model: model\.layers\.1\.mlp\.gate_proj is cut off from the loss"):
        run(model, batch(), lambda *_: None)


@pytest.mark.parametrize("run", [gradients, segment_gradients])
@pytest.mark.parametrize("name", ["bert masked", "bert encoder", "t5 encoder"])
def test_only_models_that_predict_the_next_token(run: Callable[..., Any], name: str) -> None:
    model = zoo.ZOO[name]()
    with pytest.raises(InputError, match=r"model: .* predicts no next token"):
        run(model, batch(), lambda *_: None)


@pytest.mark.parametrize("run", [gradients, segment_gradients])
def test_a_segment_of_one_token_predicts_nothing(run: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="calibration"):
        run(zoo.llama(), {"input_ids": torch.ones(3, 1, dtype=torch.long)}, lambda *_: None)

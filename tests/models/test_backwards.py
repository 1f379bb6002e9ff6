"""The walk backwards against a pass through the whole model, on architectures of many kinds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as hf
from tests.models import zoo
from tests.models.test_gradients import SEGMENTS, batch, left_as_it_was
from torch import Tensor

from etude.errors import InputError
from etude.models import backwards
from etude.models.backwards import walk_back
from etude.models.blocks import block_linears, find_blocks
from etude.models.gradients import segment_gradients
from etude.models.stats import Norms

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}


def _causal(kind: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(hf, f"{kind}Config")(**{**SIZES, "intermediate_size": 48, **settings})
    return getattr(hf, f"{kind}ForCausalLM")(config).eval()


MODELS = {
    "llama": lambda: zoo.llama(num_hidden_layers=3),
    "one block": lambda: zoo.llama(num_hidden_layers=1),
    "biases": lambda: zoo.ZOO["llama with biases, untied"](),
    "gpt2": zoo.gpt2,
    "opt": zoo.opt,
    "attention beside the MLP": lambda: _causal("GPTNeoX"),
    "norms behind the layers": lambda: _causal("Olmo2", num_key_value_heads=2, pad_token_id=0),
    "two kinds of mask": lambda: _causal(
        "Gemma2", num_key_value_heads=2, head_dim=8, sliding_window=4, pad_token_id=0
    ),
    "position biases": lambda: _causal("Bloom"),
}
UNFORMED = {
    "llama": {"mlp.down_proj"},
    "gpt2": {"mlp.c_proj"},
    "opt": {"fc2"},
    "attention beside the MLP": {"attention.dense", "mlp.dense_4h_to_h"},
    "norms behind the layers": set(),
    "two kinds of mask": set(),
}


def both(
    model: Any, calibration: dict[str, Tensor], together: int | None = None
) -> tuple[Any, Any, Any, Any]:
    """Gradients of each segment and statistics: of a pass through the whole model, and of the walk."""
    whole: dict[str, list[Tensor]] = {}
    found: dict[str, list[Tensor]] = {}
    statistics = segment_gradients(
        model, calibration, lambda x, g: whole.setdefault(x.name, []).append(g.clone()), measure=Norms
    )
    inputs = {}
    walk = walk_back(
        model,
        calibration,
        lambda x, g: found.setdefault(x.name, []).append(g.clone()),
        measure=Norms,
        together=together,
    )
    for block in walk:
        for linear in block.linears:
            assert len(found[linear.name]) == SEGMENTS
            inputs[linear.name] = linear.inputs
    return whole, statistics, found, inputs


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize("name", MODELS)
def test_every_gradient_is_that_of_the_whole_model(
    name: str, padding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backwards, "segment_gradients", None)  # all of these are chains
    model = MODELS[name]()
    with left_as_it_was(model):
        whole, statistics, found, inputs = both(model, batch(padding), together=2)
    assert whole.keys() == found.keys() == inputs.keys()
    for linear, expected in whole.items():
        for segment in range(SEGMENTS):
            torch.testing.assert_close(found[linear][segment], expected[segment], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(inputs[linear].norm(), statistics[linear].norm())
        assert inputs[linear].tokens == statistics[linear].tokens


@pytest.mark.parametrize("name", UNFORMED)
def test_products_that_change_no_gradient_are_not_formed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silent, chosen = [], backwards.only_added
    monkeypatch.setattr(backwards, "only_added", lambda *given: silent.append(chosen(*given)) or silent[-1])
    model = MODELS[name]()
    root, blocks = find_blocks(model)
    before = {name: vars(module).keys() for name, module in model.named_modules()}
    for _ in walk_back(model, batch(), lambda *_: None, together=2):
        pass
    assert len(silent) == len(blocks) - 1
    for index, layers in enumerate(reversed(silent)):
        assert {layer.name.removeprefix(f"{root}.{index}.") for layer in layers} == UNFORMED[name]
    assert {name: vars(module).keys() for name, module in model.named_modules()} == before


def test_what_has_been_yielded_may_be_edited() -> None:
    model, found = zoo.llama(num_hidden_layers=3), {}
    whole = both(zoo.llama(num_hidden_layers=3), batch())[0]
    for block in walk_back(model, batch(), lambda x, g: found.setdefault(x.name, []).append(g.clone())):
        for linear in block.linears:
            linear.weight.zero_()
    for linear, expected in whole.items():
        torch.testing.assert_close(torch.stack(found[linear]), torch.stack(expected), rtol=1e-4, atol=1e-7)


def _shared() -> Any:
    model = zoo.llama()
    model.model.layers[1].mlp = model.model.layers[0].mlp
    return model


def _past_a_block() -> Any:
    """The final norm adds what the first block returned."""
    model, kept = zoo.llama(num_hidden_layers=3), []
    model.model.layers[0].register_forward_hook(lambda _, __, output: kept.append(output))
    model.model.norm.register_forward_pre_hook(lambda _, args: (args[0] + kept.pop(),))
    return model


def _something_between() -> Any:
    model = zoo.llama(num_hidden_layers=3)
    model.model.layers[1].register_forward_pre_hook(lambda _, args: (2 * args[0],))
    return model


@pytest.mark.parametrize("make", [_shared, _past_a_block, _something_between])
def test_a_model_that_is_no_chain_is_gone_through_as_a_whole(make: Any) -> None:
    whole, _, found, _ = both(make(), batch("right"), together=2)
    assert found.keys() == whole.keys() == {linear.name for linear in block_linears(make())}
    for linear, expected in whole.items():
        torch.testing.assert_close(torch.stack(found[linear]), torch.stack(expected), rtol=1e-4, atol=1e-7)


def test_everything_is_put_back_when_the_walk_ends_early() -> None:
    model = zoo.llama(num_hidden_layers=3)
    model.requires_grad_(True)
    with left_as_it_was(model):
        walk = walk_back(model, batch(), lambda *_: None)
        assert next(walk).index == 2
        walk.close()

        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            list(walk_back(model, batch(), fail))


def test_hidden_states_that_do_not_fit_go_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backwards, "_IN_MEMORY", 100)
    whole, _, found, _ = both(zoo.llama(num_hidden_layers=3), batch(), together=1)
    for linear, expected in whole.items():
        torch.testing.assert_close(torch.stack(found[linear]), torch.stack(expected), rtol=1e-4, atol=1e-7)


def test_what_has_no_gradient_is_refused() -> None:
    with pytest.raises(InputError, match="predicts no next token"):
        list(walk_back(zoo.ZOO["bert masked"](), batch(), lambda *_: None))
    with pytest.raises(InputError, match="calibration"):
        list(walk_back(zoo.llama(), {"input_ids": torch.ones(3, 1, dtype=torch.long)}, lambda *_: None))
    model = zoo.llama(num_hidden_layers=3)
    mlp = model.model.layers[1].mlp
    mlp.forward = torch.no_grad()(mlp.forward)
    with pytest.raises(InputError, match=r"model: model\.layers\.1\.mlp\.gate_proj is cut off from the loss"):
        list(walk_back(model, batch(), lambda *_: None))

"""The walk against the plainest way to the same figures: whole forward passes with hooks on the linears."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import zoo
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.blocks import block_linears, find_blocks, linears, walk
from etude.models.stats import Gram, Norms

SEGMENTS, LENGTH = 5, 12


def gemma3() -> Any:
    """Layers that see 4 tokens back and layers that see all; rotary tables of two kinds."""
    config = hf.Gemma3TextConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )
    torch.manual_seed(0)
    return hf.Gemma3ForCausalLM(config).eval()


MODELS = zoo.ZOO | {"gemma 3": gemma3}


def inputs(model: Any, padding: str = "none") -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.randn(SEGMENTS, 3, 16, 16, generator=draw)}
    ids = torch.randint(2, 64, (SEGMENTS, LENGTH), generator=draw)
    mask = torch.ones_like(ids)
    for segment, pads in ((1, 4), (3, 7)) if padding != "none" else ():
        mask[segment, slice(None, pads) if padding == "left" else slice(-pads, None)] = 0
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def squares_by_hooks(model: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sum of squares of every linear's input in one plain forward pass, in float64, padding left out."""
    heard: dict[str, Tensor] = {}

    def hear(_: nn.Module, args: tuple[Tensor], name: str) -> None:
        rows = args[0].double().flatten(0, -2)
        mask = batch.get("attention_mask")
        heard[name] = (rows if mask is None else rows[mask.flatten() == 1]).square().sum(0)

    handles = [x.module.register_forward_pre_hook(partial(hear, name=x.name)) for x in block_linears(model)]
    model(**batch)
    for handle in handles:
        handle.remove()
    return heard


def edit(weight: Tensor) -> None:
    """Something that later layers will notice."""
    weight[:, ::2] = 0


def check_walk(model: Any, batch: dict[str, Tensor], feed: Any, chunk: int) -> None:
    """Every statistic is that of a plain pass through the model as it should be at that moment."""
    prefix, blocks = find_blocks(model)
    reference, edited = copy.deepcopy(model), set()
    for block in walk(model, batch, feed=feed, chunk=chunk):
        expected = squares_by_hooks(reference, batch)
        for linear in block.linears:
            name = f"{prefix}.{block.index}.{linear.name}"
            assert linear.module is model.get_submodule(name)
            assert linear.inputs.segments == SEGMENTS
            torch.testing.assert_close(
                linear.inputs.norm(), expected[name].sqrt().float(), rtol=2e-5, atol=1e-6
            )
            edit(linear.weight)
            edited.add(name)
        if feed != "dense":
            reference.load_state_dict(model.state_dict())
    assert len(edited) == len(linears(blocks))


@pytest.mark.parametrize("feed", ["block", "linear", "dense"])
@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_and_feed(name: str, feed: str) -> None:
    model = MODELS[name]()
    check_walk(model, inputs(model), feed, chunk=2)


@pytest.mark.parametrize("feed", ["block", "linear", "dense"])
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "vit"])
def test_padding_is_not_measured(name: str, padding: str, feed: str) -> None:
    model = MODELS[name]()
    check_walk(model, inputs(model, padding), feed, chunk=3)


@pytest.mark.parametrize("feed", ["block", "linear", "dense"])
@settings(max_examples=5, deadline=None)
@given(chunk=st.integers(1, SEGMENTS + 1))
def test_the_size_of_chunks_does_not_matter(feed: Any, chunk: int) -> None:
    model = zoo.llama()
    batch = inputs(model, "right")
    at_once = [x.inputs for b in walk(zoo.llama(), batch, measure=Gram, feed=feed) for x in b.linears]
    chunked = [x.inputs for b in walk(model, batch, measure=Gram, feed=feed, chunk=chunk) for x in b.linears]
    for one, other in zip(at_once, chunked, strict=True):
        assert one.tokens == other.tokens == SEGMENTS * LENGTH - 11
        assert one.segments == other.segments == SEGMENTS
        torch.testing.assert_close(one.matrix(), other.matrix(), rtol=1e-5, atol=1e-5)


@contextmanager
def left_as_it_was(model: Any) -> Iterator[None]:
    """No hooks, the modes and the configuration from before, the same outputs."""

    def hooks() -> list[int]:
        return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]

    modes, cache = [m.training for m in model.modules()], getattr(model.config, "use_cache", None)
    before, weights = hooks(), {name: value.clone() for name, value in model.state_dict().items()}
    yield
    assert hooks() == before
    assert [m.training for m in model.modules()] == modes
    assert getattr(model.config, "use_cache", None) == cache
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("feed", ["block", "linear", "dense"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_nothing_is_left_behind_when_the_consumer_stops(feed: Any, steps: int) -> None:
    model = zoo.llama()
    model.train()
    model.model.layers[1].mlp.eval()
    with left_as_it_was(model):
        visit = walk(model, inputs(model), feed=feed, chunk=2)
        for _ in range(steps):
            next(visit, None)
        visit.close()


@pytest.mark.parametrize("feed", ["block", "linear", "dense"])
def test_nothing_is_left_behind_when_the_consumer_raises(feed: Any) -> None:
    model = zoo.gpt2()
    with left_as_it_was(model):
        with pytest.raises(ZeroDivisionError):
            for block in walk(model, inputs(model), feed=feed, chunk=2):
                1 / (1 - block.index)
        assert sum(1 for _ in walk(model, inputs(model), feed="dense")) == 2


@pytest.mark.parametrize("feed", ["block", "linear", "dense"])
def test_an_error_of_the_model_comes_out_as_it_is(feed: Any) -> None:
    model = zoo.llama()

    def fail(*_: Any) -> None:
        raise ArithmeticError("broken")

    handle = model.model.layers[1].mlp.register_forward_pre_hook(fail)
    with left_as_it_was(model), pytest.raises(ArithmeticError, match="broken"):
        for _ in walk(model, inputs(model), feed=feed, chunk=2):
            pass
    handle.remove()


def test_two_walks_at_once_do_not_disturb_each_other() -> None:
    one, other = zoo.llama(), zoo.gpt2()
    pairs = zip(walk(one, inputs(one)), walk(other, inputs(other)), strict=True)
    seen = [(a.index, b.index, len(a.linears), len(b.linears)) for a, b in pairs]
    assert seen == [(0, 0, 7, 4), (1, 1, 7, 4)]


def test_layers_with_one_input_share_its_statistic() -> None:
    model = zoo.llama()
    groups = [[x.name for x in block.linears] for block in walk(model, inputs(model), feed="linear")]
    assert groups[:4] == [
        ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        ["self_attn.o_proj"],
        ["mlp.gate_proj", "mlp.up_proj"],
        ["mlp.down_proj"],
    ]
    for block in walk(model, inputs(model)):
        assert len({id(x.inputs) for x in block.linears}) == 4


def test_only_the_layers_asked_for_are_measured() -> None:
    model = zoo.llama()
    for feed in ("block", "linear", "dense"):
        visited = [
            (block.index, x.name)
            for block in walk(model, inputs(model), feed=feed, only=lambda name: name.endswith("down_proj"))
            for x in block.linears
        ]
        assert visited == [(0, "mlp.down_proj"), (1, "mlp.down_proj")]


def test_a_statistic_of_ones_own() -> None:
    class Largest(Norms):
        def update(self, x: Tensor, segments: int) -> None:
            super().update(x, segments)
            self.largest = max(getattr(self, "largest", 0.0), float(x.abs().max()))

    model = zoo.opt()
    assert all(x.inputs.largest > 0 for b in walk(model, inputs(model), measure=Largest) for x in b.linears)


@pytest.mark.parametrize("make", [zoo.gpt2, zoo.llama])
def test_weights_are_seen_as_out_by_in_and_edited_in_place(make: Callable[[], Any]) -> None:
    model = make()
    for linear in block_linears(model):
        inside = linear.module(torch.eye(linear.weight.shape[1]))
        if linear.bias is not None:
            inside = inside - linear.bias
        torch.testing.assert_close(linear.weight, inside.T.detach())
        linear.weight.zero_()
    assert all(not x.module.weight.any() for x in block_linears(model))


def test_what_has_no_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="model: Sequential has no list of alike blocks"):
        find_blocks(nn.Sequential(nn.Linear(2, 2)))


def test_calibration_is_checked_before_any_work() -> None:
    model = zoo.llama()
    with left_as_it_was(model), pytest.raises(InputError, match="calibration"):
        next(walk(model, {"input_ids": torch.zeros(0, 4, dtype=torch.long)}))

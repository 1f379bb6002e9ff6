"""Walk through any transformer block by block, with what enters its linear layers measured.

No model family is named here. The blocks are found by structure, and a chunk of calibration text
goes through the *model's own* forward pass, which is paused in front of every block (a greenlet a
chunk). Whatever a family does between blocks (masks, position biases handed on, per-layer rotary
tables) therefore happens as its authors wrote it, and memory is bounded by one block: a paused
chunk holds its hidden states, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.calibration import check_calibration
from etude.models.stats import Norms, Statistic
from etude.progress import track

Feed = Literal["block", "linear", "dense"]
Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of a module."""
CHUNK_TOKENS = 512
CHUNK_IMAGES = 16
"""What goes through a block together by default: enough for full speed of the matrix products."""


class Linear:
    """A linear layer of a block, whatever class implements it.

    Attributes
    ----------
    name : dotted name inside the block, e.g. ``"self_attn.q_proj"``.
    module : the ``nn.Linear`` or transformers' ``Conv1D`` itself.
    inputs : the statistic of what entered the layer over the calibration tokens.
    """

    def __init__(self, name: str, module: nn.Module, inputs: Any = None) -> None:
        self.name = name
        self.module = module
        self.inputs = inputs

    @property
    def weight(self) -> Tensor:
        """The weight as ``[out, in]``, detached; a view, so that editing it in place edits the layer."""
        weight: Tensor = self.module.weight.detach()  # type: ignore[operator]
        return weight.T if is_transposed(self.module) else weight

    @property
    def bias(self) -> Tensor | None:
        bias = self.module.bias
        return bias.detach() if isinstance(bias, Tensor) else None

    def __repr__(self) -> str:
        return f"Linear({self.name!r}, {tuple(self.weight.shape)})"


@dataclass(frozen=True)
class Block:
    """One block of the walk, with the linears that may be edited now.

    Attributes
    ----------
    index : position among the model's blocks, from 0.
    module : the block.
    linears : its linear layers in the order in which the forward pass calls them; under
        ``feed="linear"`` only those that share the input that was just measured.
    """

    index: int
    module: nn.Module
    linears: Sequence[Linear]


def is_transposed(module: nn.Module) -> bool:
    """Whether the layer stores its weight as ``[in, out]`` (transformers' ``Conv1D``, as in GPT-2)."""
    return type(module).__name__ == "Conv1D"


def linears(module: nn.Module) -> dict[str, nn.Module]:
    """All linear layers inside ``module``, by dotted name."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear) or is_transposed(child)
    }


def find_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The repeated blocks of a transformer: the list of alike modules that holds most parameters.

    Raises
    ------
    InputError : if no list of alike modules with linear layers exists.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
    ...                      num_attention_heads=2)
    >>> find_blocks(LlamaForCausalLM(config))[0]
    'model.layers'
    """
    candidates = {
        name: child
        for name, child in model.named_modules()
        if isinstance(child, nn.ModuleList)
        and len(child) > 0
        and len({type(block) for block in child}) == 1
        and linears(child)
    }
    if not candidates:
        raise InputError("model", f"{type(model).__name__} has no list of alike blocks with linear layers")
    name = max(candidates, key=lambda n: sum(p.numel() for p in candidates[n].parameters()))
    return name, candidates[name]


def block_linears(model: nn.Module) -> list[Linear]:
    """The linear layers inside the blocks, named from the model's root: what compression may touch."""
    name, blocks = find_blocks(model)
    return [Linear(f"{name}.{child}", module) for child, module in linears(blocks).items()]


@torch.no_grad()
def walk(
    model: nn.Module,
    calibration: Mapping[str, Tensor],
    *,
    measure: Callable[[int], Statistic] = Norms,
    feed: Feed = "block",
    only: Callable[[str], bool] = lambda name: True,
    chunk: int | None = None,
) -> Iterator[Block]:
    """Visit the blocks in order; edit the weights of each while it is yielded.

    Parameters
    ----------
    model : any transformer in which `find_blocks` finds blocks.
    calibration : keyword arguments of the model's forward pass, each ``[segments, ...]``, e.g.
        ``{"input_ids": [segments, length], "attention_mask": ...}``. Padding is not measured.
    measure : makes the statistic of one input from its number of features
        (`Norms`, `Moments`, `Gram`, or your own).
    feed : what the model is like in front of a layer when its input is measured.
        ``"block"``: earlier blocks as edited, its own block dense; every block runs twice.
        ``"linear"``: all earlier layers as edited, those of its own block too; one pass.
        ``"dense"``: nothing edited; one pass.
    only : which linears, by name inside the block, to measure and yield.
    chunk : segments that go through a block together; by default about 512 tokens.

    Yields
    ------
    Block : in order. With ``feed="linear"`` a block is yielded once for each input that its
        linears share (query, key and value together, and so on).

    Raises
    ------
    InputError : if the model has no blocks, or cannot take the calibration (`check_calibration`).

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
    ...                      num_attention_heads=2)
    >>> calibration = {"input_ids": torch.zeros(4, 16, dtype=torch.long)}
    >>> for block in walk(LlamaForCausalLM(config), calibration):
    ...     print(block.index, len(block.linears), block.linears[0].inputs.tokens)
    0 7 64
    1 7 64
    """
    blocks = find_blocks(model)[1]
    check_calibration(model, calibration)
    with ExitStack() as stack:
        stack.enter_context(inference(model))
        for block in blocks:
            stack.enter_context(gate(block))
        travellers = [stack.enter_context(Traveller.on(model, piece)) for piece in chunks(calibration, chunk)]
        for traveller in travellers:
            traveller.go()
        groups: list[list[str]] = []
        for index, block in enumerate(track(blocks, "blocks")):
            recorder, last = _Recorder(block, measure, only), index == len(blocks) - 1
            if feed == "linear":
                if {name for group in groups for name in group} != recorder.modules.keys():
                    groups = recorder.groups(block, travellers[0])
                visit = _visit_linears(groups, travellers, recorder, last)
            else:
                visit = _visit_block(block, travellers, recorder, feed, last)
            for ready in visit:
                yield Block(index, block, ready)


def _visit_block(
    block: nn.Module, travellers: list[Traveller], recorder: _Recorder, feed: Feed, last: bool
) -> Iterator[list[Linear]]:
    with recorder.listening():
        for traveller in travellers:
            recorder.traveller = traveller
            if feed == "dense" and not last:
                traveller.go()
            else:
                recorder.rehearse(block, traveller)
    yield recorder.linears()
    if feed == "block" and not last:
        for traveller in travellers:
            traveller.go()


def _visit_linears(
    groups: list[list[str]], travellers: list[Traveller], recorder: _Recorder, last: bool
) -> Iterator[list[Linear]]:
    for group in groups:
        with gate(recorder.modules[group[0]]):
            for traveller in travellers:
                traveller.go()
                recorder.traveller = traveller
                recorder.record(group[0], traveller.waiting[0][0])
        statistic = recorder.statistics[group[0]]
        yield [Linear(name, recorder.modules[name], statistic) for name in group]
    if not last:
        for traveller in travellers:
            traveller.go()


class _Recorder:
    """Listens to the linears of a block; layers called on one tensor share one statistic."""

    def __init__(
        self, block: nn.Module, measure: Callable[[int], Statistic], only: Callable[[str], bool]
    ) -> None:
        self.modules = {name: module for name, module in linears(block).items() if only(name)}
        self.measure = measure
        self.statistics: dict[str, Statistic] = {}
        self.traveller: Traveller | None = None
        self._heard: tuple[Tensor, int, Statistic] | None = None
        self._final: str | None = None

    def linears(self) -> list[Linear]:
        """The layers in the order of their calls."""
        return [Linear(name, self.modules[name], statistic) for name, statistic in self.statistics.items()]

    def record(self, name: str, x: Tensor) -> None:
        """Take in the input of one call, unless the call before had the same tensor."""
        if self._heard is not None and same_input(x, *self._heard[:2]):
            self.statistics.setdefault(name, self._heard[2])
            return
        statistic = self.statistics.get(name) or self.measure(x.shape[-1])
        if self.traveller is not None:
            statistic.update(real_tokens(x, self.traveller.mask), self.traveller.segments)
        self.statistics[name] = statistic
        self._heard = (x, x._version, statistic)

    def rehearse(self, block: nn.Module, traveller: Traveller) -> None:
        """Run the block on a waiting chunk without moving it; end once all inputs have been heard."""
        self._heard = None
        try:
            block(*traveller.waiting[0], **traveller.waiting[1])
        except _AllHeard:
            return
        self._final = next(reversed(self.statistics), None)

    def groups(self, block: nn.Module, traveller: Traveller) -> list[list[str]]:
        """The names of the layers that share an input, in the order of their calls; measures nothing."""
        silent = _Recorder(block, lambda features: Norms(0), self.modules.__contains__)
        with silent.listening():
            silent.rehearse(block, traveller)
        shared: dict[int, list[str]] = {}
        for linear in silent.linears():
            shared.setdefault(id(linear.inputs), []).append(linear.name)
        return list(shared.values())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Record every call of the block's linears inside this context."""

        def listener(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def listen(_: nn.Module, args: tuple[Any, ...]) -> None:
                self.record(name, args[0])
                if name == self._final:
                    raise _AllHeard

            return listen

        with ExitStack() as stack:
            for name, module in self.modules.items():
                handle = module.register_forward_pre_hook(listener(name))
                stack.callback(handle.remove)
            yield


class _AllHeard(Exception):
    """Ends a rehearsal in front of the last linear: its product is not needed."""


def same_input(x: Tensor, before: Tensor, version: int) -> bool:
    """Whether ``x`` is the tensor ``before``, untouched since it had that version."""
    return x.data_ptr() == before.data_ptr() and x.shape == before.shape and x._version == version


def first_tensor(output: Any) -> Tensor:
    """The hidden states among what a module takes or returns."""
    found: Tensor = output if isinstance(output, Tensor) else output[0]
    return found


def real_tokens(x: Tensor, mask: Tensor | None) -> Tensor:
    """The rows of ``x`` (``[..., features]``) that are not padding, as ``[tokens, features]``.

    ``mask`` is a batch's attention mask; what has another number of rows has no padding.
    """
    rows = x.reshape(x.shape[:-1].numel(), x.shape[-1])  # not -1: a layer that lost all heads has 0 features
    if mask is None or mask.numel() != len(rows) or bool(mask.all()):
        return rows
    return rows[mask.bool().reshape(-1)]


class Traveller(greenlet):  # type: ignore[misc]
    """One chunk on its way through the model's forward pass, paused at the gates that it meets.

    ``waiting`` holds the call in front of which it is paused.
    """

    waiting: Call

    def __init__(self, model: nn.Module, batch: dict[str, Tensor]) -> None:
        super().__init__(lambda: model(**batch))
        self.mask = batch.get("attention_mask")
        self.segments = len(next(iter(batch.values())))

    @classmethod
    @contextmanager
    def on(cls, model: nn.Module, batch: dict[str, Tensor]) -> Iterator[Traveller]:
        traveller = cls(model, batch)
        try:
            yield traveller
        finally:
            if traveller:
                traveller.throw()  # ends the forward pass where it is paused: the head is never run

    def go(self) -> None:
        """Run to the next gate."""
        self.parent = getcurrent()
        self.waiting = self.switch()


@contextmanager
def gate(module: nn.Module) -> Iterator[None]:
    """Pause every traveller in front of ``module``; a direct call passes through."""

    def pause(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        current = getcurrent()
        if isinstance(current, Traveller) and current.parent is not None:
            current.parent.switch((args, kwargs))

    handle = module.register_forward_pre_hook(pause, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no key-value cache, put back afterwards."""
    training = [module for module in model.modules() if module.training]
    config = getattr(model, "config", None)
    cache = getattr(config, "use_cache", None)
    model.eval()
    if config is not None and cache:
        config.use_cache = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
        if config is not None and cache:
            config.use_cache = cache


def chunks(calibration: Mapping[str, Tensor], size: int | None) -> list[dict[str, Tensor]]:
    """Batches of ``size`` segments; by default of about 1,024 tokens, or 16 images."""
    first = next(iter(calibration.values()))
    if size is None:
        is_text = first.ndim == 2
        size = max(1, CHUNK_TOKENS // first.shape[1]) if is_text else CHUNK_IMAGES
    pieces = {name: torch.split(value, size) for name, value in calibration.items()}
    return [dict(zip(pieces, values, strict=True)) for values in zip(*pieces.values(), strict=True)]

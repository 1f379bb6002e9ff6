"""Walk through a causal language model backwards, block by block, with the gradients of its weights.

A forward pass keeps what enters every block, in a file, and forms a graph for the last block and the head
alone. From there on each block runs once more, now with its graph, takes the gradient that came back to
its output, shows those of its weights and passes on that of its input. So memory is bounded by one block,
for the price of a second run of the blocks. Layers whose output is only added to what the block returns,
such as an MLP's last, change nothing in its gradients and are left out of that run: a fifth to a quarter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import torch
from torch import Tensor, nn

from etude.models.blocks import (
    Block,
    block_linears,
    find_blocks,
    first_tensor,
    linears,
)
from etude.models.calibration import check_calibration
from etude.models.gradients import segment_batches, segment_gradients, segment_losses
from etude.models.graphs import only_added, reachable, unformed
from etude.models.likelihood import check_causal
from etude.models.memory import release
from etude.models.stats import Statistic
from etude.models.taps import Batch, EachSegment, Ear, Visit, frozen, settle, tapped
from etude.progress import track

BACK_TOKENS = 256
"""Tokens that go through the model together by default: their logits are the largest tensor of all."""

_IN_MEMORY = 8_000_000
"""Bytes of hidden states up to which no file is made."""
_PROBE_TOKENS = 8
_PIECES, _BLOCKS = 2, 8
"""After how many of them freed memory is given back: each time it costs what it takes to be had again."""


@torch.enable_grad()
def walk_back(
    model: Any,
    calibration: Batch,
    visit: Visit,
    *,
    measure: Callable[[int], Statistic] | None = None,
    together: int | None = None,
) -> Iterator[Block]:
    """Visit the blocks from the last to the first; edit the weights of each while it is yielded.

    All gradients are those of the model as it was: nothing that is still to come depends on a block that
    has been yielded. A model whose blocks do not simply follow one another (shared layers, connections
    past a block) is gone through as a whole, and needs the memory of all blocks.

    Parameters
    ----------
    model : a causal language model; but for the edits left as it was (mode, ``requires_grad``, no ``.grad``).
    calibration : forward arguments, each ``[segments, ...]``.
    visit : called, before a block is yielded, for each of its layers and each segment with the gradient of
        that segment's mean loss; see `etude.models.gradients.segment_gradients`.
    measure : makes a statistic of what enters a layer, from its number of features (`etude.models.stats`).
    together : segments that go through the model together; by default about 256 tokens.

    Yields
    ------
    Block : with all its linear layers, named from the model's root; ``inputs`` is the statistic, or None
        without ``measure``. A layer that several blocks share is in the first of them.

    Raises
    ------
    InputError : if the model predicts no next token, cannot take the calibration, or has a weight that
        has no gradient (quantised, or cut off from the loss).

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
    ...                      num_attention_heads=2)
    >>> visited = []
    >>> calibration = {"input_ids": torch.zeros(4, 16, dtype=torch.long)}
    >>> for block in walk_back(LlamaForCausalLM(config), calibration, lambda *pair: visited.append(pair)):
    ...     print(block.index, len(visited))
    1 28
    0 56
    """
    check_causal(model)
    check_calibration(model, calibration, predicts=True)
    batches = segment_batches(calibration, together, BACK_TOKENS)
    with frozen(model):
        if _is_chain(model, batches[0]):
            yield from _one_by_one(model, batches, visit, measure)
            return
        statistics = segment_gradients(model, calibration, visit, measure=measure, together=together)
        for block in _last_first(model):
            yield _give(block, statistics)


def _one_by_one(
    model: nn.Module, batches: Sequence[Batch], visit: Visit, measure: Callable[[int], Statistic] | None
) -> Iterator[Block]:
    form = EachSegment(visit)
    with SpooledTemporaryFile(_IN_MEMORY) as file:
        pieces = [_Piece(batch, file) for batch in batches]
        order = _last_first(model)
        for block in track(order, "gradients"):
            ear = Ear(measure)
            if block.index % _BLOCKS == 0:
                release()
            with tapped(block.linears, form, ear.hear) as taps, ExitStack() as silence:
                for place, piece in enumerate(pieces):
                    ear.turn_to(piece.batch)
                    form.segments = len(piece.batch["input_ids"])
                    if block is order[0]:
                        if place % _PIECES == 0:
                            release()
                        piece.forward(model)
                    else:
                        output = piece.again(block)
                        if piece is pieces[0]:
                            silence.enter_context(unformed(only_added(output, taps)))
                        piece.back(output)
                    settle(taps)
            yield _give(block, ear.statistics)


def _last_first(model: nn.Module) -> list[Block]:
    """The blocks from the last to the first, with their layers named from the model's root."""
    name, blocks = find_blocks(model)
    layers = block_linears(model)
    return [
        Block(index, block, [layer for layer in layers if layer.name.startswith(f"{name}.{index}.")])
        for index, block in reversed(list(enumerate(blocks)))
    ]


def _give(block: Block, statistics: Mapping[str, Statistic]) -> Block:
    for linear in block.linears:
        linear.inputs = statistics.get(linear.name)
    return block


@dataclass(frozen=True)
class _Call:
    """How a block was called: with hidden states, by position or by name, and with other things."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def hidden(self) -> Any:
        return self.args[0] if self.args else self.kwargs["hidden_states"]

    def tensors(self) -> Iterator[Tensor]:
        """All tensors that the block was called with."""
        waiting: list[Any] = [*self.args, *self.kwargs.values()]
        while waiting:
            thing = waiting.pop()
            if isinstance(thing, Tensor):
                yield thing
            elif isinstance(thing, (tuple, list)):
                waiting.extend(thing)
            elif isinstance(thing, dict):
                waiting.extend(thing.values())

    def having(self, hidden: Any) -> _Call:
        """The same with other hidden states."""
        if self.args:
            return replace(self, args=(hidden, *self.args[1:]))
        return replace(self, kwargs={**self.kwargs, "hidden_states": hidden})


Receive = Callable[[nn.Module, _Call], _Call]


@contextmanager
def _received(blocks: nn.ModuleList, receive: Receive) -> Iterator[None]:
    """Inside this context, blocks are called as ``receive`` returns instead of as the model does."""

    def hook(block: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        call = receive(block, _Call(args, kwargs))
        return call.args, dict(call.kwargs)

    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


@contextmanager
def _returned(blocks: nn.ModuleList, returned: list[Any]) -> Iterator[None]:
    """Inside this context, what blocks return is noted."""
    with ExitStack() as stack:
        for block in blocks:
            note = block.register_forward_hook(lambda _, __, output: returned.append(first_tensor(output)))
            stack.callback(note.remove)
        yield


class _Piece:
    """Segments on their way: how the blocks were called with them, and the gradient that has come back."""

    def __init__(self, batch: Batch, file: IO[bytes]) -> None:
        self.batch = batch
        self.file = file
        self.calls: list[_Call] = []
        self.gradient: Tensor | None = None

    def forward(self, model: nn.Module) -> None:
        """Run forward to the loss, and backward through the head and the last block."""
        blocks = find_blocks(model)[1]
        entered: list[Tensor] = []

        def receive(block: nn.Module, call: _Call) -> _Call:
            if block is not blocks[-1]:
                self.calls.append(call.having(_Kept.put(call.hidden, self.file)))
                return call
            entered.append(call.hidden.detach().requires_grad_(len(blocks) > 1))
            return call.having(entered[0])

        with _received(blocks, receive):
            loss = segment_losses(model, self.batch).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        self.gradient = entered[0].grad

    def again(self, block: Block) -> Tensor:
        """What a block returns, now with its graph: of those that have not run again the last."""
        call = self.calls.pop()
        self._entered = call.hidden.take(self.file).requires_grad_(block.index > 0)
        call = call.having(self._entered)
        return first_tensor(block.module(*call.args, **call.kwargs))

    def back(self, output: Tensor) -> None:
        """Run backward through the block that returned ``output``."""
        output.backward(self.gradient)  # type: ignore[no-untyped-call]
        self.gradient = self._entered.grad


@dataclass(frozen=True)
class _Kept:
    """A tensor in a file; read and written plainly, for the pages of a mapped file stay in memory."""

    start: int
    shape: torch.Size
    dtype: torch.dtype

    @classmethod
    def put(cls, tensor: Tensor, file: IO[bytes]) -> _Kept:
        start = file.seek(0, 2)
        file.write(_as_bytes(tensor.detach().contiguous()))
        return cls(start, tensor.shape, tensor.dtype)

    def take(self, file: IO[bytes]) -> Tensor:
        tensor = torch.empty(self.shape, dtype=self.dtype)
        file.seek(self.start)
        file.readinto(_as_bytes(tensor))  # type: ignore[attr-defined]
        return tensor


def _as_bytes(tensor: Tensor) -> memoryview:
    return tensor.view(torch.uint8).numpy().data


def _is_chain(model: nn.Module, batch: Batch) -> bool:
    """Whether the loss depends on each block through what the next one is given, and in no other way.

    A few tokens go through the model, with the graph cut in front of every block. In a chain nothing but
    the last cut can be seen from the logits, and nothing but the block before has entered a block.
    """
    blocks = find_blocks(model)[1]
    layers = [layer for block in blocks for layer in linears(block).values()]
    if len(set(layers)) < len(layers):
        return False  # the gradient of a shared layer is a sum over blocks
    order: list[nn.Module] = []
    returned: list[Any] = []
    cuts: list[Tensor] = []
    sound: list[bool] = []

    def receive(block: nn.Module, call: _Call) -> _Call:
        others = [thing for thing in call.tensors() if thing is not call.hidden]
        sound.append(not returned or call.hidden is returned[-1])
        sound.append(not any(other.requires_grad for other in others))
        order.append(block)
        cuts[:] = [call.hidden.detach().requires_grad_()]
        return call.having(cuts[0])

    with _received(blocks, receive), _returned(blocks, returned):
        logits = model(**_beginning(batch), use_cache=False).logits
    seen = {id(node.variable) for node in reachable([logits.grad_fn]) if hasattr(node, "variable")}
    return all(sound) and order == list(blocks) and seen == {id(cuts[0])}


def _beginning(batch: Batch) -> dict[str, Tensor]:
    """A few tokens of the first segment."""
    length = batch["input_ids"].shape[1]
    return {
        name: value[:1, :_PROBE_TOKENS] if value.shape[1:2] == (length,) else value[:1]
        for name, value in batch.items()
    }

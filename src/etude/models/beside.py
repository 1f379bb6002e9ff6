"""Walk through a transformer beside itself as it was: what enters a block now, and what must come out of it.

Methods that repair a block after having damaged it need both: the inputs that the blocks edited so far
produce, and the outputs that the model produced before any of them was touched. Every chunk of text goes
through the model's own forward pass twice, one block apart at most, so that memory stays at one block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from etude.models.blocks import Call, Traveller, chunks, find_blocks, first_tensor, gate, inference
from etude.models.calibration import check_calibration
from etude.progress import track


@dataclass(frozen=True)
class Passage:
    """A chunk of calibration at a block.

    Attributes
    ----------
    call : the block's arguments, in the model as edited so far.
    dense : its arguments in the model as it was.
    target : what it gave for those, ``[segments, ...]``.
    mask : the chunk's attention mask; None where nothing is padding.
    """

    call: Call
    dense: Call
    target: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Step:
    """A block on the walk, not yet edited.

    Attributes
    ----------
    index : position among the model's blocks, from 0.
    module : the block.
    passages : every chunk of the calibration, in order.
    """

    index: int
    module: nn.Module
    passages: Sequence[Passage]


@torch.no_grad()
def beside(
    model: nn.Module, calibration: Mapping[str, Tensor], *, chunk: int | None = None
) -> Iterator[Step]:
    """Visit the blocks in order; edit each while it is yielded, and the next is fed by what it became.

    Parameters
    ----------
    model : any transformer in which `find_blocks` finds blocks.
    calibration : keyword arguments of the model's forward pass, each ``[segments, ...]``.
    chunk : segments that go through a block together; by default about 512 tokens.

    Raises
    ------
    InputError : if the model has no blocks, or cannot take the calibration (`check_calibration`).

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
    ...                      num_attention_heads=2)
    >>> calibration = {"input_ids": torch.zeros(4, 16, dtype=torch.long)}
    >>> for step in beside(LlamaForCausalLM(config), calibration, chunk=2):
    ...     print(step.index, [tuple(passage.target.shape) for passage in step.passages])
    0 [(2, 16, 8), (2, 16, 8)]
    1 [(2, 16, 8), (2, 16, 8)]
    """
    blocks = find_blocks(model)[1]
    check_calibration(model, calibration)
    with ExitStack() as stack:
        stack.enter_context(inference(model))
        for block in blocks:
            stack.enter_context(gate(block))
        pieces = chunks(calibration, chunk)
        dense, edited = ([stack.enter_context(Traveller.on(model, piece)) for piece in pieces] for _ in "12")
        for traveller in (*dense, *edited):
            traveller.go()
        for index, block in enumerate(track(blocks, "blocks")):
            last = index == len(blocks) - 1
            pairs = zip(dense, edited, strict=True)
            yield Step(index, block, [_passage(block, was, now, last) for was, now in pairs])
            if not last:
                for traveller in edited:
                    traveller.go()


def _passage(block: nn.Module, was: Traveller, now: Traveller, last: bool) -> Passage:
    """Move the chunk of the model as it was through the block, and keep what came out."""
    call, outputs = was.waiting, []
    handle = block.register_forward_hook(lambda *heard: outputs.append(first_tensor(heard[-1])))
    try:
        if last:
            block(*call[0], **call[1])
        else:
            was.go()
    finally:
        handle.remove()
    return Passage(now.waiting, call, outputs[0], now.mask)

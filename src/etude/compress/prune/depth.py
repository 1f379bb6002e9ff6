"""Depth pruning: remove whole blocks that change their input least."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from etude.compress.prune.units import Ratio
from etude.method import method
from etude.models.blocks import chunks, find_blocks, inference, real_tokens
from etude.models.calibration import check_calibration
from etude.models.structure import drop_blocks
from etude.progress import track


@method("depth", task="prune")
class Depth:
    """Remove the blocks whose output points where their input does.

    A block counts ``1 - mean_t cos(x_t, y_t)`` over the calibration tokens, with x what enters it and y
    what leaves it in the dense model. The blocks that count least go, all at once. The result is a
    stock checkpoint with fewer layers, of any architecture.

    Parameters
    ----------
    ratio : share of the parameters of the blocks to remove, in [0, 1), met as nearly as whole blocks
        allow; one is always left.

    Raises
    ------
    InputError : if the ratio is out of range, or the model has no blocks.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> before = model.config.num_hidden_layers
    >>> Depth(ratio=0.4).prune(model, calibration)
    >>> before, model.config.num_hidden_layers
    (5, 3)

    References
    ----------
    Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
    2024. arXiv:2403.03853.
    """

    ratio: Ratio = 0.2

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        """Prune ``model`` in place, by what its blocks do to ``calibration``."""
        order = block_similarities(model, calibration).argsort(descending=True, stable=True)[:-1]
        sizes = torch.tensor([sum(p.numel() for p in block.parameters()) for block in find_blocks(model)[1]])
        removed = torch.cat([torch.zeros(1), sizes[order].cumsum(0)])
        count = int((removed - self.ratio * sizes.sum()).abs().argmin())
        drop_blocks(model, order[:count].tolist())


@torch.no_grad()
def block_similarities(model: Any, calibration: Mapping[str, Tensor]) -> Tensor:
    """Mean cosine between what enters and what leaves each block, over all tokens but padding.

    Parameters
    ----------
    model : a ``PreTrainedModel``.
    calibration : forward arguments, each ``[segments, ...]``.

    Returns
    -------
    Tensor : float64 ``[blocks]``.

    Raises
    ------
    InputError : if the model has no blocks or cannot take the calibration.
    """
    blocks = find_blocks(model)[1]
    check_calibration(model, calibration)
    sums = torch.zeros(len(blocks), dtype=torch.float64)
    tokens = torch.zeros(len(blocks), dtype=torch.float64)
    mask: Tensor | None = None

    def listen(index: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        before = args[0] if args else kwargs["hidden_states"]
        after = output if isinstance(output, Tensor) else output[0]
        rows = cosine_similarity(real_tokens(before, mask), real_tokens(after, mask), dim=1)
        sums[index] += rows.sum(dtype=torch.float64)
        tokens[index] += len(rows)

    with inference(model), ExitStack() as stack:
        for index, block in enumerate(blocks):
            hook = block.register_forward_hook(
                lambda _, args, kwargs, output, index=index: listen(index, args, kwargs, output),
                with_kwargs=True,
            )
            stack.callback(hook.remove)
        for batch in track(chunks(calibration, None), "blocks"):
            mask = batch.get("attention_mask")
            model.base_model(**batch)
    return sums / tokens

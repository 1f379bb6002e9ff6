"""BRECQ: AdaRound's choices for a whole block at once, where errors weigh as much as the loss feels them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Literal

import annotated_types as at
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from etude.compress.quantize.adaround import AdaRound
from etude.compress.quantize.reconstruction import Importance
from etude.errors import InputError
from etude.method import method
from etude.models.blocks import chunks, find_blocks, first_tensor, inference, real_tokens
from etude.progress import track


@method("brecq", task="quantize")
class Brecq(AdaRound):
    """AdaRound's choices for a whole block at once, where errors weigh as much as the loss feels them.

    The squared error of each element of a block's output is weighted by the Fisher information's diagonal:
    the squared gradient of the log-likelihood with respect to that element, in the model as it was, for
    labels drawn from what it predicts itself. The weights of a batch have a mean of 1. All blocks' weights
    are kept, in half precision: 2 bytes a hidden state.

    Parameters
    ----------
    fisher : whether errors are weighted; else all count alike.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, or the
        calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = Brecq(bits=3, iterations=4).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction", ICLR 2021.
    arXiv:2102.05426.
    """

    iterations: Annotated[int, at.Ge(0)] = 20_000
    batch: Annotated[int, at.Ge(1)] = 32
    unit: Literal["block", "layer"] = "block"
    fisher: bool = True

    def importance(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> Importance | None:
        """The Fisher information's diagonal at each block's output, if asked for and blocks are the units."""
        if not self.fisher or self.unit != "block" or not self.iterations:
            return None
        batches = [fisher(model, batch) for batch in track(chunks(calibration, self.batch), "gradients")]
        return list(zip(*batches, strict=True))


def fisher(model: nn.Module, batch: Mapping[str, Tensor]) -> list[Tensor]:
    """Squared gradients of the log-likelihood at the output of each block, of mean 1, in half precision.

    Parameters
    ----------
    model : predicts tokens or classes; left as it was.
    batch : its forward arguments; goes through it about 512 tokens at a time.

    Raises
    ------
    InputError : if the model predicts nothing.
    """
    parts = [_squared_gradients(model, piece) for piece in chunks(batch, None)]
    squares = [torch.cat(piece) for piece in zip(*parts, strict=True)]
    return [(each / each.mean().clamp(min=torch.finfo().tiny)).half() for each in squares]


def _squared_gradients(model: nn.Module, batch: Mapping[str, Tensor]) -> list[Tensor]:
    outputs: list[Tensor] = []

    def keep(_: nn.Module, args: object, output: object) -> None:
        found = first_tensor(output)
        outputs.append(found if found.requires_grad else found.requires_grad_())

    with ExitStack() as stack, torch.enable_grad():
        stack.enter_context(inference(model))
        for block in find_blocks(model)[1]:
            stack.callback(block.register_forward_hook(keep).remove)
        logits = getattr(model(**batch), "logits", None)
    if logits is None:
        raise InputError(
            "fisher", f"{type(model).__name__} predicts nothing to take gradients of; set it to false"
        )
    scores = real_tokens(logits, batch.get("attention_mask")).float()
    labels = torch.multinomial(scores.detach().softmax(1), 1)[:, 0]
    gradients = torch.autograd.grad(cross_entropy(scores, labels, reduction="sum"), outputs)
    return [gradient.square() for gradient in gradients]

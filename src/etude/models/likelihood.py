"""How well a causal language model predicts text: perplexity, and losses for paired comparisons.

Perplexity is ``exp`` of the mean negative log-likelihood in nats over all predicted tokens, every
token with the same weight. Token ids are cut in one of two standard ways:

- *segments* (``stride=None``): consecutive segments of ``length`` tokens, each on its own; the first
  token of a segment is given, the ``length - 1`` others are predicted; a rest shorter than
  ``length`` is left out. What GPTQ, SparseGPT and Wanda report.
- *sliding windows* (``stride < length``): windows of ``length`` tokens, each ``stride`` further than
  the one before; only tokens that no earlier window predicted count, so every token but the very
  first counts once, with at least ``length - stride`` tokens of context after the first window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from etude.errors import InputError
from etude.progress import track

BATCH_TOKENS = 1024
_LOSS_ROWS = 128
"""Rows of logits whose losses are taken together: their copies stay small, whatever the vocabulary."""


def perplexity(
    model: Any,
    tokens: Tensor | str,
    tokenizer: Any = None,
    *,
    length: int | None = None,
    stride: int | None = None,
    batch: int | None = None,
) -> float:
    """Perplexity of a causal language model, as the module's text defines it.

    Parameters
    ----------
    model : a causal language model.
    tokens : token ids ``[tokens]``, or segments ``[segments, length]`` as `etude.data.evaluation`
        gives them, or text.
    tokenizer : needed for text only; no special tokens are added.
    length : tokens of a segment or window; segments that are cut already have their own.
    stride : None for segments; else how far each window moves, in 1..length-1.
    batch : segments of one forward pass; by default about 1,024 tokens.

    Returns
    -------
    float : at least 1; infinite or NaN only if the model's own logits are.

    Raises
    ------
    InputError : if the model predicts no next token, the text is too short for one segment, or a
        token is not in the vocabulary.

    Examples
    --------
    >>> from etude.models import load
    >>> model, tokenizer = load("nano-llama")
    >>> perplexity(model, "It was a dark night. " * 20, tokenizer, length=32) < 2048
    True
    """
    check_causal(model)
    ids = _ids(tokens, tokenizer)
    if stride is None:
        return _exp(float(segment_losses(model, _segments(ids, length), batch=batch).mean()))
    windows = list(_windows(_stream(ids), _two_or_more(length), stride))
    _check_tokens(model, ids, len(windows[0][0]))
    total = sum(_window_losses(model, windows, batch))
    return _exp(total / sum(new for _, new in windows))


def segment_losses(model: Any, segments: Tensor, *, batch: int | None = None) -> Tensor:
    """Mean negative log-likelihood of each segment, for paired comparisons of models.

    Parameters
    ----------
    model : a causal language model.
    segments : token ids ``[segments, length]``; the first of each is given, the others predicted.
    batch : segments of one forward pass; by default about 1,024 tokens.

    Returns
    -------
    Tensor : float64 ``[segments]``, nats per predicted token; ``exp`` of its mean is the perplexity.

    Raises
    ------
    InputError : if the model predicts no next token, or a token is not in its vocabulary.
    """
    check_causal(model)
    if segments.ndim != 2 or segments.shape[0] < 1 or segments.shape[1] < 2:
        raise InputError("tokens", f"shape {tuple(segments.shape)} is not [segments, 2 or more tokens]")
    length = segments.shape[1]
    _check_tokens(model, segments, length)
    batches = torch.split(segments, batch or max(1, BATCH_TOKENS // length))
    losses = [token_losses(model, rows).mean(1, dtype=torch.float64) for rows in track(batches, "perplexity")]
    return torch.cat(losses)


@torch.no_grad()
def token_losses(model: Any, ids: Tensor) -> Tensor:
    """Negative log-likelihood of every token but the first of each row: float32 ``[rows, length - 1]``."""
    with evaluating(model):
        logits = model(input_ids=ids, use_cache=False).logits
    losses = torch.empty(len(ids), ids.shape[1] - 1)
    for row, (scores, targets) in enumerate(zip(logits[:, :-1], ids[:, 1:], strict=True)):
        for at in range(0, len(targets), _LOSS_ROWS):
            part = slice(at, at + _LOSS_ROWS)
            losses[row, part] = cross_entropy(scores[part].float(), targets[part], reduction="none")
    return losses


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block, the mode from before afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def is_causal(model: Any) -> bool:
    """Whether the model predicts the next token from those before it."""
    generates = getattr(model, "can_generate", lambda: False)()
    return bool(generates) and not getattr(model.config, "is_encoder_decoder", False)


def context_length(model: Any) -> int | None:
    """The most tokens that the model's positions reach, None if its configuration sets no limit."""
    for key in ("max_position_embeddings", "n_positions"):
        limit = getattr(model.config, key, None)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def check_causal(model: Any) -> None:
    """Raise `InputError` if the model predicts no next token."""
    if not is_causal(model):
        raise InputError(
            "model", f"{type(model).__name__} predicts no next token; give a causal language model"
        )


def check_length(model: Any, length: int) -> None:
    """Raise `InputError` if ``length`` tokens are none, or more than the model has positions for."""
    limit = context_length(model)
    if length < 1 or (limit is not None and length > limit):
        raise InputError("length", f"{length} tokens are not in 1..{limit or ''}, what the model can take")


def _ids(tokens: Tensor | str, tokenizer: Any) -> Tensor:
    if isinstance(tokens, Tensor):
        return tokens
    if tokenizer is None:
        raise InputError("tokenizer", "is needed to measure perplexity on text")
    encoded = tokenizer(tokens, add_special_tokens=False, return_attention_mask=False, verbose=False)
    return torch.tensor(encoded["input_ids"], dtype=torch.long)


def _segments(ids: Tensor, length: int | None) -> Tensor:
    if ids.ndim == 2:
        if length not in (None, ids.shape[1]):
            raise InputError("length", f"{length} is not that of the segments, {ids.shape[1]}")
        return ids
    size = _two_or_more(length)
    count = len(_stream(ids)) // size
    if count == 0:
        raise InputError("length", f"the text has only {len(ids)} tokens, less than one segment of {size}")
    return ids[: count * size].view(count, size)


def _windows(ids: Tensor, length: int, stride: int) -> Iterator[tuple[Tensor, int]]:
    """Each window, and how many tokens at its end count."""
    if not 1 <= stride < length:
        raise InputError("stride", f"{stride} is not in 1..{length - 1}, less than the length")
    done = 1
    for begin in range(0, len(ids), stride):
        end = min(begin + length, len(ids))
        yield ids[begin:end], end - done
        done = end
        if end == len(ids):
            return


def _window_losses(model: Any, windows: list[tuple[Tensor, int]], batch: int | None) -> Iterator[float]:
    """Sums over the counted tokens, window by window; the last may be shorter and goes alone."""
    size = batch or max(1, BATCH_TOKENS // len(windows[0][0]))
    alike = windows if len(windows[-1][0]) == len(windows[0][0]) else windows[:-1]
    groups = [alike[at : at + size] for at in range(0, len(alike), size)]
    groups += [[window] for window in windows[len(alike) :]]
    for group in track(groups, "perplexity"):
        losses = token_losses(model, torch.stack([ids for ids, _ in group]))
        for row, (_, new) in zip(losses, group, strict=True):
            yield float(row[len(row) - new :].sum(dtype=torch.float64))


def _stream(ids: Tensor) -> Tensor:
    if ids.ndim != 1 or len(ids) < 2:
        raise InputError("tokens", f"shape {tuple(ids.shape)} is not [2 or more tokens]")
    return ids


def _two_or_more(length: int | None) -> int:
    if length is None or length < 2:
        raise InputError("length", f"{length} is not a number of tokens of 2 or more")
    return length


def _check_tokens(model: Any, ids: Tensor, length: int) -> None:
    check_length(model, length)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if ids.is_floating_point() or int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
        raise InputError("tokens", f"not all in the model's vocabulary, whole numbers in 0..{vocabulary - 1}")


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf

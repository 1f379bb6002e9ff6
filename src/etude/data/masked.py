"""What a BERT-like model is pre-trained and judged on: pairs of passages with masked tokens.

A batch is made in two steps, so that each can be used alone: `next_passages` turns plain segments of
tokens into pairs with a label each, `mask` hides tokens and keeps what they were as labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError

IGNORED = -100
"""The label of a token that is not to be predicted, as in torch's and transformers' losses."""


def next_passages(segments: Tensor, tokenizer: Any, generator: torch.Generator) -> dict[str, Tensor]:
    """Halve every segment, and let a half of the segments swap their second halves with one another.

    Parameters
    ----------
    segments : token ids without special tokens, int64 ``[n, length]`` with ``length`` of 2 or more.
    tokenizer : has a ``[CLS]`` and a ``[SEP]`` token.
    generator : draws the segments that swap.

    Returns
    -------
    dict : ``input_ids``, ``token_type_ids`` and ``attention_mask``, each int64 ``[n, length + 3]``, and
        ``next_sentence_label`` ``[n]``: 0 where the second passage follows the first, 1 where it does not.

    Raises
    ------
    InputError : if the tokenizer lacks a token, or a segment is too short to halve.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> tokenizer = SimpleNamespace(cls_token_id=1, sep_token_id=2, mask_token_id=3)
    >>> pair = next_passages(torch.tensor([[7, 8, 9]]), tokenizer, torch.Generator())
    >>> pair["input_ids"].tolist(), pair["token_type_ids"].tolist()
    ([[1, 7, 2, 8, 9, 2]], [[0, 0, 0, 1, 1, 1]])

    References
    ----------
    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    NAACL 2019, sec. 3.1. arXiv:1810.04805.
    """
    check_tokens(tokenizer)
    count, length = segments.shape
    if length < 2:
        raise InputError("length", f"segments of {length} token cannot be halved")
    half = length // 2
    swapped = torch.randperm(count, generator=generator)[: count // 2]
    second = torch.arange(count)
    if len(swapped) > 1:
        second[swapped] = swapped.roll(1)
    begin, end = (
        segments.new_full((count, 1), token) for token in (tokenizer.cls_token_id, tokenizer.sep_token_id)
    )
    ids = torch.cat([begin, segments[:, :half], end, segments[second, half:], end], dim=1)
    types = torch.zeros_like(ids)
    types[:, half + 2 :] = 1
    return {
        "input_ids": ids,
        "token_type_ids": types,
        "attention_mask": torch.ones_like(ids),
        "next_sentence_label": (second != torch.arange(count)).long(),
    }


def mask(
    inputs: Mapping[str, Tensor], tokenizer: Any, generator: torch.Generator, share: float = 0.15
) -> dict[str, Tensor]:
    """Choose tokens to predict: of ten, eight become ``[MASK]``, one a random token, one stays.

    Special tokens and padding are never chosen; of every row at least one token is.

    Parameters
    ----------
    inputs : forward arguments with ``input_ids`` int64 ``[n, length]``; none of them is edited.
    tokenizer : has a ``[MASK]`` token.
    generator : draws the tokens.
    share : of the tokens that may be chosen, in (0, 1].

    Returns
    -------
    dict : ``inputs`` with hidden tokens, and ``labels`` ``[n, length]``: the token where one is to be
        predicted, `IGNORED` elsewhere.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> tokenizer = SimpleNamespace(cls_token_id=1, sep_token_id=2, mask_token_id=3, pad_token_id=0,
    ...                             all_special_ids=[0, 1, 2, 3], vocab_size=50)
    >>> drawn = torch.Generator().manual_seed(0)
    >>> masked = mask({"input_ids": torch.tensor([[1, 17, 18, 19, 2]])}, tokenizer, drawn)
    >>> masked["input_ids"].tolist(), masked["labels"].tolist()
    ([[1, 17, 18, 3, 2]], [[-100, -100, 18, 19, -100]])

    References
    ----------
    Devlin et al., as for `next_passages`, sec. 3.1 and appendix A.
    """
    check_tokens(tokenizer)
    ids = inputs["input_ids"]
    usable = torch.isin(ids, torch.tensor(tokenizer.all_special_ids), invert=True)
    draws = torch.rand(ids.shape, generator=generator).masked_fill(~usable, 2.0)
    lowest = draws == draws.min(dim=1, keepdim=True).values
    chosen = usable & ((draws < share) | lowest)
    fate = torch.rand(ids.shape, generator=generator)
    words = torch.tensor(sorted(set(range(tokenizer.vocab_size)) - set(tokenizer.all_special_ids)))
    others = words[torch.randint(len(words), ids.shape, generator=generator)]
    hidden = torch.where(chosen & (fate < 0.8), tokenizer.mask_token_id, ids)
    hidden = torch.where(chosen & (fate >= 0.9), others, hidden)
    return {**inputs, "input_ids": hidden, "labels": ids.masked_fill(~chosen, IGNORED)}


def pretraining(segments: Tensor, tokenizer: Any, seed: int = 0, share: float = 0.15) -> dict[str, Tensor]:
    """Pairs of passages with masked tokens from plain segments: `next_passages`, then `mask`.

    The same arguments give the same batch, so held-out segments give a loss that can be compared.

    Parameters
    ----------
    segments : as `etude.data.calibration` and `etude.data.evaluation` cut them, int64 ``[n, length]``.
    tokenizer, share : as for `mask`.
    seed : of all draws.

    Examples
    --------
    >>> from etude import data, models
    >>> _, tokenizer = models.load("nano-bert")
    >>> segments = data.evaluation("novels", tokenizer, length=61, segments=4)
    >>> batch = pretraining(segments, tokenizer)
    >>> batch["labels"].shape, sorted(batch)
    (torch.Size([4, 64]), ['attention_mask', 'input_ids', 'labels', 'next_sentence_label', 'token_type_ids'])
    """
    generator = torch.Generator().manual_seed(seed)
    return mask(next_passages(segments, tokenizer, generator), tokenizer, generator, share)


def check_tokens(tokenizer: Any) -> None:
    """Raise `InputError` if a tokenizer lacks the tokens of a masked language model."""
    for name in ("cls_token", "sep_token", "mask_token"):
        if getattr(tokenizer, f"{name}_id", None) is None:
            raise InputError("tokenizer", f"it has no {name}; give that of a masked language model")

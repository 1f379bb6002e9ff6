"""Texts to vectors: any encoder of transformers with its pooling, as sentence-transformers describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from etude.errors import InputError
from etude.models.likelihood import context_length, evaluating

Pooling = Literal["mean", "cls", "last"]
Arguments = Callable[[Tensor, Tensor], dict[str, Any]]
BATCH_TOKENS = 4096
"""Tokens of one forward pass, padding included."""
_WINDOW = 512


@dataclass(frozen=True)
class Embedder:
    """An encoder, its tokenizer, and how a text's hidden states become one vector.

    Parameters
    ----------
    model : an encoder of transformers that gives ``last_hidden_state``.
    tokenizer : its tokenizer.
    pooling : "mean" of all tokens, or the state of the first ("cls") or the "last".
    window : tokens read of a text, special ones included; what is behind them is cut off.

    Raises
    ------
    InputError : if the window is not in what the model's positions reach, or there is no tokenizer.
    """

    model: Any
    tokenizer: Any
    pooling: Pooling = "mean"
    window: int = _WINDOW

    def __post_init__(self) -> None:
        if self.tokenizer is None:
            raise InputError("model", "has no tokenizer; save one beside the weights")
        if self.pooling not in get_args(Pooling):
            raise InputError("pooling", f"{self.pooling!r} is not one of {', '.join(get_args(Pooling))}")
        special = self.tokenizer.num_special_tokens_to_add()
        if self.window <= special:
            raise InputError("window", f"{self.window} tokens leave no room beside {special} special ones")

    @classmethod
    def load(cls, name_or_path: str | Path, window: int | None = None) -> Embedder:
        """Load an encoder with the pooling that its folder names; the mean where it names none.

        Parameters
        ----------
        name_or_path : as for `etude.models.load`.
        window : None for all positions that the model has, whatever the folder's ``max_seq_length`` says.

        Examples
        --------
        >>> Embedder.load("minilm").window
        512
        """
        from etude import models
        from etude.models.loading import locate

        model, tokenizer = models.load(name_or_path)
        reach = context_length(model)
        return cls(
            encoder_of(model),
            tokenizer,
            pooling_of(locate(name_or_path)),
            window or reach or _WINDOW,
        )

    def ids(self, texts: Sequence[str], window: int | None = None) -> list[list[int]]:
        """Token ids of each text with special tokens, ``window`` at most (None: the embedder's own)."""
        encoded = self.tokenizer(list(texts), truncation=True, max_length=window or self.window)
        return [list(row) for row in encoded["input_ids"]]

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors of length 1, ``[texts, width]``.

        Examples
        --------
        >>> round(float(Embedder.load("minilm").encode(["a cat"]).norm()), 3)
        1.0
        """
        rows = self.ids(texts)
        found: dict[int, Tensor] = {}
        for places, states, mask in self.states(rows):
            found |= zip(places, normalize(pool(states, mask, self.pooling), dim=1), strict=True)
        return torch.stack([found[place] for place in range(len(rows))])

    def states(
        self, rows: Sequence[Sequence[int]], arguments: Arguments | None = None
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Last hidden states of rows of token ids, some of about one length at a time.

        Parameters
        ----------
        rows : with special tokens, none empty.
        arguments : what the model's forward pass is given besides, made of ids and mask.

        Returns
        -------
        iterator of (places of the rows, states ``[rows, length, width]``, mask ``[rows, length]``)
        """
        with torch.no_grad(), evaluating(self.model):
            for places, ids, mask in batches(rows, self.tokenizer.pad_token_id or 0):
                more = {} if arguments is None else arguments(ids, mask)
                yield places, self.model(input_ids=ids, attention_mask=mask, **more).last_hidden_state, mask


def frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens in front of a text and behind it.

    Examples
    --------
    >>> frame(Embedder.load("minilm").tokenizer)
    ([101], [102])
    """
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
    return list(whole[:at]), list(whole[at + len(bare) :])


def encoder_of(model: Any) -> Any:
    """The part of a model that gives hidden states: without heads, and of two halves the encoder."""
    return model.get_encoder() if model.config.is_encoder_decoder else model.base_model


def pooling_of(folder: Path) -> Pooling:
    """What the folder of a model of sentence-transformers says of pooling; the mean if it says nothing.

    Raises
    ------
    InputError : if it names a pooling that is not known here.
    """
    file = folder / "1_Pooling" / "config.json"
    if not file.is_file():
        return "mean"
    says = json.loads(file.read_text(encoding="utf-8"))
    chosen = (
        [says["pooling_mode"]]
        if "pooling_mode" in says
        else [mode for mode, on in says.items() if on is True]
    )
    names: dict[str, Pooling] = {
        **{name: name for name in get_args(Pooling)},
        "lasttoken": "last",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_lasttoken": "last",
    }
    known = [names[mode] for mode in chosen if mode in names]
    if len(known) != 1:
        raise InputError("model", f"{file} asks for a pooling that is none of {', '.join(get_args(Pooling))}")
    return known[0]


def pool(states: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector a text from hidden states ``[texts, length, width]`` and the mask of no padding."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        return states[torch.arange(len(states)), mask.sum(1) - 1]
    weights = mask[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def batches(rows: Sequence[Sequence[int]], pad: int) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Rows of about one length side by side: their places, ids and mask, ``[rows, length]``, padded right.

    Examples
    --------
    >>> [places for places, _, _ in batches([[1, 2, 3], [1], [4, 5]], pad=0)]
    [[0, 2, 1]]
    """
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
    while order:
        count = max(1, BATCH_TOKENS // max(1, len(rows[order[0]])))
        places, order = order[:count], order[count:]
        yield places, *padded([rows[place] for place in places], pad)


def padded(rows: Sequence[Sequence[int]], pad: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ids ``[rows, longest]`` with padding on the right (or left), and the mask, 1 where there is none."""
    width = max(map(len, rows))
    fill = [width - len(row) for row in rows]
    ids = [
        [pad] * n + list(row) if left else list(row) + [pad] * n for row, n in zip(rows, fill, strict=True)
    ]
    real = [
        [0] * n + [1] * len(row) if left else [1] * len(row) + [0] * n
        for row, n in zip(rows, fill, strict=True)
    ]
    return torch.tensor(ids), torch.tensor(real)

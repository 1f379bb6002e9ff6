"""Read texts with a frozen language model: what it expected at every token, and what it had in mind.

A text is read without any special token. Position i, from 0, tells how the model's distribution behind
tokens 0..i fits token i + 1; there are as many positions as tokens less one. All is in float32 but the hidden
states, which are kept in float16: they are large, and a gate needs no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.files import cache_folder, new_file
from etude.models.likelihood import check_causal, check_length, context_length, evaluating
from etude.progress import track

VERSION = 1
"""Of what is stored: another number, and the cache is filled anew."""
LENGTH = 512
"""Tokens that are read of a text, as in the paper."""
BATCH_TOKENS = 2048
_ROWS = 256
"""Positions whose distributions are looked at together: their copies stay small, whatever the vocabulary."""

METRICS = ("entropy", "max_log_probs", "next_token_log_probs", "quantile", "top_p")
"""The paper's five, in its order; entropy is negative, quantile is the rank over the vocabulary's size."""
MOMENTS = ("expected", "variance")
"""Mean and variance of the log-probability of a token drawn from the observer, or from the model itself."""


@dataclass(frozen=True)
class Reading:
    """What a language model made of one text of n tokens.

    Parameters
    ----------
    metrics : `METRICS` at each position, float32 ``[n - 1, 5]``.
    moments : `MOMENTS` at each position, float32 ``[n - 1, 2]``.
    hidden : last hidden state of each token, after the model's final norm, float16 ``[n, width]``.
    ids : the tokens, int64 ``[n]``.
    vocabulary : number of tokens that the model chooses from.
    """

    metrics: Tensor
    moments: Tensor
    hidden: Tensor
    ids: Tensor
    vocabulary: int

    def metric(self, name: str) -> Tensor:
        """One of the five, ``[n - 1]``."""
        return self.metrics[:, METRICS.index(name)]

    @property
    def ranks(self) -> Tensor:
        """Of each token among all by probability, 1 for the likeliest, ``[n - 1]``."""
        return (self.metric("quantile").double() * self.vocabulary).round()


class Reader:
    """A frozen causal language model that reads texts, each only once: readings are kept on disk.

    Parameters
    ----------
    model, tokenizer : a causal language model and its tokenizer.
    observer : another causal language model with the same vocabulary, for Binoculars and Fast-DetectGPT;
        None for the model itself.
    length : tokens read of a text, at most; None for 512, or as many as the model takes if fewer.
    cache : a folder for readings; None keeps none.

    Raises
    ------
    InputError : if a model predicts no next token, the vocabularies differ, or the length does not fit.

    Examples
    --------
    >>> import etude
    >>> reader = Reader(*etude.models.load("nano-llama"), cache=None)
    >>> reading = reader.read(["It was a dark and stormy night."])[0]
    >>> [tuple(tensor.shape) for tensor in (reading.metrics, reading.hidden)]
    [(9, 5), (10, 256)]
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        observer: Any = None,
        length: int | None = None,
        cache: Path | None = None,
    ) -> None:
        for each in (model, observer):
            if each is not None:
                check_causal(each)
                check_length(each, length or 1)
        if tokenizer is None:
            raise InputError("model", "has no tokenizer; save one beside the weights")
        if observer is not None and _vocabulary(observer) != _vocabulary(model):
            raise InputError("observer", "has another vocabulary than the model; choose one of its family")
        self.model, self.tokenizer, self.observer = model, tokenizer, observer
        self.length = length or min(LENGTH, context_length(model) or LENGTH)
        self.cache = cache

    @property
    def width(self) -> int:
        """Of a hidden state."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Readings of the beginnings of texts, in their order; those that the cache holds cost nothing.

        Raises
        ------
        InputError : naming ``texts`` and the number of the one that is no text or has fewer than 2 tokens.
        """
        return self.read_tokens([row[: self.length] for row in self.tokens(texts)])

    def windows(self, texts: Sequence[str]) -> tuple[list[Reading], list[int]]:
        """Readings of whole texts, cut into windows where they are long, and the text of each window.

        A rest of a single token is left out. Raises as `read` does.
        """
        rows = self.tokens(texts)
        cut = [
            (number, row[at : at + self.length])
            for number, row in enumerate(rows)
            for at in range(0, len(row) - 1, self.length)
        ]
        return self.read_tokens([window for _, window in cut]), [number for number, _ in cut]

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, without special ones; raises as `read` does."""
        check_texts(texts)
        encoded = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        rows: list[list[int]] = encoded["input_ids"]
        for number, row in enumerate(rows):
            if len(row) < 2:
                raise InputError("texts", f"number {number} has {len(row)} tokens; at least 2 are needed")
        return rows

    def read_tokens(self, rows: Sequence[Sequence[int]]) -> list[Reading]:
        """Readings of texts given as tokens, 2 or more and at most the reader's length of them."""
        keys = [hashlib.sha256(str(list(row)).encode()).hexdigest() for row in rows]
        found = {key: reading for key in set(keys) if (reading := self._cached(key)) is not None}
        missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in found}
        for batch in track(_batches(missing), "reading"):
            made = self._read([missing[key] for key in batch])
            for key, reading in zip(batch, made, strict=True):
                found[key] = reading
                self._keep(key, reading)
        return [found[key] for key in keys]

    @torch.no_grad()
    def _read(self, rows: Sequence[Sequence[int]]) -> list[Reading]:
        """One forward pass; what pads the shorter rows on the right is seen by none of their tokens."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with evaluating(self.model):
            output = self.model(
                input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
            )
        seen = output.logits
        if self.observer is not None:
            with evaluating(self.observer):
                seen = self.observer(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return [
            _reading(output.logits[i, : len(row) - 1], seen[i], output.hidden_states[-1][i], row)
            for i, row in enumerate(rows)
        ]

    def _path(self, key: str) -> Path | None:
        return None if self.cache is None else self.cache / key[:2] / f"{key}.safetensors"

    def _cached(self, key: str) -> Reading | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        from safetensors.torch import load_file

        stored = load_file(path)
        vocabulary = int(stored.pop("vocabulary"))
        return Reading(**stored, vocabulary=vocabulary)

    def _keep(self, key: str, reading: Reading) -> None:
        path = self._path(key)
        if path is not None:
            from safetensors.torch import save_file

            stored = {**vars(reading), "vocabulary": torch.tensor(reading.vocabulary)}
            with new_file(path) as temporary:
                save_file(stored, temporary)


def opened(model: str, observer: str | None = None, length: int | None = None) -> Reader:
    """A reader of a model by name or folder, with its place in the user's cache.

    Raises
    ------
    InputError : naming ``model``, ``observer`` or ``length``.
    """
    from etude import models
    from etude.models.fingerprint import fingerprint

    loaded = models.load(model)
    other, digest = None, fingerprint(model)
    if observer is not None:
        try:
            other, digest = models.load(observer)[0], f"{digest}-{fingerprint(observer)}"
        except InputError as error:
            raise InputError("observer", error.message) from error
    place = hashlib.sha256(f"{VERSION} {digest}".encode()).hexdigest()[:32]
    return Reader(*loaded, observer=other, length=length, cache=cache_folder("readings", place))


def check_texts(texts: Any) -> None:
    """Raise `InputError` unless there are texts, and all of them are texts."""
    if isinstance(texts, (str, bytes)) or not hasattr(texts, "__len__") or not len(texts):
        raise InputError("texts", "are not a list of one or more texts")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError("texts", f"number {number} is {type(text).__name__}, not text")


def _reading(logits: Tensor, seen: Tensor, hidden: Tensor, row: Sequence[int]) -> Reading:
    """What one text's logits ``[n - 1, vocabulary]`` and hidden states say; padding cut off."""
    ids = torch.tensor(list(row))
    parts = [slice(at, at + _ROWS) for at in range(0, len(logits), _ROWS)]
    several = [_looked_at(logits[part], seen[: len(logits)][part], ids[1:][part]) for part in parts]
    metrics, moments = (torch.cat(each) for each in zip(*several, strict=True))
    return Reading(metrics, moments, hidden[: len(row)].half().clone(), ids, logits.shape[1])


def _looked_at(logits: Tensor, seen: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """`METRICS` and `MOMENTS` of rows of logits and the token that came, by counting, without sorting."""
    logs = logits.float().log_softmax(1)
    chances = logs.exp()
    own = logs.gather(1, chosen[:, None])
    at_least = logs >= own
    entropy = (chances * logs).sum(1)
    metrics = (
        entropy,
        logs.max(1).values,
        own[:, 0],
        at_least.float().mean(1),
        (chances * at_least).sum(1),
    )
    drawn = seen.float().softmax(1)
    expected = (drawn * logs).sum(1)
    variance = (drawn * logs.square()).sum(1) - expected.square()
    return torch.stack(metrics, 1), torch.stack([expected, variance.clamp(min=0)], 1)


def _batches(rows: dict[str, Sequence[int]]) -> list[list[str]]:
    """Keys of rows of about one length together, of about `BATCH_TOKENS` tokens each."""
    batches: list[list[str]] = []
    for key in sorted(rows, key=lambda key: -len(rows[key])):
        if not batches or (len(batches[-1]) + 1) * len(rows[batches[-1][0]]) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(key)
    return batches


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])

"""Queries, documents and windows as tokens, and what a cross-encoder says of pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from etude.search.rerank.idcm_windows import Windows, cut

if TYPE_CHECKING:
    from etude.search.rerank.idcm import IDCM

ROWS = 64
"""Windows that go through the cross-encoder together; more are no faster on a CPU."""


@dataclass(frozen=True)
class Reader:
    """A tokenizer, and how much of a query and of a document is read, in tokens.

    Parameters
    ----------
    tokenizer : the cross-encoder's.
    query, document : at most.
    size, overlap : of windows, see `cut`.
    """

    tokenizer: Any
    query: int
    document: int
    size: int
    overlap: int

    @classmethod
    def of(cls, method: IDCM, tokenizer: Any) -> Reader:
        """With the sizes of a method's fields."""
        return cls(tokenizer, method.query, method.document, method.window, method.overlap)

    def asked(self, text: str) -> Tensor:
        """A query with the tokens that begin and end it, int64 ``[tokens]``."""
        added: int = self.tokenizer.num_special_tokens_to_add()
        ids = self.tokenizer(text, truncation=True, max_length=self.query + added, verbose=False)["input_ids"]
        return torch.tensor(ids)

    def told(self, texts: Sequence[str]) -> list[list[int]]:
        """Documents without special tokens."""
        if not texts:
            return []
        found: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=self.document, add_special_tokens=False, verbose=False
        )["input_ids"]
        return found

    def windows(self, documents: Sequence[Sequence[int]]) -> Windows:
        """Documents in windows, packed."""
        return cut(documents, self.size, self.overlap, self.tokenizer.pad_token_id)

    def pairs(self, query: Tensor, windows: Windows) -> dict[str, Tensor]:
        """A cross-encoder's inputs, a row for each window: the query, the window, and the token that ends it.

        Parameters
        ----------
        query : of all windows, ``[tokens]``; or of each, padded, ``[windows, tokens]``.
        """
        padding, rows = self.tokenizer.pad_token_id, len(windows)
        end = torch.full((rows, 1), self.tokenizer.sep_token_id)
        whole = torch.cat([query.expand(rows, -1), windows.ids, end], dim=1)
        real = whole != padding
        order = real.argsort(dim=1, descending=True, stable=True)[:, : int(real.sum(1).max())]
        ids, mask = whole.gather(1, order), real.gather(1, order)
        inputs = {"input_ids": ids, "attention_mask": mask.long()}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = (order >= query.shape[-1]).long() * mask
        return inputs

    def __call__(self, scorer: Any, query: Tensor, windows: Windows) -> Tensor:
        """The cross-encoder's scores of windows, ``[windows]``; see `pairs`."""
        inputs = self.pairs(query, windows)
        parts = [torch.split(value, ROWS) for value in inputs.values()]
        return torch.cat(
            [scorer(**dict(zip(inputs, part, strict=True))).logits[:, 0] for part in zip(*parts, strict=True)]
        )


def inverse_frequencies(documents: Sequence[Sequence[int]], vocabulary: int) -> Tensor:
    """``ln(1 + (N - n + 0.5) / (n + 0.5))`` of every token, n of N documents having it, ``[vocabulary]``."""
    tokens = torch.tensor([token for document in documents for token in set(document)], dtype=torch.long)
    found = torch.bincount(tokens, minlength=vocabulary).float()
    return torch.log1p((len(documents) - found + 0.5) / (found + 0.5))


def bm25(query: Tensor, windows: Windows, idf: Tensor, k1: float = 1.5, b: float = 0.75) -> Tensor:
    """BM25 of tokens, the windows being the documents and as long as full ones are on average, ``[windows]``.

    A query token that is repeated counts once.
    """
    norm = k1 * (1 - b + b * windows.real.float().mean(1))
    asked = torch.unique(query)
    found = torch.stack([(windows.ids == token).sum(1) for token in asked], dim=1).float()
    return (idf[asked] * found / (found + norm[:, None])).sum(1)


def spans(offsets: Sequence[tuple[int, int]], starts: Sequence[int], size: int) -> list[tuple[int, int]]:
    """The characters of windows' own tokens, from the characters of a document's tokens."""
    return [(offsets[at][0], offsets[min(at + size, len(offsets)) - 1][1]) for at in starts]

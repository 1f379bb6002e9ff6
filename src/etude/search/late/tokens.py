"""Token vectors of several texts, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """The vectors of the tokens of some texts, without padding.

    Parameters
    ----------
    vectors : float ``[tokens, width]``, text after text.
    lengths : tokens of each text, int64 ``[texts]``.

    Examples
    --------
    >>> tokens = Tokens.of([torch.ones(2, 4), torch.zeros(3, 4)])
    >>> len(tokens), tokens[1].shape, tokens.owners.tolist()
    (2, torch.Size([3, 4]), [0, 0, 1, 1, 1])
    """

    vectors: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, texts: Sequence[Tensor]) -> Tokens:
        """From one matrix a text."""
        return cls(torch.cat(list(texts)), torch.tensor([len(text) for text in texts]))

    @property
    def starts(self) -> Tensor:
        """Where each text begins, and where the last ends; int64 ``[texts + 1]``."""
        return torch.cat([self.lengths.new_zeros(1), self.lengths.cumsum(0)])

    @property
    def owners(self) -> Tensor:
        """The text of each token, int64 ``[tokens]``."""
        return torch.repeat_interleave(torch.arange(len(self)), self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, text: int) -> Tensor:
        start = int(self.lengths[:text].sum())
        return self.vectors[start : start + int(self.lengths[text])]

    def take(self, texts: Tensor) -> Tokens:
        """Some of the texts, in the order asked for."""
        lengths = self.lengths[texts]
        return Tokens(self.vectors.index_select(0, ranges(self.starts[texts], lengths)), lengths)


def ranges(starts: Tensor, lengths: Tensor) -> Tensor:
    """The positions of several ranges, one behind the other.

    Examples
    --------
    >>> ranges(torch.tensor([5, 0]), torch.tensor([3, 2])).tolist()
    [5, 6, 7, 0, 1]
    """
    before = lengths.cumsum(0) - lengths
    return torch.arange(int(lengths.sum())) + torch.repeat_interleave(starts - before, lengths)


def last(scores: Tensor, k: int) -> Tensor:
    """The k-th largest of each column, ``[tokens, n]`` to ``[n]``; the least where there are fewer.

    Examples
    --------
    >>> last(torch.tensor([[3.0], [1.0], [2.0]]), k=2)
    tensor([2.])
    """
    rows = np.ascontiguousarray(scores.detach().numpy().T)
    at = max(0, rows.shape[1] - k)
    return torch.from_numpy(np.partition(rows, at, axis=1)[:, at].copy())


def best(scores: Tensor, lengths: Tensor) -> Tensor:
    """The largest score of each text, ``[tokens, n]`` to ``[texts, n]``; minus infinity where it has none."""
    found: Tensor = torch.segment_reduce(scores, "max", lengths=lengths, axis=0)
    return found

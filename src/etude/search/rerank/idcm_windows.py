"""Documents cut into short overlapping windows, packed in one flat batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Windows:
    """Windows of several documents, one after the other.

    Parameters
    ----------
    ids : tokens, int64 ``[windows, overlap + size + overlap]``.
    real : which of them are no padding, bool of the same shape.
    counts : windows of each document, int64 ``[documents]``, 1 or more.
    starts : place in its document of each window's first own token, int64 ``[windows]``.
    """

    ids: Tensor
    real: Tensor
    counts: Tensor
    starts: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def owners(self) -> Tensor:
        """The document of each window, int64 ``[windows]``."""
        return torch.repeat_interleave(torch.arange(len(self.counts)), self.counts)

    def chosen(self, which: Tensor) -> Windows:
        """Only the windows that a bool ``[windows]`` marks."""
        counts = torch.zeros_like(self.counts).index_add_(0, self.owners, which.long())
        return Windows(self.ids[which], self.real[which], counts, self.starts[which])


def cut(documents: Sequence[Sequence[int]], size: int, overlap: int, padding: int) -> Windows:
    """Windows of ``size`` tokens of their own that see ``overlap`` more on either side.

    Windows of padding alone are dropped; a document without any token keeps one, so that it has a score.

    Parameters
    ----------
    documents : the tokens of each, without special ones.
    size : tokens from a window's start to the next one's.
    overlap : tokens that a window sees before and after its own.
    padding : the token that stands for none.

    Examples
    --------
    >>> cut([[1, 2, 3], [4, 0, 0]], size=2, overlap=1, padding=0).ids.tolist()
    [[0, 1, 2, 3], [2, 3, 0, 0], [0, 4, 0, 0]]
    """
    lengths = torch.tensor([len(document) for document in documents])
    tokens = torch.tensor([token for document in documents for token in document] or [padding])
    counts = (lengths + size - 1).div(size, rounding_mode="floor").clamp(min=1)
    owners = torch.repeat_interleave(torch.arange(len(documents)), counts)
    order = torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners]
    within = order[:, None] * size + torch.arange(-overlap, size + overlap)
    inside = (within >= 0) & (within < lengths[owners, None])
    first = (lengths.cumsum(0) - lengths)[owners, None]
    ids = torch.where(inside, tokens[(first + within).clamp(0, len(tokens) - 1)], padding)
    real = ids != padding
    kept = real[:, overlap : overlap + size].any(1)
    bare = torch.zeros(len(documents), dtype=torch.long).index_add_(0, owners, kept.long()) == 0
    kept |= bare[owners] & (order == 0)
    return Windows(ids, real, counts, order * size).chosen(kept)


def by_document(values: Tensor, counts: Tensor) -> Tensor:
    """Numbers of windows as ``[documents, most windows]``, minus infinity where a document has no more."""
    return pad_sequence(
        list(torch.split(values, counts.tolist())), batch_first=True, padding_value=-torch.inf
    )


def best(scores: Tensor, counts: Tensor, k: int) -> Tensor:
    """Mark the ``k`` windows of each document that score highest, bool ``[windows]``; ties go to the first.

    Examples
    --------
    >>> best(torch.tensor([1.0, 3.0, 2.0, 5.0]), torch.tensor([3, 1]), k=2)
    tensor([False,  True,  True,  True])
    """
    ranks = by_document(scores, counts).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    present = torch.arange(ranks.shape[1]) < counts[:, None]
    return (ranks < k)[present]


def aggregate(scores: Tensor, counts: Tensor, weights: Tensor) -> Tensor:
    """Each document's best window scores, weighted by their order and summed, ``[documents]``.

    Missing windows add nothing; they are told by their place, so that a score of 0 counts as any other.

    Parameters
    ----------
    scores : of windows, ``[windows]``.
    counts : windows of each document.
    weights : of the best window, of the next .. ``[L]``; a single 1 takes the best passage alone (MaxP).

    Examples
    --------
    >>> aggregate(torch.tensor([1.0, 4.0, -2.0]), torch.tensor([2, 1]), torch.tensor([1.0, 0.5]))
    tensor([ 4.5000, -2.0000])
    """
    padded = by_document(scores, counts)
    top = padded.topk(min(len(weights), padded.shape[1]), dim=1).values
    return (torch.where(top.isfinite(), top, 0.0) * weights[: top.shape[1]]).sum(1)

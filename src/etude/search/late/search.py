"""Searching token vectors: XTR from retrieved tokens alone, ColBERT with all tokens of the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from etude.search.late.segment import Segment
from etude.search.late.tokens import best, last


@dataclass(frozen=True)
class Retrieved:
    """Documents of which tokens were retrieved, and what these tokens say of them.

    Parameters
    ----------
    documents : int64 ``[candidates]``, ascending.
    matches : for each candidate and query token the best retrieved similarity, or the imputed one, float
        ``[candidates, query tokens]``.
    floors : the last retrieved similarity of each query token, which is what is imputed, ``[query tokens]``.
    """

    documents: Tensor
    matches: Tensor
    floors: Tensor

    @property
    def scores(self) -> Tensor:
        """XTR's score of each candidate: the mean over query tokens."""
        return self.matches.mean(1)


def retrieve(
    segments: Sequence[Segment],
    query: Tensor,
    tokens: int,
    probes: int | None = None,
    allowed: Tensor | None = None,
) -> Retrieved:
    """Each query token retrieves its nearest tokens of all documents; see `imputed`.

    Parameters
    ----------
    segments : positions of documents run on from one to the next.
    query : vectors of the query's tokens, ``[query tokens, width]``.
    tokens : that each of them retrieves, k'.
    probes : lists that are visited for each query token; None for all: an exact search.
    allowed : which documents may be found, bool ``[documents]``; others' tokens are as good as not there.

    Returns
    -------
    Retrieved : every document of which a token was retrieved.
    """
    near = [segment.near(query, probes) for segment in segments]
    offsets = np.cumsum([0, *(len(segment) for segment in segments)])
    similarities = torch.cat([found for found, _ in near])
    owners = torch.cat([own + int(first) for (_, own), first in zip(near, offsets, strict=False)])
    if allowed is not None:
        kept = allowed[owners]
        similarities, owners = similarities[kept], owners[kept]
    return imputed(similarities, owners, tokens, int(offsets[-1]))


def imputed(similarities: Tensor, owners: Tensor, tokens: int, size: int) -> Retrieved:
    """What is known of documents when only the nearest tokens of each query token are; the rest is imputed.

    Where no token of a document is retrieved, the last retrieved similarity stands for it. What is not
    retrieved lies below that, so that both cases together are ``max(last, best similarity)``.

    Parameters
    ----------
    similarities : of document tokens and query tokens, float ``[tokens, query tokens]``.
    owners : the document of each token.
    tokens : that a query token retrieves; those as near as the last one come with it.
    size : documents in all.

    Examples
    --------
    >>> similarities = torch.tensor([[0.9, 0.1], [0.8, 0.3], [0.2, 0.7]])
    >>> found = imputed(similarities, torch.tensor([0, 1, 1]), tokens=1, size=2)
    >>> found.documents.tolist(), found.matches
    ([0, 1], tensor([[0.9000, 0.7000], [0.9000, 0.7000]]))
    """
    if not len(owners):
        return Retrieved(
            owners.long(), similarities, similarities.new_full(similarities.shape[1:], -torch.inf)
        )
    floors = last(similarities, tokens)
    retrieved = (similarities >= floors).any(1).nonzero()[:, 0]
    documents, places = _distinct(owners.index_select(0, retrieved).long(), size)
    matches = floors.repeat(len(documents), 1)
    near = similarities.index_select(0, retrieved)
    matches.scatter_reduce_(0, places[:, None].expand_as(near), near, "amax")
    return Retrieved(documents, matches, floors)


def listed(similarities: Tensor, owners: Tensor, size: int) -> Retrieved:
    """The same from lists of retrieved tokens, as an index of nearest neighbours gives them.

    Parameters
    ----------
    similarities : of the tokens that each query token retrieved, ``[query tokens, tokens]``, in any order.
    owners : their documents; -1 where an index found no more.
    size : documents in all.

    Examples
    --------
    >>> found = listed(torch.tensor([[0.9, 0.8], [0.7, -1.0]]), torch.tensor([[0, 1], [1, -1]]), size=2)
    >>> found.matches
    tensor([[0.9000, 0.7000],
            [0.8000, 0.7000]])
    """
    real = owners >= 0
    floors = similarities.masked_fill(~real, torch.inf).amin(1)
    documents, places = _distinct(owners[real], size)
    matches = floors.repeat(len(documents), 1)
    query_tokens = torch.arange(len(owners))[:, None].expand_as(owners)[real]
    matches.view(-1).scatter_reduce_(0, places * len(owners) + query_tokens, similarities[real], "amax")
    return Retrieved(documents, matches, floors)


def gather(segments: Sequence[Segment], query: Tensor, documents: Tensor) -> Tensor:
    """ColBERT's second stage: the mean over query tokens of the best match among all tokens of a document.

    Parameters
    ----------
    documents : positions in all segments, ascending.

    Returns
    -------
    Tensor : float ``[documents]``.
    """
    scores, first = [], 0
    for segment in segments:
        own = documents[(documents >= first) & (documents < first + len(segment))] - first
        scores.append(best(*segment.similarities(query, own)).mean(1))
        first += len(segment)
    return torch.cat(scores)


def top(documents: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best, best first; of equals, the one that stands first."""
    order = scores.argsort(descending=True, stable=True)[:k]
    return documents[order], scores[order]


def _distinct(numbers: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Distinct numbers below ``size``, ascending, and the place of each number among them."""
    seen = torch.zeros(size, dtype=torch.bool)
    seen[numbers] = True
    distinct = seen.nonzero()[:, 0]
    places = torch.empty(size, dtype=torch.int64)
    places[distinct] = torch.arange(len(distinct))
    return distinct, places[numbers]

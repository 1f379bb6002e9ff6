"""Scores of queries and documents from their tokens: ColBERT's and, for training, XTR's."""

from __future__ import annotations

import torch
from torch import Tensor

from etude.search.late.tokens import Tokens, best, last

CHUNK = 1 << 22
"""Similarities that `maxsim` holds at once."""


def maxsim(queries: Tokens, documents: Tokens) -> Tensor:
    """The mean over a query's tokens of their best match in a document: ``mean_i max_j q_i . d_j``.

    ColBERT sums instead, which orders the documents of a query alike. Exact; documents go through in parts.

    Parameters
    ----------
    queries, documents : token vectors of equal width.

    Returns
    -------
    Tensor : float ``[queries, documents]``.

    Examples
    --------
    >>> queries = Tokens.of([torch.tensor([[1.0, 0.0], [0.0, 1.0]])])
    >>> maxsim(queries, Tokens.of([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])]))
    tensor([[0.5000, 0.7000]])

    References
    ----------
    Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late
    Interaction over BERT", SIGIR 2020. arXiv:2004.12832.
    """
    size = max(1, CHUNK // len(queries.vectors))
    parts, starts, first = [], documents.starts, 0
    while first < len(documents):
        last = int(torch.searchsorted(starts, starts[first] + size, right=True)) - 1
        last = max(last, first + 1)
        vectors = documents.vectors[starts[first] : starts[last]]
        parts.append(best(vectors @ queries.vectors.T, documents.lengths[first:last]))
        first = last
    return _mean(torch.cat(parts).T, queries)


def xtr_scores(queries: Tokens, documents: Tokens, k: int) -> Tensor:
    """What XTR is trained on: maximal similarities of those tokens only that retrieval would find.

    Each query token retrieves its ``k`` nearest among all tokens of all documents. A document scores the sum
    of the best retrieved similarity of each query token, divided by the number of query tokens that
    retrieved any token of it; 0 if none did.

    Parameters
    ----------
    queries, documents : token vectors of equal width; the documents are those of a batch.
    k : tokens that a query token retrieves, those as near as the last one with it; if there are fewer, all,
        and the score is ColBERT's mean.

    Returns
    -------
    Tensor : float ``[queries, documents]``.

    Examples
    --------
    >>> queries = Tokens.of([torch.tensor([[1.0, 0.0], [0.0, 1.0]])])
    >>> documents = Tokens.of([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])])
    >>> xtr_scores(queries, documents, k=1)
    tensor([[1.0000, 0.8000]])

    References
    ----------
    Lee et al., "Rethinking the Role of Token Retrieval in Multi-Vector Retrieval", NeurIPS 2023.
    arXiv:2304.01982.
    """
    similarities = documents.vectors @ queries.vectors.T
    retrieved = similarities >= last(similarities, k)
    matches = best(similarities.masked_fill(~retrieved, -torch.inf), documents.lengths).T
    hits = matches > -torch.inf
    total = _sum(matches.masked_fill(~hits, 0.0), queries)
    return total / _sum(hits.to(total.dtype), queries).clamp(min=1)


def _sum(values: Tensor, queries: Tokens) -> Tensor:
    """Of the tokens of each query, ``[query tokens, documents]`` to ``[queries, documents]``."""
    return values.new_zeros(len(queries), values.shape[1]).index_add(0, queries.owners, values)


def _mean(values: Tensor, queries: Tokens) -> Tensor:
    return _sum(values, queries) / queries.lengths[:, None]

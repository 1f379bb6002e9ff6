"""What a token encoder finds for held-out queries: with few tokens and with all, and at what cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from etude.search.collection import Judged
from etude.search.late.encoder import TokenEncoder
from etude.search.late.readings import Readings
from etude.search.late.search import listed, top
from etude.search.late.tokens import Tokens, best
from etude.search.measures import measure

DEPTH = 100
COMPARED = 200
"""Tokens for which the two ways to score are set side by side."""
SHARES = (10, 200)
"""Tokens of which the share in relevant documents is told."""


@dataclass(frozen=True)
class Cost:
    """Multiplications, additions and comparisons, and seconds, of scoring the candidates of a query."""

    retrieved: float = 0.0
    gathered: float = 0.0
    seconds_retrieved: float = 0.0
    seconds_gathered: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(one + two for one, two in zip(vars(self).values(), vars(other).values(), strict=True)))


def judged(
    encoder: TokenEncoder, readings: Readings, test: Judged, documents: Sequence[str], tokens: Sequence[int]
) -> dict[str, float]:
    """nDCG@10 with each number of retrieved tokens and with all, and what goes with it.

    Parameters
    ----------
    encoder : with its projection.
    readings : the encoder's states of the queries, and of all documents in their order.
    test : queries and judgements.
    documents : identifiers.
    tokens : numbers of tokens that a query token retrieves, ascending.
    """
    with torch.no_grad():
        states = readings.states["document"]
        corpus = Tokens(encoder.project(states.vectors), states.lengths)
        found = []
        for name, text in test.queries.items():
            query = encoder.project(readings([text], "query").vectors)
            found.append(_asked(corpus, query, tokens, test.qrels[name], documents))
    cost = sum((each.cost for each in found), Cost())
    ndcg = {}
    for k in (None, *tokens):
        run = {name: each.runs[k] for name, each in zip(test.queries, found, strict=True)}
        ndcg[k] = measure(run, test.qrels, ["nDCG@10"])["nDCG@10"]
    whole = ndcg[None]
    return {
        "ndcg_all": whole,
        **{f"ndcg_{k}": ndcg[k] for k in tokens},
        **{f"relevant_{k}": fmean(each.shares[k] for each in found) for k in SHARES},
        "lost_10": whole - ndcg[10],
        "kept_200": ndcg[COMPARED] / whole if whole else 0.0,
        "flops_ratio": cost.gathered / cost.retrieved,
        "time_ratio": cost.seconds_gathered / cost.seconds_retrieved,
        "spread": fmean(each.spread for each in found),
    }


@dataclass(frozen=True)
class _Asked:
    """What one query found, by the number of tokens, None for all; shares of relevant tokens; the cost."""

    runs: dict[int | None, dict[str, float]]
    shares: dict[int, float]
    cost: Cost
    spread: float


def _asked(
    corpus: Tokens, query: Tensor, tokens: Sequence[int], grades: Mapping[str, int], documents: Sequence[str]
) -> _Asked:
    similarities = corpus.vectors @ query.T
    values, places = nearest(similarities, min(tokens[-1], len(similarities)))
    owners = corpus.owners[places]
    relevant = torch.tensor([grades.get(document, 0) > 0 for document in documents])
    exact = best(similarities, corpus.lengths).mean(1)
    runs: dict[int | None, dict[str, float]] = {None: _run(torch.arange(len(corpus)), exact, documents)}
    for k in tokens:
        found = listed(values[:, :k], owners[:, :k], len(corpus))
        runs[k] = _run(found.documents, found.scores, documents)
    shares = {k: float(relevant[owners[:, :k]].float().mean()) for k in SHARES}
    cost = _cost(corpus, query, values[:, :COMPARED], owners[:, :COMPARED])
    return _Asked(runs, shares, cost, float(similarities.std(0).mean()))


def nearest(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The largest k of each column and where they stand, both ``[columns, k]``, largest first."""
    rows = np.ascontiguousarray(similarities.numpy().T)
    places = torch.from_numpy(np.argpartition(rows, len(similarities) - k, axis=1)[:, -k:])
    values, order = torch.from_numpy(rows).gather(1, places).sort(1, descending=True)
    return values, places.gather(1, order)


def _run(found: Tensor, scores: Tensor, documents: Sequence[str]) -> dict[str, float]:
    places, values = top(found, scores, DEPTH)
    return dict(zip([documents[i] for i in places.tolist()], values.tolist(), strict=True))


def _cost(corpus: Tokens, query: Tensor, values: Tensor, owners: Tensor) -> Cost:
    """Of scoring the documents whose tokens were retrieved, from these tokens and from all tokens of theirs.

    Retrieving the tokens costs both alike and is left out.
    """
    start = time.perf_counter()
    found = listed(values, owners, len(corpus))
    _ = found.scores
    between = time.perf_counter()
    gathered = corpus.take(found.documents)
    best(gathered.vectors @ query.T, gathered.lengths).mean(1)
    end = time.perf_counter()
    few, every = found.matches.numel(), len(query) * len(gathered.vectors)
    return Cost(
        values.numel() + few, 2 * every * query.shape[1] + every + few, between - start, end - between
    )

"""What a token encoder finds for held-out queries: with few tokens and with all, and at what cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from etude.search.collection import Judged
from etude.search.late.encoder import TokenEncoder
from etude.search.late.search import imputed, top
from etude.search.late.tokens import Tokens, best
from etude.search.late.training import Readings
from etude.search.measures import measure

DEPTH = 100
COMPARED = 200
"""Tokens for which the two ways to score are set side by side."""


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
    """nDCG@10 with each number of retrieved tokens, and what goes with it.

    Parameters
    ----------
    encoder : with its projection.
    readings : the encoder's states of the queries, and of all documents in their order.
    test : queries and judgements.
    documents : identifiers.
    tokens : numbers of tokens that a query token retrieves.
    """
    with torch.no_grad():
        states = readings.states["document"]
        corpus = Tokens(encoder.project(states.vectors), states.lengths)
        runs: dict[int, dict[str, dict[str, float]]] = {k: {} for k in (*tokens, len(corpus.vectors))}
        shares: dict[int, list[float]] = {k: [] for k in tokens}
        cost, spreads = Cost(), []
        for name, text in test.queries.items():
            query = encoder.project(readings([text], "query").vectors)
            similarities = corpus.vectors @ query.T
            spreads.append(float(similarities.std(0).mean()))
            relevant = torch.tensor([test.qrels[name].get(document, 0) > 0 for document in documents])
            for k, run in runs.items():
                found = imputed(similarities, corpus.owners, k, len(corpus))
                places, scores = top(found.documents, found.scores, DEPTH)
                run[name] = dict(zip([documents[i] for i in places.tolist()], scores.tolist(), strict=True))
                if k in shares:
                    shares[k].append(_share(similarities, relevant[corpus.owners], k))
            cost += _cost(corpus, query, similarities, COMPARED)
    ndcg = {k: measure(run, test.qrels, ["nDCG@10"])["nDCG@10"] for k, run in runs.items()}
    whole = ndcg.pop(len(corpus.vectors))
    return {
        "ndcg_all": whole,
        **{f"ndcg_{k}": value for k, value in ndcg.items()},
        **{f"relevant_{k}": sum(found) / len(found) for k, found in shares.items()},
        "lost_10": whole - ndcg[10],
        "kept_200": ndcg[200] / whole if whole else 0.0,
        "flops_ratio": cost.gathered / cost.retrieved,
        "time_ratio": cost.seconds_gathered / cost.seconds_retrieved,
        "spread": sum(spreads) / len(spreads),
    }


def _share(similarities: Tensor, relevant: Tensor, k: int) -> float:
    """Of the tokens that query tokens retrieve, how many belong to relevant documents."""
    found = similarities.topk(min(k, len(similarities)), dim=0).indices
    return float(relevant[found].float().mean())


def _cost(corpus: Tokens, query: Tensor, similarities: Tensor, k: int) -> Cost:
    """Of scoring the documents whose tokens were retrieved, from these tokens and from all tokens of theirs.

    Retrieving the tokens costs both alike and is left out.
    """
    values, tokens = similarities.topk(min(k, len(similarities)), dim=0)
    owners = corpus.owners[tokens]
    start = time.perf_counter()
    candidates, places = torch.unique(owners, return_inverse=True)
    matches = values[-1].repeat(len(candidates), 1).scatter_reduce_(0, places, values, "amax")
    matches.mean(1)
    between = time.perf_counter()
    gathered = corpus.take(candidates)
    best(gathered.vectors @ query.T, gathered.lengths).mean(1)
    end = time.perf_counter()
    few, every = len(query) * len(candidates), len(query) * len(gathered.vectors)
    return Cost(
        values.numel() + few, 2 * every * query.shape[1] + every + few, between - start, end - between
    )

"""The two stages of Pyramid-ERNIE's training: grades that clicks were made into, then grades by people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from etude.progress import track
from etude.search.collection import Document, Judged, Run
from etude.search.rerank.click_calibration import calibrated
from etude.search.rerank.click_log import Logged, read_log, simulated
from etude.search.rerank.pyramid_losses import anchored, hinge
from etude.search.rerank.pyramid_scorer import Ranker, Row

if TYPE_CHECKING:
    from etude.search.rerank.pyramid_ernie import PyramidERNIE


WARM_UP = 10
"""Steps in which the rate grows to what it is."""


@dataclass(frozen=True)
class Group:
    """A query's documents as tokens, and a grade of each, ``[documents]``."""

    rows: Sequence[Row]
    grades: Tensor


def labelled(method: PyramidERNIE, judged: Judged, seed: int) -> Judged:
    """The queries that people have judged: a share of all; those of the others are known by clicks alone."""
    names = [*judged.queries]
    count = max(1, round(method.labelled * len(names)))
    drawn = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))[:count]
    kept = [names[i] for i in sorted(drawn.tolist())]
    return Judged({q: judged.queries[q] for q in kept}, {q: judged.qrels[q] for q in kept})


def pretraining(
    method: PyramidERNIE,
    ranker: Ranker,
    documents: Mapping[str, Document],
    judged: Judged,
    run: Run,
    seed: int,
) -> list[Group]:
    """Logged results with their grades: calibrated, or the raw click rates.

    Where the method's ``log`` is "simulated", clicks are drawn from the grades of all judged queries; the
    grades themselves are only taken of those that `labelled` keeps.
    """
    logged = log(method, judged, run, seed)
    known = labelled(method, judged, seed)
    if method.pretrain == "calibrated":
        grades = calibrated(logged, known.qrels, tree=method.tree, seed=seed)
    else:
        grades = {query: each.click_rates for query, each in logged.items()}
    return [
        Group(ranker.rows(judged.queries[query], [documents[d] for d in each.documents]), grades[query])
        for query, each in logged.items()
        if query in judged.queries
    ]


def log(method: PyramidERNIE, judged: Judged, run: Run, seed: int) -> dict[str, Logged]:
    """Clicks on the results of the judged queries."""
    if method.log != "simulated":
        return read_log(Path(method.log))
    shown = {query: run[query] for query in judged.queries}
    return simulated(
        shown, judged.qrels, sessions=method.sessions, bias=method.bias, noise=method.noise, seed=seed
    )


def finetuning(
    method: PyramidERNIE, ranker: Ranker, documents: Mapping[str, Document], judged: Judged, seed: int
) -> list[Group]:
    """What people judged, with their grades."""
    known = labelled(method, judged, seed)
    return [
        Group(
            ranker.rows(text, [documents[d] for d in known.qrels[query]]),
            torch.tensor([float(max(grade, 0)) for grade in known.qrels[query].values()]),
        )
        for query, text in known.queries.items()
    ]


def train(
    ranker: Ranker,
    groups: Sequence[Group],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    epochs: int,
    seed: int,
) -> None:
    """Train the scorer by a loss of one query's scores and grades, averaged over the queries of a batch."""
    method, draw = ranker.method, torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(ranker.scorer.parameters(), lr=method.rate)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARM_UP))
    ranker.scorer.train()
    for _ in track(range(epochs), "training"):
        for part in torch.split(torch.randperm(len(groups), generator=draw), method.batch):
            chosen = [_some(groups[i], method.listed, draw) for i in part.tolist()]
            scores = ranker([row for group in chosen for row in group.rows])
            parts = torch.split(scores, [len(group.rows) for group in chosen])
            losses = [loss(found, group.grades) for found, group in zip(parts, chosen, strict=True)]
            torch.autograd.backward(torch.stack(losses).mean())
            nn.utils.clip_grad_norm_(ranker.scorer.parameters(), 1.0)
            optimizer.step()
            warm.step()
            optimizer.zero_grad(set_to_none=True)
    ranker.scorer.eval()


def _some(group: Group, most: int, draw: torch.Generator) -> Group:
    """At most so many of a query's documents."""
    kept = torch.randperm(len(group.rows), generator=draw)[:most]
    return Group([group.rows[i] for i in kept.tolist()], group.grades[kept])


def pairwise(method: PyramidERNIE) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of the first stage: the hinge alone."""
    return lambda scores, grades: hinge(scores, grades, method.margin) / max(1, len(scores))


def human_anchored(method: PyramidERNIE) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of the second stage."""
    return lambda scores, grades: anchored(
        scores, grades, margin=method.margin, weight=method.anchor, slack=method.slack
    )

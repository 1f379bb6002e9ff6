"""Fine-tuning on one language: what all languages share is trained, embeddings and adapters stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from etude.progress import track
from etude.search.late.pairs import Pair
from etude.search.late.scoring import maxsim
from etude.search.late.tokens import Tokens
from etude.search.modular.encoder import freeze
from etude.search.modular.retriever import Retriever

Teacher = Callable[[str, Sequence[str]], Tensor]
"""Scores ``[documents]`` of documents for a query, to learn from."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to fine-tune.

    Parameters
    ----------
    steps, batch : of the optimiser, and pairs in each step.
    rate : peak learning rate of AdamW, after a linear warm-up and falling linearly to 0.
    warm_up : share of the steps.
    in_batch : whether the documents of the other queries are wrong ones too.
    sharpness : factor of a teacher's scores.
    """

    steps: int
    batch: int
    rate: float
    warm_up: float = 0.1
    in_batch: bool = True
    sharpness: float = 1.0


def scores(queries: Tokens, documents: Tokens) -> Tensor:
    """ColBERT's, ``sum_i max_j q_i . d_j``: ``[queries, documents]``."""
    return maxsim(queries, documents) * queries.lengths[:, None]


def pairwise(found: Tensor) -> Tensor:
    """Cross-entropy of the right document, the first, among a query's own ``[queries, ways]``."""
    return cross_entropy(found, torch.zeros(len(found), dtype=torch.long))


def among_batch(found: Tensor, own: Tensor, same: Tensor) -> Tensor:
    """Cross-entropy of the right document among it and the documents of all other queries.

    Parameters
    ----------
    found : scores ``[queries, documents]``.
    own : which of the documents is right for each query, int64 ``[queries]``.
    same : bool ``[queries, documents]``: the query's other documents, which are compared in `pairwise`,
        and copies of the right one.
    """
    return cross_entropy(found.masked_fill(same, -torch.inf), own)


def distilled(found: Tensor, taught: Tensor, sharpness: float = 1.0) -> Tensor:
    """KL divergence of the scores' softmax from the teacher's, both over a query's own ``[queries, ways]``.

    References
    ----------
    Santhanam et al., "ColBERTv2", NAACL 2022, sec. 3.2. arXiv:2112.01488.
    """
    wanted = log_softmax(sharpness * taught, dim=-1)
    return kl_div(log_softmax(found, dim=-1), wanted, reduction="batchmean", log_target=True)


def tune(
    retriever: Retriever, pairs: Sequence[Pair], settings: Settings, teacher: Teacher | None = None
) -> list[float]:
    """Fine-tune a retriever in place; the loss of each step.

    The loss is `pairwise`, or with a teacher `distilled`, of each query's own documents, and `among_batch`.
    Draws from torch's generator.

    Parameters
    ----------
    retriever : whose embeddings and adapters stay to the bit.
    pairs : with as many negatives each as they have.
    settings : see `Settings`.
    teacher : None to learn from the pairs alone.
    """
    freeze(retriever.model)
    trained = [parameter for parameter in retriever.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.rate, eps=1e-6)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, settings))
    drawn = _batches(pairs, settings.steps, settings.batch)
    losses = []
    retriever.train()
    with torch.enable_grad():
        for part in track(drawn, "fine-tuning"):
            loss = _loss(retriever, part, settings, teacher)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
    retriever.eval()
    return losses


def _loss(retriever: Retriever, pairs: Sequence[Pair], settings: Settings, teacher: Teacher | None) -> Tensor:
    ways = 1 + min(len(pair.negatives) for pair in pairs)
    texts = [texts_of(pair)[:ways] for pair in pairs]
    names = [[pair.id, *(wrong.id for wrong in pair.negatives)][:ways] for pair in pairs]
    queries = retriever.batch([pair.query for pair in pairs], "query")
    documents = retriever.batch([text for own in texts for text in own], "document")
    found = scores(retriever(queries), retriever(documents))
    own = ways * torch.arange(len(pairs))
    ours = found[torch.arange(len(pairs))[:, None], own[:, None] + torch.arange(ways)]
    if teacher is None:
        loss = pairwise(ours)
    else:
        taught = [teacher(pair.query, own) for pair, own in zip(pairs, texts, strict=True)]
        loss = distilled(ours, torch.stack(taught), settings.sharpness)
    if settings.in_batch:
        loss = loss + among_batch(found, own, _left_out(names))
    return loss


def _left_out(names: Sequence[Sequence[str]]) -> Tensor:
    """What `among_batch` leaves out, bool ``[queries, documents]``, from the names of queries' documents."""
    every = [name for own in names for name in own]
    same = torch.tensor([[name in own[:1] for name in every] for own in names])
    for query, own in enumerate(names):
        same[query, query * len(own) : (query + 1) * len(own)] = True
        same[query, query * len(own)] = False
    return same


def texts_of(pair: Pair) -> list[str]:
    """The document that answers, and those that do not."""
    return [pair.document, *(wrong.content for wrong in pair.negatives)]


def _batches(pairs: Sequence[Pair], steps: int, batch: int) -> list[list[Pair]]:
    """Pass after pass over the pairs, each in an order of its own."""
    size = min(batch, len(pairs))
    order: list[int] = []
    while len(order) < steps * size:
        order += torch.randperm(len(pairs)).tolist()
    return [[pairs[i] for i in order[at : at + size]] for at in range(0, steps * size, size)]


def _share(step: int, settings: Settings) -> float:
    """Of the peak learning rate."""
    warm_up = max(1, round(settings.warm_up * settings.steps))
    return min((step + 1) / warm_up, (settings.steps - step) / max(1, settings.steps - warm_up))

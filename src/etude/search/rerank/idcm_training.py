"""The three steps of training IDCM: passages, whole documents, then the fast model from the cross-encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from etude.progress import track
from etude.search.measures import measure
from etude.search.rerank.idcm_cascade import Cascade
from etude.search.rerank.idcm_course import Course, Lesson, Triple
from etude.search.rerank.idcm_losses import DISTILLATIONS, ranknet
from etude.search.rerank.idcm_reading import Reader, bm25
from etude.search.rerank.idcm_selector import Selector, embedder
from etude.search.rerank.idcm_windows import aggregate, best, by_document
from etude.search.runs import ranked

if TYPE_CHECKING:
    from etude.search.rerank.idcm import IDCM


WARM_UP = 10
"""Steps in which rates grow to what they are."""


@dataclass(frozen=True)
class Descent:
    """Training by AdamW that goes back to the best epoch once several have brought nothing.

    Parameters
    ----------
    method : its batch and its patience; without patience every epoch is gone through.
    title : what a progress bar calls it.
    epochs : at most.
    judge : how good the model is now; None where nothing was kept back to tell.
    """

    method: IDCM
    title: str
    epochs: int
    judge: Callable[[], float] | None

    def __call__(
        self,
        parts: Sequence[tuple[Sequence[nn.Parameter], float]],
        items: Callable[[int], Sequence[Any]],
        loss: Callable[[Sequence[Any]], Iterator[Tensor]],
    ) -> None:
        """Train parameters with their rates on an epoch's items, by the addends of each batch's loss."""
        groups: list[dict[str, Any]] = [{"params": parameters, "lr": rate} for parameters, rate in parts]
        trained = [parameter for parameters, _ in parts for parameter in parameters]
        optimizer = torch.optim.AdamW(groups)
        warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARM_UP))
        most, kept, waited = -math.inf, [p.detach().clone() for p in trained], 0
        for epoch in track(range(self.epochs), self.title):
            found = items(epoch)
            for at in range(0, len(found), self.method.batch):
                for addend in loss(found[at : at + self.method.batch]):
                    torch.autograd.backward(addend)
                nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                warm.step()
                optimizer.zero_grad(set_to_none=True)
            if self.method.patience and self.judge:
                value = self.judge()
                waited += 1
                if value > most:
                    most, kept, waited = value, [p.detach().clone() for p in trained], 0
                if waited == self.method.patience:
                    break
        if most > -math.inf:
            with torch.no_grad():
                for parameter, best_one in zip(trained, kept, strict=True):
                    parameter.copy_(best_one)


def taught(start: Cascade, lessons: Course, seed: int) -> Cascade:
    """Steps 1 and 2: the cross-encoder from pairs of passages, then with its weights from whole documents.

    Where the paper has passages that people judged, a relevant document's passage is the window that BM25
    finds best for the query, and another document's is any.
    """
    method, scorer, reader = start.method, start.scorer, start.reader
    weights, draw = nn.Parameter(torch.ones(method.top)), torch.Generator().manual_seed(seed)
    cascade = replace(start, weights=weights.data)
    scorer.train()

    def passages(triples: Sequence[Triple]) -> Iterator[Tensor]:
        better, worse = (reader.windows([lessons.tokens[d] for d in each]) for each in _documents(triples))
        queries = padded([triple.query for triple in triples], reader)
        likely = torch.cat(
            [bm25(t.query, reader.windows([lessons.tokens[t.better]]), start.idf) for t in triples]
        )
        any_one = torch.rand(len(worse), generator=draw)
        found, other = (
            reader(scorer, queries, windows.chosen(best(liking, windows.counts, 1)))
            for windows, liking in ((better, likely), (worse, any_one))
        )
        yield ranknet(found, other)

    def documents(triples: Sequence[Triple]) -> Iterator[Tensor]:
        for triple in triples:
            windows = reader.windows([lessons.tokens[triple.better], lessons.tokens[triple.worse]])
            scores = aggregate(reader(scorer, triple.query, windows), windows.counts, weights)
            yield ranknet(scores[:1], scores[1:]) / len(triples)

    everything = [([*scorer.parameters()], method.rate), ([weights], method.weight_rate)]
    for title, loss, parts, taken, epochs in (
        ("passages", passages, everything[:1], lessons.lessons, method.passage_epochs),
        ("documents", documents, everything, lessons.whole, method.document_epochs),
    ):
        descent = Descent(method, title, epochs, judge_of(cascade, lessons))
        descent(parts, partial(_drawn, taken, seed), loss)
    scorer.eval()
    return cascade


def _drawn(lessons: Sequence[Lesson], seed: int, epoch: int) -> list[Triple]:
    return Course.triples(lessons, seed + epoch)


def distilled(cascade: Cascade, lessons: Course, scores: Sequence[Tensor], seed: int) -> Selector:
    """Step 3: the fast model learns which windows the cross-encoder, which stays as it is, puts first.

    Parameters
    ----------
    scores : the cross-encoder's, of the windows of each of the course's ``pairs``.
    """
    method, reader, embed = cascade.method, cascade.reader, embedder(cascade.scorer)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        selector = Selector(cascade.scorer.config.hidden_size, method.selector)
    draw = torch.Generator().manual_seed(seed)
    pairs = lessons.pairs

    def loss(batch: Sequence[int]) -> Iterator[Tensor]:
        windows = reader.windows([lessons.tokens[pairs[i][1]] for i in batch])
        queries = padded([pairs[i][0].query for i in batch], reader)
        asked = queries != reader.tokenizer.pad_token_id
        with torch.no_grad():
            vectors = embed(queries), embed(windows.ids)
        student = selector(vectors[0], asked, vectors[1], windows.real, windows.owners)
        teacher = torch.cat([scores[i] for i in batch])
        yield DISTILLATIONS[method.loss](
            by_document(student, windows.counts), by_document(teacher, windows.counts), method.keep
        )

    whole = replace(cascade, selector=selector)
    descent = Descent(method, "windows", method.selector_epochs, judge_of(whole, lessons))
    descent(
        [([*selector.parameters()], method.selector_rate)],
        lambda epoch: torch.randperm(len(pairs), generator=draw).tolist(),
        loss,
    )
    return selector.eval()


def padded(queries: Sequence[Tensor], reader: Reader) -> Tensor:
    """Queries of several lengths, ``[queries, tokens]``."""
    return pad_sequence(list(queries), batch_first=True, padding_value=reader.tokenizer.pad_token_id)


def _documents(triples: Sequence[Triple]) -> tuple[list[str], list[str]]:
    """The relevant documents, and the others."""
    return [triple.better for triple in triples], [triple.worse for triple in triples]


def judge_of(cascade: Cascade, lessons: Course) -> Callable[[], float] | None:
    """What tells how good a cascade is now, if queries were kept back for it."""
    return partial(quality, cascade, lessons) if lessons.kept_back else None


def quality(cascade: Cascade, lessons: Course) -> float:
    """Mean nDCG@10 of the judged documents of the queries that were kept back."""
    run, qrels, training = {}, {}, cascade.scorer.training
    cascade.scorer.eval()
    for number, lesson in enumerate(lessons.kept_back):
        documents = [lessons.documents[d] for d in (*lesson.worse, *lesson.better)]
        scores = cascade.score(lesson.text, documents).documents
        run[str(number)] = ranked([document.id for document in documents], scores.tolist())
        qrels[str(number)] = dict.fromkeys(lesson.better, 1)
    cascade.scorer.train(training)
    return measure(run, qrels, ["nDCG@10"])["nDCG@10"]

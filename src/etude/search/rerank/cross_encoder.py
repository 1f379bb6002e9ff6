"""A cross-encoder: query and passage read together, one number out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from etude.method import method
from etude.models.likelihood import context_length, evaluating
from etude.models.scorer import load_scorer
from etude.progress import track
from etude.search.collection import Corpus, Judged, Run
from etude.search.embedder import BATCH_TOKENS
from etude.search.rerank.given import checked, checked_corpus
from etude.search.rerank.pairs import Pair, corpus_pairs, judged_pairs
from etude.search.rerank.pointwise import by_question
from etude.search.rerank.reranking import Asked, Ranking, Reranker
from etude.seeds import seeded

Count = Annotated[int, at.Ge(1)]


@method("cross-encoder", task="rerank")
class CrossEncoder:
    """Score each passage by an encoder that reads it together with the query, with one output.

    The model learns from judged queries: relevant documents, and others that the first stage found; without
    judged queries from the corpus itself: titles, or first sentences, with the rest of their document or of
    others. The loss is the binary cross-entropy. A model that is a cross-encoder already needs no training:
    ``epochs=0``.

    Parameters
    ----------
    model : a sequence classifier with one output, or an encoder that gets one, as for `etude.models.load`.
    length : tokens of query and passage together, at most; the passage is cut.
    negatives : documents that are not relevant, for each one that is.
    pairs : of the corpus to learn from at most, where there are no judged queries.
    epochs : of training over the pairs.
    rate : peak learning rate of AdamW, down to 0 in a line after a tenth of the steps.
    batch : pairs of a step.

    Raises
    ------
    InputError : if a field is out of range, the model is no cross-encoder, or what is given teaches nothing.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> corpus = [Document("a", "It flies. So do birds."), Document("b", "Read it. It is a book.")]
    >>> reranker = CrossEncoder(model="mini-bert", epochs=20, rate=1e-3).fit(corpus)
    >>> documents = [Document("a", "So do birds."), Document("b", "It is a book.")]
    >>> reranker.rank("Read it.", documents).order
    [1, 0]

    References
    ----------
    Nogueira and Cho, "Passage Re-ranking with BERT", 2019. arXiv:1901.04085.
    """

    model: str = "minilm"
    length: Annotated[int, at.Ge(8)] = 256
    negatives: Count = 4
    pairs: Count = 1000
    epochs: Annotated[int, at.Ge(0)] = 1
    rate: Annotated[float, at.Interval(gt=0)] = 2e-5
    batch: Count = 32

    def fit(
        self,
        corpus: Corpus,
        judged: Judged | None = None,
        run: Run | None = None,
        seed: int = 0,
    ) -> Reranker:
        """Train on judged queries and what the first stage finds for them, or on the corpus."""
        if judged is None:
            documents = [*checked_corpus(corpus).values()]
            pairs = corpus_pairs(documents, self.negatives, seed)[: self.pairs] if self.epochs else []
        else:
            pairs = judged_pairs(judged, checked(corpus, judged, run), run or {}, self.negatives, seed)
        return Reranker(self, self._taught(pairs, seed))

    def _taught(self, pairs: Sequence[Pair], seed: int) -> Reading:
        reading = Reading(*load_scorer(self.model, seed), self.length)
        if not self.epochs:
            return reading
        reading = replace(reading, model=copy.deepcopy(reading.model))
        optimizer = torch.optim.AdamW(reading.model.parameters(), lr=self.rate)
        steps = self.epochs * -(-len(pairs) // self.batch)
        share = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / (0.1 * steps + 1), (steps - step) / steps)
        )
        reading.model.train()
        with seeded(seed), torch.enable_grad():
            for _ in track(range(self.epochs), "training"):
                for part in torch.split(torch.randperm(len(pairs)), self.batch):
                    chosen = [pairs[place] for place in part.tolist()]
                    scores = reading.scores([pair.query for pair in chosen], [pair.text for pair in chosen])[
                        0
                    ]
                    right = torch.tensor([float(pair.relevant) for pair in chosen])
                    optimizer.zero_grad(set_to_none=True)
                    torch.autograd.backward(binary_cross_entropy_with_logits(scores, right))
                    optimizer.step()
                    share.step()
        reading.model.eval()
        return reading

    def engine(self, folder: Path | None = None) -> Reading:
        """See `etude.search.rerank.reranking.Method`."""
        return Reading(*load_scorer(self.model if folder is None else folder), self.length)


@dataclass(frozen=True)
class Reading:
    """Reads queries and passages together.

    Parameters
    ----------
    model : a sequence classifier with one output.
    tokenizer : its tokenizer.
    length : tokens of query and passage together, at most.
    """

    model: Any
    tokenizer: Any
    length: int
    fingerprint = ""

    def scores(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[Tensor, Tensor]:
        """One number for each pair, with gradients, and how many tokens it has: both ``[pairs]``."""
        encoded = self.tokenizer(
            list(queries),
            list(passages),
            truncation="longest_first",
            max_length=min(self.length, context_length(self.model) or self.length),
            padding=True,
            return_tensors="pt",
        )
        found: Tensor = self.model(**encoded).logits[:, 0]
        return found, encoded["attention_mask"].sum(1)

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        return by_question(asked, self._rank)

    @torch.no_grad()
    def _rank(self, query: str, passages: Sequence[str]) -> Ranking:
        order = sorted(range(len(passages)), key=lambda place: -len(passages[place]))
        found, read = torch.empty(len(passages)), 0
        with evaluating(self.model):
            for part in torch.split(torch.tensor(order), max(1, BATCH_TOKENS // self.length)):
                scores, tokens = self.scores([query] * len(part), [passages[i] for i in part.tolist()])
                found[part], read = scores, read + int(tokens.sum())
        return Ranking(found.tolist(), read, 0, 1)

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

"""SPLADE: a masked language model says which words of its vocabulary a text is about, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor

from etude.method import method
from etude.progress import track
from etude.search.collection import Corpus, Judged
from etude.search.late.pairs import Pair, pairs_of
from etude.search.late.training import contrast
from etude.search.retrieve.index import Index, build, held
from etude.search.retrieve.terms import TermEncoder, TermEngine
from etude.seeds import seeded

_SAMPLE = 64
"""Documents by which logits are shifted."""


@method("splade", task="retrieve")
class Splade:
    """Rank by the product of two sparse vectors over a masked language model's vocabulary.

    The weight of a term t is ``max_i log(1 + relu(logit_it))`` over a text's tokens i. Trained on questions
    with their documents (judged ones, or if there are none, titles and sentences of the corpus with their
    texts): cross-entropy over the documents of a batch, plus the FLOPS regulariser
    ``sum_t (mean_batch w_t)^2`` of questions and documents, whose weights rise quadratically over the first
    third of the steps. An inverted index keeps what is above zero.

    Parameters
    ----------
    model : a masked language model by name or folder; a trained SPLADE, with ``steps`` 0.
    steps : of training, >= 0; 0 for a model that is trained already.
    batch : pairs of a step, >= 2.
    learning_rate : of AdamW, > 0; falls linearly to zero.
    query_flops : weight of the regulariser for questions, >= 0.
    document_flops : weight of the regulariser for documents, >= 0.
    length : tokens that are read of a text, >= 3.
    terms : above zero in a document when training begins, >= 1: all logits are shifted by one number, which
        training on masked words leaves open (BERT's happens to be low, others' need not be).

    Raises
    ------
    InputError : naming ``model`` if it predicts no words.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> corpus = [Document("a", "a ship sails the sea", "Ship"), Document("b", "the king and queen", "King")]
    >>> list(Splade(steps=0).index(corpus).search({"q": "the ship"}, k=1)["q"])
    ['a']

    References
    ----------
    Formal et al., "SPLADE: Sparse Lexical and Expansion Model for First Stage Ranking", SIGIR 2021, and
    "SPLADE v2", 2021. arXiv:2107.05720, arXiv:2109.10086.
    """

    model: str = "nano-bert"
    steps: Annotated[int, at.Ge(0)] = 200
    batch: Annotated[int, at.Ge(2)] = 16
    learning_rate: Annotated[float, at.Gt(0)] = 5e-4
    query_flops: Annotated[float, at.Ge(0)] = 5e-5
    document_flops: Annotated[float, at.Ge(0)] = 3e-5
    length: Annotated[int, at.Ge(3)] = 128
    terms: Annotated[int, at.Ge(1)] = 64

    def index(self, corpus: Corpus, judged: Judged | None = None, seed: int = 0) -> Index:
        """Train the model, and index the corpus with it; without training, the corpus is read once only."""
        engine = self.engine()
        if not self.steps:
            return build(self, engine, corpus)
        documents = held(corpus)
        with seeded(seed):
            self.train(engine.encoder, pairs_of(documents, judged, seed))
        return build(self, TermEngine(engine.encoder, learnt=True), documents)

    def engine(self, folder: Path | None = None) -> TermEngine:
        """Encodes by the model that was trained, or by the one that is given."""
        encoder = TermEncoder.load(self.model if folder is None else folder, self.length)
        return TermEngine(encoder, learnt=folder is not None)

    def train(self, encoder: TermEncoder, pairs: Sequence[Pair]) -> list[float]:
        """Train an encoder in place on pairs of question and document; the loss of each step."""
        size, losses = min(self.batch, len(pairs)), []
        optimizer = torch.optim.AdamW(encoder.model.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=self.steps)
        encoder.level([pair.document for pair in pairs[:_SAMPLE]], self.terms)
        encoder.model.train()
        for step in track(range(self.steps), "training"):
            part = [pairs[place] for place in torch.randperm(len(pairs))[:size].tolist()]
            queries = encoder([pair.query for pair in part])
            documents = encoder([pair.document for pair in part])
            regulariser = self.query_flops * flops(queries) + self.document_flops * flops(documents)
            share = min(1.0, 3 * (step + 1) / self.steps) ** 2
            loss = contrast(queries @ documents.T, [pair.id for pair in part]) + share * regulariser
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(encoder.model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        encoder.model.eval()
        return losses


def flops(weights: Tensor) -> Tensor:
    """How many products a search takes: the mean weight of each term ``[texts, terms]``, squared and summed.

    Examples
    --------
    >>> flops(torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor(1.)
    """
    return weights.mean(0).square().sum()

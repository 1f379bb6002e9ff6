"""IDCM: a fast model chooses a document's windows, and a cross-encoder reads only those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import annotated_types as at

from etude.errors import InputError
from etude.method import method
from etude.search.collection import Corpus, Judged, Run
from etude.search.rerank.idcm_cascade import Cascade
from etude.search.rerank.idcm_losses import Distillation
from etude.search.rerank.idcm_selector import Kind
from etude.search.rerank.idcm_teacher import teacher
from etude.search.rerank.idcm_training import distilled
from etude.search.rerank.reranking import Reranker

Count = Annotated[int, at.Ge(1)]
Epochs = Annotated[int, at.Ge(0)]
Rate = Annotated[float, at.Interval(gt=0)]


@method("idcm", task="rerank", paper="idcm")
class IDCM:
    """Cut documents into windows, choose a few by a small model, and read those with a cross-encoder.

    A document of ``n`` windows costs one pass of the small model over all of them and ``keep`` passes of the
    cross-encoder, whatever ``n`` is. Its score is the sum of its ``top`` best window scores, each times a
    learnt weight of its rank.

    Training has three steps. The cross-encoder (ETM) learns from pairs of passages, then together with the
    weights from pairs of whole documents without any choice, both by RankNet. Then it stays as it is, and
    the small model (ESM), which shares its embedding layer, learns from the cross-encoder's scores of each
    window which windows it puts first. What the first two steps made is kept in the cache, for methods that
    differ in nothing else.

    Parameters
    ----------
    model : the cross-encoder: a sequence classifier with one output, or an encoder that gets one.
    keep : windows of a document that the cross-encoder reads.
    top : window scores that make up a document's.
    window : tokens of a window's own.
    overlap : tokens that it sees on either side.
    document : tokens of a document, at most.
    query : tokens of a query, at most.
    select : who chooses: the small model ("esm"); the "first" windows; "random" ones; those that "bm25"
        finds; or "all" are read.
    score : who scores: the cross-encoder ("etm"), or the small model alone ("esm").
    aggregation : "learned" weights, or the "max" of a document's windows (MaxP).
    selector : the small model: convolution and kernels ("ck"), the same with fewer features ("ck-small"), or
        a transformer layer and kernels ("tk").
    loss : of its training: NDCG-Loss2 on the ranks of the cross-encoder's ``keep`` best windows ("ndcg2"),
        the squared error of raw scores ("mse"), or the cross-entropy of distributions.
    passage_epochs : of the first step, at most.
    document_epochs : of the second step, at most.
    selector_epochs : of the third step, at most.
    whole : queries whose documents are read as a whole in the second and third step, at most; all by default.
    negatives : documents of a query that are not relevant and are learnt from, at most, the first of the run.
    batch : triples, or documents, of a step.
    rate : learning rate of the cross-encoder.
    weight_rate : of the weights.
    selector_rate : of the small model.
    patience : epochs without a better nDCG@10 on queries kept back after which a step ends; 0 for none.
    held_out : share of the queries that are kept back for that.

    Raises
    ------
    InputError : if a field is out of range, the model is no cross-encoder, or ``judged`` and ``run`` teach
        nothing.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> corpus = [
    ...     Document("a", "Much was said of ships. At last the harbour of Rome was opened by Claudius."),
    ...     Document("b", "Much was said of ships. At last nobody remembered any of it at all."),
    ... ]
    >>> judged = Judged({"q": "Who opened the harbour of Rome?"}, {"q": {"a": 1, "b": 0}})
    >>> few = dict(window=8, overlap=2, keep=1, patience=0, passage_epochs=1, document_epochs=1)
    >>> found = {"q": {"a": 2.0, "b": 1.0}}
    >>> reranker = IDCM(**few, selector_epochs=2).fit(corpus, judged, found, seed=0)
    >>> evidence = reranker.engine.evidence("Who opened the harbour of Rome?", corpus[0])
    >>> [passage.text in corpus[0].text for passage in evidence]
    [True]

    References
    ----------
    Hofstätter et al., "Intra-Document Cascading: Learning to Select Passages for Neural Document Ranking",
    SIGIR 2021. arXiv:2105.09816.
    """

    model: str = "mini-bert"
    keep: Count = 4
    top: Count = 3
    window: Count = 50
    overlap: Annotated[int, at.Ge(0)] = 7
    document: Count = 2000
    query: Count = 30
    select: Literal["esm", "first", "random", "bm25", "all"] = "esm"
    score: Literal["etm", "esm"] = "etm"
    aggregation: Literal["learned", "max"] = "learned"
    selector: Kind = "ck"
    loss: Distillation = "ndcg2"
    passage_epochs: Epochs = 25
    document_epochs: Epochs = 25
    selector_epochs: Epochs = 25
    whole: Annotated[int | None, at.Ge(1)] = None
    negatives: Count = 100
    batch: Count = 32
    rate: Rate = 7e-6
    weight_rate: Rate = 7e-4
    selector_rate: Rate = 7e-6
    patience: Annotated[int, at.Ge(0)] = 3
    held_out: Annotated[float, at.Interval(gt=0, lt=1)] = 0.1

    def fit(self, corpus: Corpus, judged: Judged, run: Run, seed: int = 0) -> Reranker:
        """Train the cross-encoder, then the model that chooses for it.

        Documents of the ``run`` that are not relevant are what relevant ones are set against.
        """
        taught = teacher(self, corpus, judged, run, seed)
        cascade = replace(taught.cascade, method=self)
        if "esm" in (self.select, self.score):
            selector = distilled(cascade, taught.course, taught.scores, seed)
            cascade = replace(cascade, selector=selector)
        return Reranker(self, cascade)

    def engine(self, folder: Path | None = None) -> Cascade:
        """See `etude.search.rerank.reranking.Method`."""
        if folder is None:
            raise InputError("reranker", "idcm ranks nothing before it has learnt")
        return Cascade.load(self, folder)

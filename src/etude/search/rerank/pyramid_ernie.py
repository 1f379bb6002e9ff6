"""Pyramid-ERNIE: a summary for the query, a pyramid that reads it, and clicks and anchors to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types as at
import torch

from etude.errors import InputError
from etude.method import method
from etude.models.loading import load
from etude.search.collection import Corpus, Judged, Run
from etude.search.rerank.click_calibration import Tree
from etude.search.rerank.idcm_course import checked
from etude.search.rerank.pyramid_scorer import Ranker, Scorer
from etude.search.rerank.pyramid_training import (
    finetuning,
    human_anchored,
    pairwise,
    pretraining,
    train,
)
from etude.search.rerank.quite import weights
from etude.search.rerank.reranking import Reranker

Count = Annotated[int, at.Ge(1)]


@method("pyramid-ernie", task="rerank", paper="pyramid-ernie")
class PyramidERNIE:
    """Read a query, a title and a few sentences chosen for the query; lower layers read these apart.

    QUITE chooses the sentences that cover the query's heaviest words. The encoder's lower layers read the
    query with the title, and the sentences, as two texts, and its upper layers read all together. The score
    is between 0 and 1.

    Training has two stages. Clicks on logged results are made grades 0 to 4 by a small tree, fitted on the
    labelled queries, and the encoder learns to keep pairs of different grades apart. Then it learns grades by
    people in the same way, and that a grade of y belongs near ``y / 5 + 0.1``, so that scores mean the same
    everywhere. Without a log of real clicks, clicks are simulated from grades.

    Parameters
    ----------
    model : an encoder of transformers with absolute positions.
    joint : "pyramid"; "full", one cross-encoder of all; or "towers", which never see each other.
    apart : share of the layers that read the texts apart in a pyramid.
    summary : what is read of a document's text: sentences that "quite" chooses, the "first" ones, "random"
        ones, or "none".
    sentences : of the summary, at most.
    decay : of a query word's weight for every chosen sentence that has it; 1 for none.
    query : tokens of a query, at most.
    title : tokens of a title, at most.
    length : tokens of a summary, at most.
    pretrain : grades of the first stage: "calibrated", or raw "clicks"; "none" leaves the stage out.
    log : a table of clicks (`etude.search.rerank.click_log`), or "simulated".
    labelled : share of the judged queries whose grades are known; of the others there are only clicks.
    tree : what makes clicks grades: "classes" or "regression".
    sessions : of a query that are simulated.
    bias : of simulated users to the upper places.
    noise : of simulated users.
    margin : of pairs.
    anchor : weight of the distance from the anchors; 0 for pairs alone.
    slack : squared distance from an anchor that costs nothing.
    pretrain_epochs : of the first stage.
    epochs : of the second.
    batch : queries of a step.
    listed : documents of a query in a step, at most.
    rate : learning rate of AdamW.

    Raises
    ------
    InputError : if a field is out of range, the model cannot be run as a pyramid, or what there is to learn
        from does not fit together.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> corpus = [
    ...     Document("a", "Much was said. The harbour of Rome was opened by Claudius.", "Rome"),
    ...     Document("b", "Much was said. Nobody remembered it.", "Rome"),
    ... ]
    >>> judged = Judged({"q": "harbour Claudius"}, {"q": {"a": 4, "b": 0}})
    >>> found = {"q": {"b": 2.0, "a": 1.0}}
    >>> method = PyramidERNIE(pretrain="none", epochs=30, rate=1e-3, sentences=1)
    >>> reranker = method.fit(corpus, judged, found, seed=0)
    >>> reranker.engine.summary("harbour Claudius", corpus[0])
    'The harbour of Rome was opened by Claudius.'
    >>> reranker.rank("harbour Claudius", corpus).order
    [0, 1]

    References
    ----------
    Zou et al., "Pre-trained Language Model based Ranking in Baidu Search", KDD 2021. arXiv:2105.11108.
    """

    model: str = "mini-bert"
    joint: Literal["pyramid", "full", "towers"] = "pyramid"
    apart: Annotated[float, at.Interval(ge=0, le=1)] = 0.75
    summary: Literal["quite", "first", "random", "none"] = "quite"
    sentences: Count = 5
    decay: Annotated[float, at.Interval(gt=0, le=1)] = 0.5
    query: Count = 32
    title: Count = 32
    length: Count = 128
    pretrain: Literal["calibrated", "clicks", "none"] = "calibrated"
    log: str = "simulated"
    labelled: Annotated[float, at.Interval(gt=0, le=1)] = 0.5
    tree: Tree = "classes"
    sessions: Count = 20
    bias: Annotated[float, at.Interval(ge=0)] = 1.0
    noise: Annotated[float, at.Interval(ge=0, le=0.5)] = 0.1
    margin: Annotated[float, at.Interval(ge=0)] = 0.1
    anchor: Annotated[float, at.Interval(ge=0)] = 0.7
    slack: Annotated[float, at.Interval(ge=0)] = 0.01
    pretrain_epochs: Annotated[int, at.Ge(0)] = 1
    epochs: Annotated[int, at.Ge(0)] = 1
    batch: Count = 8
    listed: Count = 10
    rate: Annotated[float, at.Interval(gt=0)] = 3e-5

    def fit(self, corpus: Corpus, judged: Judged, run: Run, seed: int = 0) -> Reranker:
        """Train in two stages."""
        documents = checked(corpus, judged, run)
        if self.log not in ("simulated",) and not Path(self.log).is_file():
            raise InputError("log", f"there is no file {self.log}, and it is not 'simulated'")
        encoder, tokenizer = load(self.model)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            scorer = self.scorer(encoder.base_model)
        words = weights(document.content for document in documents.values())
        ranker = Ranker(self, scorer, tokenizer, words)
        if self.pretrain != "none":
            groups = pretraining(self, ranker, documents, judged, run, seed)
            train(ranker, groups, pairwise(self), epochs=self.pretrain_epochs, seed=seed)
        groups = finetuning(self, ranker, documents, judged, seed)
        train(ranker, groups, human_anchored(self), epochs=self.epochs, seed=seed)
        return Reranker(self, ranker)

    def scorer(self, encoder: Any) -> Scorer:
        """An encoder, run as the fields say, under a new head."""
        layers = encoder.config.num_hidden_layers
        low = {"full": 0, "pyramid": round(self.apart * layers), "towers": layers}[self.joint]
        return Scorer(encoder, low, towers=self.joint == "towers")

    def engine(self, folder: Path | None = None) -> Ranker:
        """See `etude.search.rerank.reranking.Method`."""
        if folder is None:
            raise InputError("reranker", "pyramid-ernie ranks nothing before it has learnt")
        return Ranker.load(self, folder)

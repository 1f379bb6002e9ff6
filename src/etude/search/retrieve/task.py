"""Retrieval: a corpus in, an index out, judged by what it finds for questions it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.method import check_fields, takes
from etude.task import Metric

if TYPE_CHECKING:
    from etude.search.collection import Collection, Judged, Run
    from etude.search.retrieve.index import Index


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What retrievers index and are asked.

    Parameters
    ----------
    data : a named collection (adi, cacm, cisi, cranfield, npl), or a folder in the layout of BEIR.
    train : share of the judged queries to learn from, in [0, 1); a new draw for each seed.
    k : how many documents to find for a query.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    data: str = "cranfield"
    train: Annotated[float, at.Interval(ge=0, lt=1)] = 0.0
    k: Annotated[int, at.Ge(1)] = 100

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Retrieve:
    """The task: methods answer to ``index(corpus, judged, seed)``, or less of it, with an `Index`."""

    name: str = "retrieve"
    title: str = "retrieval"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("ndcg", "nDCG@10", "higher", digits=4, axis="quality"),
        Metric("recall_10", "recall@10", "higher", digits=4),
        Metric("recall", "recall@100", "higher", digits=4),
        Metric("mrr", "MRR", "higher", digits=4),
        Metric("p50_ms", "latency p50", "lower", unit="ms", axis="cost"),
        Metric("p95_ms", "latency p95", "lower", unit="ms"),
        Metric("index_mb", "index", "lower", unit="MB", axis="cost"),
    )
    baselines: tuple[str, ...] = ("bm25",)

    def open(self, inputs: Inputs) -> RetrieveCase:
        """Load the collection."""
        case = RetrieveCase(inputs)
        case.divided(seed=0)
        return case


class RetrieveCase:
    """A collection, loaded and checked."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def collection(self) -> Collection:
        """Documents, queries, judgements."""
        from etude.data.collections import load_collection

        return load_collection(self.inputs.data)

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the collection."""
        return {"data": self.collection.fingerprint}

    def divided(self, seed: int) -> tuple[Judged | None, Judged]:
        """Queries to learn from, None if there are to be none, and queries to be judged by."""
        from etude.search.division import shared

        return shared(self.collection, self.inputs.train, seed)

    def check(self, method: Any) -> None:
        """A method that learns from judgements needs some."""
        from etude.search.division import check_share

        check_share(method.index, {"judged"}, self.inputs.train, method.name)

    def trial(self, seed: int) -> RetrieveTrial:
        """The queries as this seed divides them."""
        return RetrieveTrial(self, seed)


class RetrieveTrial:
    """One retriever on the collection."""

    def __init__(self, case: RetrieveCase, seed: int) -> None:
        self.case, self.seed = case, seed
        self.train, self.test = case.divided(seed)
        self.index: Index | None = None
        self.run: Run = {}

    def apply(self, method: Any) -> None:
        """Index the corpus, with as much of the rest as the method takes."""
        given = {"corpus": self.case.collection.documents, "judged": self.train, "seed": self.seed}
        wanted = takes(method.index)
        self.index = method.index(**{name: value for name, value in given.items() if name in wanted})

    def score(self) -> Mapping[str, float]:
        """Ask the held-out queries one by one, and judge what was found."""
        from etude.search.latency import timed
        from etude.search.measures import measure

        index = self._done
        self.run, times = timed(lambda one: index.search(one, self.case.inputs.k), self.test.queries)
        found = measure(self.run, self.test.qrels)
        return {
            "ndcg": found["nDCG@10"],
            "recall_10": found["R@10"],
            "recall": found["R@100"],
            "mrr": found["RR"],
            "index_mb": index.bytes / 1e6,
            **times,
        }

    def save(self, folder: Path) -> None:
        """Write an index that `open_index` opens, and what it found, as a TREC file."""
        from etude.search.runs import write_run

        self._done.save(folder)
        write_run(folder / "run.trec", self.run)

    @property
    def _done(self) -> Index:
        if self.index is None:
            raise RuntimeError("apply has not been called")
        return self.index


TASK = Retrieve()

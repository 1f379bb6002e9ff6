"""Reranking: a reranker is fitted, and judged by the order it gives to what a first stage finds."""

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
    from etude.search.collection import Collection, Document, Judged, Run
    from etude.search.rerank.reranking import Reranker


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What rerankers learn from and are asked.

    Parameters
    ----------
    data : a named collection (adi, cacm, cisi, cranfield, npl), a folder in the layout of BEIR, or
        "topics-n", made up for small models, with n judged documents for each query.
    first : the retriever that finds the candidates.
    depth : how many candidates of a query are ranked.
    train : share of the judged queries to learn from, in [0, 1); a new draw for each seed.
    queries : how many of the other queries to ask at most, the first of them; 0 for all.
    shuffled : whether the candidates of the other queries are put in random order, to see what depends on it.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    data: str = "cranfield"
    first: str = "bm25"
    depth: Annotated[int, at.Ge(1)] = 100
    train: Annotated[float, at.Interval(ge=0, lt=1)] = 0.0
    queries: Annotated[int, at.Ge(0)] = 0
    shuffled: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Rerank:
    """The task: methods answer to ``fit(corpus, judged, run, seed)``, or less of it, with a `Reranker`.

    ``judged`` are the queries to learn from, ``run`` what the first stage finds for them.
    """

    name: str = "rerank"
    title: str = "reranking"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("ndcg", "nDCG@10", "higher", digits=4, axis="quality"),
        Metric("ndcg5", "nDCG@5", "higher", digits=4),
        Metric("rr", "RR@10", "higher", digits=4),
        Metric("ms", "a query", "lower", unit="ms", axis="cost"),
        Metric("read", "tokens read", "lower", digits=0, axis="cost"),
        Metric("generated", "tokens generated", "lower", digits=1),
        Metric("passes", "passes", "lower", digits=1),
        Metric("recall", "windows found", "higher", digits=3),
        Metric("spread", "spread of times", "lower", digits=3),
        Metric("pairs", "right : wrong pairs", "higher"),
        Metric("off_anchor", "off the anchor", "lower", digits=3),
    )
    baselines: tuple[str, ...] = ("first-stage",)

    def open(self, inputs: Inputs) -> RerankCase:
        """Load the collection, and find the first stage."""
        case = RerankCase(inputs)
        case.retriever()
        case.divided(seed=0)
        return case


class RerankCase:
    """A collection, loaded and checked; the first stage is asked once for each division of the queries."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._found: dict[int, Run] = {}

    @cached_property
    def collection(self) -> Collection:
        """Documents, queries, judgements."""
        from etude.data.collections import load_collection
        from etude.search.rerank import topics

        pool = topics.pool_of(self.inputs.data)
        return load_collection(self.inputs.data) if pool is None else topics.collection(pool=pool)

    @cached_property
    def documents(self) -> Mapping[str, Document]:
        """By identifier."""
        return {document.id: document for document in self.collection.documents}

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the collection."""
        return {"data": self.collection.fingerprint}

    def divided(self, seed: int) -> tuple[Judged | None, Judged]:
        """Queries to learn from, None if there are to be none, and queries to be judged by."""
        from etude.search.collection import Judged
        from etude.search.division import shared

        train, test = shared(self.collection, self.inputs.train, seed)
        asked = [*test.queries][: self.inputs.queries or None]
        return train, Judged({q: test.queries[q] for q in asked}, {q: test.qrels[q] for q in asked})

    def retriever(self) -> Any:
        """The first stage, with its defaults."""
        from etude.search import retrieve
        from etude.search.named import named

        return named(retrieve, self.inputs.first, "first")()

    def found(self, seed: int) -> Run:
        """What the first stage finds for all queries; it learns from those to learn from, if it learns."""
        if seed not in self._found:
            retriever, (train, _) = self.retriever(), self.divided(seed)
            given = {"corpus": self.collection.documents, "judged": train, "seed": seed}
            wanted = takes(retriever.index)
            index = retriever.index(**{name: value for name, value in given.items() if name in wanted})
            self._found[seed] = index.search(self.collection.queries, self.inputs.depth)
        return self._found[seed]

    def check(self, method: Any) -> None:
        """A method that learns from judgements needs some."""
        from etude.search.division import check_share

        check_share(method.fit, {"judged", "run"}, self.inputs.train, method.name)

    def trial(self, seed: int) -> RerankTrial:
        """The queries as this seed divides them."""
        self.found(seed)  # asked here, so that no reranker is charged for it
        return RerankTrial(self, seed)


class RerankTrial:
    """One reranker on the collection."""

    def __init__(self, case: RerankCase, seed: int) -> None:
        self.case, self.seed = case, seed
        self.train, self.test = case.divided(seed)
        self.reranker: Reranker | None = None
        self.run: Run = {}

    def apply(self, method: Any) -> None:
        """Fit the method, on as much as it takes."""
        found = self.case.found(self.seed)
        given = {
            "corpus": self.case.collection.documents,
            "judged": self.train,
            "run": {query: found[query] for query in self.train.queries} if self.train else None,
            "seed": self.seed,
        }
        wanted = takes(method.fit)
        self.reranker = method.fit(**{name: value for name, value in given.items() if name in wanted})

    def score(self) -> Mapping[str, float]:
        """Rerank the candidates of the held-out queries one by one, and judge the outcome."""
        from etude.search.latency import timed
        from etude.search.measures import measure
        from etude.search.rerank.reranking import rerank

        found, counts = self._candidates(), {}

        def reranked(one: Mapping[str, str]) -> Run:
            (query,) = one
            run, counts[query] = rerank(
                self._done, one, self.case.documents, {query: found[query]}, self.case.inputs.depth
            )
            return run

        self.run, times = timed(reranked, self.test.queries)
        quality = measure(self.run, self.test.qrels, ("nDCG@10", "nDCG@5", "RR@10"))
        mean = {
            name: sum(getattr(each, name) for each in counts.values()) / len(counts)
            for name in ("read", "generated", "passes")
        }
        asked = {
            query: (text, [self.case.documents[name] for name in [*found[query]][: self.case.inputs.depth]])
            for query, text in self.test.queries.items()
        }
        own = getattr(self._done.engine, "figures", None)  # an engine may have more to tell
        figures = dict(own(asked, self.run, self.test.qrels)) if own else {}
        figures |= {"ndcg": quality["nDCG@10"], "ndcg5": quality["nDCG@5"], "rr": quality["RR@10"]}
        return {**figures, "ms": times["p50_ms"], **mean}

    def _candidates(self) -> Run:
        """What the first stage found, as it stands or shuffled."""
        import random

        found, draw = self.case.found(self.seed), random.Random(self.seed)
        if not self.case.inputs.shuffled:
            return found
        return {
            query: {name: -float(place) for place, name in enumerate(draw.sample([*ranking], len(ranking)))}
            for query, ranking in found.items()
        }

    def save(self, folder: Path) -> None:
        """Write a reranker that `load_reranker` loads, and its run, as a TREC file."""
        from etude.search.runs import write_run

        self._done.save(folder)
        write_run(folder / "run.trec", self.run)

    @property
    def _done(self) -> Reranker:
        if self.reranker is None:
            raise RuntimeError("apply has not been called")
        return self.reranker


TASK = Rerank()

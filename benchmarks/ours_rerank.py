"""Candidates of NPL reranked by Etude, transformers, sentence-transformers: ``ours_rerank.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from etude import catalog
from etude.data.collections import load_collection
from etude.search.collection import Document
from etude.search.rerank.listwise import ranking_of
from etude.search.rerank.reranking import Asked, Counts, Ranking, Reranker
from etude.search.retrieve import BM25

PASSAGE = 25
"""Tokens of a passage that listwise rerankers read."""


def asked(job: dict[str, Any]) -> list[Asked]:
    """Questions of NPL and what BM25 finds for them."""
    collection = load_collection("npl")
    queries = dict([*collection.queries.items()][: job["queries"]])
    documents = {document.id: document for document in collection.documents}
    run = BM25().index(collection.documents).search(queries, job["depth"])
    return [(text, [documents[name] for name in run[query]]) for query, text in queries.items()]


def fitted(job: dict[str, Any]) -> Reranker:
    """The method as it is, without training."""
    cls = catalog.method(job["method"])
    wanted = {"passage": PASSAGE, "epochs": 0, **job}
    if cls.name == "maxsim":
        wanted["passage"] = 256
    method = cls(**{name: value for name, value in wanted.items() if name in cls.__dataclass_fields__})
    given = {"corpus": [Document("a", "text")]} if cls.name == "cross-encoder" else {}
    reranker: Reranker = method.fit(**given)
    return reranker


def by_transformers(reranker: Reranker) -> Callable[[str, Sequence[Document]], Ranking]:
    """The same prompts answered by `generate`, one question at a time."""
    engine: Any = reranker.engine

    def rank(query: str, documents: Sequence[Document]) -> Ranking:
        ids = torch.tensor([engine.prompt(query, documents)])
        limit = len(engine.target([*range(len(documents))]))
        with torch.no_grad():
            out = engine.causal.model.generate(ids, max_new_tokens=limit, do_sample=False)
        written = out[0, ids.shape[1] :]
        order = engine.listing.read(engine.causal.tokenizer.decode(written), len(documents))
        return ranking_of(order, [Counts(ids.shape[1], len(written), 1)])

    return rank


def by_sentence_transformers(reranker: Reranker) -> Callable[[str, Sequence[Document]], Ranking]:
    """Their cross-encoder on the same weights, with the same longest pair."""
    from sentence_transformers import CrossEncoder

    folder = Path(tempfile.mkdtemp()) / "saved"
    reranker.save(folder)
    peer = CrossEncoder(str(folder / "engine"), max_length=256)

    def rank(query: str, documents: Sequence[Document]) -> Ranking:
        return Ranking(peer.predict([(query, document.content) for document in documents]).tolist())

    return rank


def main() -> None:
    """Rank, time, count."""
    torch.set_num_threads(1)
    job = json.loads(Path(sys.argv[1]).read_text())
    questions, reranker = asked(job), fitted(job)
    peers = {"transformers": by_transformers, "sentence-transformers": by_sentence_transformers}
    rank = peers[job["by"]](reranker) if "by" in job else reranker.rank
    reranker.rank("warm", questions[0][1][:2])
    rankings, cpu, wall = [], time.process_time(), time.perf_counter()
    if job.get("at_once"):
        rankings = reranker.rank_all(questions)
    for query, documents in [] if rankings else questions:
        rankings.append(rank(query, documents))
    count = len(questions)
    result = {
        "CPU s a query": (time.process_time() - cpu) / count,
        "s a query": (time.perf_counter() - wall) / count,
        "tokens read": sum(ranking.read for ranking in rankings) / count,
        "generated": sum(ranking.generated for ranking in rankings) / count,
        "passes": sum(ranking.passes for ranking in rankings) / count,
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


main()

"""What every reranker is checked on."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from etude.search.collection import Document, Judged
from etude.search.rerank.reranking import Reranker, load_reranker, rerank
from etude.search.retrieve.checks import DOCUMENTS, QRELS, QUERIES
from etude.seeds import seeded
from etude.task import Example

RUN = {query: {document.id: -float(place) for place, document in enumerate(DOCUMENTS)} for query in QUERIES}
"""A first stage that finds all documents for every question, in the order of the corpus."""


@dataclass(frozen=True)
class RerankChecks:
    """See `etude.task.Checks`."""

    verb: str = "fit"
    edits: Sequence[str] = ()

    def settings(self, method: type[Any]) -> Mapping[str, Any]:
        """What makes learning short and models small, where a method has such fields."""
        fields = method.__dataclass_fields__
        small = {name: value for name, value in SMALL.items() if name in fields}
        if "model" in fields and fields["model"].default in TINY:
            small["model"] = TINY[fields["model"].default]()
        return small

    def examples(self) -> Sequence[Example]:
        """A few documents, one of them empty, and queries of several grades; one query alone."""
        return [
            Example("a few documents", _arguments()),
            Example("one query", _arguments(judged=_judged("q1"), run={"q1": RUN["q1"]})),
        ]

    def malformed(self) -> Sequence[Example]:
        """What is no corpus, no judged queries or no run of them."""
        first, *others = DOCUMENTS
        corpora: dict[str, Any] = {
            "nothing in it": [],
            "texts instead of documents": ["the wing", "the tail"],
            "no documents": 3,
            "a document twice": [first, *others, first],
        }
        judged: dict[str, Any] = {
            "none": None,
            "no query": Judged({}, {}),
            "a query without judgements": Judged(QUERIES, {"q1": QRELS["q1"]}),
            "no relevant document": Judged({"q1": QUERIES["q1"]}, {"q1": {"wing": 0}}),
            "a judged document that is not in the corpus": Judged({"q1": "wings"}, {"q1": {"nowhere": 1}}),
        }
        runs: dict[str, Any] = {
            "none": None,
            "of other queries": {"q9": RUN["q1"]},
            "documents that are not in the corpus": {query: {"nowhere": 1.0} for query in QUERIES},
        }
        return [
            *(Example(name, _arguments(corpus=bad), "corpus") for name, bad in corpora.items()),
            *(Example(name, _arguments(judged=bad), "judged") for name, bad in judged.items()),
            *(Example(name, _arguments(run=bad), "run") for name, bad in runs.items()),
        ]

    def identity(self, method: type[Any]) -> Mapping[str, Any] | None:
        """Nothing is changed, so there is no setting that would leave it unchanged."""
        return None

    def outcome(self, arguments: Mapping[str, Any], returned: Any) -> Any:
        """The reranker."""
        return returned

    def look(self, outcome: Any) -> Any:
        """How it ranks all candidates, the first three, one and none, one query at a time and together."""
        documents = {document.id: document for document in DOCUMENTS}
        seen = {str(depth): _permuted(outcome, documents, depth) for depth in (len(DOCUMENTS), 3, 1, 0)}
        if outcome.rank(QUERIES["q1"], []).scores:
            raise AssertionError("no candidates have scores")
        alone = {
            query: [*rerank(outcome, {query: text}, documents, {query: RUN[query]})[0][query]]
            for query, text in QUERIES.items()
        }
        if alone != {query: [*ranking] for query, ranking in seen[str(len(DOCUMENTS))].items()}:
            raise AssertionError("questions are answered in another way together than one by one")
        return {
            depth: {
                query: {"documents": [*found], "scores": [*found.values()]} for query, found in run.items()
            }
            for depth, run in seen.items()
        }

    def reload(self, outcome: Any, folder: Path) -> Reranker:
        """Save it, and load it from there."""
        outcome.save(folder)
        return load_reranker(folder, type(outcome.method))


def _permuted(outcome: Any, documents: Mapping[str, Document], depth: int) -> dict[str, dict[str, float]]:
    """The run reranked, if nothing is lost or doubled, and what lies deeper stays."""
    found, counts = rerank(outcome, QUERIES, documents, RUN, depth)
    for query, before in RUN.items():
        if sorted(found[query]) != sorted(before) or [*found[query]][depth:] != [*before][depth:]:
            raise AssertionError(f"{[*found[query]]} is no permutation of the first {depth} of {[*before]}")
    if min(counts.read, counts.generated, counts.passes) < 0 or (depth == 0 and any(vars(counts).values())):
        raise AssertionError(f"{counts} is not what {depth} candidates cost")
    return found


SMALL: dict[str, Any] = {
    "passage_epochs": 1,
    "document_epochs": 1,
    "selector_epochs": 1,
    "epochs": 1,
    "window": 4,
    "stride": 2,
}
"""Fields of methods, by name, with which they learn shortly."""


@cache
def tiny_decoder() -> str:
    """A folder with a language model of random weights that has room for a prompt of some passages."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from etude import models

    _, tokenizer = models.load("nano-llama")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    )
    with seeded(0):
        model = LlamaForCausalLM(config)
    folder = Path(tempfile.mkdtemp(prefix="etude-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    models.save(model, tokenizer, folder)
    return str(folder)


TINY: dict[str, Callable[[], str]] = {"smollm2": tiny_decoder, "minilm": lambda: "mini-bert"}
"""Small models that stand for the defaults of methods."""


def _judged(*names: str) -> Judged:
    chosen = names or tuple(QUERIES)
    return Judged({name: QUERIES[name] for name in chosen}, {name: QRELS[name] for name in chosen})


def _arguments(**others: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"corpus": list(DOCUMENTS), "judged": _judged(), "run": RUN, "seed": 0} | others


CHECKS = RerankChecks()

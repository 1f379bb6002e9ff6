"""Rerankers: a question and candidates in, the same candidates out, better ones first.

A method supplies an `Engine`, which scores candidates. All else is here: what is given is checked, nothing is
lost and nothing comes twice, equals stay as they stood, what was read and generated is counted, and the whole
can be saved.

    reranker.json        version, method and parameters, the engine's fingerprint
    engine/              what the engine has learnt, if anything
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from etude.errors import InputError
from etude.files import new_folder
from etude.method import parameters
from etude.search.collection import Document, Queries, Run
from etude.search.named import named
from etude.search.runs import ranked

VERSION = 1
MANIFEST = "reranker.json"
ENGINE = "engine"

Asked: TypeAlias = tuple[str, Sequence[Document]]
"""A question and its candidates, in the order in which the first stage has them."""


@dataclass(frozen=True)
class Ranking:
    """What a reranker thinks of the candidates of one question, and what it cost.

    Parameters
    ----------
    scores : one for each candidate, in the order in which they were given; higher is better.
    read : tokens that were put into a model, of all prompts together, as an API would bill them; what
        several prompts have in common counts in each, though it may be computed once.
    generated : tokens that came out of a model one after the other. The one whose logits are read, and
        that is never fed back, counts too.
    passes : calls of a model that had to wait for each other's outcome, generation counted as one.
    """

    scores: Sequence[float]
    read: int = 0
    generated: int = 0
    passes: int = 0

    @property
    def order(self) -> list[int]:
        """Positions of the candidates, best first; equals as they stood.

        Examples
        --------
        >>> Ranking([0.5, 2.0, 0.5]).order
        [1, 0, 2]
        """
        return sorted(range(len(self.scores)), key=lambda place: -self.scores[place])


@dataclass(frozen=True)
class Counts:
    """What reranking cost in all, as in `Ranking`.

    Examples
    --------
    >>> Counts.of([Ranking([1.0], read=3, passes=1), Ranking([], read=4)])
    Counts(read=7, generated=0, passes=1)
    """

    read: int = 0
    generated: int = 0
    passes: int = 0

    @classmethod
    def of(cls, rankings: Sequence[Ranking]) -> Counts:
        """The sums."""
        return cls(
            sum(each.read for each in rankings),
            sum(each.generated for each in rankings),
            sum(each.passes for each in rankings),
        )


class Engine(Protocol):
    """How a method ranks; made by it, with what it has learnt."""

    @property
    def fingerprint(self) -> str:
        """What identifies the model, if it is not saved with the reranker; else ""."""

    def rank(self, asked: Sequence[Asked]) -> Sequence[Ranking]:
        """A ranking for each question; all have a candidate at least. Work on several may be shared."""

    # It may have ``figures(asked, run, qrels)``: of the questions with their candidates, the run they were
    # ranked to and the judgements, figures of its own for the task's metrics.

    def save(self, folder: Path) -> None:
        """Write what was learnt (nothing, if nothing was) into an empty folder, for ``method.engine``."""


class Method(Protocol):
    """A method of the task; beside the verb ``fit``, it makes its engine again when it is loaded."""

    def engine(self, folder: Path | None = None) -> Engine:
        """The engine as `Engine.save` wrote it; None for one that has learnt nothing.

        Raises
        ------
        InputError : if the method cannot do without having learnt, or its model is not here.
        """


class Reranker:
    """Puts candidates in a better order; made by a method's ``fit``, or by `load_reranker`.

    Parameters
    ----------
    method : what made it.
    engine : what ranks.

    Examples
    --------
    >>> from etude.search.rerank import FirstStage
    >>> reranker = FirstStage().fit()
    >>> reranker.rank("wings?", [Document("a", "a wing"), Document("b", "a tail")]).order
    [0, 1]
    """

    def __init__(self, method: Any, engine: Engine) -> None:
        self.method = method
        self.engine = engine

    def rank(self, query: str, documents: Sequence[Document]) -> Ranking:
        """Rank the candidates of one question; none and a single one are fine.

        Raises
        ------
        InputError : naming ``query`` or ``documents`` if they are not text and documents.
        """
        return self.rank_all([(query, documents)])[0]

    def rank_all(self, asked: Sequence[Asked]) -> list[Ranking]:
        """Rank the candidates of several questions; what they have in common may be computed once.

        Raises
        ------
        InputError : naming ``query`` or ``documents`` if they are not text and documents.
        """
        for query, documents in asked:
            _check(query, documents)
        busy = [pair for pair in asked if pair[1]]
        found = iter(_checked(self.method.name, busy, self.engine.rank(busy)) if busy else ())
        return [next(found) if documents else Ranking([]) for _, documents in asked]

    def save(self, folder: str | Path) -> None:
        """Write it into a new or empty folder, for `load_reranker`."""
        manifest = {
            "version": VERSION,
            "method": self.method.name,
            "parameters": parameters(self.method),
            "fingerprint": self.engine.fingerprint,
        }
        with new_folder(Path(folder).expanduser()) as temporary:
            (temporary / ENGINE).mkdir()
            self.engine.save(temporary / ENGINE)
            (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def load_reranker(folder: str | Path, method: type[Any] | None = None) -> Reranker:
    """Load what `Reranker.save` wrote.

    Parameters
    ----------
    folder : where it lies.
    method : its class, for those of plug-ins.

    Raises
    ------
    InputError : naming ``reranker`` if there is none, it is damaged or of another version; ``model`` if it is
        of another model than the one found now.
    """
    path = Path(folder).expanduser()
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version, name, fields = manifest["version"], manifest["method"], manifest["parameters"]
        expected = manifest["fingerprint"]
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("reranker", f"{path} holds no reranker: {error}") from error
    if version != VERSION:
        raise InputError("reranker", f"{path} is of version {version}, this etude reads {VERSION}")
    from etude.search import rerank as package

    made = (method or named(package, name, "reranker"))(**values)
    learnt = path / ENGINE
    engine = made.engine(learnt if learnt.is_dir() and any(learnt.iterdir()) else None)
    if engine.fingerprint != expected:
        raise InputError("model", f"{path} is a reranker of another model than the one that {name} finds now")
    return Reranker(made, engine)


def rerank(
    reranker: Reranker,
    queries: Queries,
    documents: Mapping[str, Document],
    run: Run,
    depth: int = 100,
) -> tuple[dict[str, dict[str, float]], Counts]:
    """Rerank the first ``depth`` documents of every question of a run; the others follow as they stood.

    Parameters
    ----------
    reranker : what ranks.
    queries : the text of every question in the run.
    documents : by identifier, at least those that are to be ranked.
    run : what the first stage found, best first.
    depth : how many documents of a question are ranked.

    Returns
    -------
    (run, counts) : for every question a permutation of its documents, and what it cost in all. Documents
        behind ``depth`` have the lowest score and less.

    Raises
    ------
    InputError : naming ``depth`` if it is below 0, ``queries`` or ``documents`` if one of the run is missing.

    Examples
    --------
    >>> from etude.search.rerank import FirstStage
    >>> documents = {name: Document(name, "a text") for name in "abc"}
    >>> run = {"q": {"b": 3.0, "a": 2.0, "c": 1.0}}
    >>> rerank(FirstStage().fit(), {"q": "what"}, documents, run, depth=2)
    ({'q': {'b': 0.0, 'a': -1.0, 'c': -2.0}}, Counts(read=0, generated=0, passes=0))
    """
    if depth < 0:
        raise InputError("depth", f"{depth} is not 0 or more")
    if lacking := next((query for query in run if query not in queries), None):
        raise InputError("queries", f"lack the text of {lacking!r}")
    heads = {query: [*ranking][:depth] for query, ranking in run.items()}
    for name in (name for names in heads.values() for name in names):
        if name not in documents:
            raise InputError("documents", f"lack {name!r}, which the run names")
    rankings = reranker.rank_all(
        [(queries[query], [documents[name] for name in names]) for query, names in heads.items()]
    )
    found = {
        query: _followed(ranked(names, ranking.scores), [*run[query]][depth:])
        for (query, names), ranking in zip(heads.items(), rankings, strict=True)
    }
    return found, Counts.of(rankings)


def _followed(head: dict[str, float], tail: Sequence[str]) -> dict[str, float]:
    lowest = min(head.values(), default=0.0)
    return head | {name: lowest - step for step, name in enumerate(tail, start=1)}


def _check(query: Any, documents: Any) -> None:
    if not isinstance(query, str):
        raise InputError("query", f"{query!r:.60} is not text")
    if not isinstance(documents, Sequence) or isinstance(documents, str):
        raise InputError("documents", f"{documents!r:.60} is no list of documents")
    for document in documents:
        if not isinstance(document, Document):
            raise InputError("documents", f"{document!r:.60} is no Document")


def _checked(name: str, asked: Sequence[Asked], rankings: Sequence[Ranking]) -> Sequence[Ranking]:
    """What an engine gave, if it is what it promised."""
    sizes = [len(ranking.scores) for ranking in rankings]
    if sizes != [len(documents) for _, documents in asked]:
        raise RuntimeError(f"{name} does not give one score for each candidate")
    if not all(math.isfinite(score) for ranking in rankings for score in ranking.scores):
        raise RuntimeError(f"{name} gives a score that is not finite")
    return rankings

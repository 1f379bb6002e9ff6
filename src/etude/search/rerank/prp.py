"""Pairwise ranking prompting: which of two passages is the better one, asked both ways round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import annotated_types as at

from etude.method import method
from etude.models.fingerprint import fingerprint
from etude.search.collection import Document
from etude.search.rerank.causal import Causal
from etude.search.rerank.listwise import ranking_of
from etude.search.rerank.pointwise import shortened
from etude.search.rerank.reranking import Asked, Counts, Ranking, Reranker
from etude.search.rerank.sorting import bubbled, heap_sorted

Strategy = Literal["sliding", "heap", "all"]
TEMPLATE = (
    'Given a query "{query}", which of the following two passages is more relevant to the query?\n\n'
    "Passage A: {first}\n\nPassage B: {second}\n\nOutput Passage A or Passage B:"
)


@method("prp", task="rerank")
class PRP:
    """Compare passages two by two, and sort them by what a language model prefers.

    A pair is asked in both orders; a passage wins if the model names it both times, else the two are equal.
    What the model names is read off the logits of "A" and "B" behind ``Passage``.

    Parameters
    ----------
    model : a causal language model, as for `etude.models.load`.
    strategy : "sliding", so many passes of comparisons of neighbours from the end to the beginning; "heap", a
        heap sort for the first ``k``; or "all" pairs, where a win counts 1 and an equal pair a half for each.
    k : how many of the first are sorted, in passes or out of the heap.
    passage : tokens of a passage, at most.

    Raises
    ------
    InputError : if a field is out of range, or the model is no causal language model.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = PRP(model="nano-llama", strategy="all").fit()
    >>> documents = [Document(name, f"the {name}") for name in ("sea", "cat", "sky")]
    >>> ranking = reranker.rank("what is the cat", documents)
    >>> sorted(ranking.order), ranking.generated
    ([0, 1, 2], 6)

    References
    ----------
    Qin et al., "Large Language Models are Effective Text Rankers with Pairwise Ranking Prompting", Findings
    of NAACL 2024. arXiv:2306.17563.
    """

    model: str = "smollm2"
    strategy: Strategy = "sliding"
    k: Annotated[int, at.Ge(1)] = 10
    passage: Annotated[int, at.Ge(1)] = 300

    def fit(self) -> Reranker:
        """There is nothing to learn."""
        return Reranker(self, self.engine())

    def engine(self, folder: Path | None = None) -> Pairwise:
        """See `etude.search.rerank.reranking.Method`."""
        return Pairwise(Causal.load(self.model), self.strategy, self.k, self.passage, fingerprint(self.model))


@dataclass(frozen=True)
class Pairwise:
    """Sorts by comparisons; see `PRP`."""

    causal: Causal
    strategy: Strategy
    k: int
    passage: int
    fingerprint: str

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        return [self._rank(query, documents) for query, documents in asked]

    def _rank(self, query: str, documents: Sequence[Document]) -> Ranking:
        duel = Duel(self.causal, query, [shortened(self.causal, d.content, self.passage) for d in documents])
        count = len(documents)
        if self.strategy == "all":
            pairs = [*combinations(range(count), 2)]
            points = [0.0] * count
            for (first, second), won in zip(pairs, duel.won(pairs), strict=True):
                points[first] += won
                points[second] += 1 - won
            return Ranking(points, **vars(duel.spent))
        sorts = heap_sorted if self.strategy == "heap" else bubbled
        return ranking_of(sorts(range(count), self.k, duel.better), [duel.spent])

    def save(self, folder: Path) -> None:
        """Nothing has been learnt."""


class Duel:
    """Comparisons of one query's passages; each pair is asked once, however often it is needed."""

    def __init__(self, causal: Causal, query: str, passages: Sequence[str]) -> None:
        self.causal, self.query, self.passages = causal, query, passages
        self.spent = Counts()
        self._known: dict[tuple[int, int], float] = {}

    def won(self, pairs: Sequence[tuple[int, int]]) -> list[float]:
        """For each pair 1 if the first is preferred both ways round, 0 if the second is, else 0.5."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            prompts = [
                self._prompt(*ways) for first, second in new for ways in ((first, second), (second, first))
            ]
            a, b = (self.causal.ids(f" {name}")[-1] for name in "AB")
            ahead = self.causal.next_logits(prompts)[:, [a, b]].diff(dim=1)[:, 0].view(-1, 2)
            self.spent = Counts(
                self.spent.read + sum(map(len, prompts)),
                self.spent.generated + len(prompts),
                self.spent.passes + 1,
            )
            for (first, second), (one_way, other) in zip(new, ahead.tolist(), strict=True):
                won = 1.0 if one_way < 0 < other else 0.0 if other < 0 < one_way else 0.5
                self._known |= {(first, second): won, (second, first): 1 - won}
        return [self._known[pair] for pair in pairs]

    def better(self, first: int, second: int) -> bool:
        """Whether the first is to stand before the second: of equals, the one that stood there."""
        won = self.won([(first, second)])[0]
        return won == 1 or (won == 0.5 and first < second)

    def _prompt(self, first: int, second: int) -> list[int]:
        texts = {"first": self.passages[first], "second": self.passages[second]}
        return self.causal.prompt(TEMPLATE.format(query=self.query, **texts), opened="Passage")

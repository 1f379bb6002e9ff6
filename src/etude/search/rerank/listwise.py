"""Listwise reranking by a causal language model: windows of passages, each ranked by one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.rerank.causal import Causal
from etude.search.rerank.prompts import SYSTEM, Listing
from etude.search.rerank.reranking import Asked, Counts, Ranking
from etude.search.rerank.windows import Sorter, Window, slide

Answer = Literal["first-token", "generated"]


@dataclass(frozen=True)
class Listwise:
    """Ranks windows of passages, from the end of the list to its beginning.

    Windows of one step are asked together for all questions.

    Parameters
    ----------
    causal : the language model.
    listing : how passages are named and asked for.
    answer : "first-token", where the logits of the identifiers as the answer's first token are the scores, or
        "generated", where the ranking is written down token by token.
    window : passages of a window; None for all at once.
    stride : how far windows move.
    passage : tokens of a passage, at most; fewer where a window would not fit the model's context.
    fingerprint : of the model, if the reranker is not to be saved with it.
    learnt : whether the model is to be saved with the reranker.

    Raises
    ------
    InputError : naming ``stride`` if it is not less than ``window``, or as `identifiers` does.
    """

    causal: Causal
    listing: Listing
    answer: Answer
    window: int | None
    stride: int
    passage: int
    fingerprint: str = ""
    learnt: bool = False

    def __post_init__(self) -> None:
        if self.window is not None and self.stride >= max(self.window, 2):
            raise InputError("stride", f"{self.stride} is not less than the window, {self.window}")
        if self.answer == "first-token":
            self.identifiers(self.window or 1)

    @cached_property
    def _tokens(self) -> dict[int, list[int]]:
        return {}

    def identifiers(self, count: int) -> list[int]:
        """The tokens of the first identifiers, as they follow an opened bracket.

        Raises
        ------
        InputError : naming ``model`` if one is no token of its own, ``window`` if there are not so many.
        """
        if count not in self._tokens:
            opened = self.causal.ids("[")
            rows = [self.causal.ids(f"[{name}") for name in self.listing.names(count)]
            for name, row in zip(self.listing.names(count), rows, strict=True):
                if row[:-1] != opened:
                    raise InputError("model", f"its vocabulary has no token {name!r} behind a bracket")
            self._tokens[count] = [row[-1] for row in rows]
        return self._tokens[count]

    def answer_limit(self, count: int) -> int:
        """Tokens of an answer that names ``count`` passages, and its end."""
        return 1 if self.answer == "first-token" else len(self.target([*range(count)]))

    def target(self, order: Sequence[int]) -> list[int]:
        """Tokens of the right answer, its end included."""
        end = self.causal.tokenizer.eos_token_id
        return self.causal.ids(self.listing.answer(order)) + ([] if end is None else [end])

    def prompt(self, query: str, documents: Sequence[Document]) -> list[int]:
        """The question about a window, its passages cut until it fits the model.

        Raises
        ------
        InputError : naming ``window`` if it does not fit even without any passage.
        """
        count, budget = len(documents), self.passage
        # an answer that is learnt is the longest that may follow
        room = (
            None if self.causal.context is None else self.causal.context - len(self.target([*range(count)]))
        )
        rows = [self.causal.ids(document.content)[:budget] for document in documents]
        while True:
            passages = [self.causal.tokenizer.decode(row[:budget]) for row in rows]
            user = self.listing.question(query, passages)
            ids = self.causal.prompt(user, SYSTEM if self.listing.style == "instructions" else "")
            excess = 0 if room is None else len(ids) - room
            if excess <= 0:
                return ids
            if budget == 0:
                raise InputError(
                    "window", f"{count} passages do not fit the {self.causal.context} tokens of the model"
                )
            budget = max(0, min(budget, max(map(len, rows))) - max(1, excess // count))

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        spent: list[list[Counts]] = [[] for _ in asked]

        def sort(windows: Sequence[Window]) -> list[list[int]]:
            orders, counts = self.sorted(asked, windows)
            for each, count in zip(windows, counts, strict=True):
                spent[each.row].append(count)
            return orders

        orders = self._slid(asked, sort)
        return [ranking_of(order, counts) for order, counts in zip(orders, spent, strict=True)]

    def estimate(self, asked: Sequence[Asked]) -> Counts:
        """What ranking would cost, without asking the model: of windows as the lists stand now, at most.

        Which passages meet in a window, and whether an answer ends early, is only known afterwards.
        """
        spent: list[Counts] = []

        def sort(windows: Sequence[Window]) -> list[Sequence[int]]:
            for each in windows:
                limit = self.answer_limit(len(each.items))
                spent.append(Counts(len(self._prompt(asked, each)), limit, 1))
            return [each.items for each in windows]

        self._slid(asked, sort)
        return total(spent)

    def _slid(self, asked: Sequence[Asked], sort: Sorter) -> list[list[int]]:
        sizes = [len(documents) for _, documents in asked]
        if self.window is None:
            return slide([range(size) for size in sizes], sort, max(sizes, default=1), 1)
        return slide([range(size) for size in sizes], sort, self.window, self.stride)

    def _prompt(self, asked: Sequence[Asked], window: Window) -> list[int]:
        query, documents = asked[window.row]
        return self.prompt(query, [documents[item] for item in window.items])

    def sorted(
        self, asked: Sequence[Asked], windows: Sequence[Window]
    ) -> tuple[list[list[int]], list[Counts]]:
        """Each window's items, best first, and what it cost."""
        prompts = [self._prompt(asked, each) for each in windows]
        orders, generated = self._orders(prompts, [len(each.items) for each in windows])
        found = [[each.items[i] for i in order] for each, order in zip(windows, orders, strict=True)]
        return found, [
            Counts(len(prompt), count, 1) for prompt, count in zip(prompts, generated, strict=True)
        ]

    def _orders(
        self, prompts: Sequence[list[int]], sizes: Sequence[int]
    ) -> tuple[list[list[int]], list[int]]:
        """Each window's passages, best first, and how many tokens were generated for it."""
        if self.answer == "first-token":
            opened = self.causal.ids("[")
            logits = self.causal.next_logits([prompt + opened for prompt in prompts])
            scores = [row[self.identifiers(size)] for row, size in zip(logits, sizes, strict=True)]
            orders = [row.argsort(descending=True, stable=True).tolist() for row in scores]
            return orders, [1] * len(prompts)
        written = self.causal.generate(prompts, max(map(self.answer_limit, sizes)))
        texts = [self.causal.tokenizer.decode(row, skip_special_tokens=True) for row in written]
        orders = [self.listing.read(text, size) for text, size in zip(texts, sizes, strict=True)]
        return orders, [len(row) for row in written]

    def save(self, folder: Path) -> None:
        """Write the model, if it has learnt."""
        if self.learnt:
            self.causal.model.save_pretrained(folder)
            self.causal.tokenizer.save_pretrained(folder)


def ranking_of(order: Sequence[int], counts: Sequence[Counts]) -> Ranking:
    """An order of candidates as scores, 0 for the first and 1 less for each that follows.

    Examples
    --------
    >>> ranking_of([2, 0, 1], [Counts(read=5, passes=1), Counts(read=4, passes=1)])
    Ranking(scores=[-1.0, -2.0, 0.0], read=9, generated=0, passes=2)
    """
    scores = [0.0] * len(order)
    for rank, place in enumerate(order):
        scores[place] = 0.0 - rank
    return Ranking(scores, **vars(total(counts)))


def total(counts: Sequence[Counts]) -> Counts:
    """The sum."""
    return Counts(
        sum(each.read for each in counts),
        sum(each.generated for each in counts),
        sum(each.passes for each in counts),
    )

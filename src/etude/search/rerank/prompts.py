"""What a listwise reranker is asked, and how its answer is read.

The instructions are those that the checkpoints of RankZephyr and FIRST learnt with (castorini/rank_llm); the
terse form is for small models that were never taught to follow any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Literal

from etude.errors import InputError

Kind = Literal["letters", "numbers"]
Style = Literal["instructions", "terse"]

SYSTEM = (
    "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query"
)
_NAMES = {"letters": "an alphabetical", "numbers": "a numerical"}
_BEFORE = (
    "I will provide you with {count} passages, each indicated by {kind} identifier []. "
    "Rank the passages based on their relevance to the search query: {query}.\n"
)
_BEHIND = (
    "Search Query: {query}.\n"
    "Rank the {count} passages above based on their relevance to the search query. All the passages should "
    "be included and listed using identifiers, in descending order of relevance. The output format should be "
    "[] > [], e.g., {example}, Answer concisely and directly and only respond with the ranking results, do "
    "not say any word or explain."
)


@dataclass(frozen=True)
class Listing:
    """How passages are named and a ranking of them is asked for.

    Parameters
    ----------
    kind : of identifiers: "letters", A to Z and then a to z, or "numbers" from 1.
    style : of the question: the "instructions" of rank_llm, or "terse".

    Examples
    --------
    >>> listing = Listing("letters", "terse")
    >>> print(listing.question("wings", ["of a bird [3]", "of a plane"]))
    query: wings
    [A] of a bird (3)
    [B] of a plane
    query: wings
    ranking:
    >>> listing.answer([1, 0])
    '[B] > [A]'
    """

    kind: Kind = "letters"
    style: Style = "instructions"

    def names(self, count: int) -> list[str]:
        """The first identifiers.

        Raises
        ------
        InputError : naming ``window`` if there are not so many letters.
        """
        if self.kind == "numbers":
            return [str(number) for number in range(1, count + 1)]
        letters = ascii_uppercase + ascii_lowercase
        if count > len(letters):
            raise InputError("window", f"{count} passages are more than there are letters, {len(letters)}")
        return [*letters[:count]]

    def question(self, query: str, passages: Sequence[str]) -> str:
        """The user's turn: query, named passages, query."""
        lines = [
            f"[{name}] {plain(passage)}\n"
            for name, passage in zip(self.names(len(passages)), passages, strict=True)
        ]
        if self.style == "terse":
            return f"query: {plain(query)}\n{''.join(lines)}query: {plain(query)}\nranking:"
        words = {
            "query": plain(query),
            "count": len(passages),
            "kind": _NAMES[self.kind],
            "example": self.answer([1, 0]),
        }
        return _BEFORE.format(**words) + "".join(lines) + _BEHIND.format(**words)

    def answer(self, order: Sequence[int]) -> str:
        """A ranking as the model is to write it: positions of passages, best first."""
        names = self.names(max(order) + 1)
        return " > ".join(f"[{names[place]}]" for place in order)

    def read(self, text: str, count: int) -> list[int]:
        """The ranking that a text holds, made a permutation.

        Identifiers count in their order; those that come again or do not exist are dropped, those that are
        missing follow in the order in which they were given.

        Examples
        --------
        >>> Listing("numbers").read("[3] > [3] > [17] > [1", count=4)
        [2, 0, 1, 3]
        """
        places = {name: place for place, name in enumerate(self.names(count))}
        pattern = r"\d+" if self.kind == "numbers" else r"\b[A-Za-z]\b"
        found = [places[name] for name in re.findall(pattern, text) if name in places]
        return list(dict.fromkeys([*found, *range(count)]))


def plain(text: str) -> str:
    """A text on one line, in which numbers in brackets cannot be taken for identifiers.

    Examples
    --------
    >>> plain("as shown\\n in [12]")
    'as shown in (12)'
    """
    return re.sub(r"\[(\d+)\]", r"(\1)", " ".join(text.split()))

"""Whether an answer is right: exact match, overlap of words, containment; and whether passages hold it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from etude.search.collection import Document

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_OTHERS = re.compile(r"[^a-z0-9 ]")


def normalised(text: str) -> str:
    """An answer without case, punctuation, articles and superfluous spaces.

    As Rankify's metrics do it: whatever is no letter of a to z, digit or space goes, before articles do.
    Texts in other scripts therefore vanish.

    Examples
    --------
    >>> normalised("The  U.S. Army's")
    'us armys'
    """
    return " ".join(_ARTICLES.sub(" ", _OTHERS.sub("", text.lower())).split())


@dataclass(frozen=True)
class Quality:
    """How right an answer is, each in [0, 1], over the best of the accepted answers.

    Parameters
    ----------
    exact : whether it is one of them.
    f1, precision, recall : overlap of words with one of them, counting repetitions.
    contains : whether one of them stands in it.
    """

    exact: float
    f1: float
    precision: float
    recall: float
    contains: float


def quality(answer: str, accepted: Sequence[str]) -> Quality:
    """Judge an answer; an accepted answer of which normalisation leaves nothing is matched by nothing.

    Examples
    --------
    >>> quality("in Paris, France", ["Paris", "City of Light"])
    Quality(exact=0.0, f1=0.5, precision=0.3333333333333333, recall=1.0, contains=1.0)
    """
    given = normalised(answer)
    golds = [gold for gold in map(normalised, accepted) if gold]
    overlaps = [_overlap(given.split(), gold.split()) for gold in golds] or [(0.0, 0.0, 0.0)]
    f1, precision, recall = map(max, zip(*overlaps, strict=True))
    return Quality(
        exact=float(given in golds),
        f1=f1,
        precision=precision,
        recall=recall,
        contains=float(any(gold in given for gold in golds)),
    )


def _overlap(given: list[str], gold: list[str]) -> tuple[float, float, float]:
    common = (Counter(given) & Counter(gold)).total()
    if not common:
        return 0.0, 0.0, 0.0
    precision, recall = common / len(given), common / len(gold)
    return 2 * precision * recall / (precision + recall), precision, recall


def has_answer(passage: str, answers: Sequence[str]) -> bool:
    """Whether the tokens of an answer stand in a passage, one after the other, whatever their case.

    As DPR matches: NFD, then runs of letters, digits and marks, and every other visible character by itself.
    An answer without a token stands nowhere.

    Examples
    --------
    >>> has_answer("The Eiffel-Tower, in Paris.", ["eiffel - tower"]), has_answer("Parisian", ["Paris"])
    (True, False)
    """
    text = _tokens(passage)
    return any(len(answer) > 2 and answer in text for answer in map(_tokens, answers))


def _tokens(text: str) -> str:
    """Tokens between zero bytes, which no token holds, so that runs of tokens are found as substrings."""
    found = [match.group().lower() for match in _token().finditer(unicodedata.normalize("NFD", text))]
    return "\0" + "".join(token + "\0" for token in found)


@cache
def _token() -> Any:
    import regex  # knows Unicode's classes, which Python's own does not

    return regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def first_with_answer(passages: Sequence[Document], answers: Sequence[str]) -> int | None:
    """Rank, from 1, of the first passage that has an answer; None if none has."""
    ranks = (rank for rank, passage in enumerate(passages, 1) if has_answer(passage.text, answers))
    return next(ranks, None)


def top_k(ranks: Sequence[int | None], k: int) -> float:
    """Top-k accuracy: the share of questions with an answer among the first ``k`` passages.

    Examples
    --------
    >>> top_k([1, 3, None, 2], k=2)
    0.5
    """
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def majority(answers: Sequence[str]) -> str:
    """The answer that most of several are, normalised; the first as it stands, and the first of equals.

    Answers of which nothing is left have no vote unless there are no others.

    Examples
    --------
    >>> majority(["in 1066", "The 1067", "1067.", ""])
    'The 1067'
    """
    votes = Counter(norm for norm in map(normalised, answers) if norm)
    if not votes:
        return answers[0]
    winner = votes.most_common(1)[0][0]  # of equals the one that was met first
    return next(answer for answer in answers if normalised(answer) == winner)

"""QUITE: the sentences of a text that say most about a query, without any model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from etude.data.sentences import sentences
from etude.search.retrieve.words import Language, stemmer, stop_words

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Summary:
    """Sentences chosen for a query.

    Parameters
    ----------
    sentences : in the order in which they stand in the text.
    places : their places among the text's sentences, from 0.
    """

    sentences: tuple[str, ...]
    places: tuple[int, ...]

    @property
    def text(self) -> str:
        """The sentences, one after the other."""
        return " ".join(self.sentences)


def words(text: str, language: Language = "english") -> list[str]:
    """The stems of a text's words that are no stop words; the same for queries and for texts."""
    stem, left_out = stemmer(language), stop_words(language)
    return [stem(word) for word in _WORD.findall(text.lower()) if word not in left_out]


def weights(texts: Iterable[str], language: Language = "english") -> dict[str, float]:
    """How much each word tells: ``ln(1 + N / n)`` where n of N texts have it."""
    count, found = 0, Counter[str]()
    for text in texts:
        count += 1
        found.update(set(words(text, language)))
    return {word: float(np.log1p(count / number)) for word, number in found.items()}


def summarize(
    query: str,
    text: str | Sequence[str],
    weights: Mapping[str, float],
    *,
    decay: float = 0.5,
    budget: int = 3,
    language: Language = "english",
) -> Summary:
    """Choose sentences that cover a query: again and again the one whose query words weigh most.

    Once a sentence is chosen, its words weigh less, so that words that are not covered yet count more. It
    ends when the budget is spent, or no sentence that is left holds a query word. Takes as many steps as the
    text has words, and as there are sentences for each that is chosen.

    Parameters
    ----------
    query : what is asked.
    text : the body, or its sentences.
    weights : of words, such as `weights` gives; a word that is not there weighs as much as the heaviest.
    decay : factor of a word's weight for every chosen sentence that has it, in (0, 1]; 1 for no decay.
    budget : sentences at most.
    language : of stop words and stems.

    Returns
    -------
    Summary : chosen sentences in the order of the text; of equal ones the first is chosen.

    Examples
    --------
    >>> text = "Rome had a harbour and ships. Rome had a harbour. Claudius paid."
    >>> even = {"rome": 1.0, "harbour": 1.0, "claudius": 1.0}
    >>> summarize("Claudius, Rome, harbour", text, even, decay=0.4, budget=2).places
    (0, 2)
    >>> summarize("Claudius, Rome, harbour", text, even, decay=1.0, budget=2).places
    (0, 1)
    """
    found = sentences(text) if isinstance(text, str) else [*text]
    asked = {word: column for column, word in enumerate(dict.fromkeys(words(query, language)))}
    rare = max(weights.values(), default=1.0)
    weight = np.array([weights.get(word, rare) for word in asked])
    present = np.zeros((len(found), len(asked)), dtype=bool)
    for row, sentence in enumerate(found):
        present[row, [asked[word] for word in words(sentence, language) if word in asked]] = True
    left = np.ones(len(found), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(budget, len(found)):
        scores = np.where(left, present @ weight, 0.0)
        best = int(scores.argmax())
        if scores[best] <= 0:
            break
        chosen.append(best)
        left[best] = False
        weight = np.where(present[best], weight * decay, weight)
    chosen.sort()
    return Summary(tuple(found[place] for place in chosen), tuple(chosen))

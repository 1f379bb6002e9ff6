"""Vocabularies of several languages, with the marks of late interaction."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from etude.search import vocabulary
from etude.search.vocabulary import WORD

QUERY, DOCUMENT = "[Q]", "[D]"
"""The marks behind ``[CLS]`` that tell a query from a document."""
_MARKS = (QUERY, DOCUMENT)


def train(texts: Iterable[str], size: int) -> Any:
    """A vocabulary of all languages; see `etude.search.vocabulary.learn`."""
    return vocabulary.learn(texts, size, marks=_MARKS)


def extension(tokenizer: Any, texts: Iterable[str], size: int, first: int) -> Any:
    """A vocabulary of a language that is added later; see `etude.search.vocabulary.extension`."""
    return vocabulary.extension(tokenizer, texts, size, first, marks=_MARKS)


def special(tokenizer: Any) -> Any:
    """The tokenizer, with the marks of queries and documents among its special tokens."""
    return vocabulary.with_marks(tokenizer, _MARKS)


def punctuation(tokenizer: Any) -> list[int]:
    """Identifiers of tokens that are nothing but punctuation and symbols, of any script.

    Examples
    --------
    >>> tokenizer = train(["Was? «Nein» 1+1، ।"], size=60)
    >>> sorted(tokenizer.convert_ids_to_tokens(punctuation(tokenizer)))
    ['+', '?', '«', '»', '،', '।', '▁+', '▁?', '▁«', '▁»', '▁،', '▁।']
    """
    return sorted(
        number
        for token, number in tokenizer.get_vocab().items()
        if token not in tokenizer.all_special_tokens and _is_punctuation(token.removeprefix(WORD))
    )


def _is_punctuation(token: str) -> bool:
    return token != "" and all(unicodedata.category(character)[0] in "PS" for character in token)

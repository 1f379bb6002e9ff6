"""Which language a text is in, told text by text and always the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any


def detect(texts: Sequence[str], among: Sequence[str]) -> list[str]:
    """The likeliest language of each text.

    Parameters
    ----------
    texts : in any language.
    among : languages that may be named; those without an ISO 639-1 code that py3langid knows never are. A
        text without a letter, and every text if there is but one such language, is in the first.

    Examples
    --------
    >>> detect(["Where is the house?", "Wo ist das Haus?", "123"], ["en", "de", "made-up"])
    ['en', 'de', 'en']
    """
    known = tuple(language for language in among if language in _known())
    if len(known) < 2:
        return [among[0]] * len(texts)
    identify = _identifier(known).classify
    return [str(identify(text)[0]) if any(map(str.isalpha, text)) else among[0] for text in texts]


@cache
def _identifier(languages: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    if languages:
        identifier.set_languages(languages)
    return identifier


@cache
def _known() -> frozenset[str]:
    return frozenset(_identifier(()).labels)

"""Entity linking: texts with marked mentions in, the names of what they mean out."""

from __future__ import annotations

from etude.search.link.genre_link import GenreLink
from etude.search.link.languages import marginal
from etude.search.link.name_classes import NameClasses
from etude.search.link.name_towers import NameTowers
from etude.search.link.name_vectors import NameVectors
from etude.search.link.name_words import NameWords
from etude.search.link.window import marked

__all__ = [
    "GenreLink",
    "NameClasses",
    "NameTowers",
    "NameVectors",
    "NameWords",
    "marginal",
    "marked",
]

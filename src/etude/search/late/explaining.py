"""Why a document was found: for each token of the query, the token that answered it, or what was imputed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from etude.errors import InputError
from etude.search.late.search import retrieve
from etude.search.late.segment import Segment

if TYPE_CHECKING:
    from etude.search.late.encoder import TokenEncoder
    from etude.search.retrieve.index import Index

EQUAL = 1e-5
"""Between two computations of one similarity."""


@dataclass(frozen=True)
class Match:
    """What one token of a query brought.

    Parameters
    ----------
    token : of the query.
    similarity : that counted.
    answer : the token of the document, or "" where none was retrieved and the similarity is imputed.
    place : of that token in the document; -1 for none.
    """

    token: str
    similarity: float
    answer: str
    place: int

    @property
    def imputed(self) -> bool:
        """Whether no token of the document was retrieved."""
        return self.place < 0


def explain(index: Index, query: str, document: str) -> list[Match]:
    """The score of a document in an index of XTR, token by token; their mean similarity is the score.

    Parameters
    ----------
    index : made by `etude.search.retrieve.XTR`.
    query : text.
    document : its identifier.

    Raises
    ------
    InputError : naming ``index`` if it is another retriever's, ``ids`` if it has no such document.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> from etude.search.retrieve import XTR
    >>> documents = [Document("a", "The wing lifts the plane."), Document("b", "She lost her keys.")]
    >>> index = XTR(encoder="nano-bert", tokens=1).index(documents)
    >>> [(match.token, match.answer) for match in explain(index, "keys", "b")]
    [('[CLS]', ''), ('key', 'key'), ('##s', '##s'), ('[SEP]', '[SEP]')]
    """
    from etude.search.retrieve.xtr import XTR

    method = index.method
    if not isinstance(method, XTR):
        raise InputError("index", f"is of {method.name}; only XTR's scores are explained")
    text = index.documents([document])[0].content
    position = int(index.stored.positions([document])[-1])
    encoder: TokenEncoder = index.engine.encoder  # type: ignore[union-attr]
    segments = [Segment(index.folder / name, method.bits) for name in index.manifest.segments]
    vectors = encoder.encode([query], "query").vectors
    found = retrieve(segments, vectors, method.tokens, method.probes or None)
    row = found.matches[found.documents == position]
    values = row[0] if len(row) else found.floors
    distance, places = (_similarities(segments, vectors, position) - values).abs().min(0)
    places = torch.where(distance < EQUAL, places, -1)
    words = encoder.words(text, "document")
    return [
        Match(token, value, words[place] if place >= 0 else "", place)
        for token, value, place in zip(
            encoder.words(query, "query"), values.tolist(), places.tolist(), strict=True
        )
    ]


def _similarities(segments: Sequence[Segment], vectors: Tensor, position: int) -> Tensor:
    """Of all tokens of one document, in the order of its text, ``[tokens, query tokens]``."""
    for segment in segments:
        if position < len(segment):
            return segment.similarities(vectors, torch.tensor([position]))[0]
        position -= len(segment)
    raise IndexError(position)

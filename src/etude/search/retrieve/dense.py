"""Dense retrieval: one vector a text, by a model of sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.method import method
from etude.search.collection import Corpus
from etude.search.extra import require_extra
from etude.search.retrieve.index import Index, build
from etude.search.retrieve.vectors import Kind, Layout, VectorEngine

if TYPE_CHECKING:
    from etude.search.retrieve.vectors import Vectors


@method("dense", task="retrieve")
class Dense:
    """Rank by the inner product of one vector of the question with one of each document, both of length 1.

    Parameters
    ----------
    model : a folder or name of sentence-transformers, or "minilm".
    query_prefix : put before questions, as some models want it ("query: ").
    document_prefix : put before documents ("passage: ").
    kind : "flat" compares with all vectors, exactly; "hnsw" walks a graph; "ivf-pq" looks into some lists of
        short codes.
    links : of a vector in the graph, >= 2.
    build_effort : candidates kept while the graph is built, >= 1.
    effort : candidates kept while it is searched, >= 1.
    lists : of ivf-pq, >= 1; none for four times the square root of the number of documents.
    probes : lists that are looked into, >= 1.
    code : bytes of a vector in ivf-pq, >= 1; they divide the width.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> index = Dense().index([Document("a", "the wing of a bird"), Document("b", "a loan from a bank")])
    >>> list(index.search({"q": "how birds fly"})["q"])
    ['a', 'b']

    References
    ----------
    Reimers and Gurevych, "Sentence-BERT", EMNLP 2019; Douze et al., "The Faiss library", 2024.
    """

    model: str = "minilm"
    query_prefix: str = ""
    document_prefix: str = ""
    kind: Kind = "flat"
    links: Annotated[int, at.Ge(2)] = 32
    build_effort: Annotated[int, at.Ge(1)] = 200
    effort: Annotated[int, at.Ge(1)] = 100
    lists: Annotated[int | None, at.Ge(1)] = None
    probes: Annotated[int, at.Ge(1)] = 16
    code: Annotated[int, at.Ge(1)] = 48

    def index(self, corpus: Corpus) -> Index:
        """Index a corpus."""
        return build(self, self.engine(), corpus)

    def engine(self, folder: Path | None = None) -> VectorEngine:
        """Encodes by the model, which is not trained."""
        require_extra()
        encoder = SentenceEncoder(self.model, self.query_prefix, self.document_prefix)
        layout = {name: getattr(self, name) for name in Layout.__dataclass_fields__}
        return VectorEngine(encoder, Layout(**layout))


class SentenceEncoder:
    """A model of sentence-transformers with its prefixes; loaded when it is first used."""

    def __init__(self, name: str, query_prefix: str = "", document_prefix: str = "") -> None:
        from etude.models.fingerprint import fingerprint

        self._name = name
        self._prefixes = query_prefix, document_prefix
        self.fingerprint = fingerprint(name)

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        from etude.models.boundary import quiet
        from etude.models.loading import locate

        path, safe = str(locate(self._name)), {"use_safetensors": True}
        with quiet():
            return SentenceTransformer(path, device="cpu", local_files_only=True, model_kwargs=safe)

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, ``[texts, width]``."""
        return self._encode(self._prefixes[0], texts)

    def documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, ``[texts, width]``."""
        return self._encode(self._prefixes[1], texts)

    def _encode(self, prefix: str, texts: Sequence[str]) -> Vectors:
        found: Vectors = self._model.encode(
            [prefix + text for text in texts], normalize_embeddings=True, show_progress_bar=False
        )
        return found

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""

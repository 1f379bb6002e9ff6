"""Dense retrieval by passages that a language model makes up: HyDE."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zlib import crc32

import annotated_types as at
import numpy as np

from etude.method import method
from etude.search.collection import Corpus
from etude.search.extra import require_extra
from etude.search.retrieve.dense import SentenceEncoder
from etude.search.retrieve.index import Index, build
from etude.search.retrieve.vectors import Layout, VectorEngine
from etude.seeds import seeded

if TYPE_CHECKING:
    from etude.search.generator import Generator
    from etude.search.retrieve.vectors import Vectors

PROMPT = "Please write a passage to answer the question.\nQuestion: {question}\nPassage:"


@method("hyde", task="retrieve", paper="rankify", beside=("dense",))
class HyDE:
    """Let a language model write passages that might answer the question, and search near their mean.

    The vector of a question is the mean of its own and of those of the passages, which may be wrong in every
    fact and still lie where true ones do. Documents are indexed as by ``dense``. The same question always
    gets the same passages.

    Parameters
    ----------
    model : that makes the vectors: a folder or name of sentence-transformers, or "minilm".
    writer : the language model: a built-in one, a folder or a GGUF file.
    written : passages a question.
    tokens : of a passage, at most.
    temperature : of the draws, > 0.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> method = HyDE(writer="nano-llama", tokens=8)
    >>> index = method.index([Document("a", "the wing of a bird"), Document("b", "a loan from a bank")])
    >>> list(index.search({"q": "how do birds fly?"})["q"])
    ['a', 'b']

    References
    ----------
    Gao et al., "Precise Zero-Shot Dense Retrieval without Relevance Labels", ACL 2023. arXiv:2212.10496; as a
    retriever of Abdallah et al., "Rankify", 2025. arXiv:2502.02464.
    """

    model: str = "minilm"
    writer: str = "smollm2"
    written: Annotated[int, at.Ge(1)] = 1
    tokens: Annotated[int, at.Ge(1)] = 128
    temperature: Annotated[float, at.Interval(gt=0)] = 0.7

    def index(self, corpus: Corpus) -> Index:
        """Index a corpus; the writer is asked when questions are."""
        return build(self, self.engine(), corpus)

    def engine(self, folder: Path | None = None) -> VectorEngine:
        """Encodes by a model that is not trained."""
        require_extra()
        return VectorEngine(HypotheticalEncoder(self), Layout())


class HypotheticalEncoder:
    """Encodes documents as they are, and questions together with what might answer them."""

    def __init__(self, settings: HyDE) -> None:
        from etude.models.loading import locate

        locate(settings.writer)
        self._settings = settings
        self._encoder = SentenceEncoder(settings.model)
        self.fingerprint = self._encoder.fingerprint

    def documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, ``[texts, width]``."""
        return self._encoder.documents(texts)

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Means of the vectors of question and passages, brought to length 1, ``[texts, width]``."""
        means = []
        for text in texts:
            vectors = np.concatenate(
                [self._encoder.queries([text]), self._encoder.documents(self.passages(text))]
            )
            means.append(vectors.mean(0))
        stacked = np.stack(means)
        found: Vectors = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        return found

    def passages(self, question: str) -> list[str]:
        """What the language model writes; drawn under a seed that is the question's own."""
        settings = self._settings
        with seeded(crc32(question.encode())):
            (written,) = self._generator(
                [PROMPT.format(question=question)],
                tokens=settings.tokens,
                samples=settings.written,
                temperature=settings.temperature,
            )
        return [each.text for each in written]

    @cached_property
    def _generator(self) -> Generator:
        from etude.models.loading import load
        from etude.search.generator import Generator

        return Generator(*load(self._settings.writer))

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""

"""Linkers: by generating names, by common words, by vectors, and by a class for each name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from etude.search.constrained.namer import BATCH, Namer
from etude.search.constrained.rules import Candidates, Names
from etude.search.constrained.trie import Trie
from etude.search.embedder import Embedder
from etude.search.link.linker import Some, plain, top
from etude.search.link.reader import Reader


@dataclass(frozen=True)
class Generating:
    """Generates names, of a tree or of a few candidates.

    Parameters
    ----------
    names : the catalogue.
    namer : the model.
    beams : names that are generated for a text.
    """

    kind: ClassVar[str] = "generating"
    names: Sequence[str]
    namer: Namer
    beams: int

    def rank(self, texts: Sequence[str], k: int, candidates: Some | None = None) -> list[list[int]]:
        """The names that were generated."""
        beams = max(self.beams, k) if candidates is None else max(map(len, candidates))
        found = self.namer.generate(texts, self._rule(candidates), beams)
        places = [[place for one in row for place in self.trie.entries_of(one.tokens)] for row in found]
        if candidates is not None:
            places = [[p for p in row if p in some] for row, some in zip(places, candidates, strict=True)]
        return [row[:k] for row in places]

    def _rule(self, candidates: Some | None) -> Any:
        if candidates is None:
            return Names(self.trie, self.namer.end)
        batches = [candidates[at : at + BATCH] for at in range(0, len(candidates), BATCH)]
        return [
            Candidates([[self.spelled[place] for place in some] for some in batch], self.namer.end)
            for batch in batches
        ]

    def free(self, texts: Sequence[str]) -> list[str]:
        """What the model says when nothing is forbidden."""
        found = self.namer.generate(texts, None, self.beams)
        return [self.namer.text(row[0]) if row else "" for row in found]

    def with_names(self, names: Sequence[str]) -> Generating:
        """With other names, or more of them: nothing is learnt anew."""
        return replace(self, names=tuple(names))

    @cached_property
    def spelled(self) -> list[list[int]]:
        """Token ids of all names."""
        return self.namer.spell(self.names)

    @cached_property
    def trie(self) -> Trie:
        """Of all names."""
        return Trie.of(self.spelled)

    @property
    def nbytes(self) -> int:
        """Of the tree."""
        return self.trie.nbytes

    def save(self, folder: Path) -> None:
        """Write the model and its settings."""
        self.namer.save(folder / "model")
        (folder / "beams").write_text(f"{self.beams} {self.namer.name_tokens} {self.namer.length_penalty}")

    @classmethod
    def load(cls, folder: Path, names: Sequence[str]) -> Generating:
        """Read what `save` wrote."""
        beams, tokens, penalty = (folder / "beams").read_text().split()
        namer = Namer.load(folder / "model", name_tokens=int(tokens), length_penalty=float(penalty))
        return cls(names, namer, int(beams))


@dataclass(frozen=True)
class ByWords:
    """BM25 of a text's words over the names'."""

    kind: ClassVar[str] = "words"
    names: Sequence[str]

    def rank(self, texts: Sequence[str], k: int, candidates: Some | None = None) -> list[list[int]]:
        """Names with words of the text; then those without, as they come."""
        scores = [self._index.get_scores(self._words(plain(text))) for text in texts]
        return top(torch.from_numpy(np.stack(scores)), k, candidates)

    @cached_property
    def _index(self) -> Any:
        import bm25s

        index = bm25s.BM25()
        index.index([self._words(name) or [""] for name in self.names], show_progress=False)
        return index

    @staticmethod
    def _words(text: str) -> list[str]:
        return text.lower().split()

    @property
    def nbytes(self) -> int:
        """Of the scores of words."""
        return sum(array.nbytes for array in self._index.scores.values() if hasattr(array, "nbytes"))

    def save(self, folder: Path) -> None:
        """There is nothing but the names."""

    @classmethod
    def load(cls, folder: Path, names: Sequence[str]) -> ByWords:
        """Count anew."""
        return cls(names)


@dataclass(frozen=True)
class ByVectors:
    """The names whose vectors are nearest; of an encoder as it is.

    Parameters
    ----------
    names : the catalogue.
    encoder : of names and of texts, by name or folder.
    """

    kind: ClassVar[str] = "vectors"
    names: Sequence[str]
    encoder: str

    def rank(self, texts: Sequence[str], k: int, candidates: Some | None = None) -> list[list[int]]:
        """By cosine."""
        return top(self._embedder.encode([plain(text) for text in texts]) @ self.vectors.T, k, candidates)

    @cached_property
    def vectors(self) -> Tensor:
        """Of the names, ``[names, width]``."""
        return self._embedder.encode(list(self.names))

    @cached_property
    def _embedder(self) -> Embedder:
        return Embedder.load(self.encoder)

    @property
    def nbytes(self) -> int:
        """Of the vectors."""
        return self.vectors.numel() * 4

    def save(self, folder: Path) -> None:
        """Write the encoder's name."""
        (folder / "encoder").write_text(self.encoder, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, names: Sequence[str]) -> ByVectors:
        """Encode anew."""
        return cls(names, (folder / "encoder").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class ByTowers:
    """The names whose vectors are nearest, by an encoder that was trained for it.

    Parameters
    ----------
    names : the catalogue.
    reader : of names and of texts.
    """

    kind: ClassVar[str] = "towers"
    names: Sequence[str]
    reader: Reader

    def rank(self, texts: Sequence[str], k: int, candidates: Some | None = None) -> list[list[int]]:
        """By the product of vectors of length 1."""
        return top(self.reader.encode(texts) @ self.vectors.T, k, candidates)

    @cached_property
    def vectors(self) -> Tensor:
        """Of the names, ``[names, width]``."""
        return self.reader.encode(self.names)

    @property
    def nbytes(self) -> int:
        """Of the vectors."""
        return self.vectors.numel() * 4

    def save(self, folder: Path) -> None:
        """Write the encoder."""
        self.reader.save(folder)

    @classmethod
    def load(cls, folder: Path, names: Sequence[str]) -> ByTowers:
        """Read it; names are encoded anew."""
        return cls(names, Reader.load(folder))


@dataclass(frozen=True)
class ByClasses:
    """A weight vector for each name that there were mentions of; the others cannot be found.

    Parameters
    ----------
    names : the catalogue.
    reader : of texts.
    weights : of each name, ``[names, width]``; of one without mentions not a number.
    """

    kind: ClassVar[str] = "classes"
    names: Sequence[str]
    reader: Reader
    weights: Tensor = field(repr=False)

    def rank(self, texts: Sequence[str], k: int, candidates: Some | None = None) -> list[list[int]]:
        """By the product with a name's weights."""
        scores = (self.reader.encode(texts) @ self.weights.T).nan_to_num(-torch.inf)
        return top(scores, k, candidates)

    @property
    def nbytes(self) -> int:
        """Of the weights."""
        return self.weights.numel() * 4

    def save(self, folder: Path) -> None:
        """Write encoder and weights."""
        from safetensors.torch import save_file

        self.reader.save(folder)
        save_file({"weights": self.weights}, folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path, names: Sequence[str]) -> ByClasses:
        """Read what `save` wrote."""
        from safetensors.torch import load_file

        return cls(names, Reader.load(folder), load_file(folder / "weights.safetensors")["weights"])


KINDS: dict[str, Any] = {cls.kind: cls for cls in (Generating, ByWords, ByVectors, ByTowers, ByClasses)}
"""By what stands in their files."""

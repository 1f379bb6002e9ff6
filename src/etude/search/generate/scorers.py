"""What chooses among continuations: RankGen's encoder, the language model itself, or plain similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from etude.models.likelihood import context_length, evaluating
from etude.search.embedder import Embedder
from etude.search.generate.chunks import Candidate
from etude.search.generate.decoding import log_likelihoods
from etude.search.generate.dual import DualEncoder


@dataclass(frozen=True)
class Dual:
    """Dot product of the prefix's vector and the continuation's: see `DualEncoder`.

    Not normed, so that longer continuations may score higher: report lengths.

    Parameters
    ----------
    encoder : of both.
    """

    encoder: DualEncoder

    def read(self, prefixes: Sequence[str]) -> Tensor:
        """Vectors of the prefixes, ``[prefixes, width]``."""
        return self.encoder.encode(prefixes, "prefix")

    def score(self, read: Tensor, owners: Sequence[int], candidates: Sequence[Candidate]) -> Tensor:
        """``[candidates]``."""
        suffixes = self.encoder.encode([candidate.text for candidate in candidates], "suffix")
        return (read[list(owners)] * suffixes).sum(1)


@dataclass(frozen=True)
class Cosine:
    """Cosine of the vectors that an embedder of sentences gives prefix and continuation.

    Parameters
    ----------
    embedder : of both.
    """

    embedder: Embedder

    def read(self, prefixes: Sequence[str]) -> Tensor:
        """Vectors of the prefixes, ``[prefixes, width]``."""
        return self.embedder.encode(prefixes)

    def score(self, read: Tensor, owners: Sequence[int], candidates: Sequence[Candidate]) -> Tensor:
        """``[candidates]``."""
        return (read[list(owners)] * self.embedder.encode([each.text for each in candidates])).sum(1)


@dataclass(frozen=True)
class Likelihood:
    """Mean log-likelihood of a continuation's tokens behind the prefix, in nats.

    What a search has drawn comes with its likelihood; other texts are read by the model.

    Parameters
    ----------
    model, tokenizer : a causal language model and its tokenizer.
    """

    model: Any
    tokenizer: Any

    def read(self, prefixes: Sequence[str]) -> list[list[int]]:
        """Tokens of the prefixes."""
        return [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in prefixes]

    def score(
        self, read: Sequence[Sequence[int]], owners: Sequence[int], candidates: Sequence[Candidate]
    ) -> Tensor:
        """``[candidates]``."""
        scores = torch.tensor([(each.log_likelihood or 0.0) / (len(each.ids) + 1) for each in candidates])
        unread: dict[int, list[int]] = {}
        for place, (owner, each) in enumerate(zip(owners, candidates, strict=True)):
            if each.log_likelihood is None:
                unread.setdefault(owner, []).append(place)
        with evaluating(self.model):
            for owner, places in unread.items():
                scores[places] = self._means(read[owner], [candidates[place].text for place in places])
        return scores

    def _means(self, prefix: Sequence[int], texts: Sequence[str]) -> Tensor:
        rows = self.tokenizer([f" {text}" for text in texts], add_special_tokens=False)["input_ids"]
        counts = torch.tensor([len(row) for row in rows])
        limit = context_length(self.model)
        kept = prefix if limit is None else prefix[-(limit - int(counts.max())) :]
        return log_likelihoods(self.model, kept, rows) / counts

"""Texts as sparse weights of a vocabulary, in an inverted index: the engine of learned sparse retrieval."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from etude.errors import InputError
from etude.models.likelihood import context_length
from etude.search.collection import Document
from etude.search.embedder import batches
from etude.search.retrieve.words import summed, top

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.search.retrieve.found import Found
    from etude.search.retrieve.words import Floats

_BATCH = 1024
_ARRAYS = ("starts", "rows", "weights", "size")


@dataclass(frozen=True)
class TermEncoder:
    """A masked language model as a weigher of terms.

    Parameters
    ----------
    model : that predicts words.
    tokenizer : its tokenizer.
    length : tokens that are read of a text, special ones included.
    """

    model: Any
    tokenizer: Any
    length: int

    @classmethod
    def load(cls, name_or_path: str | Path, length: int) -> TermEncoder:
        """Load a model and its tokenizer.

        Raises
        ------
        InputError : naming ``model`` if there is no such model, or it predicts no words from both sides.
        """
        from etude import models

        model, tokenizer = models.load(name_or_path)
        if tokenizer is None or getattr(tokenizer, "mask_token_id", None) is None:
            raise InputError("model", f"{name_or_path} is no masked language model with a tokenizer")
        return cls(model, tokenizer, min(length, context_length(model) or length))

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Weights ``max_i log(1 + relu(logit_it))`` of each text, ``[texts, terms]``, all at least 0."""
        return self.largest(texts).relu().log1p()

    def largest(self, texts: Sequence[str]) -> Tensor:
        """The largest logit of each term over a text's tokens, ``[texts, terms]``."""
        rows = self.tokenizer(list(texts), truncation=True, max_length=self.length)["input_ids"]
        found: dict[int, Tensor] = {}
        for places, ids, mask in batches(rows, self.tokenizer.pad_token_id or 0):
            logits = self.model(input_ids=ids, attention_mask=mask).logits
            found |= zip(places, logits.masked_fill(mask[..., None] == 0, -torch.inf).amax(1), strict=True)
        return torch.stack([found[place] for place in range(len(rows))])

    @torch.no_grad()
    def level(self, texts: Sequence[str], terms: int) -> None:
        """Shift all logits by one number, so that texts have about so many terms above zero; edits the model.

        Training on masked words leaves this number open: softmax is the same whatever it is. Where it leaves
        most terms above zero, products are in the thousands, and the first steps of training kill the model.

        Raises
        ------
        InputError : naming ``model`` if its output has no bias to shift.
        """
        bias = getattr(self.model.get_output_embeddings(), "bias", None)
        if bias is None:
            raise InputError(
                "model", "has no bias of its output; take another, or a trained one with steps 0"
            )
        largest = self.largest(texts)
        bias -= largest.topk(min(terms + 1, largest.shape[1])).values[:, -1].mean()


class TermEngine:
    """The engine of `Splade`.

    Parameters
    ----------
    encoder : of documents and questions.
    learnt : whether it was trained, and so is kept in the index.
    """

    segment = 200_000

    def __init__(self, encoder: TermEncoder, learnt: bool) -> None:
        self.encoder = encoder
        self._learnt = learnt

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all weights."""
        total = hashlib.sha256(str(self.encoder.length).encode())
        for name, tensor in self.encoder.model.state_dict().items():
            total.update(name.encode())
            total.update(tensor.contiguous().numpy().data)
        return total.hexdigest()

    def write(self, documents: Iterable[Document], folder: Path) -> None:
        """Encode documents, and keep for each term the rows that have it, with its weights there."""
        source, parts, count = iter(documents), [np.empty((3, 0), np.float32)], 0
        while batch := [document.content for document in islice(source, _BATCH)]:
            with torch.no_grad():
                weights = self.encoder(batch)
            row, term = weights.nonzero(as_tuple=True)
            parts.append(
                torch.stack([(row + count).double(), term.double(), weights[row, term].double()]).numpy()
            )
            count += len(batch)
        row, term, weight = np.concatenate(parts, axis=1)
        order = np.argsort(term, kind="stable")
        terms = np.arange(self.encoder.model.config.vocab_size + 1)
        np.save(folder / "starts.npy", np.searchsorted(term[order], terms))
        np.save(folder / "rows.npy", row[order].astype(np.int32))
        np.save(folder / "weights.npy", weight[order].astype(np.float32))
        np.save(folder / "size.npy", np.array(count))

    def open(self, segments: Sequence[Path]) -> TermSearcher:
        """Open all segments."""
        return TermSearcher(self.encoder, [Impacts(folder) for folder in segments])

    def save(self, folder: Path) -> None:
        """The model, if it was trained."""
        from etude import models

        if self._learnt:
            models.save(self.encoder.model, self.encoder.tokenizer, folder)


class Impacts:
    """One segment: for each term the rows that have it, and its weights there."""

    def __init__(self, folder: Path) -> None:
        self.starts, self.rows, self.weights, size = (
            np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in _ARRAYS
        )
        self.size = int(size)

    def scores(self, terms: NDArray[np.int64], weights: NDArray[np.float32]) -> Floats:
        """Products of all documents with a question of these terms and weights, [documents]."""
        places = [slice(*self.starts[term : term + 2].tolist()) for term in terms.tolist()]
        rows = np.concatenate([_NO_ROWS, *(self.rows[place] for place in places)])
        own = np.concatenate([_NO_WEIGHTS, *(self.weights[place] for place in places)])
        factors = np.repeat(weights, [place.stop - place.start for place in places])
        return summed(rows, own * factors, self.size)


_NO_ROWS, _NO_WEIGHTS = np.empty(0, np.int32), np.empty(0, np.float32)


class TermSearcher:
    """Finds the documents that have the terms of a question."""

    def __init__(self, encoder: TermEncoder, segments: Sequence[Impacts]) -> None:
        self._encoder = encoder
        self._segments = segments

    def search(self, queries: Sequence[str], k: int) -> Found:
        """The ``k`` documents with the largest products, of those that share a term."""
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        with torch.no_grad():
            encoded = self._encoder(queries).numpy()
        for row, weights in enumerate(encoded):
            terms = np.flatnonzero(weights)
            totals = np.concatenate([segment.scores(terms, weights[terms]) for segment in self._segments])
            best = top(totals, k)
            positions[row, : len(best)] = best
            scores[row, : len(best)] = totals[best]
        return positions, scores

"""Late interaction as a reranker: each token of the query finds its likest in the passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import annotated_types as at
import torch
from torch import Tensor
from torch.nn.functional import normalize

from etude.method import method
from etude.models.fingerprint import fingerprint
from etude.models.likelihood import evaluating
from etude.search.embedder import Embedder, batches
from etude.search.rerank.pointwise import by_question
from etude.search.rerank.reranking import Asked, Ranking, Reranker


@method("maxsim", task="rerank")
class MaxSim:
    """Score each passage by the sum over the query's tokens of their largest cosine with one of its tokens.

    Parameters
    ----------
    model : an encoder, as for `etude.models.load`; it need not have been trained for this.
    passage : tokens of a passage, at most, special ones included.

    Raises
    ------
    InputError : if a field is out of range, or the model is no encoder with a tokenizer.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = MaxSim(model="minilm").fit()
    >>> reranker.rank("a fast car", [Document("a", "of the sea"), Document("b", "quick vehicles")]).order
    [1, 0]

    References
    ----------
    Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction
    over BERT", SIGIR 2020. arXiv:2004.12832.
    """

    model: str = "minilm"
    passage: Annotated[int, at.Ge(3)] = 256

    def fit(self) -> Reranker:
        """There is nothing to learn."""
        return Reranker(self, self.engine())

    def engine(self, folder: Path | None = None) -> Tokens:
        """See `etude.search.rerank.reranking.Method`."""
        embedder = Embedder.load(self.model)
        return Tokens(embedder, min(self.passage, embedder.window), fingerprint(self.model))


@dataclass(frozen=True)
class Tokens:
    """Compares texts token by token; see `MaxSim`."""

    embedder: Embedder
    window: int
    fingerprint: str

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        return by_question(asked, self._rank)

    @torch.no_grad()
    def _rank(self, query: str, passages: Sequence[str]) -> Ranking:
        (asking,) = self.embedder.ids([query])
        rows = self.embedder.ids(passages, self.window)
        wanted = self._states(torch.tensor([asking]), torch.ones(1, len(asking), dtype=torch.long))[0]
        found = torch.empty(len(rows))
        for places, ids, mask in batches(rows, self.embedder.tokenizer.pad_token_id or 0):
            cosines = wanted @ self._states(ids, mask).transpose(1, 2)
            found[places] = cosines.masked_fill(mask[:, None] == 0, -torch.inf).amax(2).sum(1)
        return Ranking(found.tolist(), len(asking) + sum(map(len, rows)), 0, 1)

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token vectors of length 1, ``[texts, length, width]``."""
        with evaluating(self.embedder.model):
            states = self.embedder.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return normalize(states, dim=2)

    def save(self, folder: Path) -> None:
        """Nothing has been learnt."""

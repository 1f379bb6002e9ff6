"""XTR's objective: in a batch, only those tokens count that a query token would retrieve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.late.encoder import TokenEncoder
from etude.search.late.pairs import Pair
from etude.search.late.readings import Readings
from etude.search.late.scoring import xtr_scores
from etude.search.late.training import check_training, train

Count = Annotated[int, at.Ge(1)]
Positive = Annotated[float, at.Interval(gt=0)]


@method("xtr-loss", task="late", paper="xtr")
class XTRLoss:
    """Train a projection so that query tokens retrieve tokens of the right documents.

    Cross-entropy over all documents of a batch, hard negatives included. A query token's best similarity to a
    document counts only if it is among its ``tokens`` largest over all tokens of all these documents; the
    sum is divided by the number of query tokens for which any of the document's tokens is.

    Parameters
    ----------
    tokens : that a query token retrieves from a batch.
    steps : of AdamW, whose rate falls linearly to zero.
    batch : pairs of query and document in a step.
    rate : of learning, at the beginning.
    temperature : by which scores are divided.

    Raises
    ------
    InputError : if the encoder has no projection, or there are no pairs.

    Examples
    --------
    >>> import torch
    >>> encoder = TokenEncoder.load("nano-bert", width=16)
    >>> pairs = [Pair("a ship", "The ship sailed.", "1"), Pair("her dress", "She wore silk.", "2")]
    >>> trained = XTRLoss(steps=20, tokens=4).train(encoder, pairs)
    >>> asked = trained.encode(["a ship"], "query")
    >>> texts = trained.encode(["The ship sailed.", "She wore silk."], "document")
    >>> xtr_scores(asked, texts, k=4).argmax().item()
    0

    References
    ----------
    Lee et al., "Rethinking the Role of Token Retrieval in Multi-Vector Retrieval", NeurIPS 2023.
    arXiv:2304.01982.
    """

    tokens: Count = 320
    steps: Annotated[int, at.Ge(0)] = 200
    batch: Count = 32
    rate: Positive = 1e-3
    temperature: Positive = 0.05

    def train(
        self, encoder: TokenEncoder, pairs: Sequence[Pair], readings: Readings | None = None
    ) -> TokenEncoder:
        """An encoder with another projection; the one given stays as it is."""
        check_training(encoder, pairs)
        trained = encoder.copied()
        train(
            trained,
            pairs,
            partial(xtr_scores, k=self.tokens),
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            temperature=self.temperature,
            readings=readings,
        )
        return trained

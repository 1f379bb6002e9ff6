"""ColBERT's objective: the best match of every query token counts, however far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.late.encoder import TokenEncoder
from etude.search.late.pairs import Pair
from etude.search.late.readings import Readings
from etude.search.late.scoring import maxsim
from etude.search.late.training import check_training, train

Positive = Annotated[float, at.Interval(gt=0)]


@method("colbert-loss", task="late")
class ColBERTLoss:
    """Train a projection so that the mean best match of query tokens is highest in the right document.

    Cross-entropy over all documents of a batch, hard negatives included.

    Parameters
    ----------
    steps : of AdamW, whose rate falls linearly to zero.
    batch : pairs of query and document in a step.
    rate : of learning, at the beginning.
    temperature : by which scores are divided.

    Raises
    ------
    InputError : if the encoder has no projection, or there are no pairs.

    Examples
    --------
    >>> encoder = TokenEncoder.load("nano-bert", width=16)
    >>> pairs = [Pair("a ship", "The ship sailed.", "1"), Pair("her dress", "She wore silk.", "2")]
    >>> trained = ColBERTLoss(steps=20).train(encoder, pairs)
    >>> asked = trained.encode(["a ship"], "query")
    >>> texts = trained.encode(["The ship sailed.", "She wore silk."], "document")
    >>> maxsim(asked, texts).argmax().item()
    0

    References
    ----------
    Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late
    Interaction over BERT", SIGIR 2020. arXiv:2004.12832.
    """

    steps: Annotated[int, at.Ge(0)] = 200
    batch: Annotated[int, at.Ge(1)] = 32
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
            maxsim,
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            temperature=self.temperature,
            readings=readings,
        )
        return trained

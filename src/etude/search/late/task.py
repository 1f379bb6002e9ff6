"""Late interaction: a projection of token states is learnt, and judged by what few retrieved tokens find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.method import check_fields, takes
from etude.task import Metric

if TYPE_CHECKING:
    from etude.search.collection import Collection, Judged
    from etude.search.late.encoder import TokenEncoder
    from etude.search.late.pairs import Pair
    from etude.search.late.readings import Readings

TOKENS = (10, 50, 200, 1000)
"""Tokens that a query token retrieves; beside all of them, which is exact."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a token encoder is trained and judged on.

    Parameters
    ----------
    encoder : whose last states are projected: a model by name, or a folder.
    width : of the token vectors.
    data : a named collection (adi, cacm, cisi, cranfield, npl), or a folder in the layout of BEIR.
    train : share of the judged queries to learn from, in (0, 1); a new draw for each seed.
    negatives : hard ones of each pair of query and document, from BM25.
    length : tokens that are read of a document.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    encoder: str = "minilm"
    width: Annotated[int, at.Ge(1)] = 128
    data: str = "cranfield"
    train: Annotated[float, at.Interval(gt=0, lt=1)] = 0.5
    negatives: Annotated[int, at.Ge(0)] = 1
    length: Annotated[int, at.Ge(4)] = 128

    def __post_init__(self) -> None:
        check_fields(self)


def _at(tokens: int) -> list[Metric]:
    return [Metric(f"ndcg_{tokens}", f"nDCG@10, {tokens} tokens", "higher", digits=4)]


@dataclass(frozen=True)
class Late:
    """The task: methods answer to ``train(encoder, pairs, readings)`` with an encoder.

    Queries that were not trained on are searched exactly. A query token retrieves 10, 50, 200 or 1,000 tokens
    and the rest is imputed as XTR does, or all, which is ColBERT's score.
    """

    name: str = "late"
    title: str = "late interaction"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("ndcg_all", "nDCG@10, all tokens", "higher", digits=4, axis="quality"),
        *(metric for tokens in TOKENS for metric in _at(tokens)),
        Metric("lost_10", "lost with 10", "lower", digits=4),
        Metric("kept_200", "kept with 200", "higher", digits=3),
        Metric("relevant_10", "relevant of 10", "higher", digits=3),
        Metric("relevant_200", "relevant of 200", "higher", digits=3),
        Metric("flops_ratio", "products saved with 200", "higher", unit="×", digits=0),
        Metric("time_ratio", "time saved with 200", "higher", unit="×", digits=1),
        Metric("spread", "spread of similarities", None, digits=3),
    )
    baselines: tuple[str, ...] = ("untrained-tokens", "colbert-loss")

    def open(self, inputs: Inputs) -> LateCase:
        """Load the collection and the encoder."""
        case = LateCase(inputs)
        case.divided(seed=0)
        _ = case.encoder
        return case


class LateCase:
    """A collection and an encoder, whose states of all texts are made once and kept in the cache."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def collection(self) -> Collection:
        """Documents, queries, judgements."""
        from etude.data.collections import load_collection

        return load_collection(self.inputs.data)

    @cached_property
    def encoder(self) -> TokenEncoder:
        """Without projection."""
        from etude.search.late.encoder import TokenEncoder

        return TokenEncoder.load(self.inputs.encoder, document_length=self.inputs.length)

    @cached_property
    def readings(self) -> Readings:
        """The encoder's states of all queries and documents."""
        from etude.search.late.readings import Readings

        documents = [document.content for document in self.collection.documents]
        return Readings.kept(self.encoder, [*self.collection.queries.values()], documents)

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the collection and the encoder."""
        return {"data": self.collection.fingerprint, "encoder": self.encoder.fingerprint}

    def divided(self, seed: int) -> tuple[Judged, Judged]:
        """Queries to learn from, and queries to be judged by."""
        from etude.search.collection import Judged
        from etude.search.division import divided

        return divided(Judged(self.collection.queries, self.collection.qrels), self.inputs.train, seed)

    def pairs(self, seed: int) -> list[Pair]:
        """What is learnt from, the same for all methods under a seed."""
        from etude.search.late.pairs import pairs_of

        train = self.divided(seed)[0]
        return pairs_of(self.collection.documents, train, seed, self.inputs.negatives)

    def start(self) -> TokenEncoder:
        """The encoder with the projection that every method begins with, which is always the same."""
        from etude.search.late.training import principal

        encoder = self.encoder.copied()
        encoder.projection = principal(self.readings.states["document"].vectors, self.inputs.width)
        return encoder

    def check(self, method: Any) -> None:
        """Every method trains every encoder."""

    def trial(self, seed: int) -> LateTrial:
        """The queries as this seed divides them."""
        return LateTrial(self, seed)


class LateTrial:
    """One way of training."""

    def __init__(self, case: LateCase, seed: int) -> None:
        self.case = case
        self.test = case.divided(seed)[1]
        self.given = {"encoder": case.start(), "pairs": case.pairs(seed), "readings": case.readings}
        self.trained: TokenEncoder | None = None

    def apply(self, method: Any) -> None:
        """Train, from the same pairs and the same projection for all methods."""
        wanted = takes(method.train)
        self.trained = method.train(**{name: v for name, v in self.given.items() if name in wanted})

    def score(self) -> Mapping[str, float]:
        """Search for the held-out queries, with few tokens and with all."""
        from etude.search.late.judging import judged

        documents = [document.id for document in self.case.collection.documents]
        return judged(self._done, self.case.readings, self.test, documents, TOKENS)

    def save(self, folder: Path) -> None:
        """Write a folder that ``sentence_transformers.MultiVectorEncoder`` loads."""
        from etude.search.late.encoder import write_encoder

        write_encoder(self._done, folder)

    @property
    def _done(self) -> TokenEncoder:
        if self.trained is None:
            raise RuntimeError("apply has not been called")
        return self.trained


TASK = Late()

"""Training token encoders on pairs: the other documents of a batch are what a query must not find."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from etude.errors import InputError
from etude.progress import track
from etude.search.collection import Document
from etude.search.late.encoder import Kind, TokenEncoder
from etude.search.late.pairs import Pair
from etude.search.late.readings import Readings
from etude.search.late.tokens import Tokens

Score = Callable[[Tokens, Tokens], Tensor]
"""Scores ``[queries, documents]`` of a batch's queries and documents."""

SAMPLE = 65536
"""Token states that give the principal directions."""


def train(
    encoder: TokenEncoder,
    pairs: Sequence[Pair],
    score: Score,
    *,
    steps: int,
    batch: int,
    rate: float,
    temperature: float,
    whole: bool = False,
    readings: Readings | None = None,
) -> list[float]:
    """Raise the score of each query's document over all other documents of the batch; edits the encoder.

    Cross-entropy of ``scores / temperature``, AdamW without weight decay, the rate falling linearly to zero.
    A document with the same identifier as the right one is left out. Draws from torch's generator.

    Parameters
    ----------
    encoder : to be trained; without a projection, ``whole`` must be set.
    pairs : drawn without replacement, pass after pass.
    score : ColBERT's `maxsim`, or XTR's `xtr_scores` with its number of tokens.
    steps, batch : number of steps, and pairs in each.
    rate : of learning, at the beginning.
    temperature : of scores, which are means of cosines.
    whole : whether to train the transformer too, or the projection alone, on states that are made once.
    readings : these states, if they are at hand.

    Returns
    -------
    list of float : the loss of each step.
    """
    batches = _batches(pairs, steps, batch)
    if not whole and readings is None:
        seen = _texts([pair for part in batches for pair in part])
        readings = Readings.of(encoder, *([*dict.fromkeys(texts)] for texts in seen[:2]))
    trained = encoder.parameters() if whole else _projection(encoder).parameters()
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=max(1, steps))
    encoder.train(whole)
    losses = []
    with torch.enable_grad():
        for part in track(batches, "training"):
            queries, documents, owners = _texts(part)
            asked = _encoded(encoder, queries, "query", readings)
            scores = score(asked, _encoded(encoder, documents, "document", readings))
            loss = contrast(scores / temperature, owners)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
    encoder.eval()
    return losses


def contrast(logits: Tensor, owners: Sequence[str]) -> Tensor:
    """Cross-entropy of each query's own document, which has its number, over all documents of the batch.

    Parameters
    ----------
    logits : ``[queries, documents]``, documents of the queries first, then negatives.
    owners : identifiers of the documents; none is a negative of itself.
    """
    numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
    own = torch.tensor([numbers[owner] for owner in owners])
    right = torch.arange(len(logits))
    same = (own[: len(logits), None] == own) & (right[:, None] != torch.arange(len(own)))
    return cross_entropy(logits.masked_fill(same, -torch.inf), right)


def principal(states: Tensor, width: int) -> nn.Linear:
    """A projection onto the directions in which states ``[tokens, hidden]`` have most of their square length.

    Of all projections onto so many directions it keeps products of states best.
    """
    some = states[torch.linspace(0, len(states) - 1, min(len(states), SAMPLE)).long()]
    directions = torch.linalg.eigh(some.T @ some).eigenvectors.flip(1)[:, :width]
    layer = nn.Linear(len(directions), width, bias=False)
    layer.weight = nn.Parameter(directions.T.contiguous())
    return layer


def check_training(encoder: TokenEncoder, pairs: Sequence[Pair]) -> None:
    """Raise `InputError` unless there is a projection to train, and pairs to train it on."""
    if encoder.projection is None:
        raise InputError("encoder", "has no projection to train; load it with a width")
    if isinstance(pairs, str) or not isinstance(pairs, Sequence) or not pairs:
        raise InputError("pairs", "are not a list of one or more pairs")
    for number, pair in enumerate(pairs):
        if not isinstance(pair, Pair):
            raise InputError("pairs", f"number {number} is {type(pair).__name__}, not a Pair")


def _encoded(encoder: TokenEncoder, texts: Sequence[str], kind: Kind, readings: Readings | None) -> Tokens:
    if readings is not None:
        states = readings(texts, kind)
        return Tokens(encoder.project(states.vectors), states.lengths)
    rows = encoder.ids(texts, kind)
    padded = encoder(rows)
    lengths = torch.tensor([len(row) for row in rows])
    states = padded[torch.arange(padded.shape[1]) < lengths[:, None]]
    return Tokens(encoder.project(states), lengths)


def _texts(pairs: Sequence[Pair]) -> tuple[list[str], list[str], list[str]]:
    """Queries, documents with all negatives behind, and what the documents are."""
    negatives = [document for pair in pairs for document in pair.negatives]
    documents = [pair.document for pair in pairs] + _contents(negatives)
    owners = [pair.id for pair in pairs] + [document.id for document in negatives]
    return [pair.query for pair in pairs], documents, owners


def _contents(documents: Sequence[Document]) -> list[str]:
    return [document.content for document in documents]


def _batches(pairs: Sequence[Pair], steps: int, batch: int) -> list[list[Pair]]:
    """Pass after pass over the pairs, each in an order of its own."""
    size = min(batch, len(pairs))
    order: list[int] = []
    while len(order) < steps * size:
        order += torch.randperm(len(pairs)).tolist()
    return [[pairs[i] for i in order[at : at + size]] for at in range(0, steps * size, size)]


def _projection(encoder: TokenEncoder) -> nn.Linear:
    if encoder.projection is None:
        raise ValueError("an encoder without projection is trained as a whole")
    return encoder.projection

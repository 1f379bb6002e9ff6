"""Binary pre-training: masked tokens and pairs of passages, beside a teacher in full precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from etude.compress.binarize.encoder import Predictions, check_encoder, predict
from etude.data.masked import IGNORED, check_tokens, mask, next_passages
from etude.errors import InputError
from etude.models.calibration import check_calibration
from etude.models.likelihood import context_length

PAIR_TOKENS = 3
"""Special tokens of a pair of passages: one in front, one behind each."""


def check_corpus(model: Any, corpus: Mapping[str, Tensor], tokenizer: Any) -> None:
    """Raise `InputError` unless plain segments of tokens can become pairs that ``model`` can read."""
    check_encoder(model)
    check_tokens(tokenizer)
    check_calibration(model, corpus, "corpus", predicts=True)
    ids, limit = corpus["input_ids"], context_length(model)
    if limit is not None and ids.shape[1] + PAIR_TOKENS > limit:
        raise InputError(
            "corpus",
            f"segments of {ids.shape[1]} tokens and {PAIR_TOKENS} special ones are more than the "
            f"model's {limit} positions",
        )
    if "attention_mask" in corpus and not bool(corpus["attention_mask"].all()):
        raise InputError("corpus", "has padding; give whole segments")


def batches(
    corpus: Mapping[str, Tensor], tokenizer: Any, draw: torch.Generator, *, size: int, steps: int
) -> Iterator[dict[str, Tensor]]:
    """Pairs of passages with masked tokens: in a new order, and masked anew, in every epoch."""
    ids = corpus["input_ids"].long()
    left = ids[:0]
    for _ in range(steps):
        while len(left) < size:
            left = torch.cat([left, ids[torch.randperm(len(ids), generator=draw)]])
        batch, left = left[:size], left[size:]
        yield mask(next_passages(batch, tokenizer, draw), tokenizer, draw)


def seeded_generator() -> torch.Generator:
    """A generator of its own, seeded by torch's: what else is drawn does not change what it gives."""
    return torch.Generator().manual_seed(int(torch.randint(2**31, (1,))))


def pretraining_loss(model: Any, batch: dict[str, Tensor], teacher: Any | None = None) -> Tensor:
    """Cross-entropy of masked tokens and of pairs; with a teacher, what separates the two models as well.

    That is the cross-entropy of the pairs' logits with the teacher's (temperature 1, mean over pairs and
    classes), and the mean over the embeddings and all blocks of ``mean (h - h_teacher)^2``. A model
    without a head for pairs goes without them.
    """
    chosen = batch["labels"] != IGNORED
    found = predict(model, batch, chosen, hidden=teacher is not None)
    loss = functional.cross_entropy(found.tokens, batch["labels"][chosen])
    if found.pairs is not None:
        loss = loss + functional.cross_entropy(found.pairs, batch["next_sentence_label"])
    if teacher is not None:
        with torch.no_grad():
            taught = predict(teacher, batch, torch.zeros_like(chosen), hidden=True)
        loss = loss + distance(found, taught)
    return loss


def distance(student: Predictions, teacher: Predictions) -> Tensor:
    """What separates a student's hidden states and pairs from its teacher's."""
    states = zip(student.hidden, teacher.hidden, strict=True)
    total = torch.stack([functional.mse_loss(own, other) for own, other in states]).mean()
    if student.pairs is not None and teacher.pairs is not None:
        total = total - (teacher.pairs.softmax(-1) * student.pairs.log_softmax(-1)).mean()
    return total


def optimise(
    model: nn.Module, losses: Iterable[Tensor], *, learning_rate: float, steps: int, warm_up: int
) -> None:
    """AdamW without decay of weights, the rate rising over ``warm_up`` steps and falling to 0 from there.

    Parameters
    ----------
    model : whose parameters are trained, those that ask for gradients.
    losses : one for each step, computed only when its turn comes.
    learning_rate : at its peak.
    steps : how many there are.
    warm_up : below ``steps``.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    for step, loss in enumerate(losses):
        share = (step + 1) / warm_up if step < warm_up else (steps - step) / max(1, steps - warm_up)
        optimizer.param_groups[0]["lr"] = learning_rate * share
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def masked_loss(model: Any, batch: dict[str, Tensor], size: int = 32) -> float:
    """Mean cross-entropy in nats of the masked tokens of a batch, read ``size`` rows at a time."""
    total = count = 0.0
    for begin in range(0, len(batch["labels"]), size):
        rows = {name: value[begin : begin + size] for name, value in batch.items()}
        chosen = rows["labels"] != IGNORED
        found = predict(model, rows, chosen)
        total += functional.cross_entropy(found.tokens, rows["labels"][chosen], reduction="sum").item()
        count += float(chosen.sum())
    return total / count

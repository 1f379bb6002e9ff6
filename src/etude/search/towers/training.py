"""Training towers: on pairs, by the softmax over a batch; and, as a control, on masked tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from etude.data.masked import IGNORED, mask
from etude.progress import track
from etude.search.embedder import padded
from etude.search.towers.encoder import Towers, Transformer
from etude.search.towers.loss import cached, in_batch, strangers
from etude.search.towers.pairs import Pair


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Parameters
    ----------
    steps, batch : of the optimiser, and pairs in each step.
    rate : peak learning rate of Adam, after a linear warm-up and falling linearly to 0.
    warm_up : share of the steps.
    """

    steps: int
    batch: int
    rate: float
    warm_up: float = 0.1

    def share(self, step: int) -> float:
        """Of the peak learning rate."""
        rising = max(1, round(self.warm_up * self.steps))
        return min((step + 1) / rising, (self.steps - step) / max(1, self.steps - rising))


def train(
    towers: Towers, pairs: Iterator[Pair], schedule: Schedule, *, part: int, masked: bool
) -> list[float]:
    """Raise the score of each query's passage over those of the batch's other pages; edits the towers.

    Parameters
    ----------
    towers : to be trained.
    pairs : without end; if they end, so does the training.
    schedule : see `Schedule`.
    part : pairs whose graph is held at a time; gradients are those of the whole batch.
    masked : whether passages of a query's own page, and of its passage's, are no wrong ones.

    Returns
    -------
    list of float : the loss of each step.
    """
    encode = [partial(towers, role="query"), partial(towers, role="passage")]

    def gradients() -> Tensor | None:
        batch = list(islice(pairs, schedule.batch))
        if not batch:
            return None
        wrong = strangers([pair.page for pair in batch], [pair.asked for pair in batch]) if masked else None
        rows = (
            towers.rows([pair.query for pair in batch], "query"),
            towers.rows([f"{pair.title} {pair.passage}" for pair in batch], "passage"),
        )
        parts = [[own[at : at + part] for at in range(0, len(own), part)] for own in rows]
        return cached(encode, parts, partial(in_batch, wrong=wrong))

    return _steps(towers, gradients, schedule, "pre-training")


def train_masked(
    towers: Towers, texts: Sequence[str], schedule: Schedule, share: float = 0.15
) -> list[float]:
    """Masked language modelling of each tower's transformer, with a head that is thrown away.

    Parameters
    ----------
    towers : of transformers; their linear layers stay as they are.
    texts : as many in a step as a step has pairs.
    schedule : see `Schedule`.
    share : of the tokens that are hidden.
    """
    found: list[Any] = [towers.passage] if towers.shared else [towers.query, towers.passage]
    heads = nn.ModuleList([_Head(tower) for tower in found])
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))

    def gradients() -> Tensor:
        chosen = torch.randint(len(texts), (schedule.batch,), generator=generator).tolist()
        ids, attention = padded(
            towers.rows([texts[i] for i in chosen], "passage"), towers.tokenizer.pad_token_id
        )
        batch = mask({"input_ids": ids}, towers.tokenizer, generator, share)
        with torch.enable_grad():
            loss = torch.stack([head(batch, attention) for head in heads]).mean()
            torch.autograd.backward(loss)
        return loss.detach()

    return _steps(heads, gradients, schedule, "masked language modelling")


class _Head(nn.Module):
    """BERT's: a layer, and the word embeddings as the output's weights."""

    def __init__(self, tower: Transformer) -> None:
        super().__init__()
        self.model = tower.model
        words = tower.model.get_input_embeddings().weight
        self.layer = nn.Sequential(
            nn.Linear(words.shape[1], words.shape[1]), nn.GELU(), nn.LayerNorm(words.shape[1])
        )
        self.bias = nn.Parameter(torch.zeros(len(words)))

    def forward(self, batch: dict[str, Tensor], attention: Tensor) -> Tensor:
        chosen = batch["labels"] != IGNORED
        states = self.model(input_ids=batch["input_ids"], attention_mask=attention).last_hidden_state[chosen]
        words = self.model.get_input_embeddings().weight
        return cross_entropy(self.layer(states) @ words.T + self.bias, batch["labels"][chosen])


def _steps(trained: nn.Module, gradients: Any, schedule: Schedule, description: str) -> list[float]:
    parameters = list(trained.parameters())
    optimizer = torch.optim.Adam(parameters, lr=schedule.rate)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.share)
    losses: list[float] = []
    trained.train()
    for _ in track(range(schedule.steps), description):
        loss = gradients()
        if loss is None:
            break
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rates.step()
        losses.append(float(loss))
    trained.eval()
    return losses

"""Masked language modelling over several languages, each text under its own adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from etude.data.masked import IGNORED, mask
from etude.progress import track
from etude.search.modular.encoder import Modular, adapters, tables
from etude.search.modular.vocabulary import special

Texts = Mapping[str, Sequence[str]]
"""Of each language."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Parameters
    ----------
    steps : of the optimiser; languages take turns.
    batch : rows of a step.
    length : tokens of a row, ``[CLS]`` and ``[SEP]`` included.
    rate : peak learning rate of AdamW, after a warm-up of a twentieth, then linear to 0.
    share : of the tokens that are hidden.
    """

    steps: int
    batch: int = 32
    length: int = 64
    rate: float = 2e-3
    share: float = 0.3

    def at(self, step: int) -> float:
        """The learning rate of a step."""
        warm_up = max(1, self.steps // 20)
        return self.rate * min((step + 1) / warm_up, (self.steps - step) / max(1, self.steps - warm_up))


def pretrain(encoder: Modular, texts: Texts, schedule: Schedule) -> list[float]:
    """Train all of an encoder, in place, on texts of all its languages; the losses of the steps.

    Draws from torch's generator.
    """
    parameters = list(encoder.model.parameters())
    return _train(encoder, texts, schedule, parameters, decay=0.01)


def teach(encoder: Modular, language: str, texts: Sequence[str], schedule: Schedule) -> list[float]:
    """Train the adapters of one language and its own rows of embeddings, in place, and nothing else.

    Draws from torch's generator.

    References
    ----------
    Pfeiffer et al., "Lifting the Curse of Multilinguality by Pre-training Modular Transformers", NAACL 2022.
    """
    names = adapters(encoder, language)
    parameters = [p for name, p in encoder.model.named_parameters() if name in names]
    handles = []
    own = encoder.rows(language)
    if len(own):
        found: Any = tables(encoder.model)
        for table in found:
            handles.append(table.register_hook(lambda gradient: _only(gradient, own)))
            parameters.append(table)
    others = [p for p in encoder.model.parameters() if all(p is not chosen for chosen in parameters)]
    wanted = [p.requires_grad for p in others]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        return _train(encoder, {language: texts}, schedule, parameters, decay=0.0)
    finally:
        for handle in handles:
            handle.remove()
        for parameter, before in zip(others, wanted, strict=True):
            parameter.requires_grad_(before)


def _only(gradient: Tensor, rows: range) -> Tensor:
    """A gradient that leaves all other rows alone; without decay Adam does not move them."""
    kept = torch.zeros_like(gradient)
    kept[rows.start : rows.stop] = gradient[rows.start : rows.stop]
    return kept


def _train(
    encoder: Modular, texts: Texts, schedule: Schedule, parameters: list[nn.Parameter], decay: float
) -> list[float]:
    optimizer = torch.optim.AdamW(parameters, weight_decay=decay)
    encoder.model.train()
    losses = []
    drawn = batches(encoder, texts, schedule)
    for step in track(range(schedule.steps), "masked language modelling"):
        language, ids = next(drawn)
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(step)
        loss = masked_loss(encoder, language, ids, schedule.share)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    encoder.model.eval()
    return losses


def masked_loss(encoder: Modular, language: str, ids: Tensor, share: float) -> Tensor:
    """Mean cross-entropy of hidden tokens, whose logits alone are computed.

    Parameters
    ----------
    ids : rows of one language, int64 ``[rows, length]``.
    share : of the tokens that are hidden.
    """
    tokenizer = special(encoder.reader(language))
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    batch = mask({"input_ids": ids}, tokenizer, generator, share)
    attention = (ids != tokenizer.pad_token_id).long()
    numbers = torch.full((len(ids),), encoder.number(language))
    chosen = batch["labels"] != IGNORED
    states = encoder.hidden(batch["input_ids"], attention, numbers)[chosen]
    return functional.cross_entropy(encoder.model.lm_head(states), batch["labels"][chosen])


def batches(encoder: Modular, texts: Texts, schedule: Schedule) -> Iterator[tuple[str, Tensor]]:
    """Without end: a language, in turn, and rows of its texts, all of them once before any comes twice."""
    streams = {language: _rows(encoder, language, texts[language], schedule.length) for language in texts}
    left = {language: rows[:0] for language, rows in streams.items()}
    while True:
        for language, every in streams.items():
            while len(left[language]) < schedule.batch:
                left[language] = torch.cat([left[language], every[torch.randperm(len(every))]])
            yield language, left[language][: schedule.batch]
            left[language] = left[language][schedule.batch :]


def _rows(encoder: Modular, language: str, texts: Sequence[str], length: int) -> Tensor:
    """Texts, one behind the other, in rows of ``length`` tokens; the last is filled up."""
    tokenizer = encoder.reader(language)
    found = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    stream = torch.tensor([number for text in found for number in text])
    inner = length - 2
    stream = functional.pad(stream, (0, -len(stream) % inner), value=tokenizer.pad_token_id)
    every = stream.view(-1, inner)
    begin, end = (
        every.new_full((len(every), 1), n) for n in (tokenizer.cls_token_id, tokenizer.sep_token_id)
    )
    return torch.cat([begin, every, end], 1)

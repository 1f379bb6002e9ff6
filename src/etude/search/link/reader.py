"""A small encoder of texts, trained here: the equal of GENRE's in size, for those who do not generate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from etude.data.mentions import END, START, Mention
from etude.search.embedder import padded
from etude.search.seq2seq import batches, encoder_of, spelled, train, vocabulary
from etude.seeds import seeded

TEMPERATURE = 0.05
"""That similarities of vectors of length 1 are divided by."""


@dataclass(frozen=True)
class Reader:
    """An encoder and its tokenizer; a text's vector is the mean of its states, of length 1."""

    model: Any
    tokenizer: Any

    @classmethod
    def fresh(
        cls,
        names: Sequence[str],
        examples: Sequence[Mention],
        *,
        tokens: int,
        width: int,
        layers: int,
        seed: int,
    ) -> Reader:
        """With a vocabulary of these texts."""
        texts = [*names, *(example.text for example in examples)]
        tokenizer = vocabulary(texts, tokens, (START, END))
        return cls(encoder_of(len(tokenizer), width=width, layers=layers, seed=seed), tokenizer)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors, ``[texts, width]``."""
        with torch.no_grad():
            parts = [self.vectors(texts[at : at + 256]) for at in range(0, len(texts), 256)]
        return torch.cat(parts)

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """The same for one batch, with what is needed to learn."""
        ids, mask = padded(spelled(self.tokenizer, texts, 512), pad=0)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return normalize((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer."""
        from etude import models

        models.save(self.model, self.tokenizer, folder / "model")

    @classmethod
    def load(cls, folder: Path) -> Reader:
        """Read what `save` wrote."""
        from etude import models

        return cls(*models.load(folder / "model"))


def learn(
    reader: Reader,
    targets: Any,
    examples: Sequence[Mention],
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> None:
    """Bring texts near to what they mean, and away from what the others of the batch mean.

    Parameters
    ----------
    reader : that is trained.
    targets : from places of names to their vectors ``[names, width]``; if it is a module, it is trained too.
    """
    trained = torch.nn.ModuleList(
        [reader.model, *([targets] if isinstance(targets, torch.nn.Module) else [])]
    )
    with seeded(seed):
        made = _losses(reader, targets, examples, batch, seed)
        train(trained, made, steps, rate=rate, warm_up=max(1, steps // 20))


def _losses(
    reader: Reader, targets: Any, examples: Sequence[Mention], batch: int, seed: int
) -> Iterator[Tensor]:
    for places in batches(len(examples), batch, seed):
        some = [examples[place] for place in places]
        means = torch.tensor([example.name for example in some])
        kinds, own = torch.unique(means, return_inverse=True)
        scores = reader.vectors([example.text for example in some]) @ normalize(targets(kinds), dim=-1).T
        yield cross_entropy(scores / TEMPERATURE, own)

"""A model that names what a text is about: how it spells names, reads texts and generates what may be."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.errors import InputError
from etude.progress import track
from etude.search.constrained.beam import Hypothesis, beam_search
from etude.search.constrained.decoders import decoder
from etude.search.constrained.rules import Rule

BATCH = 16
"""Texts that are read together."""


@dataclass(frozen=True)
class Namer:
    """An encoder–decoder or a causal language model, and its tokenizer.

    An encoder–decoder's names are spelled as its tokenizer spells any target, with the special tokens that
    it adds in front (BART's begin token, say); a causal model's as a text that goes on behind a space.

    Parameters
    ----------
    model, tokenizer : of transformers.
    name_tokens : of a name, its end included; longer ones are cut.
    query_tokens : read of a text; of a causal model's prompt the last ones.
    length_penalty : exponent of a name's number of tokens, which its log-probability is divided by.

    Raises
    ------
    InputError : naming ``model`` if it generates no text, or the tokenizer knows no end of a text.
    """

    model: Any
    tokenizer: Any
    name_tokens: int = 15
    query_tokens: int = 512
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.tokenizer is None or self.tokenizer.eos_token_id is None:
            raise InputError("model", "has no tokenizer that knows the end of a text")
        if not self.model.can_generate():
            raise InputError("model", f"{type(self.model).__name__} generates no text")

    @classmethod
    def load(cls, name_or_path: str | Path, **settings: Any) -> Namer:
        """Load a model by name or path (`etude.models.load`)."""
        from etude import models

        return cls(*models.load(name_or_path), **settings)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer, as transformers does."""
        from etude import models

        models.save(self.model, self.tokenizer, folder)

    @property
    def fingerprint(self) -> str:
        """Equal for models with equal weights and vocabularies."""
        total = hashlib.sha256(repr(sorted(self.tokenizer.get_vocab().items())).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            total.update(name.encode())
            total.update(tensor.detach().contiguous().numpy().tobytes())
        return total.hexdigest()

    @property
    def end(self) -> int:
        """The token that ends a name."""
        found: int = self.tokenizer.eos_token_id
        return found

    def spell(self, names: Sequence[str]) -> list[list[int]]:
        """Token ids of names, each with its end."""
        if not names:
            return []
        causal = not self.model.config.is_encoder_decoder
        texts = [f" {name}" for name in names] if causal else list(names)
        rows = self.tokenizer(texts, add_special_tokens=not causal)["input_ids"]
        return [[*self._open(row)[: self.name_tokens - 1], self.end] for row in rows]

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of what names are to be generated for."""
        rows = self.tokenizer(list(texts))["input_ids"]
        if not self.model.config.is_encoder_decoder:
            return [row[-self.query_tokens :] or [self.end] for row in rows]
        return [[*self._open(row)[: self.query_tokens - 1], self.end] for row in rows]

    def generate(
        self,
        texts: Sequence[str],
        rule: Rule | Sequence[Rule] | None,
        beams: int,
        max_length: int | None = None,
    ) -> list[list[Hypothesis]]:
        """The best names for each text, best first; see `etude.search.constrained.beam.beam_search`.

        Parameters
        ----------
        texts : what is to be named.
        rule : the names that there are; one for each batch of texts, if they differ; None for any text.
        beams : names of a text.
        max_length : tokens of what is generated; None for those of a name.
        """
        found: list[list[Hypothesis]] = []
        for number, at in enumerate(track(range(0, len(texts), BATCH), "naming")):
            batch = self.read(texts[at : at + BATCH])
            found += beam_search(
                decoder(self.model, batch),
                rule[number] if isinstance(rule, Sequence) else rule,
                len(batch),
                beams=beams,
                max_length=max_length or self.name_tokens,
                length_penalty=self.length_penalty,
                end=self.end,
            )
        return found

    def text(self, hypothesis: Hypothesis) -> str:
        """What was generated."""
        decoded: str = self.tokenizer.decode(hypothesis.tokens, skip_special_tokens=True)
        return decoded.strip()

    def _open(self, row: Sequence[int]) -> Sequence[int]:
        return row[:-1] if row and row[-1] == self.end else row

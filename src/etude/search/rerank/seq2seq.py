"""Questions to a sequence-to-sequence model: the logits of the answer's first token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from etude import models
from etude.errors import InputError
from etude.models.likelihood import evaluating
from etude.search.embedder import batches, padded


class Seq2Seq:
    """An encoder-decoder such as T5, and its tokenizer; asked as `etude.search.rerank.causal.Causal` is.

    Parameters
    ----------
    model : an encoder-decoder of transformers.
    tokenizer : its tokenizer.

    Raises
    ------
    InputError : naming ``model`` if it is none, or has no tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        if not model.config.is_encoder_decoder or tokenizer is None:
            raise InputError("model", f"{type(model).__name__} is no encoder-decoder with a tokenizer")
        self.model = model
        self.tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, nothing added."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def prompt(self, user: str) -> list[int]:
        """Token ids of a question, with the end that the encoder knows."""
        ids: list[int] = self.tokenizer(user, verbose=False)["input_ids"]
        return ids

    def next_logits(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits of the answer's first token, ``[prompts, vocabulary]``."""
        found: dict[int, Tensor] = {}
        with torch.no_grad(), evaluating(self.model):
            for places, _, _ in batches(prompts, 0):
                rows = self.logits([prompts[place] for place in places])
                found |= dict(zip(places, rows, strict=True))
        return torch.stack([found[place] for place in range(len(prompts))])

    def logits(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """As `next_logits`, in one batch and with gradients."""
        ids, mask = padded(prompts, self.tokenizer.pad_token_id or 0)
        start = torch.full((len(prompts), 1), self.model.config.decoder_start_token_id)
        found: Tensor = self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=start).logits[:, 0]
        return found


def asked(name_or_path: str | Path) -> Any:
    """A `Causal` or a `Seq2Seq`, whichever the model is; ``"topics"`` as for `Causal.load`."""
    from etude.search.rerank.causal import Causal, place

    model, tokenizer = models.load(place(name_or_path))
    return (Seq2Seq if model.config.is_encoder_decoder else Causal)(model, tokenizer)

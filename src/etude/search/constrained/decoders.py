"""Models that generate, step by step over rows that come and go, with keys and values kept."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from etude.errors import InputError
from etude.search.embedder import padded


class Decoder(Protocol):
    """One generation: `first`, then `step` after step."""

    def first(self) -> Tensor:
        """Logits of the first token, ``[queries, vocabulary]``."""

    def step(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Logits behind ``tokens``, each put behind the row ``parents`` of the step before."""


class EncoderDecoder:
    """An encoder–decoder that has read the queries.

    All rows of a query look at the same keys and values of the encoder, so these are only touched when the
    rows of a query become more or fewer.

    Parameters
    ----------
    model : of transformers (T5, BART, ..).
    states, mask : what the encoder made of the queries, ``[queries, tokens, width]``, and 1 where there is a
        token, ``[queries, tokens]``.
    """

    def __init__(self, model: Any, states: Tensor, mask: Tensor) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        config = model.config.get_text_config(decoder=True)
        self.model, self.states, self.mask = model, states, mask
        self.owners = torch.arange(len(mask))
        self.cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))

    @classmethod
    def of(cls, model: Any, queries: Sequence[Sequence[int]]) -> EncoderDecoder:
        """Queries as token ids."""
        ids, mask = padded(queries, pad=model.config.pad_token_id or 0)
        states = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        return cls(model, states, mask)

    def first(self) -> Tensor:
        """Logits behind the token that decoders begin with."""
        begin = self.model.config.decoder_start_token_id
        return self._forward(torch.full((len(self.mask),), begin))

    def step(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Logits behind new tokens."""
        owners = self.owners[parents]
        self.cache.self_attention_cache.batch_select_indices(parents)
        if not torch.equal(owners, self.owners):
            self.cache.cross_attention_cache.batch_select_indices(parents)
            self.states, self.owners = self.states[parents], owners
        return self._forward(tokens)

    def _forward(self, tokens: Tensor) -> Tensor:
        found = self.model(
            encoder_outputs=(self.states,),
            attention_mask=self.mask[self.owners],
            decoder_input_ids=tokens[:, None],
            use_cache=True,
            **_given(self.model, self.cache),
        )
        logits: Tensor = found.logits[:, -1]
        return logits


class Causal:
    """A causal language model that has read the queries as prompts; none may be empty."""

    def __init__(self, model: Any, queries: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache

        if not all(map(len, queries)):
            raise InputError("queries", "one has no token, and a causal model needs something to go on from")
        self.model = model
        self.ids, self.mask = padded(queries, pad=0, left=True)
        self.cache = DynamicCache(config=model.config)

    def first(self) -> Tensor:
        """Logits behind the prompts."""
        return self._forward(self.ids)

    def step(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Logits behind new tokens."""
        self.cache.batch_select_indices(parents)
        self.mask = torch.cat([self.mask[parents], self.mask.new_ones(len(parents), 1)], dim=1)
        return self._forward(tokens[:, None])

    def _forward(self, ids: Tensor) -> Tensor:
        places = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        found = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=places,
            use_cache=True,
            **_given(self.model, self.cache),
        )
        logits: Tensor = found.logits[:, -1]
        return logits


def decoder(model: Any, queries: Sequence[Sequence[int]]) -> Decoder:
    """The model, having read queries of token ids: an encoder–decoder or a causal one."""
    if model.config.is_encoder_decoder:
        return EncoderDecoder.of(model, queries)
    return Causal(model, queries)


def _given(model: Any, cache: Any) -> dict[str, Any]:
    renamed = "cache" in inspect.signature(model.forward).parameters  # by transformers, in 2026
    return {"cache" if renamed else "past_key_values": cache}

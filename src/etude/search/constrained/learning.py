"""Learning to name: plain cross-entropy of names given texts, over the whole vocabulary, no negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from etude.search.constrained.namer import Namer
from etude.search.seq2seq import losses, small, train, vocabulary
from etude.seeds import seeded

Pairs = Sequence[tuple[str, str]]
"""Texts, and the names that they are to be given."""


def trained(
    namer: Namer, examples: Pairs, *, steps: int, batch: int, rate: float, smoothing: float, seed: int
) -> Namer:
    """The namer, having learnt to generate the names of texts: teacher forcing over the whole vocabulary."""
    sources = namer.read([text for text, _ in examples])
    targets = namer.spell([name for _, name in examples])
    with seeded(seed):
        made = losses(namer.model, sources, targets, batch, seed, smoothing)
        train(namer.model, made, steps, rate=rate, warm_up=max(1, steps // 20))
    return namer


def fresh(
    examples: Pairs, *, tokens: int, width: int, layers: int, seed: int, special: Sequence[str] = ()
) -> tuple[Any, Any]:
    """A small encoder–decoder and a tokenizer whose vocabulary is that of the examples."""
    texts = [text for pair in examples for text in pair]
    tokenizer = vocabulary(texts, tokens, special)
    return small(len(tokenizer), width=width, layers=layers, seed=seed), tokenizer

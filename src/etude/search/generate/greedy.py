"""Greedy decoding."""

from __future__ import annotations

from typing import Any

from etude.method import method
from etude.search.generate.decoding import check_generates
from etude.search.generate.generator import Generator, Sampling


@method("greedy", task="generate")
class Greedy:
    """Take the likeliest token at every step; the same text each time, and soon the same words again.

    Raises
    ------
    InputError : if the model predicts no next token.

    Examples
    --------
    >>> import etude
    >>> generator = Greedy().fit(*etude.models.load("nano-llama"))
    >>> [made.sampled for made in generator.generate(["It was late, and the house"], length=4)]
    [4]
    """

    def fit(self, model: Any, tokenizer: Any) -> Generator:
        """Check the model, and set it up."""
        check_generates(model, tokenizer)
        return Generator(model, tokenizer, Sampling(top_k=1))

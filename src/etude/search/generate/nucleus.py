"""Nucleus sampling."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at

from etude.method import method
from etude.search.generate.decoding import check_generates
from etude.search.generate.generator import Generator, Sampling


@method("nucleus", task="generate")
class Nucleus:
    """Draw each token from the likeliest ones that together make up ``top_p`` of the probability.

    Parameters
    ----------
    top_p : that probability, in (0, 1].
    temperature : by which logits are divided.

    Raises
    ------
    InputError : if a field is out of range, or the model predicts no next token.

    Examples
    --------
    >>> import etude
    >>> generator = Nucleus(top_p=0.9).fit(*etude.models.load("nano-llama"))
    >>> [len(made.candidates) for made in generator.generate(["It was late, and the house"], length=4)]
    [1]

    References
    ----------
    Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020. arXiv:1904.09751.
    """

    top_p: Annotated[float, at.Interval(gt=0, le=1)] = 0.9
    temperature: Annotated[float, at.Interval(gt=0)] = 1.0

    def fit(self, model: Any, tokenizer: Any) -> Generator:
        """Check the model, and set it up."""
        check_generates(model, tokenizer)
        return Generator(model, tokenizer, Sampling(temperature=self.temperature, top_p=self.top_p))

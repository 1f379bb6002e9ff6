"""Typical sampling."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at

from etude.method import method
from etude.search.generate.decoding import check_generates
from etude.search.generate.generator import Generator, Sampling


@method("typical", task="generate")
class Typical:
    """Draw each token from those about as surprising as the distribution expects, up to ``mass`` of it.

    Parameters
    ----------
    mass : the probability that they together make up, in (0, 1).
    temperature : by which logits are divided.

    Raises
    ------
    InputError : if a field is out of range, or the model predicts no next token.

    Examples
    --------
    >>> import etude
    >>> generator = Typical(mass=0.9).fit(*etude.models.load("nano-llama"))
    >>> [len(made.candidates) for made in generator.generate(["It was late, and the house"], length=4)]
    [1]

    References
    ----------
    Meister et al., "Locally Typical Sampling", TACL 2023. arXiv:2202.00666.
    """

    mass: Annotated[float, at.Interval(gt=0, lt=1)] = 0.9
    temperature: Annotated[float, at.Interval(gt=0)] = 1.0

    def fit(self, model: Any, tokenizer: Any) -> Generator:
        """Check the model, and set it up."""
        check_generates(model, tokenizer)
        return Generator(model, tokenizer, Sampling(temperature=self.temperature, typical=self.mass))

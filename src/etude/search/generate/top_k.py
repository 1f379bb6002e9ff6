"""Top-k sampling."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at

from etude.method import method
from etude.search.generate.decoding import check_generates
from etude.search.generate.generator import Generator, Sampling


@method("top-k", task="generate")
class TopK:
    """Draw each token from the ``k`` likeliest ones.

    Parameters
    ----------
    k : tokens that may be drawn.
    temperature : by which logits are divided.

    Raises
    ------
    InputError : if a field is out of range, or the model predicts no next token.

    Examples
    --------
    >>> import etude
    >>> generator = TopK(k=40).fit(*etude.models.load("nano-llama"))
    >>> [len(made.candidates) for made in generator.generate(["It was late, and the house"], length=4)]
    [1]

    References
    ----------
    Fan et al., "Hierarchical Neural Story Generation", ACL 2018. arXiv:1805.04833.
    """

    k: Annotated[int, at.Ge(1)] = 40
    temperature: Annotated[float, at.Interval(gt=0)] = 1.0

    def fit(self, model: Any, tokenizer: Any) -> Generator:
        """Check the model, and set it up."""
        check_generates(model, tokenizer)
        return Generator(model, tokenizer, Sampling(temperature=self.temperature, top_k=self.k))

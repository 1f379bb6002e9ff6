"""Best of n: whole samples, chosen by the language model's own likelihood or by similarity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import annotated_types as at

from etude.method import method
from etude.search.embedder import Embedder
from etude.search.generate.chunks import Scorer, Search
from etude.search.generate.decoding import check_generates
from etude.search.generate.generator import Generator, Sampling
from etude.search.generate.scorers import Cosine, Likelihood


@method("best-of-n", task="generate")
class BestOfN:
    """Draw ``samples`` whole continuations, and keep the one that an untrained judge finds best.

    What reranking by a trained encoder has to beat: it costs the language model as many tokens.

    Parameters
    ----------
    judge : "likelihood", mean of the tokens under the language model itself; or "cosine", similarity of
        continuation and prefix under ``encoder``.
    encoder : an embedder of sentences by name or folder.
    samples : continuations that are drawn.
    top_p : tokens are drawn from the likeliest that make up this probability, in (0, 1].
    temperature : by which logits are divided.

    Raises
    ------
    InputError : if a field is out of range, or the model predicts no next token.

    Examples
    --------
    >>> import etude
    >>> generator = BestOfN(samples=4).fit(*etude.models.load("nano-llama"))
    >>> (made,) = generator.generate(["It was late, and the house"], length=4)
    >>> scores = [each.score for each in made.candidates]
    >>> scores == sorted(scores, reverse=True)
    True
    """

    judge: Literal["likelihood", "cosine"] = "likelihood"
    encoder: str = "minilm"
    samples: Annotated[int, at.Ge(1)] = 10
    top_p: Annotated[float, at.Interval(gt=0, le=1)] = 0.9
    temperature: Annotated[float, at.Interval(gt=0)] = 1.0

    def fit(self, model: Any, tokenizer: Any) -> Generator:
        """Check the model, and set the judge beside it."""
        check_generates(model, tokenizer)
        scorer: Scorer = Likelihood(model, tokenizer)
        if self.judge == "cosine":
            scorer = Cosine(Embedder.load(self.encoder))
        sampling = Sampling(temperature=self.temperature, top_p=self.top_p)
        return Generator(model, tokenizer, sampling, Search(samples=self.samples), scorer)

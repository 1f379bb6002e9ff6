"""Several chains of thought, and what most of them conclude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.generator import Generator
from etude.search.rag.answering import Answer, Passages
from etude.search.rag.quality import majority
from etude.search.rag.thinking import conclusion, thoughts


@method("self-consistency-rag", task="rag", paper="rankify", beside=("chain-of-thought-rag",))
class SelfConsistency:
    """Draw several chains of thought, and take the answer that most of them come to.

    Answers are counted normalised, so that "The 1066." and "1066" are one. The prompt is read once for all
    samples. Draws from torch's generator.

    Parameters
    ----------
    samples : chains of thought a question.
    temperature : of the draws, > 0.
    tokens : of a chain of thought, at most.

    Examples
    --------
    >>> import etude, torch
    >>> from etude.search.collection import Document
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> passages = [[Document("a", "Shakespeare wrote Hamlet.")]]
    >>> _ = torch.manual_seed(0)
    >>> method = SelfConsistency(samples=3, tokens=8)
    >>> (answer,) = method.answer(generator, ["Who wrote Hamlet?"], passages)
    >>> len(answer.trace)
    3

    References
    ----------
    Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models", ICLR 2023.
    arXiv:2203.11171; Abdallah et al., "Rankify", 2025. arXiv:2502.02464.
    """

    samples: Annotated[int, at.Ge(1)] = 5
    temperature: Annotated[float, at.Interval(gt=0)] = 0.7
    tokens: Annotated[int, at.Ge(1)] = 128

    def answer(self, generator: Generator, questions: Sequence[str], passages: Passages) -> list[Answer]:
        """Answer by the majority of conclusions."""
        chains = thoughts(generator, questions, passages, self.tokens, self.samples, self.temperature)
        return [
            Answer.of(majority([conclusion(chain.text) for chain in several]), several) for several in chains
        ]

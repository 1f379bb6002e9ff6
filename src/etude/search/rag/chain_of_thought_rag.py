"""Thinking step by step before answering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.generator import Generator
from etude.search.rag.answering import Answer, Passages
from etude.search.rag.thinking import conclusion, thoughts


@method("chain-of-thought-rag", task="rag", paper="rankify", beside=("basic-rag",))
class ChainOfThought:
    """Let the model think step by step over the passages, and take what it concludes.

    The answer is what stands behind the last "Answer:" of the text, or its last line.

    Parameters
    ----------
    tokens : of a chain of thought, at most.

    Examples
    --------
    >>> import etude
    >>> from etude.search.collection import Document
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> passages = [[Document("a", "Shakespeare wrote Hamlet.")]]
    >>> (answer,) = ChainOfThought(tokens=8).answer(generator, ["Who wrote Hamlet?"], passages)
    >>> answer.text in answer.trace[0]
    True

    References
    ----------
    Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models", NeurIPS 2022;
    Abdallah et al., "Rankify", 2025. arXiv:2502.02464.
    """

    tokens: Annotated[int, at.Ge(1)] = 128

    def answer(self, generator: Generator, questions: Sequence[str], passages: Passages) -> list[Answer]:
        """Answer by the conclusion of one chain of thought, the likeliest step by step."""
        chains = thoughts(generator, questions, passages, self.tokens)
        return [Answer.of(conclusion(chain.text), [chain]) for (chain,) in chains]

"""The question behind the passages that were found for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.generator import Generator
from etude.search.rag.answering import Answer, Passages, check_questions
from etude.search.rag.prompts import BASIC, prompt


@method("basic-rag", task="rag", paper="rankify")
class BasicRAG:
    """Ask the model with the passages in front of the question; as many of them as its context holds.

    Parameters
    ----------
    tokens : of an answer, at most.

    Examples
    --------
    >>> import etude
    >>> from etude.search.collection import Document
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> passages = [[Document("a", "Shakespeare wrote Hamlet.")]]
    >>> (answer,) = BasicRAG(tokens=4).answer(generator, ["Who wrote Hamlet?"], passages)
    >>> answer.generated <= 4
    True

    References
    ----------
    Lewis et al., "Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks", NeurIPS 2020; as a
    prompt in Abdallah et al., "Rankify", 2025. arXiv:2502.02464.
    """

    tokens: Annotated[int, at.Ge(1)] = 32

    def answer(self, generator: Generator, questions: Sequence[str], passages: Passages) -> list[Answer]:
        """Answer by the first line that the model writes."""
        check_questions(generator, questions, passages)
        prompts = [
            prompt(generator, BASIC, question, found, self.tokens)
            for question, found in zip(questions, passages, strict=True)
        ]
        return [Answer.of(g.text, [g]) for (g,) in generator(prompts, tokens=self.tokens, stops=["\n"])]

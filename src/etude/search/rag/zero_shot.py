"""The question alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.generator import Generator
from etude.search.rag.answering import Answer, check_questions
from etude.search.rag.prompts import ZERO_SHOT, prompt


@method("zero-shot", task="rag")
class ZeroShot:
    """Ask the model without any passage: what it knows by itself.

    Parameters
    ----------
    tokens : of an answer, at most.

    Examples
    --------
    >>> import etude
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> (answer,) = ZeroShot(tokens=4).answer(generator, ["Who wrote Hamlet?"])
    >>> answer.generated <= 4
    True
    """

    tokens: Annotated[int, at.Ge(1)] = 32

    def answer(self, generator: Generator, questions: Sequence[str]) -> list[Answer]:
        """Answer by the first line that the model writes."""
        check_questions(generator, questions)
        prompts = [prompt(generator, ZERO_SHOT, question, (), self.tokens) for question in questions]
        return [Answer.of(g.text, [g]) for (g,) in generator(prompts, tokens=self.tokens, stops=["\n"])]

"""A language model that goes on behind the passage that was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.collection import Document
from etude.search.generator import Generator
from etude.search.rag.answering import Answer, Passages, check_questions
from etude.search.rag.prompts import RALM, RALM_ALONE, prompt


@method("in-context-ralm", task="rag", paper="rankify", beside=("basic-rag",))
class InContextRALM:
    """Prepend the best passages to what a plain language model is to go on with, and do nothing else.

    No instructions and no training: the next tokens behind "title, text, question" are the answer.

    Parameters
    ----------
    prepended : how many passages.
    tokens : of an answer, at most.

    Examples
    --------
    >>> import etude
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> found = [[Document("a", "Shakespeare wrote Hamlet.")]]
    >>> (answer,) = InContextRALM(tokens=4).answer(generator, ["Who wrote Hamlet?"], found)
    >>> answer.generated <= 4
    True

    References
    ----------
    Ram et al., "In-Context Retrieval-Augmented Language Models", TACL 2023. arXiv:2302.00083; Abdallah et
    al., "Rankify", 2025. arXiv:2502.02464.
    """

    prepended: Annotated[int, at.Ge(0)] = 1
    tokens: Annotated[int, at.Ge(1)] = 10

    def answer(self, generator: Generator, questions: Sequence[str], passages: Passages) -> list[Answer]:
        """Answer by the first line that the model goes on with."""
        check_questions(generator, questions, passages)
        prompts = [
            prompt(generator, RALM if found and self.prepended else RALM_ALONE, question, best, self.tokens)
            for question, found in zip(questions, passages, strict=True)
            for best in [[_headed(each) for each in found[: self.prepended]]]
        ]
        return [Answer.of(g.text, [g]) for (g,) in generator(prompts, tokens=self.tokens, stops=["\n"])]


def _headed(passage: Document) -> Document:
    """With its title as a heading."""
    text = f"{passage.title}\n\n{passage.text}" if passage.title else passage.text
    return Document(passage.id, text)

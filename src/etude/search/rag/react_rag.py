"""Thinking and searching in turns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import annotated_types as at

from etude.method import method
from etude.search.collection import Document
from etude.search.generator import Generation, Generator
from etude.search.rag.answering import Answer, Passages, Search, check_questions
from etude.search.rag.prompts import REACT, ZERO_SHOT, prompt

_STEP = re.compile(r"Final Answer:[ \t]*(?P<answer>.+)|Search\[(?P<words>[^\]\n]+)\]")


@method("react-rag", task="rag", paper="rankify", beside=("basic-rag",))
class ReAct:
    """Let the model search again, with its own words, until it says that it knows.

    It writes a thought and an action; ``Search[words]`` is answered by an observation, the best passages for
    *those words*, and the model goes on; ``Final Answer:`` ends it. A question that comes to no end after
    all steps is asked without passages, as Rankify's falls back on internal knowledge. Questions go on side
    by side, one step at a time.

    Parameters
    ----------
    steps : thoughts a question, at most.
    observed : passages an observation.
    tokens : of a step, at most.

    Examples
    --------
    >>> import etude
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> passages = [[Document("a", "Shakespeare wrote Hamlet.")]]
    >>> method = ReAct(steps=2, tokens=8)
    >>> (answer,) = method.answer(generator, ["Who wrote Hamlet?"], passages, lambda words: passages[0])
    >>> len(answer.trace)
    3

    References
    ----------
    Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", ICLR 2023. arXiv:2210.03629;
    Abdallah et al., "Rankify", 2025. arXiv:2502.02464.
    """

    steps: Annotated[int, at.Ge(1)] = 5
    observed: Annotated[int, at.Ge(1)] = 3
    tokens: Annotated[int, at.Ge(1)] = 64

    def answer(
        self, generator: Generator, questions: Sequence[str], passages: Passages, search: Search
    ) -> list[Answer]:
        """Answer by what the model calls final."""
        check_questions(generator, questions, passages)
        talks = [_Talk(question, found) for question, found in zip(questions, passages, strict=True)]
        for _ in range(self.steps):
            open_ones = [talk for talk in talks if talk.answer is None]
            prompts = [
                prompt(generator, REACT, talk.question, talk.passages, self.tokens, talk.said + "Thought:")
                for talk in open_ones
            ]
            written = generator(prompts, tokens=self.tokens, stops=["Observation:", "\nQuestion:"])
            for talk, (step,) in zip(open_ones, written, strict=True):
                self._take(talk, step, search)
        undecided = [talk for talk in talks if talk.answer is None]
        asked = [prompt(generator, ZERO_SHOT, talk.question, (), self.tokens) for talk in undecided]
        for talk, (last,) in zip(
            undecided, generator(asked, tokens=self.tokens, stops=["\n"]) if asked else (), strict=True
        ):
            talk.steps.append(last)
            talk.answer = last.text
        return [Answer.of(talk.answer or "", talk.steps) for talk in talks]

    def _take(self, talk: _Talk, step: Generation, search: Search) -> None:
        """Do what a step asks for first; what it says behind that, it has made up."""
        talk.steps.append(step)
        asked = _STEP.search(step.text)
        if asked is None:
            talk.said += f"Thought: {step.text}\n"
        elif asked["answer"] is not None:
            talk.answer = asked["answer"].strip()
        else:
            found = " ".join(each.content for each in search(asked["words"])[: self.observed])
            talk.said += f"Thought: {step.text[: asked.end()]}\nObservation: {found}\n"


@dataclass
class _Talk:
    """What was said about one question so far."""

    question: str
    passages: Sequence[Document]
    said: str = ""
    answer: str | None = None
    steps: list[Generation] = field(default_factory=list)

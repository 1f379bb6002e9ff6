"""Chains of thought: how they are asked for, and where the answer stands in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from etude.search.generator import Generation, Generator
from etude.search.rag.answering import Passages, check_questions
from etude.search.rag.prompts import CHAIN_OF_THOUGHT, prompt

_MARK = re.compile(r"answer(?: is)?:?[ \t]*\n?(.+)", re.IGNORECASE)


def thoughts(
    generator: Generator,
    questions: Sequence[str],
    passages: Passages,
    tokens: int,
    samples: int = 1,
    temperature: float = 0.0,
) -> list[list[Generation]]:
    """Chains of thought on each question; see `Generator`."""
    check_questions(generator, questions, passages)
    prompts = [
        prompt(generator, CHAIN_OF_THOUGHT, question, found, tokens)
        for question, found in zip(questions, passages, strict=True)
    ]
    return generator(prompts, tokens=tokens, stops=["\nQuestion:"], samples=samples, temperature=temperature)


def conclusion(text: str) -> str:
    """The answer at the end of a chain of thought: behind the last "answer", else the last line.

    Examples
    --------
    >>> conclusion("He wrote plays. So the answer is: Hamlet.\\nAnswer: Hamlet")
    'Hamlet'
    >>> conclusion("First this.\\nThen that.\\n")
    'Then that.'
    """
    marked = [match[1].strip() for match in _MARK.finditer(text)]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (marked or lines or [""])[-1]

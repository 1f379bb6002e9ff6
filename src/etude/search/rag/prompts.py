"""Prompts: a question, as many of the passages as there is room for, and how the answer begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from etude.search.collection import Document
from etude.search.generator import Generator


@dataclass(frozen=True)
class Template:
    """What is asked, and how the answer begins.

    Parameters
    ----------
    asked : with ``{question}`` and, where passages are wanted, ``{passages}``.
    begun : first words of the answer.
    plain : whether a model that chats is to read it as text that goes on, not as a question to it.
    """

    asked: str
    begun: str
    plain: bool = False


ZERO_SHOT = Template("Answer the question in a few words.\nQuestion: {question}", "Answer:")
BASIC = Template(
    "Answer the question in a few words, from the passages; if they do not tell, from what you know.\n"
    "{passages}\n"
    "Question: {question}",
    "Answer:",
)
CHAIN_OF_THOUGHT = Template(
    "Think step by step, from the passages; if they do not tell, from what you know. "
    'Then end with a line "Answer:" and the answer in a few words.\n'
    "{passages}\n"
    "Question: {question}",
    "Let's think step by step.",
)
REACT = Template(
    "Solve the question by thinking and searching in turns, in this format:\n"
    "Thought: what to find out next\n"
    "Action: Search[words to search for]\n"
    "Observation: what the search found\n"
    "As soon as you know, end with:\n"
    "Final Answer: the answer in a few words\n"
    "{passages}\n"
    "Question: {question}",
    "",
)
RALM = Template(
    "{passages}\n\nBased on these texts, answer these questions:\nQ: {question}", "A:", plain=True
)
RALM_ALONE = Template("Answer these questions:\nQ: {question}", "A:", plain=True)


def prompt(
    generator: Generator,
    template: Template,
    question: str,
    passages: Sequence[Document],
    tokens: int,
    said: str = "",
) -> str:
    """A template filled in, in the form of a chat for a model that chats.

    The last passages are cut or left out where the model has no room for them.

    Parameters
    ----------
    generator : that is to read it.
    template : what is asked.
    question, passages : what is filled in; passages best first.
    tokens : that are to be written behind it.
    said : what the model has written of its answer so far.

    Examples
    --------
    >>> import etude
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> found = [Document("a", "Paris is its capital."), Document("b", "word " * 300)]
    >>> text = prompt(generator, Template("{passages} Q: {question}", "A:"), "What?", found, tokens=10)
    >>> text[:22], text[-16:], len(generator.ids(text)) <= generator.room(10)
    ('Paris is its capital.\\n', 'word Q: What?\\nA:', True)
    """

    def filled(text: str) -> str:
        asked = template.asked.format(question=question, passages=text)
        framed = f"{asked}\n" if template.plain else generator.framed(asked)
        return framed + template.begun + said

    room = generator.room(tokens) - len(generator.ids(filled(""))) - 1
    texts: list[str] = []
    for passage in passages:
        text = generator.cut(passage.content, room).strip()
        if not text:
            break
        texts.append(text)
        room -= len(generator.ids(text)) + 1  # and what stands between
    return filled("\n".join(texts))

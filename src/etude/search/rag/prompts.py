"""Prompts: a question, and as many of the passages as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

from etude.search.collection import Document
from etude.search.generator import Generator

ZERO_SHOT = "Answer the question in a few words.\nQuestion: {question}\nAnswer:"
BASIC = (
    "Answer the question in a few words, from the passages; if they do not tell, from what you know.\n"
    "{passages}\n"
    "Question: {question}\n"
    "Answer:"
)
CHAIN_OF_THOUGHT = (
    "Think step by step, from the passages; if they do not tell, from what you know. "
    'Then end with a line "Answer:" and the answer in a few words.\n'
    "{passages}\n"
    "Question: {question}\n"
    "Let's think step by step."
)
REACT = (
    "Solve the question by thinking and searching in turns, in this format:\n"
    "Thought: what to find out next\n"
    "Action: Search[words to search for]\n"
    "Observation: what the search found\n"
    "As soon as you know, end with:\n"
    "Final Answer: the answer in a few words\n"
    "{passages}\n"
    "Question: {question}\n"
)
RALM = "{passages}\n\nBased on these texts, answer these questions:\nQ: {question}\nA:"
RALM_ALONE = "Answer these questions:\nQ: {question}\nA:"


def prompt(
    generator: Generator,
    template: str,
    question: str,
    passages: Sequence[Document],
    tokens: int,
    behind: str = "",
) -> str:
    """A template filled in; the last passages are cut or left out where the model has no room for them.

    Parameters
    ----------
    generator : that is to read it.
    template : with ``{question}`` and, where passages are wanted, ``{passages}``.
    question, passages : what is filled in; passages best first.
    tokens : that are to be written behind it.
    behind : what follows the template: a conversation so far.

    Examples
    --------
    >>> import etude
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> found = [Document("a", "Paris is its capital."), Document("b", "word " * 300)]
    >>> text = prompt(generator, "{passages} Q: {question}", "What?", found, tokens=10)
    >>> text[:22], text[-13:], len(generator.ids(text)) <= generator.room(10)
    ('Paris is its capital.\\n', 'word Q: What?', True)
    """
    bare = template.format(question=question, passages="") + behind
    room = generator.room(tokens) - len(generator.ids(bare)) - 1
    texts: list[str] = []
    for passage in passages:
        text = generator.cut(passage.content, room).strip()
        if not text:
            break
        texts.append(text)
        room -= len(generator.ids(text)) + 1  # and what stands between
    return template.format(question=question, passages="\n".join(texts)) + behind

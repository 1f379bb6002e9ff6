"""Fusion in the decoder: passages are read one by one and put together where the answer is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor

from etude.errors import InputError
from etude.method import method
from etude.models.likelihood import evaluating
from etude.progress import track
from etude.search.collection import Document
from etude.search.embedder import padded
from etude.search.generator import Generation, Generator
from etude.search.rag.answering import Answer, Passages, check_questions


@method("fid", task="rag", paper="rankify", beside=("basic-rag",))
class FusionInDecoder:
    """Encode the question with each passage by itself, and let the decoder attend to all of them at once.

    Reading grows linearly with the number of passages, for no passage attends to another; the decoder sees
    the encodings as one long text. Takes encoder-decoder models, T5 above all: a reader that was trained so,
    or any other.

    Parameters
    ----------
    fused : how many passages are read, at most; with 0, only the question is.
    length : tokens of a passage with its question, at most.
    tokens : of an answer, at most.

    Raises
    ------
    InputError : naming ``generator`` for a model without an encoder.

    Examples
    --------
    >>> from etude.search.rag.examples import encoder_decoder
    >>> passages = [[Document("a", "w1 w2"), Document("b", "w3 w4 w5")]]
    >>> (answer,) = FusionInDecoder(tokens=4).answer(encoder_decoder(), ["w7 w8"], passages)
    >>> answer.generated
    4

    References
    ----------
    Izacard and Grave, "Leveraging Passage Retrieval with Generative Models for Open Domain Question
    Answering", EACL 2021. arXiv:2007.01282; Abdallah et al., "Rankify", 2025. arXiv:2502.02464.
    """

    encodes = True  # models with an encoder are what it takes, as the task can tell before any work

    fused: Annotated[int, at.Ge(0)] = 100
    length: Annotated[int, at.Ge(1)] = 250
    tokens: Annotated[int, at.Ge(1)] = 50

    def answer(self, generator: Generator, questions: Sequence[str], passages: Passages) -> list[Answer]:
        """Answer by the likeliest tokens, one after the other."""
        check_questions(generator, questions, passages)
        if not generator.encodes:
            raise InputError("generator", "has no encoder; fusion in the decoder takes models such as T5")
        pairs = zip(questions, passages, strict=True)
        with torch.no_grad(), evaluating(generator.model):
            written = [self._written(generator, *pair) for pair in track([*pairs], "generating")]
        return [Answer.of(each.text, [each]) for each in written]

    def _written(self, generator: Generator, question: str, passages: Sequence[Document]) -> Generation:
        ids = [generator.ids(text)[: self.length] for text in readings(question, passages[: self.fused])]
        rows, mask = padded(ids, pad=0)
        states = encoded(generator.model, rows, mask)
        fused = states[mask.bool()][None]  # [1, tokens of all passages, width]: the padding is left out
        return generator.decoded(fused, read=int(mask.sum()), tokens=self.tokens)


def readings(question: str, passages: Sequence[Document]) -> list[str]:
    """What the encoder reads: the question with each passage, or by itself if there is none.

    Examples
    --------
    >>> readings("Who?", [Document("a", "He came.", title="A tale")])
    ['question: Who? title: A tale context: He came.']
    """
    texts = [f"question: {question} title: {each.title} context: {each.text}" for each in passages]
    return texts or [f"question: {question}"]


def encoded(model: Any, rows: Tensor, mask: Tensor) -> Tensor:
    """States of an encoder, ``[texts, tokens, width]``: no text attends to another."""
    states: Tensor = model.get_encoder()(input_ids=rows, attention_mask=mask).last_hidden_state
    return states

"""HyDE."""

from __future__ import annotations

import numpy as np
import pytest

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.retrieve import Dense, HyDE
from etude.search.retrieve.hyde import HypotheticalEncoder

CORPUS = [Document("a", "the wing of a bird"), Document("b", "a loan from a bank"), Document("c", "a song")]
QUESTION = "how do birds fly?"


def test_a_question_is_the_mean_of_itself_and_what_was_written() -> None:
    method = HyDE(writer="nano-llama", tokens=6, written=3)
    encoder = HypotheticalEncoder(method)
    passages = encoder.passages(QUESTION)
    assert len(passages) == 3
    assert passages == encoder.passages(QUESTION)
    vectors = Dense().engine().encoder.documents([QUESTION, *passages])
    mean = vectors.mean(0) / np.linalg.norm(vectors.mean(0))
    assert encoder.queries([QUESTION, "what?"])[0] == pytest.approx(mean, abs=1e-6)
    ((positions, scores),) = method.index(CORPUS).positions({"q": QUESTION}).values()
    documents = encoder.documents([document.text for document in CORPUS])
    assert scores == pytest.approx(documents[positions] @ mean, abs=1e-6)


def test_no_writer_is_told_before_any_work() -> None:
    with pytest.raises(InputError, match="model: "):
        HyDE(writer="./nowhere").index(CORPUS)

"""A small reader for fusion in the decoder, taught here: it looks up in passages what a question leaves out.

Here is the recipe. A T5 of half a million parameters learns from the built-in novels (public domain): a
sentence with a word left out is the question, and the word is to be found in the passage that the sentence
comes from (`etude.search.rag.cloze`). It learns to copy first, by writing the whole sentence: a word alone is
too little to learn that from. Then it learns to write the word; then to find it among several passages. What
comes of that stands in ``docs/search/rankify.md``.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from etude.data.sources import fingerprint, load
from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.models.saving import save
from etude.search.collection import Document
from etude.search.embedder import padded
from etude.search.rag.cloze import BLANK, FEWEST, LEFT_OUT, MOST, Cloze, among, clozes, passages
from etude.search.rag.fid import encoded, readings
from etude.search.seq2seq import loss, padded_labels, small, spelled, train, vocabulary

NAME = "reader"


class Stage(NamedTuple):
    """So many steps of so many questions, each with so many passages, and what is to be written."""

    target: Literal["sentence", "answer"]
    steps: int
    batch: int
    passages: int
    rate: float


STAGES = (
    Stage("sentence", 1500, 32, 1, 2e-3),
    Stage("answer", 500, 32, 1, 1e-3),
    Stage("answer", 1000, 32, 1, 2e-3),
    Stage("answer", 1200, 16, 4, 1.5e-3),
)
TOKENS, WIDTH, LAYERS, LENGTH, SEED = 2000, 64, 3, 120, 0
"""Of the vocabulary; of the model; tokens of a passage with its question, at most."""


class Lesson(NamedTuple):
    """A question, its passages, and what is to be written."""

    question: str
    passages: tuple[Document, ...]
    answer: str


def reader() -> Path:
    """The folder of the reader: found in the cache, or taught, in a quarter of an hour on one core."""
    what = (STAGES, TOKENS, WIDTH, LAYERS, LENGTH, SEED, FEWEST, MOST, LEFT_OUT, fingerprint("novels"))
    folder = cache_folder("reader", hashlib.sha256(repr(what).encode()).hexdigest()[:16])
    if not folder.is_dir():
        model, tokenizer = taught(load("novels", "calibration"))
        try:
            with new_folder(folder) as temporary:
                save(model, tokenizer, temporary / "model")
        except (OSError, InputError):
            if not folder.is_dir():  # another process was faster if it is there now
                raise
    return folder / "model"


def taught(texts: Sequence[str], stages: Sequence[Stage] = STAGES) -> tuple[Any, Any]:
    """A reader that has learnt from these texts, and its tokenizer."""
    novels = [passages(text) for text in texts]
    tokenizer = vocabulary(texts, TOKENS, [BLANK])
    model = small(len(tokenizer), width=WIDTH, layers=LAYERS, seed=SEED, dropout=0.0)
    for stage in stages:
        losses = (fused_loss(model, tokenizer, batch) for batch in batches(novels, stage, SEED))
        train(model, losses, stage.steps, rate=stage.rate, warm_up=stage.steps // 20)
    return model, tokenizer


def batches(novels: Sequence[Sequence[str]], stage: Stage, seed: int) -> Iterator[list[Lesson]]:
    """Lessons without end; every time through the novels other words are left out."""
    draw = random.Random(seed)
    while True:
        made = [_lesson(cloze, novels[cloze.novel], stage, draw) for cloze in clozes(novels, draw)]
        draw.shuffle(made)
        yield from (made[at : at + stage.batch] for at in range(0, len(made), stage.batch))


def _lesson(cloze: Cloze, texts: Sequence[str], stage: Stage, draw: random.Random) -> Lesson:
    shown = among(cloze.place, range(len(texts)), stage.passages, draw)
    return Lesson(
        cloze.question, tuple(Document(str(n), texts[n]) for n in shown), getattr(cloze, stage.target)
    )


def fused_loss(model: Any, tokenizer: Any, lessons: Sequence[Lesson]) -> Tensor:
    """Cross-entropy of the answers, the decoder attending to all passages of a question."""
    from transformers.modeling_outputs import BaseModelOutput

    texts = [text for each in lessons for text in readings(each.question, each.passages)]
    rows, mask = padded(tokenizer(texts, truncation=True, max_length=LENGTH)["input_ids"], pad=0)
    states = encoded(model, rows, mask)  # [questions · passages, tokens, width]
    fused = states.reshape(len(lessons), -1, states.shape[-1])
    labels = padded_labels(spelled(tokenizer, [each.answer for each in lessons], LENGTH))
    seen = BaseModelOutput(last_hidden_state=fused)
    logits = model(encoder_outputs=seen, attention_mask=mask.view(len(lessons), -1), labels=labels).logits
    return loss(logits, labels)

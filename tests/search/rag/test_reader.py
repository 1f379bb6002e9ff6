"""The small reader for fusion in the decoder: what it is taught, and that it is taught as it then reads."""

from __future__ import annotations

import random
from itertools import islice

import pytest
import torch

import etude
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.generator import Generator
from etude.search.rag import FusionInDecoder, cloze, reader
from etude.search.rag.fid import readings
from etude.search.rag.reader import Lesson, Stage, batches, fused_loss, taught
from etude.search.seq2seq import small, vocabulary

TEXTS = [
    "The ship of Captain Nemo lay in the harbour for nine days and nobody went ashore. "
    "In the evening old Captain Nemo came on deck and asked for Conseil, who was asleep. " * 6
]
PASSAGES = [cloze.passages(text) for text in TEXTS]


def test_a_cloze_is_its_sentence_without_a_word() -> None:
    made = cloze.clozes(PASSAGES, random.Random(0))
    assert len({each.answer for each in made}) > 1
    for each in made:
        assert cloze.WORDS.fullmatch(each.answer)
        assert each.question.count(cloze.BLANK) == 1
        assert each.answer in each.sentence
        assert each.sentence in PASSAGES[each.novel][each.place]
        kept = each.question.replace(cloze.BLANK, each.answer).split()
        rest = iter(each.sentence.split())
        assert all(word in rest for word in kept)  # in their order, some left out


def test_the_set_shows_the_right_passage_once_among_others_of_its_novel() -> None:
    found = cloze.questions()
    assert len(found.questions) == cloze.QUESTIONS
    places = []
    for question in found.questions[:200]:
        assert len({passage.id for passage in question.passages}) == cloze.PASSAGES
        assert len({passage.id.partition("-")[0] for passage in question.passages}) == 1
        assert any(question.answers[0] in passage.text for passage in question.passages)
        words = {word for word in question.text.split() if cloze.BLANK not in word}
        if len(words) < 4:  # too few to tell a passage by
            continue
        shared = [
            len(words & set(passage.text.split())) / max(1, len(words)) for passage in question.passages
        ]
        places.append(max(range(cloze.PASSAGES), key=shared.__getitem__))
        assert question.answers[0] in question.passages[places[-1]].text or max(shared) < 1
    assert {*places} == {*range(cloze.PASSAGES)}  # in no order


def test_the_loss_is_that_of_the_fused_model() -> None:
    """By hand: one question, its passages encoded one by one and joined."""
    tokenizer = vocabulary(TEXTS, 320, [cloze.BLANK])
    model = small(len(tokenizer), width=32, layers=1, seed=0)
    passages = (Document("a", "old Captain Nemo"), Document("b", "came on deck and asked"))
    lessons = [Lesson("____ asked", passages, "Captain Nemo"), Lesson("on ____", passages[::-1], "deck")]
    total, count = 0.0, 0
    for lesson in lessons:
        texts = [tokenizer(text, return_tensors="pt") for text in readings(lesson.question, lesson.passages)]
        states = [model.get_encoder()(**text).last_hidden_state for text in texts]
        targets = torch.tensor([[*tokenizer(lesson.answer)["input_ids"], tokenizer.eos_token_id]])
        joined = (torch.cat(states, dim=1),)
        mask = torch.ones(joined[0].shape[:2], dtype=torch.long)
        found = model(encoder_outputs=joined, attention_mask=mask, labels=targets).loss
        total, count = total + found.item() * targets.numel(), count + targets.numel()
    assert fused_loss(model, tokenizer, lessons).item() == pytest.approx(total / count, rel=1e-5)


def test_lessons_are_new_each_time_and_the_same_again() -> None:
    stage = Stage("answer", 1, 4, 2, 1e-3)
    first = [lesson for batch in islice(batches(PASSAGES, stage, 0), 6) for lesson in batch]
    assert first == [lesson for batch in islice(batches(PASSAGES, stage, 0), 6) for lesson in batch]
    assert len({lesson.question for lesson in first}) > len(PASSAGES[0])
    assert all(len(lesson.passages) == 2 for lesson in first)


def test_teaching_is_deterministic_and_lowers_the_loss() -> None:
    stages = [Stage("sentence", 25, 4, 1, 3e-3), Stage("answer", 2, 2, 2, 1e-3)]
    model, tokenizer = taught(TEXTS, stages)
    again, _ = taught(TEXTS, stages)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    lessons = next(batches(PASSAGES, stages[0], 1))
    blank = small(len(tokenizer), width=reader.WIDTH, layers=reader.LAYERS, seed=reader.SEED)
    with torch.no_grad():
        assert fused_loss(model, tokenizer, lessons) < fused_loss(blank, tokenizer, lessons)
    (answer,) = FusionInDecoder(tokens=4, fused=0).answer(Generator(model, tokenizer), ["____ slept"], [[]])
    assert answer.read == len(tokenizer("question: ____ slept")["input_ids"])


def test_a_model_without_an_encoder_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="model: nano-llama has no encoder, which fid needs"):
        etude.run("fid", data="cloze", model="nano-llama", retriever="", questions=2)

"""FIRST, RankGPT and full ranking: what they ask, what they count, and that they agree where they must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from etude.errors import InputError
from etude.search.collection import Document, Judged
from etude.search.rerank import First, FullRanking, RankGPT, load_reranker
from etude.search.rerank.causal import Causal
from etude.search.rerank.checks import DOCUMENTS, QRELS, QUERIES, RUN, tiny_decoder
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.listwise_training import (
    Course,
    Lesson,
    batch_loss,
    example,
    lessons_of,
    separators_of,
    taught,
)
from etude.search.rerank.prompts import Listing

LONG = [Document(str(number), " ".join([f"word{number}"] * 40)) for number in range(8)]


@pytest.fixture
def first() -> Listwise:
    return First(model=tiny_decoder(), window=4, stride=2).engine()


def asked(count: int) -> list[tuple[str, list[Document]]]:
    documents = [*DOCUMENTS, *LONG][:count]
    return [(text, documents) for text in QUERIES.values()]


def test_scores_are_the_logits_of_the_letters(first: Listwise) -> None:
    query, documents = asked(4)[0]
    prompt = first.prompt(query, documents) + first.causal.ids("[")
    with torch.no_grad():
        logits = first.causal.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    letters = [first.causal.tokenizer.convert_tokens_to_ids(letter) for letter in "ABCD"]
    assert first.identifiers(4) == letters
    order = sorted(range(4), key=lambda place: -float(logits[letters[place]]))
    (ranking,) = first.rank([(query, documents)])
    assert ranking.order == order
    assert order == (logits.log_softmax(0)[letters] + 3.0).argsort(descending=True).tolist()
    assert order[0] == int(logits[letters].argmax())  # what greedy decoding restricted to letters begins with


def test_one_token_a_window_is_generated(first: Listwise) -> None:
    passed: list[int] = []
    first.causal.model.register_forward_pre_hook(
        lambda module, args, given: passed.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    (ranking,) = first.rank(asked(8)[:1])
    assert (ranking.passes, ranking.generated) == (3, 3)
    assert sum(passed) <= ranking.read + 3  # prompts and brackets, and nothing after them


def test_generated_tokens_are_counted() -> None:
    engine = RankGPT(model=tiny_decoder(), window=4, stride=2).engine()
    query, documents = asked(4)[0]
    (ranking,) = engine.rank([(query, documents)])
    prompt = engine.prompt(query, documents)
    written = engine.causal.model.generate(
        torch.tensor([prompt]), max_new_tokens=engine.answer_limit(4), do_sample=False
    )
    assert (ranking.read, ranking.generated, ranking.passes) == (
        len(prompt),
        written.shape[1] - len(prompt),
        1,
    )


def test_full_ranking_is_a_window_as_long_as_the_list() -> None:
    full, windows = (
        FullRanking(model=tiny_decoder()).engine(),
        RankGPT(model=tiny_decoder(), passage=100).engine(),
    )
    for count in (1, 2, 8):
        assert full.rank(asked(count)) == replace(windows, window=count, stride=1).rank(asked(count))


def test_questions_together_are_as_alone(first: Listwise) -> None:
    together = first.rank(asked(8))
    first.causal.forget()
    assert [first.rank([one])[0] for one in asked(8)] == together


def test_an_estimate_is_what_it_costs_where_all_passages_are_alike(first: Listwise) -> None:
    alike = [("what", [Document(str(number), "the same text") for number in range(8)])]
    (ranking,) = first.rank(alike)
    estimate = first.estimate(alike)
    assert (estimate.read, estimate.generated, estimate.passes) == (ranking.read, 3, 3)


def test_passages_are_cut_until_they_fit() -> None:
    causal = Causal.load(tiny_decoder())
    causal.model.config.max_position_embeddings = 420
    engine = Listwise(causal, Listing("letters"), "first-token", 8, 4, 300)
    prompt = engine.prompt("what", LONG)
    assert 300 < len(prompt) <= 420 - len(engine.target(range(8)))
    causal.model.config.max_position_embeddings = 100
    with pytest.raises(InputError, match=r"^window: 8 passages do not fit"):
        engine.prompt("what", LONG)


def test_letters_that_are_no_tokens_are_refused() -> None:
    causal = Causal.load(tiny_decoder())
    with pytest.raises(InputError, match=r"^window: "):
        Listwise(causal, Listing("letters"), "first-token", 53, 4, 300)
    with pytest.raises(InputError, match=r"^model: .* no token '10'"):
        Listwise(causal, Listing("numbers"), "first-token", 12, 4, 300)
    with pytest.raises(InputError, match=r"^stride: "):
        First(model=tiny_decoder(), window=4, stride=4).fit()


LESSON = Lesson("what lifts a wing", DOCUMENTS[:4], [2, 0, 3, 1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ranking": "none"},
        {"language": False},
        {"ranking": "listnet"},
        {"ranking": "lambdarank"},
        {"lora": 4},
    ],
)
def test_training_learns_the_order(first: Listwise, settings: dict[str, Any]) -> None:
    engine = replace(first, answer="generated") if settings == {"ranking": "none"} else first
    before = {name: value.clone() for name, value in first.causal.model.state_dict().items()}
    rate = 3e-2 if settings.get("lora") else 1e-2
    learnt = taught(
        engine, [LESSON] * 4, Course(epochs=25, rate=rate, warm_up=5, batch=4, **settings), seed=0
    )
    (ranking,) = learnt.rank([(LESSON.query, LESSON.documents)])
    sure = 1 if settings.get("ranking") in {"listnet", "lambdarank"} else 4  # their grades are its own scores
    assert ranking.order[:sure] == LESSON.order[:sure]
    assert all(torch.equal(before[name], value) for name, value in first.causal.model.state_dict().items())


def test_the_loss_of_a_batch_is_that_of_its_rows(first: Listwise) -> None:
    """Whatever padding rows of other lengths bring."""
    lessons = [
        LESSON,
        Lesson("x", DOCUMENTS[3:6], [1, 0, 2]),
        Lesson("why does heat flow", DOCUMENTS[2:7], [*range(5)]),
    ]
    examples, separators = [example(first, lesson) for lesson in lessons], separators_of(first.causal)
    course = Course(epochs=1, rate=1e-3, language=False)
    with torch.no_grad():
        together = batch_loss(first.causal, examples, course, separators)
        alone = [batch_loss(first.causal, [each], course, separators) for each in examples]
    assert torch.allclose(together, torch.stack(alone).mean(), atol=1e-6)


def test_the_language_loss_is_that_of_transformers(first: Listwise) -> None:
    given = example(first, LESSON)
    ids = torch.tensor([given.prompt + given.target])
    labels = torch.tensor([[-100] * len(given.prompt) + given.target])
    course, separators = Course(1, 1e-3, ranking="none"), separators_of(first.causal)
    with torch.no_grad():
        expected = first.causal.model(input_ids=ids, labels=labels).loss
        found = batch_loss(first.causal, [given], course, separators)
    assert torch.allclose(found, expected, atol=1e-6)


def test_noise_is_bounded_and_only_in_training(first: Listwise) -> None:
    from etude.search.rerank.listwise_training import _noisy

    ids = torch.tensor([[1, 2, 3, 4]])
    embed = first.causal.model.get_input_embeddings()
    plain = embed(ids)
    with _noisy(first.causal.model, 5.0):
        noise = (embed(ids) - plain).detach().abs()
    assert 0 < float(noise.max()) <= 5.0 / (4 * plain.shape[2]) ** 0.5
    assert torch.equal(embed(ids), plain)


def test_lessons_put_the_better_judged_first() -> None:
    documents = {document.id: document for document in DOCUMENTS}
    (lesson, *_) = lessons_of(Judged(QUERIES, QRELS), documents, RUN, window=5, seed=0)
    ranked = [lesson.documents[place].id for place in lesson.order]
    assert ranked == ["wing", "tail", "library", "index", "tube"]
    again = lessons_of(Judged(QUERIES, QRELS), documents, RUN, window=5, seed=0)[0]
    assert again == lesson


def test_adapters_are_saved_alone(tmp_path: Path) -> None:
    method = First(model=tiny_decoder(), window=4, stride=2, epochs=1, lora=2, batch=2)
    reranker = method.fit(DOCUMENTS, Judged(QUERIES, QRELS), RUN, 0)
    reranker.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved" / "engine").glob("*.safetensors")} == {
        "adapter_model.safetensors"
    }
    loaded = load_reranker(tmp_path / "saved")
    assert loaded.rank("a wing", DOCUMENTS) == reranker.rank("a wing", DOCUMENTS)


def test_a_reranker_of_another_model_is_not_loaded(tmp_path: Path) -> None:
    First(model="nano-llama", window=4, stride=2, style="terse").fit().save(tmp_path / "saved")
    manifest = tmp_path / "saved" / "reranker.json"
    manifest.write_text(manifest.read_text().replace("nano-llama", tiny_decoder()))
    with pytest.raises(InputError, match=r"^model: .*another model"):
        load_reranker(tmp_path / "saved")

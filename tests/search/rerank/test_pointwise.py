"""Rerankers that read one or two passages at a time, beside the same computed directly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from etude import models
from etude.errors import InputError
from etude.search.collection import Document, Judged
from etude.search.rerank import PRP, CrossEncoder, MaxSim, MonoT5, QueryLikelihood, YesNo, load_reranker
from etude.search.rerank.checks import DOCUMENTS, QRELS, QUERIES, RUN, tiny_decoder
from etude.search.rerank.pairs import corpus_pairs, judged_pairs
from etude.search.rerank.sorting import bubbled, heap_sorted

QUERY = "what lifts a wing"


@pytest.mark.parametrize(("cls", "words"), [(YesNo, ("Yes", "No")), (MonoT5, ("true", "false"))])
def test_a_verdict_is_the_difference_of_two_logits(cls: type[YesNo | MonoT5], words: tuple[str, str]) -> None:
    engine = cls(model="nano-llama").engine()
    (ranking,) = engine.rank([(QUERY, DOCUMENTS)])
    first, second = (engine.causal.ids(word)[0] for word in words)
    for document, score in zip(DOCUMENTS, ranking.scores, strict=True):
        prompt = engine.prompt(QUERY, document.content)
        with torch.no_grad():
            logits = engine.causal.model(input_ids=torch.tensor([prompt])).logits[0, -1]
        assert score == pytest.approx(float(logits[first] - logits[second]), abs=1e-4)


def test_monot5_learns_to_say_true(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    _, tokenizer = models.load("nano-llama")
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0}
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), decoder_start_token_id=0, pad_token_id=0, eos_token_id=0, **sizes
    )
    models.save(T5ForConditionalGeneration(config), tokenizer, tmp_path / "t5")
    judged = Judged({"q1": QUERY}, {"q1": {"wing": 1, "tail": 1}})
    for model in (str(tmp_path / "t5"), tiny_decoder()):
        method = MonoT5(model=model, epochs=40, rate=3e-3, negatives=3, batch=8)
        reranker = method.fit(DOCUMENTS, judged, RUN, 0)
        assert set(reranker.rank(QUERY, DOCUMENTS).order[:2]) == {0, 1}
        reranker.save(tmp_path / f"saved-{Path(model).name}")
        loaded = load_reranker(tmp_path / f"saved-{Path(model).name}")
        assert loaded.rank(QUERY, DOCUMENTS).order == reranker.rank(QUERY, DOCUMENTS).order


def test_query_likelihood_is_that_of_the_question_alone() -> None:
    engine = QueryLikelihood(model="nano-llama").engine()
    (ranking,) = engine.rank([(QUERY, DOCUMENTS[:2])])
    ids = engine.causal.ids(QUERY)
    for document, score in zip(DOCUMENTS, ranking.scores, strict=False):
        asked = f"Passage: {document.content}\nPlease write a question based on this passage. "
        row = engine.causal.ids(asked)
        with torch.no_grad():
            logged = engine.causal.model(input_ids=torch.tensor([row + ids])).logits[0].log_softmax(1)
        expected = logged[len(row) - 1 : -1][range(len(ids)), ids].mean()
        assert score == pytest.approx(float(expected), abs=1e-4)


def test_words_that_begin_alike_are_no_verdict() -> None:
    from etude.search.rerank.causal import Causal
    from etude.search.rerank.pointwise import Verdict

    with pytest.raises(InputError, match=r"^model: .*same token"):
        Verdict(Causal.load("nano-llama"), "{query}{passage}", "Yes", "Yes!", 10)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 20])
@pytest.mark.parametrize("sort", [bubbled, heap_sorted])
def test_sorting_the_first_k(count: int, sort: object) -> None:
    items = [*range(count)]
    mixed = [items[(place * 7 + 3) % count] for place in range(count)] if count else []
    mixed = list(dict.fromkeys([*mixed, *items]))
    for k in (1, 3, 30):
        order = sort(mixed, k, lambda first, second: first < second)  # type: ignore[operator]
        assert order[:k] == items[:k]
        assert sorted(order) == items
        if sort is bubbled:  # a heap needs equals to be told apart
            assert bubbled(items, k, lambda first, second: False) == items


@pytest.mark.parametrize("strategy", ["sliding", "heap", "all"])
def test_prp_asks_every_pair_both_ways_and_once(strategy: str) -> None:
    method = PRP(model="nano-llama", strategy=strategy, k=3)  # type: ignore[arg-type]
    ranking = method.fit().rank(QUERY, DOCUMENTS[:6])
    assert ranking.generated % 2 == 0
    assert ranking.generated <= 6 * 5
    if strategy == "all":
        assert (ranking.generated, ranking.passes, sum(ranking.scores)) == (30, 1, 15.0)


def test_the_cross_encoder_is_that_of_sentence_transformers() -> None:
    peers = pytest.importorskip("sentence_transformers")
    reranker = CrossEncoder(model="mini-bert", epochs=1).fit(DOCUMENTS, Judged(QUERIES, QRELS), RUN, 0)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        reranker.save(Path(folder) / "saved")
        peer = peers.CrossEncoder(str(Path(folder) / "saved" / "engine"), max_length=256)
        expected = peer.predict(
            [(QUERY, document.content) for document in DOCUMENTS], activation_fn=torch.nn.Identity()
        )
    assert reranker.rank(QUERY, DOCUMENTS).scores == pytest.approx(expected.tolist(), abs=1e-5)


def test_maxsim_of_one_passage_by_hand() -> None:
    engine = MaxSim(model="minilm").engine()
    (ranking,) = engine.rank([(QUERY, DOCUMENTS[:3])])
    model, tokenizer = models.load("minilm")
    for document, score in zip(DOCUMENTS, ranking.scores, strict=False):
        with torch.no_grad():
            asked, told = (
                torch.nn.functional.normalize(model(**tokenizer(text, return_tensors="pt"))[0][0], dim=1)
                for text in (QUERY, document.content)
            )
        assert score == pytest.approx(float((asked @ told.T).amax(1).sum()), abs=1e-4)


def test_pairs_to_learn_from() -> None:
    documents = {document.id: document for document in DOCUMENTS}
    pairs = judged_pairs(Judged(QUERIES, QRELS), documents, RUN, negatives=2, seed=0)
    right = [pair for pair in pairs if pair.relevant]
    assert len(right) == sum(grade > 0 for grades in QRELS.values() for grade in grades.values())
    assert len(pairs) == 3 * len(right)
    with pytest.raises(InputError, match=r"^corpus: "):
        corpus_pairs([Document("a", "one sentence")], 1, 0)

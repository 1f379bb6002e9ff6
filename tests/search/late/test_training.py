"""Training: what a batch holds against a query, and that it is learnt."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from etude import InputError
from etude.search.collection import Document, Judged
from etude.search.late.encoder import TokenEncoder
from etude.search.late.pairs import Pair, from_corpus, pairs_of
from etude.search.late.readings import Readings
from etude.search.late.scoring import maxsim, xtr_scores
from etude.search.late.training import contrast, principal, train

DOCUMENTS = [
    Document("1", "The harbour A ship came in. It had sailed for weeks.", "The harbour"),
    Document("2", "She wore silk and danced.", "The ball"),
    Document("3", "He paid what he owed at last.", ""),
    Document("4", "", ""),
]
JUDGED = Judged({"q": "a ship that sailed", "r": "silk"}, {"q": {"1": 2, "2": 0}, "r": {"2": 1, "x": 1}})
PAIRS = [Pair(d.title or d.text[:7], d.text, d.id) for d in DOCUMENTS[:3]]


def test_titles_and_sentences_ask_for_the_rest_of_their_document() -> None:
    found = from_corpus(DOCUMENTS, seed=0)
    assert Pair("The harbour", "A ship came in. It had sailed for weeks.", "1") in found
    assert {pair.id for pair in found} == {"1", "2", "3"}
    for pair in found:
        assert pair.query not in pair.document or pair.id == "3"  # of one sentence nothing would be left
    assert from_corpus(DOCUMENTS, seed=0) == found


def test_judged_queries_ask_for_what_is_relevant_and_bm25_finds_what_is_not() -> None:
    pairs = pairs_of(DOCUMENTS, JUDGED, seed=0, negatives=2)
    assert [(pair.query, pair.id) for pair in pairs] == [("a ship that sailed", "1"), ("silk", "2")]
    for pair in pairs:
        assert pair.id not in {document.id for document in pair.negatives}


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(InputError, match=r"^corpus: "):
        pairs_of([DOCUMENTS[3]], None, seed=0)


def test_a_document_is_no_negative_of_itself() -> None:
    logits = torch.tensor([[1.0, 5.0, 0.0], [5.0, 1.0, 0.0]])
    own = contrast(logits, ["a", "a", "b"])
    assert own == pytest.approx(float(torch.tensor([1.0, 0.0]).logsumexp(0)) - 1.0)
    assert contrast(logits, ["a", "c", "b"]) > own


@pytest.mark.parametrize("score", [maxsim, partial(xtr_scores, k=8)])
@pytest.mark.parametrize("whole", [False, True])
def test_the_loss_falls_and_only_what_is_trained_changes(score: object, whole: bool) -> None:
    torch.manual_seed(0)
    encoder = TokenEncoder.load("nano-bert", width=16)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    losses = train(encoder, PAIRS, score, steps=15, batch=3, rate=3e-3, temperature=0.1, whole=whole)  # type: ignore[arg-type]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    changed = {name for name, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"projection.weight"} if not whole else len(changed) > 10


def test_states_that_are_at_hand_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("ETUDE_CACHE", str(tmp_path))
    encoder = TokenEncoder.load("nano-bert")
    queries, documents = [pair.query for pair in PAIRS], [pair.document for pair in PAIRS]
    made, kept = (read(encoder, queries, documents) for read in (Readings.of, Readings.kept))
    assert torch.equal(made(queries[1:], "query").vectors.half().float(), kept(queries[1:], "query").vectors)
    again = Readings.kept(encoder, queries, documents)
    assert torch.equal(again(documents, "document").vectors, kept(documents, "document").vectors)


def test_the_principal_directions_keep_products_of_what_lies_in_them() -> None:
    torch.manual_seed(0)
    states = torch.randn(100, 4) @ torch.randn(4, 12)
    projected = principal(states, 4)(states)
    assert torch.allclose(projected @ projected.T, states @ states.T, atol=1e-3)

"""Fine-tuning: what the losses compare, what is trained and what is not."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from etude import InputError
from etude.search.collection import Document, Judged
from etude.search.late.pairs import Pair
from etude.search.modular.encoder import Modular, adapters, extended, plugged
from etude.search.modular.pretraining import Schedule, teach
from etude.search.modular.retriever import Retriever, head
from etude.search.modular.tuning import Settings, among_batch, distilled, pairwise, tune
from etude.search.modular.vocabulary import extension
from etude.search.retrieve import ColBERTXM

PAIRS = [
    Pair("who is free", "All human beings are born free.", "1", (Document("2", "Nobody sings."),)),
    Pair("who sings", "Nobody sings.", "2", (Document("1", "All human beings are born free."),)),
    Pair("what are we born with", "Dignity and rights.", "3", (Document("2", "Nobody sings."),)),
]
SETTINGS = Settings(steps=4, batch=3, rate=1e-2)


def retriever(encoder: Modular) -> Retriever:
    torch.manual_seed(0)
    made = Modular(copy.deepcopy(encoder.model), encoder.tokenizer, encoder.own)
    return Retriever(made, head(made, 8), query_length=12, document_length=20, language="en")


def test_embeddings_and_adapters_stay_to_the_bit(backbone: Modular) -> None:
    tuned = retriever(backbone)
    losses = tune(tuned, PAIRS, SETTINGS)
    assert len(losses) == 4
    changed = {
        name
        for name, tensor in tuned.model.state_dict().items()
        if not torch.equal(tensor, backbone.model.state_dict()[name])
    }
    assert changed and not any("embeddings" in n or "adapter" in n or "lm_head" in n for n in changed)
    assert changed == {n for n, parameter in tuned.model.named_parameters() if parameter.requires_grad}


def test_it_learns(backbone: Modular) -> None:
    losses = tune(retriever(backbone), PAIRS, Settings(steps=60, batch=3, rate=1e-2))
    assert losses[-1] < 0.5 * losses[0]


def test_a_language_may_be_added_before_or_after(backbone: Modular) -> None:
    texts = ["Alle mensen worden vrij geboren."]
    own = extension(backbone.tokenizer, texts, 60, backbone.model.config.vocab_size)
    wider = extended(backbone, "nl", own)
    torch.manual_seed(1)
    teach(wider, "nl", texts, Schedule(steps=2, batch=2, length=16))
    before, after = retriever(wider), retriever(backbone)
    for each in (before, after):
        torch.manual_seed(2)
        tune(each, PAIRS, SETTINGS)
    seen = after.encode(["All are free."], "document").vectors
    made = plugged(after.encoder, wider, "nl")
    for name, tensor in made.model.state_dict().items():
        assert torch.equal(tensor, before.model.state_dict()[name]), name
    assert adapters(made, "nl")
    grown = Retriever(made, after.projection, query_length=12, document_length=20, language="en")
    assert torch.equal(grown.encode(["All are free."], "document").vectors, seen)


def test_losses_compare_what_they_say() -> None:
    found = torch.tensor([[3.0, 1.0, 0.5, 2.0], [0.0, 1.0, 2.0, 4.0]])
    own = torch.tensor([0, 2])
    ours = found[torch.arange(2)[:, None], own[:, None] + torch.arange(2)]
    by_hand = -(torch.log_softmax(ours, 1)[:, 0]).mean()
    assert torch.allclose(pairwise(ours), by_hand)
    left_out = torch.tensor([[False, True, False, False], [False, False, False, True]])
    expected = (
        cross_entropy(found[:1, [0, 2, 3]], torch.tensor([0]))
        + cross_entropy(found[1:, [0, 1, 2]], torch.tensor([2]))
    ) / 2
    assert torch.allclose(among_batch(found, own, left_out), expected)
    assert distilled(ours, ours + 5.0).abs() < 1e-6  # the softmax knows no constant
    taught = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
    chances = (2 * taught).softmax(1)
    expected = (chances * (chances.log() - ours.log_softmax(1))).sum(1).mean()
    assert torch.allclose(distilled(ours, taught, 2.0), expected, atol=1e-6)


def test_a_teacher_is_followed(backbone: Modular) -> None:
    def wrong_way_round(query: str, documents: object) -> torch.Tensor:
        return torch.tensor([0.0, 9.0])

    settings = Settings(steps=60, batch=3, rate=1e-2, in_batch=False)
    tuned = retriever(backbone)
    losses = tune(tuned, PAIRS, settings, wrong_way_round)
    assert losses[-1] < 0.5 * losses[0]
    query = tuned.encode([PAIRS[0].query], "query")
    right, wrong = (tuned.encode([text], "document") for text in (PAIRS[0].document, "Nobody sings."))
    best = [(query.vectors @ each.vectors.T).max(1).values.sum() for each in (right, wrong)]
    assert best[0] < best[1]


def test_the_method_says_what_is_missing() -> None:
    documents = [Document("a", "All human beings are born free.")]
    judged = Judged({"q": "who is free"}, {"q": {"a": 1}})
    for field, method in {
        "backbone": ColBERTXM(backbone="no-such-backbone"),
        "language": ColBERTXM(backbone="tiny-xmod", language="fr"),
        "teacher": ColBERTXM(backbone="tiny-xmod", teacher="./none", steps=1),
    }.items():
        with pytest.raises(InputError, match=f"^{field}:"):
            method.index(documents, judged)
    with pytest.raises(InputError, match=r"^source:"):
        ColBERTXM(backbone="tiny-xmod", source="no-such-set").index(documents)
    with pytest.raises(InputError, match=r"^index:"):
        ColBERTXM().engine()


def test_without_judged_queries_it_learns_from_its_source_or_the_corpus() -> None:
    documents = [
        Document("a", "All human beings are born free. They are equal in dignity and rights.", "Rights"),
        Document("b", "Alle Menschen sind frei geboren. Sie sind gleich an Würde und Rechten.", "Rechte"),
    ]
    index = ColBERTXM(backbone="tiny-xmod", source="", source_language="", steps=2).index(documents)
    assert set(index.search({"q": "Menschen"})["q"]) == {"a", "b"}

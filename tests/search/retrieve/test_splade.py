"""SPLADE: its pooling beside sentence-transformers', its training, its inverted index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from etude import models
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.late.pairs import Pair
from etude.search.retrieve import Splade, open_index
from etude.search.retrieve.splade import flops
from etude.search.retrieve.terms import TermEncoder, TermEngine

TEXTS = ["The ship sailed over the sea.", "the queen", "A king and his horse rode through the wood at night."]


@pytest.fixture(scope="module")
def encoder() -> TermEncoder:
    return TermEncoder.load("nano-bert", 128)


def test_weights_are_those_of_sentence_transformers(encoder: TermEncoder) -> None:
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    with torch.no_grad():
        found = encoder(TEXTS)
        batch = encoder.tokenizer(TEXTS, padding=True, return_tensors="pt")
        logits = encoder.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    pooled = SpladePooling("max")({"token_embeddings": logits, "attention_mask": batch["attention_mask"]})
    assert (found - pooled["sentence_embedding"]).abs().max() < 1e-5
    assert float(flops(found)) == pytest.approx(float((found.mean(0) ** 2).sum()))


def test_the_inverted_index_gives_the_products(encoder: TermEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(str(number), text) for number, text in enumerate([*TEXTS, "the sea"])]
    with torch.no_grad():
        asked, held = encoder(["a ship at night"]), encoder([document.text for document in documents])
    for size in (100, 3):
        monkeypatch.setattr(TermEngine, "segment", size)
        found = Splade(steps=0).index(documents).search({"q": "a ship at night"})["q"]
        products = (asked @ held.T)[0].tolist()
        assert [found[str(number)] for number in range(4)] == pytest.approx(products, rel=1e-5)


def test_training_lowers_the_loss_and_is_kept(tmp_path: Path) -> None:
    documents = [Document(str(number), f"{text} {text}", title=text) for number, text in enumerate(TEXTS)]
    method = Splade(steps=12, batch=3)
    encoder = TermEncoder.load("nano-bert", 32)
    losses = method.train(encoder, [Pair(d.title, d.text, d.id) for d in documents])
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    index = method.index(documents, seed=1)
    assert index.engine.fingerprint != Splade(steps=0).engine().fingerprint
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    assert opened.engine.fingerprint == index.engine.fingerprint
    opened.add([Document("new", "a ship")])
    assert [*opened.search({"q": "ship"}, k=2)["q"]]


def test_logits_are_shifted_until_few_terms_are_left() -> None:
    encoder = TermEncoder.load("nano-bert", 32)
    with torch.no_grad():
        before = encoder.largest(TEXTS)
        assert (before > 0).sum(1).min() > 1000
        encoder.level(TEXTS, 50)
        after = encoder.largest(TEXTS)
    assert ((before - after) - (before - after)[0, 0]).abs().max() < 1e-4, "one number for all"
    assert 20 < (after > 0).sum(1).float().mean() < 120


def test_the_regulariser_makes_texts_sparse() -> None:
    pairs = [Pair(text, text, str(number)) for number, text in enumerate(TEXTS)]
    counts = []
    for weight in (0.0, 1.0):
        encoder = TermEncoder.load("nano-bert", 32)
        torch.manual_seed(0)
        Splade(steps=10, batch=3, document_flops=weight, query_flops=weight).train(encoder, pairs)
        with torch.no_grad():
            counts.append(int((encoder(TEXTS) > 0).sum()))
    assert counts[1] < 0.8 * counts[0]


def test_a_model_that_predicts_no_masked_words_is_refused() -> None:
    for name in ("nano-llama", "no-such-model"):
        with pytest.raises(InputError) as caught:
            Splade(model=name, steps=0).index([Document("a", "wing")])
        assert caught.value.field == "model"
    assert models.load("nano-bert")[1].mask_token_id is not None

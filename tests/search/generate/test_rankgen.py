"""RankGen's encoder and how it learns; what judges texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from etude import data, models
from etude.search.generate import RankGen, load_generator
from etude.search.generate.chunks import Candidate
from etude.search.generate.dual import DualEncoder
from etude.search.generate.lessons import any_document, same_document
from etude.search.generate.quality import mauve, names, repetition
from etude.search.generate.rankgen import contrast
from etude.search.generate.scorers import Dual, Likelihood
from etude.search.passages import pairs
from etude.seeds import seeded

TEXTS = ["He went out.", "It was cold, and she saw no one in the street, for it was late.", "Rain."]


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    return DualEncoder(*models.load("nano-bert"))


def test_scores_are_products_whatever_stands_beside_them(encoder: DualEncoder) -> None:
    prefixes, suffixes = encoder.encode(TEXTS, "prefix"), encoder.encode(TEXTS, "suffix")
    scorer = Dual(encoder)
    owners = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    flat = scorer.score(scorer.read(TEXTS), owners, [Candidate(text) for text in TEXTS * 3])
    assert torch.allclose(flat.view(3, 3), prefixes @ suffixes.T, atol=1e-4)
    alone = torch.cat([encoder.encode([text], "suffix") for text in reversed(TEXTS)]).flip(0)
    assert torch.allclose(alone, suffixes, atol=1e-5)
    assert not torch.allclose(prefixes, suffixes, atol=1e-3)  # the roles are told apart


def test_of_a_long_prefix_the_end_is_read_and_of_a_suffix_the_beginning(encoder: DualEncoder) -> None:
    long = " ".join(TEXTS * 30)
    (prefix,), (suffix,) = (encoder.rows([long], role) for role in ("prefix", "suffix"))
    ids = encoder.tokenizer(long, add_special_tokens=False)["input_ids"]
    assert len(prefix) == len(suffix) == 128
    assert prefix[-2] == ids[-1] and suffix[-10:-1] != ids[-9:]
    word = encoder.tokenizer("pre ", add_special_tokens=False)["input_ids"]
    assert prefix[1 : 1 + len(word)] == word


def test_the_loss_is_that_of_the_paper() -> None:
    draw = torch.Generator().manual_seed(0)
    p, s, n = (torch.randn(4, 6, generator=draw) for _ in range(3))
    by_hand = 0.0
    for i in range(4):
        others = sum(torch.exp(p[i] @ s[j]) for j in range(4)) + torch.exp(p[i] @ n[i])
        by_hand -= float(torch.log(torch.exp(p[i] @ s[i]) / others)) / 4
    assert float(contrast(p, s, n)) == pytest.approx(by_hand, abs=1e-5)


def test_batches_are_of_one_document_or_of_all() -> None:
    _, tokenizer = models.load("nano-bert")
    found = pairs([text[:6000] for text in data.load("novels", "calibration")[:3]], tokenizer, 60, 30)
    assert all(len(tokenizer(pair.suffix, add_special_tokens=False)["input_ids"]) <= 30 for pair in found)
    draw = torch.Generator().manual_seed(0)
    same, every = same_document(found, 8, draw), any_document(found, 30, draw)
    assert all(len({pair.document for pair in next(same)}) == 1 for _ in range(5))
    assert len({pair.document for pair in next(every)}) > 1


def test_training_lowers_the_loss_and_a_saved_generator_says_the_same(tmp_path: Path) -> None:
    model, tokenizer = models.load("nano-llama")
    documents = [text[:8000] for text in data.load("novels", "calibration")[:2]]
    found = pairs(documents, models.load("nano-bert")[1], 40, 24)[:16]
    losses = []
    for steps in (1, 24):
        method = RankGen(
            objective="inbook", prefix=40, suffix=24, steps=steps, batch=8, samples=2, chunk=4, rate=1e-3
        )
        with seeded(0):
            generator = method.fit(model, tokenizer, documents)
        assert isinstance(generator.scorer, Dual)
        learnt = generator.scorer.encoder
        vectors = (
            learnt.encode([p.prefix for p in found], "prefix"),
            learnt.encode([p.suffix for p in found], "suffix"),
        )
        losses.append(float(contrast(*vectors)))
    assert losses[1] < losses[0]
    generator.save(tmp_path / "generator")
    again = load_generator(tmp_path / "generator", model, tokenizer)
    with seeded(1):
        first = generator.generate(["It was late, and"], 8)
    with seeded(1):
        assert again.generate(["It was late, and"], 8) == first


def test_likelihood_of_a_drawn_text_is_that_of_a_read_one() -> None:
    model, tokenizer = models.load("nano-llama")
    scorer = Likelihood(model, tokenizer)
    read = scorer.read(["It was late, and the"])
    given = [Candidate("house was dark", log_likelihood=None), Candidate("xq zzw", log_likelihood=None)]
    likely, odd = scorer.score(read, [0, 0], given).tolist()
    assert odd < likely < 0


def test_mauve_knows_equal_from_unequal_texts() -> None:
    draw = torch.Generator().manual_seed(0)
    near, alike, far = (torch.randn(100, 8, generator=draw) for _ in range(3))
    assert mauve(near, near) == pytest.approx(1.0, abs=0.01)
    assert mauve(near, alike) > mauve(near, far + 3) + 0.3


def test_repetition_and_names() -> None:
    assert repetition("one two", 3) == 0
    assert np.isclose(repetition("a b c a b c", 3), 0.25)
    assert names("He met Mary.", "And so Mary, with John, left.") == 0.5
    assert names("He met Mary.", "And so it was.") is None

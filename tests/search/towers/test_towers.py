"""Towers: trained, saved, read by sentence-transformers, searched exactly."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from etude.errors import InputError
from etude.search.collection import Document, Judged
from etude.search.retrieve import TwoTower
from etude.search.towers import encoder
from etude.search.towers.encoder import Towers
from etude.search.towers.learning import asked
from etude.search.towers.pairs import Source
from etude.search.towers.training import Schedule, train, train_masked

from .test_pairs import PAGES

TEXTS = ["A wing lifts an aircraft.", "Books.", "They are lent out, and read in many places of the world."]
DOCUMENTS = [Document(str(place), text) for place, text in enumerate(TEXTS)]


def towers(body: encoder.Body = "transformer", shared: bool = False) -> Towers:
    torch.manual_seed(0)
    return encoder.fresh(
        Source(PAGES).texts,
        body=body,
        hidden=32,
        layers=1,
        width=8,
        shared=shared,
        query_length=16,
        passage_length=24,
    )


@pytest.mark.parametrize("body", ["transformer", "bag of words"])
@pytest.mark.parametrize("shared", [False, True])
def test_saved_and_read_they_give_the_same_vectors(body: encoder.Body, shared: bool, tmp_path: Path) -> None:
    made = towers(body, shared)
    made.save(tmp_path)
    again = encoder.read(tmp_path)
    assert again.fingerprint == made.fingerprint and again.shared == shared
    for role in ("query", "passage"):
        assert torch.equal(again.encode(TEXTS, role), made.encode(TEXTS, role))  # type: ignore[arg-type]
    same = torch.allclose(*(made.encode(TEXTS[1:2], role) for role in ("query", "passage")))  # type: ignore[arg-type]
    assert same == shared
    (tmp_path / "towers.json").unlink()
    with pytest.raises(InputError, match=r"^encoder:"):
        encoder.read(tmp_path)


def test_sentence_transformers_reads_each_tower(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    made = towers()
    made.save(tmp_path)
    for role in ("query", "passage"):
        theirs = library.SentenceTransformer(str(tmp_path / role), device="cpu", local_files_only=True)
        found = torch.from_numpy(theirs.encode(TEXTS, show_progress_bar=False))
        assert theirs.max_seq_length == made.lengths[role]  # type: ignore[index]
        assert torch.allclose(found, made.encode(TEXTS, role), atol=1e-5)  # type: ignore[arg-type]


def test_vectors_do_not_depend_on_company() -> None:
    for body in ("transformer", "bag of words"):
        made = towers(body)  # type: ignore[arg-type]
        together = made.encode(TEXTS, "passage")
        for place, text in enumerate(TEXTS):
            assert torch.allclose(made.encode([text], "passage")[0], together[place], atol=1e-6)


@pytest.mark.parametrize("body", ["transformer", "bag of words"])
def test_pairs_are_learnt_whatever_the_part(body: encoder.Body) -> None:
    source, found = Source(PAGES), []
    for part in (2, 16):
        made = towers(body)
        torch.manual_seed(0)
        schedule = Schedule(steps=25, batch=16, rate=1e-2)
        losses = train(made, source.drawn(["ict", "wlp"], 0), schedule, part=part, masked=True)
        assert losses[-1] < 0.6 * losses[0]
        found.append(losses[:5])
    assert np.allclose(*found, rtol=1e-3)


def test_masked_language_modelling_leaves_the_linear_layers() -> None:
    made = towers()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    torch.manual_seed(0)
    losses = train_masked(made, Source(PAGES).texts, Schedule(steps=40, batch=8, rate=5e-3))
    assert losses[-1] < 0.8 * losses[0]
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, before[name]) == ("linear" in name or "pooler" in name), name


def test_training_ends_with_its_pairs() -> None:
    source = Source(PAGES)
    few = islice(source.drawn(["ict"], 0), 10)
    assert len(train(towers(), few, Schedule(steps=9, batch=4, rate=1e-3), part=4, masked=False)) == 3
    assert list(asked(DOCUMENTS, Judged({"q": "what"}, {"q": {"gone": 1, "0": 0}}), 0)) == []


def test_judged_queries_ask_for_each_relevant_document() -> None:
    judged = Judged({"q": "who lifts", "r": "who lends"}, {"q": {"0": 2, "1": 0}, "r": {"2": 1, "x": 1}})
    pairs = list(islice(asked(DOCUMENTS, judged, 0), 4))
    assert {(pair.query, pair.passage) for pair in pairs} == {
        ("who lifts", TEXTS[0]),
        ("who lends", TEXTS[2]),
    }


def test_search_is_exact() -> None:
    corpus = [Document(f"d{i}", f"wing {i} of aircraft {i % 7}, and book {i % 5}.") for i in range(60)]
    index = TwoTower(hidden=32, layers=1, steps=1, batch=4).index(corpus)
    run = index.search({"q": "book 3 and wing"}, k=10)["q"]
    towers = index.engine.encoder  # type: ignore[attr-defined]
    scores = towers.queries(["book 3 and wing"])[0] @ towers.documents([d.content for d in corpus]).T
    best = np.argsort(-scores)[:10]
    assert list(run) == [f"d{place}" for place in best]
    assert np.allclose(list(run.values()), scores[best], rtol=1e-4)


def test_the_method_says_what_is_missing() -> None:
    for field, method in {
        "pages": TwoTower(pages="no-such-pages"),
        "encoder": TwoTower(encoder="./no-such-encoder"),
    }.items():
        with pytest.raises(InputError, match=f"^{field}:"):
            method.index(DOCUMENTS)
    with pytest.raises(InputError, match=r"^tasks:"):
        TwoTower(tasks=("mlm", "ict"))
    with pytest.raises(InputError, match=r"^tasks:"):
        TwoTower(tasks=("mlm",), body="bag of words")
    with pytest.raises(InputError, match=r"^corpus:"):
        TwoTower().index([Document("a", "")])
    with pytest.raises(InputError, match=r"^index:"):
        TwoTower().engine()


def test_towers_go_on_from_an_encoder() -> None:
    index = TwoTower(encoder="nano-bert", tasks=("ict",), steps=1, batch=4, width=8, shared=True).index(
        DOCUMENTS
    )
    assert len(index.search({"q": "wing"})["q"]) == 3

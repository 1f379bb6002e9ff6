"""Queries and documents as token vectors, each under the adapter of its language."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from etude.errors import InputError
from etude.search.late.scoring import maxsim
from etude.search.late.tokens import Tokens
from etude.search.modular.encoder import Modular
from etude.search.modular.languages import detect
from etude.search.modular.retriever import Retriever, head, read
from etude.search.modular.tuning import scores

from .conftest import LANGUAGES, TEXTS


@pytest.fixture(scope="module")
def retriever(backbone: Modular) -> Retriever:
    torch.manual_seed(0)
    return Retriever(backbone, head(backbone, 8), query_length=12, document_length=20).eval()


def test_languages_are_told_text_by_text() -> None:
    assert detect(TEXTS, LANGUAGES) == LANGUAGES == detect(TEXTS, LANGUAGES)
    assert detect(TEXTS, ["en", "klingon"]) == ["en"] * 3
    assert detect(["", "12"], ["de", "en"]) == ["de", "de"]


def test_queries_are_filled_up_with_masks_that_are_attended_to(retriever: Retriever) -> None:
    tokenizer = retriever.encoder.tokenizer
    batch = retriever.batch(["born free"], "query")
    tokens = tokenizer.convert_ids_to_tokens(batch.ids[0].tolist())
    assert tokens[:2] == ["[CLS]", "[Q]"] and tokens[-1] == "[MASK]" and len(tokens) == 12
    assert tokens.count("[SEP]") == 1
    assert batch.attention.all() and batch.kept.all()
    assert retriever.encode(["born free"], "query").lengths.tolist() == [12]


def test_punctuation_and_padding_of_documents_do_not_count(retriever: Retriever) -> None:
    tokenizer = retriever.encoder.tokenizer
    batch = retriever.batch(["born, free.", "All human beings are born free"], "document")
    kept = tokenizer.convert_ids_to_tokens(batch.ids[0][batch.kept[0]].tolist())
    assert kept[:2] == ["[CLS]", "[D]"] and kept[-1] == "[SEP]"
    assert not {"▁.", "▁,", ".", ","} & set(kept)
    assert batch.attention[0].sum() > batch.kept[0].sum()
    assert retriever.batch(["free " * 50], "document").ids.shape == (1, 20)


def test_a_text_has_the_same_vectors_in_any_company(retriever: Retriever) -> None:
    together = retriever.encode(TEXTS, "document")
    for place, text in enumerate(TEXTS):
        alone = retriever.encode([text], "document")
        assert torch.allclose(together[place], alone.vectors, atol=1e-6)
    assert torch.allclose(together.vectors.norm(dim=1), torch.ones(len(together.vectors)), atol=1e-5)


def test_the_adapter_of_each_text_is_switched_in(retriever: Retriever) -> None:
    mixed = retriever.encode(TEXTS[:2], "document")
    english = Retriever(retriever.encoder, retriever.projection, document_length=20, language="en")
    assert torch.allclose(english.encode(TEXTS[:1], "document").vectors, mixed[0], atol=1e-6)
    assert not torch.allclose(english.encode(TEXTS[1:2], "document").vectors, mixed[1], atol=1e-3)
    unknown = Retriever(retriever.encoder, retriever.projection, language="fr")
    with pytest.raises(InputError, match=r"^language:"):
        unknown.encode(TEXTS, "query")


def test_maxsim_of_single_vectors_is_their_product(backbone: Modular) -> None:
    torch.manual_seed(0)
    single = Retriever(backbone, head(backbone, 8), vectors="first")
    queries, documents = single.encode(TEXTS, "query"), single.encode(TEXTS, "document")
    assert queries.lengths.tolist() == documents.lengths.tolist() == [1, 1, 1]
    assert torch.allclose(scores(queries, documents), queries.vectors @ documents.vectors.T, atol=1e-6)


def test_maxsim_does_not_know_the_order_of_tokens(retriever: Retriever) -> None:
    queries, documents = retriever.encode(TEXTS, "query"), retriever.encode(TEXTS, "document")
    mixed = Tokens.of([documents[i][torch.randperm(int(documents.lengths[i]))] for i in range(3)])
    assert torch.allclose(maxsim(queries, mixed), maxsim(queries, documents), atol=1e-6)
    by_hand = [[(queries[q] @ documents[d].T).max(1).values.sum() for d in range(3)] for q in range(3)]
    assert torch.allclose(scores(queries, documents), torch.tensor(by_hand), atol=1e-5)


def test_it_is_saved_with_the_languages_asked_for(retriever: Retriever, tmp_path: Path) -> None:
    retriever.save(tmp_path / "all")
    retriever.save(tmp_path / "spanish", ["es"])
    assert read(tmp_path / "all").fingerprint == retriever.fingerprint
    spanish = read(tmp_path / "spanish")
    assert spanish.encoder.languages == ["es"] and spanish.fingerprint != retriever.fingerprint
    same = spanish.encode([TEXTS[2]], "query").vectors
    assert torch.equal(same, retriever.encode([TEXTS[2]], "query").vectors)
    (tmp_path / "all" / "retriever.json").unlink()
    with pytest.raises(InputError, match=r"^encoder:"):
        read(tmp_path / "all")

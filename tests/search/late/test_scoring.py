"""Scores from tokens: XTR's and ColBERT's, beside sentence-transformers'."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from etude.search.late.scoring import maxsim, xtr_scores
from etude.search.late.tokens import Tokens, best, ranges

QUERIES, DOCUMENTS = (3, 5, 1, 7), (9, 4, 12, 1, 20)


def texts(lengths: tuple[int, ...], seed: int, width: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [normalize(torch.randn(n, width, generator=generator), dim=1) for n in lengths]


def padded(texts: list[Tensor]) -> tuple[Tensor, Tensor]:
    masks = [torch.ones(len(text)) for text in texts]
    return pad_sequence(texts, batch_first=True), pad_sequence(masks, batch_first=True)


@pytest.fixture
def queries() -> list[Tensor]:
    return texts(QUERIES, seed=0)


@pytest.fixture
def documents() -> list[Tensor]:
    return texts(DOCUMENTS, seed=1)


@pytest.mark.parametrize("k", [1, 2, 5, 20, sum(DOCUMENTS), 1000])
def test_xtr_is_sentence_transformers(queries: list[Tensor], documents: list[Tensor], k: int) -> None:
    scoring = pytest.importorskip("sentence_transformers.multi_vector_encoder.scoring")
    (q, q_mask), (d, d_mask) = padded(queries), padded(documents)
    theirs = scoring.xtr_scores(q, d[:, None], q_mask, d_mask[:, None], top_k=k)
    assert (xtr_scores(Tokens.of(queries), Tokens.of(documents), k) - theirs).abs().max() < 1e-5


def test_maxsim_is_sentence_transformers_in_parts_too(
    queries: list[Tensor], documents: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring = pytest.importorskip("sentence_transformers.multi_vector_encoder.scoring")
    (q, q_mask), (d, d_mask) = padded(queries), padded(documents)
    theirs = scoring.mean_colbert_scores(q, d[:, None], q_mask, d_mask[:, None])
    assert (maxsim(Tokens.of(queries), Tokens.of(documents)) - theirs).abs().max() < 1e-6
    monkeypatch.setattr("etude.search.late.scoring.CHUNK", 100)
    assert (maxsim(Tokens.of(queries), Tokens.of(documents)) - theirs).abs().max() < 1e-6


def test_with_all_tokens_xtr_is_colbert(queries: list[Tensor], documents: list[Tensor]) -> None:
    ours = xtr_scores(Tokens.of(queries), Tokens.of(documents), k=sum(DOCUMENTS))
    assert torch.equal(ours, maxsim(Tokens.of(queries), Tokens.of(documents)))


def test_tokens_that_are_not_retrieved_get_no_gradient(
    queries: list[Tensor], documents: list[Tensor]
) -> None:
    vectors = torch.cat(documents).requires_grad_()
    tokens = Tokens(vectors, torch.tensor(DOCUMENTS))
    asked = Tokens.of(queries[:1])
    xtr_scores(asked, tokens, k=2).sum().backward()
    retrieved = (vectors.detach() @ queries[0].T).topk(2, dim=0).indices.unique()
    untouched = torch.ones(len(vectors), dtype=torch.bool)
    untouched[retrieved] = False
    assert vectors.grad is not None and bool(vectors.grad.isfinite().all())
    assert float(vectors.grad[untouched].abs().max()) == 0.0
    assert float(vectors.grad[retrieved].abs().max()) > 0.0


def test_a_document_without_retrieved_tokens_scores_nothing() -> None:
    query = Tokens.of([torch.tensor([[1.0, 0.0]])])
    near_and_far = Tokens.of([torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])])
    assert xtr_scores(query, near_and_far, k=1).tolist() == [[1.0, 0.0]]


def test_the_sum_is_divided_by_the_query_tokens_that_found_the_document() -> None:
    query = Tokens.of([torch.tensor([[1.0, 0.0], [0.0, 1.0]])])
    documents = Tokens.of([torch.tensor([[0.8, 0.6]]), torch.tensor([[0.0, 1.0]])])
    assert torch.allclose(xtr_scores(query, documents, k=1), torch.tensor([[0.8, 1.0]]))


def test_ranges_and_the_best_of_each_text() -> None:
    assert ranges(torch.tensor([4, 0, 9]), torch.tensor([2, 0, 1])).tolist() == [4, 5, 9]
    values = torch.tensor([[1.0], [3.0], [2.0]])
    assert best(values, torch.tensor([2, 0, 1])).flatten().tolist() == [3.0, -torch.inf, 2.0]

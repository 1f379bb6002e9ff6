"""Search over token vectors: XTR's identities, and the same results from any division into segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from etude import InputError
from etude.search.late.judging import nearest
from etude.search.late.scoring import maxsim
from etude.search.late.search import gather, imputed, listed, retrieve, top
from etude.search.late.segment import Segment, write_segment
from etude.search.late.tokens import Tokens

WIDTH, DOCUMENTS = 24, 60


def corpus() -> Tokens:
    torch.manual_seed(3)
    lengths = torch.randint(1, 12, (DOCUMENTS,))
    return Tokens(normalize(torch.randn(int(lengths.sum()), WIDTH) + 0.3, dim=1), lengths)


def query(seed: int, tokens: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(tokens, WIDTH, generator=generator) + 0.3, dim=1)


def segments(tmp_path: Path, *parts: slice, bits: int = 32, lists: int = 0) -> list[Segment]:
    tokens, opened = corpus(), []
    for number, part in enumerate(parts or (slice(None),)):
        own = tokens.take(torch.arange(DOCUMENTS)[part])
        folder = tmp_path / f"{number}-{bits}-{lists}"
        folder.mkdir(parents=True)
        write_segment(folder, own.vectors.numpy(), own.lengths, bits, lists)
        opened.append(Segment(folder, bits))
    return opened


def by_the_book(vectors: Tensor, tokens: Tokens, k: int) -> dict[int, float]:
    """XTR as the paper says it, one token after the other."""
    similarities = vectors @ tokens.vectors.T
    lists = [row.topk(min(k, len(row))) for row in similarities]
    owners = tokens.owners.tolist()
    candidates = {owners[j] for found in lists for j in found.indices.tolist()}
    scores = {}
    for document in candidates:
        total = 0.0
        for found in lists:
            pairs = zip(found.values.tolist(), found.indices.tolist(), strict=True)
            own = [value for value, j in pairs if owners[j] == document]
            total += max(own) if own else float(found.values[-1])
        scores[document] = total / len(vectors)
    return scores


@pytest.mark.parametrize("k", [1, 3, 20, 100])
def test_the_score_is_the_papers(tmp_path: Path, k: int) -> None:
    opened = segments(tmp_path)
    for seed in range(5):
        found = retrieve(opened, query(seed), k)
        expected = by_the_book(query(seed), corpus(), k)
        assert found.documents.tolist() == sorted(expected)
        assert found.scores.tolist() == pytest.approx([expected[i] for i in sorted(expected)], abs=1e-6)


def test_with_all_tokens_it_is_exact_maxsim(tmp_path: Path) -> None:
    tokens, vectors = corpus(), query(0)
    exact = maxsim(Tokens.of([vectors]), tokens)[0]
    opened = segments(tmp_path)
    found = retrieve(opened, vectors, tokens=10_000)
    assert found.documents.tolist() == list(range(DOCUMENTS))
    assert (found.scores - exact).abs().max() < 1e-6
    assert (gather(opened, vectors, torch.arange(DOCUMENTS)) - exact).abs().max() < 1e-6


@pytest.mark.parametrize("k", [1, 5, 50])
def test_the_score_is_never_below_the_exact_one(tmp_path: Path, k: int) -> None:
    opened, vectors = segments(tmp_path), query(1)
    found = retrieve(opened, vectors, k)
    exact = maxsim(Tokens.of([vectors]), corpus())[0][found.documents]
    assert bool((found.scores >= exact - 1e-6).all())


@pytest.mark.parametrize("k", [1, 7, 100])
def test_lists_of_an_index_of_nearest_neighbours_say_the_same(k: int) -> None:
    tokens = corpus()
    similarities = tokens.vectors @ query(8).T
    values, places = nearest(similarities, k)
    assert torch.equal(values, similarities.topk(k, dim=0).values.T)
    one = imputed(similarities, tokens.owners, k, DOCUMENTS)
    two = listed(values, tokens.owners[places], DOCUMENTS)
    assert torch.equal(one.documents, two.documents) and torch.equal(one.matches, two.matches)


def test_places_that_an_index_could_not_fill_count_for_no_document() -> None:
    values, owners = (
        torch.tensor([[0.9, 0.5, -9.0], [0.8, -9.0, -9.0]]),
        torch.tensor([[3, 1, -1], [1, -1, -1]]),
    )
    found = listed(values, owners, size=4)
    assert found.documents.tolist() == [1, 3]  # and not 0, or the last one
    assert found.floors.tolist() == pytest.approx([0.5, 0.8])  # the last ones that were found
    assert found.scores.tolist() == pytest.approx([0.65, 0.85])


def test_what_is_added_to_all_similarities_of_a_query_token_changes_no_order() -> None:
    tokens = corpus()
    similarities = tokens.vectors @ query(2).T
    one = imputed(similarities, tokens.owners, 20, DOCUMENTS)
    two = imputed(similarities + torch.tensor([0.0, 3.0, 0.0, -1.0, 0.0]), tokens.owners, 20, DOCUMENTS)
    assert torch.allclose(two.scores - one.scores, torch.tensor(0.4), atol=1e-6)


@pytest.mark.parametrize(("bits", "error"), [(32, 1e-6), (8, 5e-3)])
def test_two_segments_find_what_one_finds(tmp_path: Path, bits: int, error: float) -> None:
    whole = segments(tmp_path / "whole", bits=bits)
    halves = segments(tmp_path / "halves", slice(0, 25), slice(25, None), bits=bits)
    one, two = retrieve(whole, query(4), 30), retrieve(halves, query(4), 30)
    assert (one.floors - two.floors).abs().max() < error
    assert torch.equal(top(one.documents, one.scores, 5)[0], top(two.documents, two.scores, 5)[0])


def test_visiting_all_lists_is_exact_and_visiting_most_is_nearly(tmp_path: Path) -> None:
    opened = segments(tmp_path, lists=16)
    every, none_left_out = retrieve(opened, query(5), 20), retrieve(opened, query(5), 20, probes=16)
    assert torch.equal(every.matches, none_left_out.matches)
    some = retrieve(opened, query(5), 20, probes=8)
    best = set(top(every.documents, every.scores, 10)[0].tolist())
    assert len(best & set(top(some.documents, some.scores, 10)[0].tolist())) >= 8


def test_what_is_not_allowed_leaves_no_trace(tmp_path: Path) -> None:
    allowed = torch.arange(DOCUMENTS) % 3 > 0
    opened, vectors = segments(tmp_path), query(6)
    found = retrieve(opened, vectors, 15, allowed=allowed)
    kept = corpus().take(allowed.nonzero()[:, 0])
    expected = by_the_book(vectors, kept, 15)
    assert found.documents.tolist() == allowed.nonzero()[:, 0][sorted(expected)].tolist()
    nothing = retrieve(opened, vectors, 15, allowed=torch.zeros(DOCUMENTS, dtype=torch.bool))
    assert len(nothing.documents) == 0 and nothing.scores.shape == (0,)


@pytest.mark.parametrize(("bits", "error"), [(8, 0.01), (4, 0.05), (2, 0.12), (1, 0.25)])
def test_codes_give_nearly_the_similarities(tmp_path: Path, bits: int, error: float) -> None:
    exact, coded = segments(tmp_path, lists=16), segments(tmp_path, bits=bits, lists=16)
    documents = torch.arange(DOCUMENTS)
    one, two = (opened[0].similarities(query(7), documents)[0] for opened in (exact, coded))
    assert float((one - two).square().mean().sqrt()) < error
    near, owners = coded[0].near(query(7), None)
    assert torch.equal(owners.long().bincount(), corpus().lengths)
    assert float((near.sort(0).values - two.sort(0).values).abs().max()) < 1e-4


def test_a_damaged_segment_is_named(tmp_path: Path) -> None:
    segments(tmp_path)
    folder = next(tmp_path.iterdir())
    (folder / "codes.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"index: .*codes\.npy"):
        Segment(folder, 32)
    np.save(folder / "codes.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(InputError, match=r"index: .*codes\.npy"):
        Segment(folder, 32)

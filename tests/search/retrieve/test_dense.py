"""Dense retrieval beside FAISS and sentence-transformers used directly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from etude.data.collections import load_collection
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.measures import measure
from etude.search.retrieve import Dense, Index, build, open_index
from etude.search.retrieve.vectors import Kind, Layout, VectorEngine

if TYPE_CHECKING:
    from etude.search.retrieve.vectors import Vectors

needs_data = pytest.mark.skipif("ETUDE_DATA" not in os.environ, reason="needs $ETUDE_DATA")
WIDTH = 32


class Drawn:
    """Vectors drawn for each text, of length 1, in clusters; a text of a question is that of its document."""

    fingerprint = "drawn"

    def documents(self, texts: Sequence[str]) -> Vectors:
        centres = np.random.default_rng(0).normal(size=(50, WIDTH))
        numbers = [int(text) for text in texts]
        noise = np.array([np.random.default_rng(number).normal(size=WIDTH) for number in numbers])
        vectors = centres[np.array(numbers) % 50] + 0.5 * noise
        found: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return found

    queries = documents

    def save(self, folder: Path) -> None:
        pass


def drawn(count: int, kind: Kind = "flat", **layout: Any) -> Index:
    documents = [Document(str(number), str(number)) for number in range(count)]
    return build(Dense(kind=kind), VectorEngine(Drawn(), Layout(kind=kind, **layout)), documents)


QUERIES = {str(number): str(number) for number in range(0, 200, 7)}


def test_flat_is_exact_in_any_number_of_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, asked = Drawn().documents([*map(str, range(1000))]), Drawn().queries([*QUERIES.values()])
    exact = np.argsort(-asked @ vectors.T, axis=1, kind="stable")[:, :10]
    expected = {query: [*map(str, row)] for query, row in zip(QUERIES, exact.tolist(), strict=True)}
    for size in (1000, 300):
        monkeypatch.setattr(VectorEngine, "segment", size)
        found = drawn(1000).search(QUERIES, k=10)
        assert {query: [*ranking] for query, ranking in found.items()} == expected


@pytest.mark.parametrize(
    ("kind", "layout", "recall"),
    [("hnsw", {}, 0.99), ("ivf-pq", {"code": 16, "lists": 32}, 0.75)],
)
def test_the_approximate_find_most_of_what_the_exact_finds(
    kind: Kind, layout: dict[str, Any], recall: float
) -> None:
    count = 10_000 if kind == "ivf-pq" else 3000
    exact, found = drawn(count).search(QUERIES, k=10), drawn(count, kind, **layout).search(QUERIES, k=10)
    shared = [len(exact[query].keys() & found[query].keys()) for query in QUERIES]
    assert np.mean(shared) / 10 > recall


def test_a_small_segment_of_codes_is_searched_exactly() -> None:
    assert drawn(100, "ivf-pq", code=16).search(QUERIES, k=5) == drawn(100).search(QUERIES, k=5)


def test_a_code_that_does_not_divide_the_width_is_refused() -> None:
    with pytest.raises(InputError, match="5 bytes do not divide vectors of width 32") as caught:
        drawn(100, "ivf-pq", code=5)
    assert caught.value.field == "code"


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_deleted_documents_leave_room_for_others(kind: Kind) -> None:
    index = drawn(500, kind)
    first = [*index.search({"q": "7"}, k=20)["q"]]
    index.delete(first[:5])
    assert [*index.search({"q": "7"}, k=15)["q"]] == first[5:]


def test_prefixes_and_the_model_are_used(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from etude.models.loading import locate

    texts = ["the lift of a wing", "a bank lends money", ""]
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    index = Dense(query_prefix="query: ", document_prefix="passage: ").index(documents)
    model = SentenceTransformer(str(locate("minilm")), device="cpu")
    expected = model.encode(["query: wings"], normalize_embeddings=True) @ (
        model.encode([f"passage: {text}" for text in texts], normalize_embeddings=True).T
    )
    found = index.search({"q": "wings"})["q"]
    assert [found[str(number)] for number in range(3)] == pytest.approx(expected[0].tolist(), abs=1e-6)
    index.save(tmp_path / "index")
    assert open_index(tmp_path / "index").method == index.method


@needs_data
def test_known_figures_of_adi() -> None:
    collection = load_collection("adi")
    found = measure(Dense().index(collection.documents).search(collection.queries), collection.qrels)
    assert found["nDCG@10"] == pytest.approx(0.4975, abs=6e-5)
    assert found["R@100"] == 1.0


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ndcg", "recall"), [("cranfield", 0.3736, 0.7756), ("cisi", 0.4193, 0.4720)]
)
def test_known_figures(name: str, ndcg: float, recall: float) -> None:
    collection = load_collection(name)
    found = measure(Dense().index(collection.documents).search(collection.queries), collection.qrels)
    assert found["nDCG@10"] == pytest.approx(ndcg, abs=2e-4)
    assert found["R@100"] == pytest.approx(recall, abs=2e-4)

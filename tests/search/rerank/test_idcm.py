"""IDCM: the sheet's identities, and its loss beside sentence-transformers'."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from etude.errors import InputError
from etude.search.collection import Document, Judged
from etude.search.rerank.idcm import IDCM
from etude.search.rerank.idcm_cascade import Cascade
from etude.search.rerank.idcm_losses import DISTILLATIONS, grades, ndcg_loss2
from etude.search.rerank.idcm_reading import bm25
from etude.search.rerank.idcm_selector import MU, Selector, kernels
from etude.search.rerank.idcm_windows import aggregate, best, cut

FILLER = "Much was said of many things that nobody could remember afterwards. "
CORPUS = [
    Document("rome", FILLER * 4 + "The harbour of Rome was opened by Claudius. " + FILLER * 3),
    Document("wing", FILLER * 2 + "The lift of a wing grows with the speed of the air. " + FILLER * 5),
    Document("empty", ""),
    Document("short", "Claudius was here."),
]
JUDGED = Judged(
    {"q1": "Who opened the harbour of Rome?", "q2": "What makes the lift of a wing grow?"},
    {"q1": {"rome": 1}, "q2": {"wing": 1}},
)
RUN = {query: {document.id: 0.0 - place for place, document in enumerate(CORPUS)} for query in JUDGED.queries}
SMALL: dict[str, Any] = {
    "window": 10,
    "overlap": 3,
    "keep": 2,
    "patience": 0,
    "rate": 1e-3,
    "selector_rate": 1e-2,
}
EPOCHS = {"passage_epochs": 2, "document_epochs": 1, "selector_epochs": 5}


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ETUDE_CACHE", str(tmp_path_factory.mktemp("cache")))
        engine: Cascade = IDCM(**SMALL, **EPOCHS).fit(CORPUS, JUDGED, RUN, seed=0).engine
    return engine


def variant(cascade: Cascade, **changes: Any) -> Cascade:
    """The same parts, put to another use."""
    return replace(cascade, method=replace(cascade.method, **changes))


@cache
def scores_of(seed: int, documents: int = 5, windows: int = 9) -> Tensor:
    return torch.randn(documents, windows, generator=torch.Generator().manual_seed(seed))


def test_windows_overlap_and_hold_every_token_once() -> None:
    document = [*range(1, 24)]
    windows = cut([document], size=5, overlap=2, padding=0)
    assert windows.ids[:, 2:7].flatten().tolist() == [*document, 0, 0]
    assert windows.ids[1].tolist() == [*range(4, 13)]
    assert windows.starts.tolist() == [0, 5, 10, 15, 20]


@pytest.mark.parametrize("padded", [1, 7, 40])
def test_padding_a_document_changes_nothing(padded: int) -> None:
    bare, long = ([[3, 4, 5, 6, 7], [8]], [[3, 4, 5, 6, 7] + [0] * padded, [8] + [0] * padded])
    one, other = (cut(documents, size=2, overlap=1, padding=0) for documents in (bare, long))
    assert torch.equal(one.ids, other.ids) and torch.equal(one.counts, other.counts)


def test_a_score_of_zero_is_no_missing_window() -> None:
    counts = torch.tensor([3, 1])
    found = aggregate(torch.tensor([0.0, -1.0, -2.0, -5.0]), counts, torch.tensor([1.0, 1.0]))
    assert found.tolist() == [-1.0, -5.0]
    assert best(torch.tensor([0.0, -1.0, -2.0, -5.0]), counts, 1).tolist() == [True, False, False, True]


def test_with_all_windows_it_is_the_whole_cross_encoder(cascade: Cascade) -> None:
    every = variant(cascade, keep=100)
    whole = variant(cascade, select="all")
    for query in JUDGED.queries.values():
        assert torch.equal(every.score(query, CORPUS).documents, whole.score(query, CORPUS).documents)


def test_one_weight_of_one_is_the_best_passage(cascade: Cascade) -> None:
    found = variant(cascade, select="all", aggregation="max").score(JUDGED.queries["q1"], CORPUS)
    parts = torch.split(found.scores, found.windows.counts.tolist())
    assert found.documents.tolist() == [float(part.max()) for part in parts]
    same = replace(variant(cascade, select="all"), weights=torch.ones(1)).score(JUDGED.queries["q1"], CORPUS)
    assert torch.equal(found.documents, same.documents)


def test_the_fast_models_best_windows_are_read(cascade: Cascade) -> None:
    found = cascade.score(JUDGED.queries["q1"], CORPUS)
    at = 0
    for count in found.windows.counts.tolist():
        wanted = found.preference[at : at + count].argsort(descending=True)[:2].sort().values
        assert found.chosen[at : at + count].nonzero()[:, 0].tolist() == wanted.tolist()
        at += count


def test_what_is_not_chosen_does_not_count(cascade: Cascade) -> None:
    query, document = JUDGED.queries["q1"], CORPUS[0]
    first = variant(cascade, select="first")
    other = Document("rome", document.text.replace("Claudius", "nobody at all"))
    assert torch.equal(first.score(query, [document]).documents, first.score(query, [other]).documents)


def test_a_document_scores_as_it_does_alone(cascade: Cascade) -> None:
    for select in ("esm", "first", "random", "bm25", "all"):
        engine = variant(cascade, select=select)
        together = engine.score(JUDGED.queries["q1"], CORPUS).documents
        alone = torch.cat([engine.score(JUDGED.queries["q1"], [each]).documents for each in CORPUS])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_evidence_is_text_of_the_document(cascade: Cascade) -> None:
    passages = cascade.evidence(JUDGED.queries["q1"], CORPUS[0])
    assert len(passages) == 2
    assert all(CORPUS[0].text[p.start :].startswith(p.text) for p in passages)
    assert [p.score for p in passages] == sorted((p.score for p in passages), reverse=True)  # type: ignore[type-var]
    assert cascade.evidence(JUDGED.queries["q1"], CORPUS[2]) == []


def test_tokens_read_are_those_of_the_chosen_windows(cascade: Cascade) -> None:
    query = JUDGED.queries["q1"]
    asked = len(cascade.reader.asked(query))
    whole, few = (each.score(query, CORPUS[:1]) for each in (variant(cascade, select="all"), cascade))
    assert few.read == int(few.windows.real[few.chosen].sum()) + 2 * (asked + 1)
    assert few.read < whole.read
    assert variant(cascade, score="esm").rank([(query, CORPUS)])[0].read == 0


def test_a_window_that_repeats_the_query_matches_every_token_once() -> None:
    vectors = torch.eye(4)[None]
    cosine = vectors @ vectors.transpose(1, 2)
    found = kernels(
        cosine, torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool), torch.ones(11)
    )
    assert MU[0] == 1.0
    assert float(found[0, 0].exp()) == pytest.approx(1.0)  # log 1 a token: each is found once
    one = torch.exp(-0.5 * ((cosine - 1.0) / 0.1) ** 2).sum()
    assert float(one) == pytest.approx(4.0)


@pytest.mark.parametrize("kind", ["ck", "ck-small", "tk"])
def test_padding_means_nothing_to_the_fast_model(kind: Any) -> None:
    torch.manual_seed(0)
    selector = Selector(16, kind).eval()
    query, window = torch.randn(1, 3, 16), torch.randn(1, 6, 16)
    real = torch.ones(1, 6, dtype=torch.bool)
    owner = torch.zeros(1, dtype=torch.long)
    bare = selector(query, torch.ones(1, 3, dtype=torch.bool), window, real, owner)
    asked = torch.tensor([[True] * 3 + [False] * 2])
    longer = torch.cat([real, torch.zeros(1, 4, dtype=torch.bool)], dim=1)
    padded = selector(
        torch.cat([query, torch.randn(1, 2, 16)], 1),
        asked,
        torch.cat([window, torch.randn(1, 4, 16)], 1),
        longer,
        owner,
    )
    torch.testing.assert_close(bare, padded)


class _Given:
    """Stands where sentence-transformers wants a cross-encoder, and says what it is told to."""

    num_labels, device = 1, torch.device("cpu")

    def __init__(self, scores: Tensor) -> None:
        self.scores, self.at = scores, 0

    def preprocess(self, pairs: list[Any], **_: Any) -> dict[str, Any]:
        return {"count": len(pairs)}

    def __call__(self, tokens: dict[str, Any]) -> dict[str, Tensor]:
        self.at += tokens["count"]
        return {"scores": self.scores[self.at - tokens["count"] : self.at]}


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_ndcg_loss2_of_sentence_transformers(seed: int) -> None:
    losses = pytest.importorskip("sentence_transformers.cross_encoder.losses")
    scores, teacher = scores_of(seed), scores_of(seed + 10)
    counts = [9, 4, 7, 9, 1]
    real = torch.arange(9) < torch.tensor(counts)[:, None]
    labels = grades(teacher.masked_fill(~real, -torch.inf), 4)
    ours = ndcg_loss2(scores.masked_fill(~real, -torch.inf), labels)
    theirs = losses.LambdaLoss(_Given(scores[real]), losses.NDCGLoss2Scheme())
    documents = [[f"{i} {j}" for j in range(count)] for i, count in enumerate(counts)]
    mean = theirs([["q"] * 5, documents], [row[:n] for row, n in zip(labels, counts, strict=True)])
    pairs = sum(
        int((row[:, None] > row).sum()) for row in (row[:n] for row, n in zip(labels, counts, strict=True))
    )
    assert float(ours) == pytest.approx(float(mean) * pairs, rel=1e-5)


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_every_distillation_brings_the_student_to_its_teacher(name: str) -> None:
    teacher = scores_of(0)
    student = torch.zeros(teacher.shape, requires_grad=True)
    optimizer = torch.optim.Adam([student], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        DISTILLATIONS[name](student, teacher, 4).backward()
        optimizer.step()
    top = teacher.topk(4).indices.sort().values
    assert torch.equal(student.topk(4).indices.sort().values, top)


def test_bm25_likes_rare_words_more() -> None:
    windows = cut([[1, 1, 2, 3], [4, 4, 4, 5]], size=4, overlap=0, padding=0)
    found = bm25(torch.tensor([1, 5, 5]), windows, torch.tensor([0.0, 0.1, 1, 1, 1, 2]))
    assert found[1] > found[0] > 0


def test_variants_share_one_cross_encoder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from etude.search.rerank import idcm_teacher

    monkeypatch.setenv("ETUDE_CACHE", str(tmp_path))
    first = IDCM(**SMALL, **EPOCHS).fit(CORPUS, JUDGED, RUN, seed=0).engine
    monkeypatch.setattr(idcm_teacher, "taught", None)
    method = IDCM(**{**SMALL, "select": "bm25", "keep": 1}, **EPOCHS)
    second = method.fit(CORPUS, JUDGED, RUN, seed=0).engine
    for a, b in zip(first.scorer.parameters(), second.scorer.parameters(), strict=True):
        assert torch.equal(a, b)


def test_it_says_what_it_cannot_learn_from() -> None:
    with pytest.raises(InputError, match="judged: no query has a relevant document and one that is not"):
        IDCM(**SMALL, **EPOCHS).fit(CORPUS, Judged({"q": "?"}, {"q": {"rome": 1}}), {"q": {"rome": 1.0}})
    with pytest.raises(InputError, match="reranker: idcm ranks nothing before"):
        IDCM().engine()

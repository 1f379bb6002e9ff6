"""Pyramid-ERNIE: the sheet's identities of the summary, the encoder, the losses and the clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from etude.errors import InputError
from etude.models import load
from etude.search.collection import Document, Judged
from etude.search.rerank.click_calibration import calibrated
from etude.search.rerank.click_log import FEATURES, Logged, read_log, simulated
from etude.search.rerank.pyramid_encoder import Pyramid, Segment, block_diagonal, joint
from etude.search.rerank.pyramid_ernie import PyramidERNIE
from etude.search.rerank.pyramid_losses import anchored, anchors, hinge, off_anchor
from etude.search.rerank.pyramid_metrics import Pairs, pairs
from etude.search.rerank.pyramid_scorer import Ranker
from etude.search.rerank.quite import summarize, weights, words

TEXT = (
    "Rome had a harbour and many ships. Nobody remembers it. Claudius opened the harbour. "
    "The harbour was full of ships. Claudius died. The end."
)
WEIGHTS = weights([TEXT, "Claudius was here.", "A ship.", "A harbour."])
RUN = {str(q): {f"{q}-{d}": 10.0 - d for d in range(10)} for q in range(60)}
QRELS = {str(q): {f"{q}-{d}": (q + d) % 5 for d in range(10)} for q in range(60)}


def segments(seed: int = 0, padded: int = 0) -> tuple[Segment, Segment]:
    """Two pairs of texts, of 6 and 9 tokens; the second pair's are shorter by ``padded``."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for kind, length, begin in ((0, 6, torch.zeros(2, 1)), (1, 9, torch.tensor([[6], [6 - padded]]))):
        ids = torch.randint(1000, 2000, (2, length), generator=draw)
        real = torch.ones(2, length, dtype=torch.bool)
        if padded:
            ids[1, -padded:], real[1, -padded:] = 0, False
        made.append(Segment(ids, real, (torch.arange(length) * real + begin).long(), kind))
    return made[0], made[1]


@pytest.fixture(scope="module")
def encoder() -> Any:
    return load("nano-bert")[0].base_model


def masked_run(encoder: Any, parts: tuple[Segment, Segment], low: int) -> Tensor:
    """All tokens in one run, under a block-diagonal mask below layer ``low``: what the paper draws."""
    full, split = joint(*parts), block_diagonal(*parts)
    blocks = encoder.encoder.layer

    def widen(_: Any, args: Any, kwargs: Any) -> Any:
        return tuple(full if a is split else a for a in args), {
            name: full if value is split else value for name, value in kwargs.items()
        }

    handles = [block.register_forward_pre_hook(widen, with_kwargs=True) for block in blocks[low:]]
    try:
        found: Tensor = encoder(
            input_ids=torch.cat([part.ids for part in parts], 1),
            position_ids=torch.cat([part.positions for part in parts], 1),
            token_type_ids=torch.cat([torch.full_like(part.ids, part.kind) for part in parts], 1),
            attention_mask=split,
        ).last_hidden_state
    finally:
        for handle in handles:
            handle.remove()
    return found


@torch.no_grad()
@pytest.mark.parametrize("padded", [0, 2])
@pytest.mark.parametrize("low", [1, 2, 3])
def test_apart_below_and_together_above_is_what_the_block_mask_says(
    encoder: Any, low: int, padded: int
) -> None:
    parts = segments(padded=padded)
    real = torch.cat([part.real for part in parts], dim=1)
    ours, masked = Pyramid(encoder, low)(*parts), masked_run(encoder, parts, low)
    torch.testing.assert_close(ours[real], masked[real], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_without_lower_layers_it_is_the_encoder_bit_by_bit(encoder: Any) -> None:
    parts = segments()
    plain = encoder(
        input_ids=torch.cat([part.ids for part in parts], 1),
        token_type_ids=torch.cat([torch.full_like(part.ids, part.kind) for part in parts], 1),
        attention_mask=joint(*parts),
    ).last_hidden_state
    assert torch.equal(Pyramid(encoder, 0)(*parts), plain)


@torch.no_grad()
def test_with_all_layers_below_the_texts_never_meet(encoder: Any) -> None:
    first, second = segments()
    other = segments(seed=1)[1]
    towers = Pyramid(encoder, 4)
    assert torch.equal(towers(first, second)[:, :6], towers(first, other)[:, :6])
    pyramid = Pyramid(encoder, 3)
    assert not torch.allclose(pyramid(first, second)[:, 0], pyramid(first, other)[:, 0])


def test_it_leaves_the_encoder_as_it_was(encoder: Any) -> None:
    hooks = [len(block._forward_pre_hooks) for block in encoder.encoder.layer]
    Pyramid(encoder, 2)(*segments())
    assert [len(block._forward_pre_hooks) for block in encoder.encoder.layer] == hooks


def test_gradients_reach_every_layer_and_both_texts(encoder: Any) -> None:
    pyramid = Pyramid(encoder, 2)
    pyramid(*segments())[:, 0].square().sum().backward()
    words_seen = encoder.embeddings.word_embeddings.weight.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert set(torch.cat([part.ids.flatten() for part in segments()]).tolist()) <= set(words_seen)
    encoder.zero_grad(set_to_none=True)


def test_models_that_cannot_be_pyramids_are_refused() -> None:
    with pytest.raises(InputError, match="is no encoder"):
        Pyramid(torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 1, batch_first=True), 1), 1)
    with pytest.raises(InputError, match="low: is 9, and the model has 4 layers"):
        Pyramid(load("nano-bert")[0].base_model, 9)


def test_without_decay_one_sentence_is_that_of_the_heaviest_overlap() -> None:
    query = "the harbour and the ships of Claudius"
    sentences = TEXT.split(". ")
    asked = set(words(query))
    overlaps = [sum(WEIGHTS[word] for word in asked & set(words(sentence))) for sentence in sentences]
    best = max(range(len(sentences)), key=lambda place: overlaps[place])
    assert summarize(query, TEXT, WEIGHTS, decay=1.0, budget=1).places == (best,)


@pytest.mark.parametrize("decay", [0.1, 0.5, 1.0])
def test_with_budget_for_all_every_sentence_with_a_query_word_is_chosen(decay: float) -> None:
    assert summarize("harbour, Claudius", TEXT, WEIGHTS, decay=decay, budget=99).places == (0, 2, 3, 4)
    assert summarize("elephants", TEXT, WEIGHTS, decay=decay, budget=99).places == ()
    assert summarize("", "", {}, budget=3).text == ""


@pytest.mark.parametrize("away", [0.0, 0.05, 0.0999, 0.11, 0.3])
def test_nothing_is_lost_within_the_band_around_an_anchor(away: float) -> None:
    grades = torch.arange(5.0)
    loss = off_anchor(anchors(grades) + away, grades, slack=0.01)
    assert (float(loss) == 0) == (away <= 0.1)
    assert anchors(grades).tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


def test_without_weight_the_anchored_loss_is_the_hinge() -> None:
    scores, grades = (
        torch.rand(7, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0.0, 1, 2, 3, 4, 2, 2]),
    )
    alone = anchored(scores, grades, margin=0.1, weight=0.0, slack=0.01)
    assert float(alone) == pytest.approx(float(hinge(scores, grades, 0.1)) / 7)
    by_hand = sum(
        max(0.0, float(scores[j] - scores[i]) + 0.1)
        for i in range(7)
        for j in range(7)
        if grades[i] > grades[j]
    )
    assert float(hinge(scores, grades, 0.1)) == pytest.approx(by_hand, rel=1e-5)


def test_the_pair_ratio_of_two_grades_is_that_of_the_area_under_the_curve() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = torch.Generator().manual_seed(0)
    scores, labels = (
        torch.rand(40, generator=draw).tolist(),
        (torch.rand(40, generator=draw) > 0.6).int().tolist(),
    )
    found = pairs(
        {"q": dict(zip(map(str, range(40)), scores, strict=True))},
        {"q": dict(zip(map(str, range(40)), labels, strict=True))},
    )
    auc = sklearn.roc_auc_score(labels, scores)
    assert found.ratio == pytest.approx(auc / (1 - auc))
    assert Pairs(3, 0, 0).ratio == float("inf")


def test_simulated_users_prefer_what_is_good_and_what_is_above() -> None:
    log = simulated(RUN, QRELS, sessions=50, bias=1.0, noise=0.1, seed=0)
    rates = torch.stack([each.click_rates for each in log.values()])
    grades = torch.tensor([[QRELS[q][d] for d in each.documents] for q, each in log.items()])
    assert rates[grades == 4].mean() > 2 * rates[grades == 0].mean()
    assert rates[:, 0].mean() > 2 * rates[:, 9].mean()
    unbiased = torch.stack(
        [e.click_rates for e in simulated(RUN, QRELS, sessions=50, bias=0.0, seed=0).values()]
    )
    assert unbiased[:, 0].mean() < 1.5 * unbiased[:, 9].mean()
    again = simulated(RUN, QRELS, sessions=50, bias=1.0, noise=0.1, seed=0)
    assert all(torch.equal(log[query].features, again[query].features) for query in log)


def test_calibrated_grades_tell_more_than_raw_clicks() -> None:
    log = simulated(RUN, QRELS, sessions=20, seed=0)
    labels = {query: grades for query, grades in QRELS.items() if int(query) % 2}
    found = calibrated(log, labels, seed=0)
    raw = {
        query: dict(zip(each.documents, each.click_rates.tolist(), strict=True))
        for query, each in log.items()
    }
    graded = {query: dict(zip(log[query].documents, found[query].tolist(), strict=True)) for query in log}
    assert {grade for each in graded.values() for grade in each.values()} <= {0.0, 1.0, 2.0, 3.0, 4.0}
    others = {query: grades for query, grades in QRELS.items() if query not in labels}
    assert pairs(graded, others).ratio > pairs(raw, others).ratio


def test_no_tree_has_seen_the_labels_of_what_it_grades() -> None:
    log = simulated(RUN, QRELS, sessions=20, seed=0)
    before = calibrated(log, QRELS, seed=0)
    changed = calibrated(log, {**QRELS, "7": dict.fromkeys(QRELS["7"], 4)}, seed=0)
    assert torch.equal(before["7"], changed["7"])
    with pytest.raises(InputError, match="labelled: no query of the log has a label"):
        calibrated(log, {})


def test_a_log_of_real_clicks_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    fields = ", ".join(f'"{name}": {place}' for place, name in enumerate(FEATURES))
    path.write_text(f'{{"query": "q", "document": "a", {fields}}}\n')
    assert read_log(path)["q"].features.tolist() == [[0.0, 1, 2, 3, 4, 5, 6]]
    path.write_text('{"query": "q", "document": "a"}\n')
    with pytest.raises(InputError, match="impressions"):
        read_log(path)
    assert Logged(("a",), torch.arange(7.0)[None]).click_rates.tolist() == [1.0]


CORPUS = [
    Document(f"d{grade}", "Much was said. " * 3 + "Claudius opened the harbour. " * grade, "Rome")
    for grade in range(5)
]
JUDGED = Judged(
    {"q": "harbour Claudius", "p": "opened harbour"},
    {query: {f"d{g}": g for g in range(5)} for query in "qp"},
)
FOUND = {query: {f"d{g}": float(g) for g in range(5)} for query in "qp"}


@pytest.mark.parametrize(("weight", "near"), [(0.7, True), (0.0, False)])
def test_the_anchor_brings_scores_to_where_people_put_them(weight: float, near: bool) -> None:
    logits, grades = torch.zeros(5, requires_grad=True), torch.arange(5.0)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        anchored(logits.sigmoid(), grades, margin=0.1, weight=weight, slack=0.01).backward()
        optimizer.step()
    away = (logits.sigmoid() - anchors(grades)).abs()
    assert bool((away <= 0.11).all()) == near
    assert logits.argsort().tolist() == [0, 1, 2, 3, 4]


def test_summaries_are_what_the_field_says() -> None:
    engine = PyramidERNIE(pretrain="none", epochs=0, sentences=1).fit(CORPUS, JUDGED, FOUND, seed=0).engine
    assert isinstance(engine, Ranker)
    document = CORPUS[1]
    assert engine.summary("harbour", document) == "Claudius opened the harbour."
    for summary, expected in (("first", "Much was said."), ("none", "")):
        made = PyramidERNIE(pretrain="none", epochs=0, sentences=1, summary=summary).fit(
            CORPUS, JUDGED, FOUND
        )  # type: ignore[arg-type]
        assert made.engine.summary("harbour", document) == expected


def test_a_document_scores_as_it_does_alone() -> None:
    reranker = PyramidERNIE(pretrain="none", epochs=1).fit(CORPUS, JUDGED, FOUND, seed=0)
    together = reranker.rank("harbour Claudius", CORPUS).scores
    alone = [reranker.rank("harbour Claudius", [document]).scores[0] for document in CORPUS]
    assert together == pytest.approx(alone, abs=1e-5)


def test_a_missing_log_is_named() -> None:
    with pytest.raises(InputError, match="log: there is no file"):
        PyramidERNIE(log="nowhere.jsonl").fit(CORPUS, JUDGED, FOUND)

"""Texts that fit keep their vectors; windows, tuning, folders, haystacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from etude.errors import InputError
from etude.search.embedder import pool
from etude.search.long import (
    NTK,
    GroupedPositions,
    LateChunking,
    LongEncoder,
    MaxPassage,
    ParallelWindows,
    PositionInterpolation,
    PositionTuning,
    RecurrentPositions,
    SelfExtend,
    Truncation,
    load_long,
)
from etude.search.long.checks import PROSE, TARGET, TEXTS, WINDOW, _learned, _rotary
from etude.search.long.growing import positions_of
from etude.search.long.haystacks import handovers, lessons, needles, passkeys
from etude.search.long.sets import novels
from etude.search.long.task import TASK, Inputs

TUNING = PositionTuning(steps=2, batch=4, negatives=2, words=24, rate=0.01)


def tuned(encoder: Any) -> LongEncoder:
    return TUNING.extend(encoder, TARGET, [PROSE, TEXTS[1]])


@pytest.mark.parametrize(
    "method",
    [
        ParallelWindows(),
        GroupedPositions(),
        RecurrentPositions(),
        PositionInterpolation(),
        Truncation(),
        MaxPassage(),
    ],
)
def test_a_text_that_fits_keeps_its_vector_beside_a_long_one(method: Any) -> None:
    encoder = _learned()
    long = method.extend(encoder, TARGET)
    vectors = long.encode(TEXTS)
    assert torch.allclose(vectors.values[0], encoder.encode(TEXTS[:1])[0], atol=1e-5)
    assert torch.allclose(long.queries(TEXTS[:1]), encoder.encode(TEXTS[:1]), atol=1e-5)
    if method.name not in ("truncation", "max-passage"):
        assert not torch.allclose(vectors.values[1], encoder.encode(TEXTS[1:2])[0], atol=1e-5)


@pytest.mark.parametrize("method", [GroupedPositions(), RecurrentPositions(), SelfExtend()])
def test_rotary_encoders_keep_short_texts_too(method: Any) -> None:
    encoder = _rotary()
    vectors = method.extend(encoder, TARGET).encode(TEXTS)
    assert torch.allclose(vectors.values[0], encoder.encode(TEXTS[:1])[0], atol=1e-5)


@pytest.mark.parametrize(
    "method", [GroupedPositions(), RecurrentPositions(), PositionInterpolation(), SelfExtend(), NTK()]
)
def test_a_target_of_the_same_size_changes_nothing(method: Any) -> None:
    encoder = _rotary()
    assert torch.allclose(
        method.extend(encoder, WINDOW).encode(TEXTS).values, encoder.encode(TEXTS), atol=1e-5
    )


def test_recurrent_positions_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    long = RecurrentPositions(temperature=False).extend(_learned(), TARGET)
    mask = torch.ones(1, 50, dtype=torch.long)
    positions = long.arguments(mask, mask)["position_ids"][0]
    assert positions.tolist() == [*range(32), *range(18)]


def test_windows_are_averaged_before_they_are_normed() -> None:
    encoder = _learned()
    ids = encoder.tokenizer(TEXTS[1], add_special_tokens=False)["input_ids"][: TARGET - 2]
    assert len(ids) > 2 * (WINDOW - 2) - 1 >= TARGET - 5
    parts = [ids[: WINDOW - 2], ids[WINDOW - 2 : 2 * (WINDOW - 2)], ids[-(WINDOW - 2) :]]
    begin, end = encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id
    vectors = []
    for part in parts[: 2 if len(ids) == 2 * (WINDOW - 2) else 3]:
        whole = torch.tensor([[begin, *part, end]])
        with torch.no_grad():
            states = encoder.model(input_ids=whole, attention_mask=torch.ones_like(whole)).last_hidden_state
        vectors.append(pool(states, torch.ones_like(whole), "mean")[0])
    expected = normalize(torch.stack(vectors).mean(0), dim=0)
    ours = ParallelWindows().extend(encoder, TARGET).encode([TEXTS[1]]).values[0]
    assert torch.allclose(ours, expected, atol=1e-5)


def test_late_chunks_are_means_of_a_windows_states() -> None:
    encoder = _learned()
    vectors = LateChunking(span=10).extend(encoder, TARGET).encode([TEXTS[0], TEXTS[2]])
    ((_, states, mask),) = encoder.states(encoder.ids([TEXTS[0]]))
    body = states[0, 1 : int(mask.sum()) - 1]
    assert torch.allclose(vectors.values[0], normalize(body[:10].mean(0), dim=0), atol=1e-5)
    assert vectors.owners.tolist() == sorted(vectors.owners.tolist()) and int(vectors.owners[-1]) == 1


@pytest.mark.parametrize("start", ["interpolated", "recurrent"])
def test_tuning_moves_new_positions_only(start: Any) -> None:
    encoder = _learned()
    method = PositionTuning(steps=2, batch=4, negatives=2, words=24, rate=0.01, start=start)
    long = method.extend(encoder, TARGET, [PROSE, TEXTS[1]])
    old, new = positions_of(encoder.model), positions_of(long.embedder.model)
    assert old is not None and new is not None
    kept = slice(0, None, 2) if start == "interpolated" else slice(0, WINDOW)
    assert torch.equal(new.weight[kept], old.weight)
    untuned = PositionInterpolation().extend(encoder, TARGET).embedder.model
    if start == "interpolated":
        assert not torch.equal(new.weight, positions_of(untuned).weight)  # type: ignore[union-attr]
    others = {n: t for n, t in long.embedder.model.state_dict().items() if "position_embeddings" not in n}
    assert all(torch.equal(tensor, encoder.model.state_dict()[name]) for name, tensor in others.items())
    assert torch.allclose(long.encode(TEXTS[:1]).values, encoder.encode(TEXTS[:1]), atol=1e-5)


def test_a_folder_says_the_same_and_sentence_transformers_reads_it(tmp_path: Path) -> None:
    long = tuned(_learned())
    long.save(tmp_path / "long")
    again = load_long(tmp_path / "long")
    assert torch.allclose(again.encode(TEXTS).values, long.encode(TEXTS).values, atol=1e-5)
    with pytest.raises(InputError, match=r"^folder:"):
        load_long(tmp_path)


@pytest.mark.slow
def test_sentence_transformers_encodes_long_texts_with_the_longer_matrix(tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    long = PositionInterpolation(temperature=False).extend(_learned(), TARGET)
    long.save(tmp_path / "long")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "long"), device="cpu")
    assert theirs.max_seq_length == TARGET
    vectors = torch.tensor(theirs.encode([TEXTS[1]]))
    assert torch.allclose(vectors, long.encode([TEXTS[1]]).values, atol=1e-5)


@pytest.mark.parametrize("make", [passkeys, needles])
def test_what_is_hidden_stands_where_it_is_said_to(make: Any) -> None:
    tokenizer = _learned().tokenizer
    hay = make(tokenizer, 128, 6, 4, 0)
    rows = [tokenizer(text)["input_ids"] for text in hay.documents]
    assert all(len(row) <= 128 for row in rows) and len(hay.questions) == 4
    for place, question in enumerate(hay.questions):
        person = question.removesuffix(" keep?").removesuffix("?").split(" ")[-2:]
        assert " ".join(person) in hay.documents[hay.answers[place]]
        assert sum(" ".join(person) in text for text in hay.documents) == 1
        upto = tokenizer.decode(rows[place][: hay.ends[place]]).lower()
        assert " ".join(person).lower() in upto
    assert make(tokenizer, 128, 6, 4, 0) == hay and make(tokenizer, 128, 6, 4, 1) != hay
    if make is passkeys:
        assert min(len(row) for row in rows) > 115


def test_handovers_say_the_reverse_in_the_same_words() -> None:
    hay = handovers(_learned().tokenizer, 64, 5, 5, 0)
    for one, other in ((0, 1), (2, 3)):
        words = [sorted(hay.questions[place].rstrip("?").split()) for place in (one, other)]
        assert words[0] == words[1] and hay.questions[one] != hay.questions[other]
    assert all(q.rstrip("?") in hay.documents[a] for q, a in zip(hay.questions, hay.answers, strict=True))


def test_people_of_lessons_are_not_those_of_judgement() -> None:
    tokenizer = _learned().tokenizer
    learnt = {
        " ".join(q.rstrip("?").split()[-2:])
        for seed in range(20)
        for q in lessons(tokenizer, 64, 32, seed)[0]
    }
    judged = {" ".join(q.rstrip("?").split()[-2:]) for q in passkeys(tokenizer, 64, 200, 200, 0).questions}
    assert not learnt & judged


def test_novels_are_asked_for_by_what_is_not_in_them() -> None:
    hay = novels(8, 8, 0)
    assert all(
        question not in document for question, document in zip(hay.questions, hay.documents, strict=True)
    )


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("lengths", {"lengths": (100,)}),
        ("lengths", {"lengths": ()}),
        ("lengths", {"lengths": (64, 16384), "data": "passkey", "target": "x"}),
        ("data", {"data": "essays"}),
    ],
)
def test_inputs_are_refused_by_name(field: str, changes: dict[str, Any]) -> None:
    if "target" in changes:
        field = "target"
    with pytest.raises(InputError, match=f"^{field}:"):
        Inputs(**changes)


@pytest.mark.parametrize(
    ("field", "method", "encoder", "target"),
    [
        ("encoder", NTK(), _learned, TARGET),
        ("encoder", SelfExtend(), _learned, TARGET),
        ("encoder", TUNING, _rotary, TARGET),
        ("group", SelfExtend(group=2, neighbours=16), _rotary, 8 * WINDOW),
        ("target", SelfExtend(neighbours=WINDOW), _rotary, 8 * WINDOW),
        ("target", GroupedPositions(), _rotary, WINDOW - 1),
    ],
)
def test_what_does_not_fit_an_encoder_is_refused_by_name(
    field: str, method: Any, encoder: Any, target: int
) -> None:
    given = {"documents": [PROSE, TEXTS[1]]} if method.name == "position-tuning" else {}
    with pytest.raises(InputError, match=f"^{field}:"):
        method.extend(encoder(), target, **given)


def test_a_target_below_the_window_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match=r"^target:"):
        TASK.open(Inputs(model="rotary", target=32, lengths=(64,), documents=4, queries=4))

"""Segments are contiguous, never overlap, never cross a document that could fill them, and repeat by seed."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import zoo

from etude.data import calibration, evaluation, load
from etude.data.novels import excerpt, main
from etude.data.segments import cut
from etude.errors import InputError

TOKENIZER = zoo.byte_tokenizer()
END = TOKENIZER.eos_token_id


def numbered(words: int, tag: str = "") -> str:
    """A text in which every place can be told by what stands there."""
    return " ".join(f"{tag}{i:06d}" for i in range(words))


def write(folder: Path, texts: list[str], name: str = "train") -> Path:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two long documents to calibrate on, one to evaluate on."""
    write(tmp_path, [numbered(3000, "a"), numbered(3000, "b")])
    return write(tmp_path, [numbered(2000, "c")], "test")


def places(ids: torch.Tensor, texts: list[str]) -> list[tuple[int, int]]:
    """Document and character at which each segment begins; it must stand there word for word."""
    found = []
    for text in TOKENIZER.batch_decode(ids):
        where = [(number, document.find(text)) for number, document in enumerate(texts) if text in document]
        assert len(where) == 1, text
        found += where
    return found


@pytest.mark.parametrize(("samples", "length"), [(8, 64), (3, 1000), (40, 1000), (600, 64)])
def test_samples_are_contiguous_and_do_not_overlap(folder: Path, samples: int, length: int) -> None:
    batch = calibration(folder, TOKENIZER, samples=samples, length=length)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (samples, length)
    assert batch["input_ids"].dtype == torch.int64
    assert bool((batch["attention_mask"] == 1).all())
    starts = sorted(places(batch["input_ids"], load(folder, "calibration")))
    for (document, at), (next_document, next_at) in pairwise(starts):
        assert document != next_document or next_at - at >= length


def test_the_seed_decides(folder: Path) -> None:
    for samples in (8, 600):
        draws = [
            calibration(folder, TOKENIZER, samples=samples, length=64, seed=s)["input_ids"] for s in (0, 0, 1)
        ]
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])


def test_places_are_spread_over_the_text(folder: Path) -> None:
    ids = calibration(folder, TOKENIZER, samples=64, length=64)["input_ids"]
    starts = places(ids, load(folder, "calibration"))
    assert 20 <= sum(document for document, _ in starts) <= 44
    assert 4 <= sum(at < 6000 for _, at in starts) <= 30


def test_a_few_samples_do_not_tokenise_the_whole_text(folder: Path) -> None:
    seen = []

    class Counting:
        eos_token_id, sep_token_id = END, None

        def __call__(self, texts: list[str], **options: Any) -> Any:
            seen.extend(map(len, texts))
            return TOKENIZER(texts, **options)

    calibration(folder, Counting(), samples=4, length=64)
    assert sum(seen) < 6000 < sum(map(len, load(folder, "calibration")))


def test_a_large_text_that_is_needed_whole_is_tokenised_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etude.data.tokens._LARGE", 30_000)
    write(tmp_path, [numbered(5000)])
    write(tmp_path, ["held out " * 20], "test")
    calls = []

    class Counting:
        eos_token_id, sep_token_id, backend_tokenizer = END, None, TOKENIZER.backend_tokenizer

        def __call__(self, texts: list[str], **options: Any) -> Any:
            calls.append(sum(map(len, texts)))
            return TOKENIZER(texts, **options)

    draws = [calibration(tmp_path, Counting(), samples=30, length=1000)["input_ids"] for _ in range(2)]
    assert torch.equal(*draws)
    assert sum(size > 30_000 for size in calls) == 1


def test_short_documents_are_joined_by_the_end_token(tmp_path: Path) -> None:
    texts = [f"<{i:03d}>" for i in range(40)]
    write(tmp_path, texts)
    write(tmp_path, ["held out"], "test")
    ids = calibration(tmp_path, TOKENIZER, samples=5, length=24)["input_ids"]
    joined = [token for text in texts for token in (*TOKENIZER(text)["input_ids"], END)]
    text = TOKENIZER.decode(joined)
    for row in ids:
        assert TOKENIZER.decode(row) in text
        assert int((row == END).sum()) == 4


def test_long_documents_are_not_joined(tmp_path: Path) -> None:
    write(tmp_path, ["x" * 100, "y" * 100, *["z" * 10] * 10])
    write(tmp_path, ["held out"], "test")
    ids = calibration(tmp_path, TOKENIZER, samples=6, length=33)["input_ids"]
    for row in TOKENIZER.batch_decode(ids):
        assert len(set(row.replace("<end>", ""))) == 1


def test_text_that_is_too_short_says_what_it_would_give(folder: Path) -> None:
    # Each document is 23,999 characters, so as many tokens.
    with pytest.raises(InputError, match="47998 tokens; ask for at most 46 samples of 1000 tokens") as caught:
        calibration(folder, TOKENIZER, samples=47, length=1000)
    assert caught.value.field == "samples"
    assert calibration(folder, TOKENIZER, samples=46, length=1000)["input_ids"].shape == (46, 1000)
    with pytest.raises(InputError, match="47998 tokens, fewer than one segment of 99999") as caught:
        calibration(folder, TOKENIZER, samples=1, length=99999)
    assert caught.value.field == "length"
    with pytest.raises(InputError, match="length: "):
        evaluation(folder, TOKENIZER, length=16_001)


@pytest.mark.parametrize(
    ("name", "value"), [("samples", 0), ("samples", -1), ("length", 0), ("length", 1.5), ("samples", True)]
)
def test_counts_must_be_counts(folder: Path, name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        calibration(folder, TOKENIZER, **{name: value})
    assert caught.value.field == name
    with pytest.raises(InputError, match="segments: "):
        evaluation(folder, TOKENIZER, length=8, segments=0)


def test_evaluation_takes_the_held_out_part_in_order(folder: Path) -> None:
    ids = evaluation(folder, TOKENIZER, length=100)
    assert ids.shape == (159, 100)  # of 15,999 characters
    assert "".join(TOKENIZER.batch_decode(ids)) == load(folder, "evaluation")[0][:15_900]
    few = evaluation(folder, TOKENIZER, length=100, segments=20)
    assert few.shape == (20, 100)
    assert torch.equal(few, evaluation(folder, TOKENIZER, length=100, segments=20))
    starts = [at for _, at in places(few, load(folder, "evaluation"))]
    assert starts == sorted(starts)
    assert starts[0] < 200 and starts[-1] > 14_000
    assert len(evaluation(folder, TOKENIZER, length=100, segments=10_000)) == 159
    assert len(evaluation(folder, TOKENIZER, length=100, segments=150)) == 150


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    length=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_cutting_wastes_less_than_a_segment_a_document(sizes: list[int], length: int, seed: int) -> None:
    documents = [[1000 * number + at for at in range(size)] for number, size in enumerate(sizes)]
    found = cut(documents, length, [-1], lambda count: seed % count)
    short = sum(size + 1 for size in sizes if size < length)
    assert len(found) == sum(size // length for size in sizes if size >= length) + short // length
    used = [token for segment in found for token in segment if token >= 0]
    assert len(used) == len(set(used))
    for segment in found:
        assert len(segment) == length
        assert all(b - a == 1 or -1 in (a, b) for a, b in pairwise(segment))


def test_the_novels_suffice_for_a_usual_calibration() -> None:
    assert sum(map(len, load("novels", "calibration"))) > 1_400_000
    assert evaluation("novels", TOKENIZER, length=256, segments=64).shape == (64, 256)


def test_the_sample_of_novels_is_made_by_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "valid", "test"):
        novel = "\n\n".join(f"{split} paragraph {i} " + "word " * 40 for i in range(2000))
        row = {"id": f"X_{split}", "author": "X", "title": "T", "year": 1900, "text": novel}
        (tmp_path / f"{split}.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    monkeypatch.setattr("sys.argv", ["novels", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    main()
    first = (tmp_path / "out" / "evaluation.jsonl.gz").read_bytes()
    main()
    assert (tmp_path / "out" / "evaluation.jsonl.gz").read_bytes() == first
    assert "bytes" in capsys.readouterr().out
    rows = [json.loads(line) for line in gzip.decompress(first).splitlines()]
    assert [row["id"] for row in rows] == ["X_valid", "X_test"]
    assert all(row["text"].startswith(f"{row['id'][2:]} paragraph") for row in rows)
    assert excerpt("a\n\nb", 100) in "a\n\nb"

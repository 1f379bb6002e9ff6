"""Labelled sets: read as published, malformed ones refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etude.data.labelled import LABELLED, fingerprint, load
from etude.errors import InputError


def folder(path: Path, train: list[str], test: list[str], suffix: str = ".tsv") -> Path:
    path.mkdir(exist_ok=True)
    for name, lines in (("train", train), ("test", test)):
        (path / f"{name}{suffix}").write_text("\n".join(lines) + "\n")
    return path


def test_pairs_with_scores(tmp_path: Path) -> None:
    rows = ["score\tsentence1\tsentence2", '4.5\tA "quoted\tone.', "0\tTwo.\tThree."]
    train, test = load(folder(tmp_path, rows, rows[:2]))
    assert train.classes is None and train.targets == (4.5, 0.0)
    assert test.texts == (('A "quoted', "one."),)


def test_classes_are_numbered_in_order(tmp_path: Path) -> None:
    rows = [json.dumps({"premise": "a", "hypothesis": "b", "label": label}) for label in (1, 0, 1)]
    train, _ = load(folder(tmp_path, rows, rows, ".jsonl"))
    assert train.classes == ("0", "1") and train.targets == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["label\tbody", "1\tx"], "has no text"),
        (["text", "x"], "neither a label nor a score"),
        (["score\ttext", "high\tx"], "is no number"),
        (["label\ttext"], "no rows"),
    ],
)
def test_malformed_rows_are_refused(rows: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(folder(tmp_path, rows, rows))
    assert caught.value.field == "sets"


def test_a_label_of_the_test_part_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label 'c'"):
        load(folder(tmp_path, ["label\ttext", "a\tx", "b\ty"], ["label\ttext", "c\tx"]))


def test_an_unknown_set_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="sst2"):
        load("sst3")


def test_content_decides_the_fingerprint(tmp_path: Path) -> None:
    rows = ["label\ttext", "a\tx"]
    first = folder(tmp_path / "first", rows, rows)
    same = folder(tmp_path / "same", rows, rows)
    other = folder(tmp_path / "other", rows, [*rows, "a\tz"])
    assert fingerprint(first) == fingerprint(same) != fingerprint(other)


def test_a_named_set_that_is_not_here_says_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ETUDE_DATA", str(tmp_path))
    with pytest.raises(InputError, match="harvardnlp"):
        load("trec6")
    assert all(known.home.startswith("https://") for known in LABELLED.values())

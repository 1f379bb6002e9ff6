"""Detection from the user's tables and texts to figures and a saved detector."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import etude
from etude.errors import InputError
from etude.explain.detection import Detector
from etude.explain.detection.attacks import attacked
from etude.explain.detection.corpus import load
from etude.explain.detection.generated import passages
from etude.explain.detection.task import TASK, Inputs

TEXT = "It was a dark night. The man went home, and the woman stayed."


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve labelled texts of each class in two domains."""
    path = tmp_path / "texts.csv"
    rows = [
        f"The man number {n} went down {'again ' * (n % 4)},{('human', 'machine')[n % 2]},{'ab'[n // 24]}"
        for n in range(48)
    ]
    path.write_text("\n".join(["text,label,domain", *rows]) + "\n")
    return path


def test_a_run_on_the_users_table(table: Path, tmp_path: Path) -> None:
    record = etude.run("gltr", data=(str(table),), attack="swaps", out=tmp_path / "out")
    assert {"auroc", "auroc_other", "drop", "sure", "auroc_attacked"} <= record.metrics.keys()
    detector = Detector.load(tmp_path / "out")
    assert detector.predict_proba([TEXT]).shape == (1, 2)


def test_a_comparison_adds_the_baselines(table: Path) -> None:
    found = etude.compare(
        ["pawn"],
        data=(str(table),),
        seeds=1,
        jobs=1,
        keep="none",
        settings={"hidden": [8], "features": [8], "gates": [8], "epochs": [1]},
    )
    methods = {record.method for record in found.records if record.status == "done"}
    assert methods == {"pawn", "log-likelihood", "fast-detectgpt", "gltr"}


def test_pairs_are_cut_to_one_length_and_share_a_group(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl.gz"
    rows = [
        {
            "human": f"one two three four five six seven eight {n} ten",
            "machine": f"one\n\ntwo {n}",
            "model": m,
            "index": n,
        }
        for n in range(3)
        for m in ("x", "y")
    ]
    rows += [{**rows[0], "human": "another text that begins in another way than the rest"}]
    with gzip.open(path, "wt") as file:
        file.write("\n".join(map(json.dumps, rows)))
    samples = load([str(path)], "nano-llama", texts=10, words=50)
    assert {len(sample.text.split()) for sample in samples} == {3}
    assert not any("\n" in sample.text for sample in samples)
    assert len(samples) == 4 and len({sample.group for sample in samples}) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na b,maybe\n", "row 1: label 'maybe'"),
        ("text,label\na,1\n", "row 1: text is none, or a single word"),
        ("text,label\n", "holds no rows"),
        ("text,label\na b,1\n", "one class only"),
        ("text,label\na b,1,2\n", "cannot be read as a table"),
    ],
)
def test_malformed_tables_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load([str(path)], "nano-llama", texts=10, words=50)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"train": ("c",)}, "train"),
        ({"texts": 6, "train": ("a",), "observer": "no-such-model"}, "observer"),
        ({"data": ()}, "data"),
        ({"length": 10_000}, "length"),
        ({"model": "no-such-model"}, "model"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(table: Path, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}:"):
        TASK.open(Inputs(**{"data": (str(table),)} | changes))


def test_passages_begin_sentences_and_do_not_overlap() -> None:
    document = " ".join(f"Sentence number {n} is here, and it goes on." for n in range(60))
    found = passages([document], count=5, words=30)
    assert len(found) == 5 and all(text.startswith("Sentence") for text in found)
    assert all(len(text.split()) == 30 for text in found)
    numbers = [{word for word in text.split() if word.isdigit()} for text in found]
    assert all(not a & b for i, a in enumerate(numbers) for b in numbers[i + 1 :])


@pytest.mark.slow
def test_running_text_is_continued_by_a_model() -> None:
    samples = load(["novels"], "nano-llama", texts=4, words=40)
    people, machines = ([s.text for s in samples if s.label == label] for label in (0, 1))
    assert len(people) == len(machines) == 4
    for person, machine in zip(people, machines, strict=True):
        assert person.split()[:20] == machine.split()[:20] and person != machine
    assert [s.text for s in load(["novels"], "nano-llama", texts=4, words=40)] == [s.text for s in samples]


@pytest.mark.parametrize("attack", ["sentences", "swaps", "typos", "homoglyphs"])
def test_attacks_change_texts_the_same_way_each_time(attack: Any) -> None:
    (changed,) = attacked([TEXT], attack, seed=3)
    assert changed != TEXT and changed == attacked([TEXT], attack, seed=3)[0]
    if attack in ("sentences", "swaps"):
        assert sorted(changed.split()) == sorted(TEXT.split())
    assert attacked([TEXT], "none") == [TEXT]

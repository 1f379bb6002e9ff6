"""Names and paths become two parts that share nothing, the same two every time."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etude import data
from etude.data.division import check_disjoint_texts, divide
from etude.errors import InputError
from etude.files import cache_folder

DATA = os.environ.get("ETUDE_DATA")
PROSE = " ".join(f"word{i}" for i in range(400))
OTHER = " ".join(f"other{i}" for i in range(400))


@pytest.fixture(autouse=True)
def no_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ETUDE_DATA", raising=False)
    monkeypatch.delenv("ETUDE_CACHE", raising=False)


def jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def both(name: str | Path) -> tuple[list[str], list[str]]:
    return data.load(name, "calibration"), data.load(name, "evaluation")


def refused(name: str | Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        data.load(name, "calibration")
    assert caught.value.field == "data"
    for word in words:
        assert word in caught.value.message


def test_the_built_in_novels_are_split_by_author() -> None:
    calibration, evaluation = both("novels")
    assert (len(calibration), len(evaluation)) == (39, 8)
    check_disjoint_texts(calibration, evaluation, ("novels", "novels"))
    folder = Path(data.sets.__file__).parent / "built_in" / "novels"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 720_000


def test_one_document_is_cut_at_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"line {i}" for i in range(100)))
    calibration, evaluation = both(tmp_path / "a.txt")
    assert len(calibration) == len(evaluation) == 1
    assert evaluation[0].startswith("\nline ")
    assert calibration[0] + evaluation[0] == (tmp_path / "a.txt").read_text()
    assert len(evaluation[0]) / len(calibration[0]) == pytest.approx(0.25, abs=0.05)


def test_many_documents_stay_whole(tmp_path: Path) -> None:
    texts = [f"document {i} " + "x" * 50 for i in range(50)]
    path = jsonl(tmp_path / "a.jsonl", texts)
    calibration, evaluation = both(path)
    assert sorted([*calibration, *evaluation]) == sorted(texts)
    assert 8 <= len(evaluation) <= 10
    assert calibration == [text for text in texts if text in calibration]
    shuffled = jsonl(tmp_path / "b.jsonl", texts[::-1])
    assert sorted(both(shuffled)[1]) == sorted(evaluation)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab \n", min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=30))
def test_a_division_loses_nothing_and_repeats_nothing(texts: list[str]) -> None:
    calibration, evaluation = divide(texts)
    assert divide(texts) == (calibration, evaluation)
    assert sum(map(len, calibration)) + sum(map(len, evaluation)) == sum(map(len, texts))
    if len(texts) >= 10:
        assert not set(calibration) & set(evaluation)
        assert sorted([*calibration, *evaluation]) == sorted(texts)
        if len(set(texts)) > 1:
            assert calibration and evaluation


def test_a_folder_may_name_its_parts(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", ["to learn from", "more"])
    jsonl(tmp_path / "test.jsonl", ["to be judged by"])
    (tmp_path / "notes.txt").write_text("neither")
    assert both(tmp_path) == (["to learn from", "more"], ["to be judged by"])


def test_two_paths_are_two_parts(tmp_path: Path) -> None:
    first, second = jsonl(tmp_path / "a.jsonl", ["one"]), jsonl(tmp_path / "b.jsonl", ["two", "three"])
    assert both(f"{first},{second}") == (["one"], ["two", "three"])
    assert both(f"{first}:text, {second}") == (["one"], ["two", "three"])
    refused(f"{first},{tmp_path}/nowhere.txt", "nowhere.txt")


def test_what_is_given_twice_is_refused(tmp_path: Path) -> None:
    first, second = jsonl(tmp_path / "a.jsonl", [PROSE, "short one"]), tmp_path / "b.jsonl"
    jsonl(second, [OTHER, "short  one"])
    refused(f"{first},{second}", "share a document", "short one")
    jsonl(second, [OTHER, f"{OTHER} {' '.join(PROSE.split()[100:150])} {OTHER}"])
    refused(f"{first},{second}", "50 or more words", "word100")
    jsonl(second, [OTHER, f"{OTHER} {' '.join(PROSE.split()[100:149])} {OTHER}"])
    assert both(f"{first},{second}")[0] == [PROSE, "short one"]
    refused(f"{first},{first}", "share")
    folder = tmp_path / "folder"
    folder.mkdir()
    jsonl(folder / "train.jsonl", [PROSE])
    jsonl(folder / "valid.jsonl", [PROSE])
    refused(folder, "share a document")


def test_two_texts_can_be_checked_against_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text(PROSE)
    second.write_text(OTHER)
    data.check_disjoint(first, second)
    data.check_disjoint("novels", second)
    second.write_text(OTHER + " " + PROSE)  # the held-out fifth of it is in what a calibrates on
    with pytest.raises(InputError, match=r"data: .*b\.txt shares 50 or more words in a row with .*a\.txt"):
        data.check_disjoint(first, second)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    refused("novel", "did you mean novels")
    refused("zzz", "known:", "novels")
    refused("./novels", "no file or folder ./novels")
    refused("some/where.txt", "no file or folder")
    refused("english_novels", "english_novels", "train.jsonl.gz", "github.com", str(cache_folder("data")))


def test_sets_are_found_in_the_data_folder_and_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = cache_folder("data", "wikitext2_valid_test")
    cached.mkdir(parents=True)
    for name, text in (("valid", PROSE), ("test", OTHER)):
        (cached / f"{name}.txt.gz").write_bytes(gzip.compress(text.encode()))
    assert both("wikitext2_valid_test") == ([PROSE], [OTHER])
    monkeypatch.setenv("ETUDE_DATA", str(tmp_path))
    (tmp_path / "mine").mkdir()
    jsonl(tmp_path / "mine" / "train.jsonl", ["one"])
    jsonl(tmp_path / "mine" / "dev.jsonl", ["two"])
    assert both("mine") == (["one"], ["two"])


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", ["one two three four five six seven"])
    first = both(path)
    assert both(path) == first
    jsonl(path, ["eight nine ten eleven twelve thirteen fourteen"])
    assert both(path) != first


def test_text_too_short_to_divide(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    refused(tmp_path / "a.txt", "too short to hold out")


def test_splits_have_two_names() -> None:
    with pytest.raises(InputError, match="split: unknown 'train'"):
        data.load("novels", "train")


def test_fingerprints_tell_contents_apart_and_not_places(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    jsonl(first, ["one two", "three four"])
    jsonl(second, ["one two", "three four"])
    assert data.fingerprint(first) == data.fingerprint(second)
    jsonl(second, ["one tw", "othree four"])
    assert data.fingerprint(first) != data.fingerprint(second)
    assert data.fingerprint("novels") == data.fingerprint("novels") != data.fingerprint(first)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(data.SETS))
def test_every_set_that_is_here_is_divided_without_overlap(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if DATA is not None:
        monkeypatch.setenv("ETUDE_DATA", DATA)
    try:
        calibration, evaluation = both(name)
    except InputError as error:
        pytest.skip(error.message)
    assert data.SETS[name].licence and data.SETS[name].domain
    assert sum(map(len, calibration)) > 700_000
    assert sum(map(len, evaluation)) > 200_000
    assert not set(calibration) & set(evaluation)
    if name != "german_court_text":  # courts repeat their formulas at length
        check_disjoint_texts(calibration, evaluation, (name, name))

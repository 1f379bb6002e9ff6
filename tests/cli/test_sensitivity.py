from __future__ import annotations

from pathlib import Path

import pytest

SMALL = ["--segments", "4", "--samples", "1", "--jobs", "1"]


def test_the_fewer_bits_the_more_is_lost(etude, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "runs.db"), "--out", str(tmp_path / "out")]
    answer = etude("sensitivity", "--bits", "8,2", "--activation-bits", "8", "--json", *SMALL, *store)
    assert answer.code == 0
    lost = {(line["bits"], line["activation_bits"]): line for line in answer.json}
    assert lost.keys() == {(8, None), (2, None), (None, 8), (8, 8), (2, 8)}
    assert lost[8, None]["lost"] < 0.5 < lost[2, None]["lost"]
    assert lost[2, None]["class"] == 3
    assert (tmp_path / "out" / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    again = etude("sensitivity", "--bits", "8,2", "--activation-bits", "8", *SMALL, *store)
    assert "2 bits" in again.out and "class" in again.out


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--bits", "9", "bits: 9 is not in [2, 8]"),
        ("--bits", "four", "bits: 'four' is not whole numbers"),
        ("--activation-bits", "4,", "activation-bits: '4,' is not whole numbers"),
        ("--group", "rows", "group: 'rows' is no number"),
        ("--group", "77", "group: 77 does not divide"),
    ],
)
def test_bad_settings_are_named(etude, tmp_path: Path, flag: str, value: str, said: str) -> None:
    answer = etude("sensitivity", flag, value, *SMALL, "--store", str(tmp_path / "runs.db"))
    assert answer.code == 2
    assert answer.err.startswith(f"InputError: {said}")

"""Whatever is typed wrong: exit code 2, one line on stderr that names the field, nothing on stdout."""

from __future__ import annotations

import pytest

from etude import InputError
from etude.cli.compare import parse_settings

MISTAKES = {
    "rum": "command: unknown 'rum'; did you mean run or runs?",
    "--wrong": "command: unknown '--wrong'; known: ask, claim, compare",
    "list extra": "command: 'extra' is too much; see `etude list --help`",
    "list --area compres": "area: unknown 'compres'; did you mean compress?",
    "list --task prunes": "task: unknown 'prunes'; did you mean prune",
    "list --arae compress": "arae: unknown '--arae'; did you mean --area",
    "show": "name: is missing; see `etude show --help`",
    "show flp": "name: unknown 'flp'; did you mean flap",
    "search": "words: are missing",
    "search x --limit 0": "limit: 0 is not >= 1",
    "search x --limit many": "limit: 'many' is not an integer",
    "run": "method: is missing; see `etude run --help`",
    "run toy-maen": "method: unknown 'toy-maen'; did you mean toy-mean",
    "run toy-mean extra": "command: 'extra' is too much",
    "run toy-mean --shar 0.5": "shar: unknown '--shar'; did you mean --share",
    "run toy-mean --share": "share: is given without a value",
    "run toy-mean --share lots": "share: 'lots' is not a number",
    "run toy-mean --share 1.5": "share: 1.5 is not in (0, 1]",
    "run toy-mean --share nan": "share: nan is not finite",
    "run toy-mean --share 0.2 --share 0.3": "share: is given twice",
    "run toy-mean --seed 1.5": "seed: '1.5' is not an integer",
    "run toy-mean --seed -1": "seed: -1 is not >= 0",
    "run toy-mean --size 1": "size: 1 is not >= 2",
    "run toy-mean --size 1000": "size: primes holds 100 numbers; ask for at most that",
    "run toy-mean --numbers /missing": "numbers: cannot read /missing: No such file or directory",
    "run toy-mean --json=perhaps": "json: ",
    "run toy-mean --store /": "store: / is a folder",
    "run toy-mean --store nonsense://x": "store: ",
    "compare": "methods: none is given",
    "compare toy-mean toy-maen": "method: unknown 'toy-maen'",
    "compare toy-mean wanda": "methods: are of different tasks (toy-mean of toy, wanda of prune)",
    "compare toy-mean --share 0.2": "share: unknown '--share'",
    "compare toy-mean --set share": "set: 'share' is not field=value,value",
    "compare toy-mean --set share=": "set: 'share=' is not field=value,value",
    "compare toy-mean --set ratio=0.2": "ratio: is a field of none of these methods (toy-mean: share)",
    "compare toy-mean --set toy-mean.ratio=0.2": "toy-mean.ratio: is a field of none of these methods",
    "compare toy-mean --set share=0.2,2": "share: 2.0 is not in (0, 1]",
    "compare toy-mean --set share=0.2,x": "share: 'x' is not a number",
    "compare toy-mean --seeds 0": "seeds: 0 is not >= 1",
    "compare toy-mean --jobs 0": "jobs: 0 is not >= 1",
    "compare toy-mean --keep some": "keep: 'some' is not one of",
    "claim": "papers: name papers or give --all, not both",
    "claim flap --all": "papers: name papers or give --all, not both",
    "claim flp": "paper: unknown 'flp'; did you mean flap",
    "claim retro": "claim: RETRO has no claim to check yet",
    "runs feed": "run: no run begins with 'feed'",
    "runs --delete feed": "run: no run begins with 'feed'",
    "runs --limit 0": "limit: 0 is not >= 1",
}


@pytest.mark.parametrize(("line", "said"), MISTAKES.items(), ids=MISTAKES.keys())
def test_a_mistake_is_answered_in_one_line(etude, line: str, said: str) -> None:
    answer = etude(line)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith(f"InputError: {said}")
    assert answer.err.count("\n") == 1


def test_an_output_folder_in_use_is_refused(etude, tmp_path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    answer = etude("run", "toy-mean", "--out", str(tmp_path))
    assert answer.code == 2
    assert answer.err.startswith("InputError: out: ")
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_settings_are_split_by_commas_and_joined_by_field() -> None:
    assert parse_settings(["a=1,2", "m-x.some-field=3", "a=4"]) == {
        "a": ["1", "2", "4"],
        "m-x.some_field": ["3"],
    }
    with pytest.raises(InputError, match="set: '=1'"):
        parse_settings(["=1"])

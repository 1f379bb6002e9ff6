"""``etude run``, ``compare`` and ``runs`` on the toy task."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_help_shows_fields_of_method_and_inputs_with_types_ranges_and_defaults(etude) -> None:
    text = " ".join(etude("run toy-mean --help").out.replace("│", " ").split())
    assert "--share FLOAT fraction of the numbers to look at, in (0, 1]. [default: 0.5]" in text
    assert "--size INT how many of them are used, from the first. [>= 2] [default: 40]" in text
    assert "--seed" in text
    assert "Guess the mean by averaging" in text


def test_help_without_a_method_names_the_methods(etude) -> None:
    for command in ("run", "compare"):
        answer = etude(f"{command} --help")
        assert answer.code == 0
        assert "toy-mean" in answer.out
        assert "wanda" in answer.out


def test_help_of_compare_shows_inputs_and_what_can_be_set(etude) -> None:
    text = etude("compare toy-slow toy-mean --help").out
    assert "--numbers" in text
    assert "toy-slow: steps, pause; toy-mean: share." in " ".join(text.split())
    assert "--share" not in text


def test_run_keeps_record_and_artifact(etude, tmp_path: Path) -> None:
    out = tmp_path / "made"
    answer = etude(
        "run", "toy-mean", "--share", "0.25", "--size", "20", "--seed", "3", "--out", str(out), "--json"
    )
    assert answer.code == 0
    record = answer.json
    assert record["parameters"] == {"share": 0.25}
    assert record["inputs"]["size"] == 20
    assert record["seed"] == 3
    assert json.loads((out / "guess.json").read_text()) == record["metrics"]["guess"]
    assert etude(f"runs {record['key'][:6]} --json").json == record


def test_run_for_people(etude) -> None:
    answer = etude("run toy-mean")
    assert "toy-mean share=0.5 seed=0" in answer.out
    assert "etude runs" in answer.out
    assert answer.err == ""


def test_flags_may_come_first(etude) -> None:
    assert etude("run --seed 4 toy-mean --json").json["seed"] == 4


def test_a_failed_run_is_recorded_with_its_traceback(etude) -> None:
    answer = etude("run", "toy-fail", "--message", "worn out")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("RunFailed: toy-fail (seed 0) failed: RuntimeError: worn out; `etude runs ")
    key = answer.err.partition("`etude runs ")[2].partition("`")[0]
    shown = etude(f"runs {key}")
    assert "Traceback" in shown.out
    assert "raise RuntimeError" in shown.out
    assert [row["method"] for row in etude("runs --failed --json").json] == ["toy-fail"]


def test_runs_lists_filters_and_deletes(etude) -> None:
    assert "No such runs" in etude("runs").out
    keys = [etude(f"run {name} --json").json["key"] for name in ("toy-mean", "toy-median")]
    assert {row["key"] for row in etude("runs --json").json} == set(keys)
    assert [row["key"] for row in etude("runs --method toy-median --json").json] == keys[1:]
    assert etude("runs --task prune --json").json == []
    listed = etude("runs").out
    assert keys[0][:8] in listed
    assert max(map(len, listed.splitlines())) <= 80
    artifact = Path(etude(f"runs {keys[0]} --json").json["artifact"])
    assert artifact.is_dir()
    assert etude(f"runs --delete {keys[0]}").out == "1 deleted\n"
    assert not artifact.exists()
    assert [row["key"] for row in etude("runs --json").json] == keys[1:]


@pytest.mark.parametrize("line", ["compare toy-mean --data wanda", "compare --seeds 1 toy-mean --data wanda"])
def test_what_a_flag_is_given_is_no_method(etude, line: str) -> None:
    answer = etude(*line.split(), "--help")
    assert answer.code == 0
    assert "toy-mean: share" in answer.out


def test_compare_adds_baselines_and_resumes(etude, tmp_path: Path) -> None:
    line = ["compare", "toy-median", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path)]
    answer = etude(*line)
    assert answer.code == 0
    assert "toy-median" in answer.out
    assert "toy-mean" in answer.out
    assert str(tmp_path / "report.html") in answer.out.replace("\n", "")
    with (tmp_path / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    before = {row["key"]: row["started"] for row in etude("runs --json").json}
    assert etude(*line).code == 0
    assert {row["key"]: row["started"] for row in etude("runs --json").json} == before
    assert etude(*line, "--fresh").code == 0
    assert all(row["started"] > before[row["key"]] for row in etude("runs --json").json)


def test_compare_of_a_task(etude) -> None:
    answer = etude("compare toy-median --task toy --no-baselines --seeds 1 --json")
    assert [row["label"] for row in answer.json["rows"]] == ["toy-median"]
    assert "--numbers" in etude("compare --task toy --help").out
    answer = etude("compare --task tok")
    assert answer.code == 2
    assert "task: unknown 'tok'" in answer.err


def test_compare_over_a_grid(etude) -> None:
    line = "compare toy-mean toy-slow --no-baselines --seeds 1 --jobs 1 --json"
    answer = etude(f"{line} --set share=0.2,1 --set toy-slow.steps=0")
    settings = {(row["method"], json.dumps(row["parameters"])) for row in etude("runs --json").json}
    assert settings == {
        ("toy-mean", '{"share": 0.2}'),
        ("toy-mean", '{"share": 1.0}'),
        ("toy-slow", '{"steps": 0, "pause": 0.05}'),
    }
    assert isinstance(answer.json, dict)


def test_one_methods_own_setting_goes_before_the_common_one(etude) -> None:
    etude("compare toy-mean --seeds 1 --jobs 1 --set share=0.2,0.4 --set toy-mean.share=1")
    assert [row["parameters"] for row in etude("runs --json").json] == [{"share": 1.0}]


def test_compare_with_a_failure_shows_the_rest_and_exits_with_1(etude) -> None:
    answer = etude("compare toy-mean toy-fail --seeds 1 --jobs 1")
    assert answer.code == 1
    assert "toy-mean" in answer.out
    assert answer.err.startswith("RunFailed: 1 of 3 runs failed; `etude runs ")
    assert answer.err.count("\n") == 1


def test_interrupting_leaves_one_line_and_no_artifact(own_home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "etude", "run", "toy-slow", "--steps", "2000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ETUDE_TOY_LOG": str(own_home / "log")},
    )
    deadline = time.monotonic() + 30
    while not (own_home / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err == "Interrupted: what is finished is kept; the same command goes on from there.\n"
    assert not list((own_home / "etude.artifacts").glob("*"))


def test_a_reader_that_stops_early_is_no_error() -> None:
    line = f"{sys.executable} -m etude list | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Paper")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import etude", {"torch", "transformers", "sqlalchemy", "numpy", "pydantic", "rich", "cyclopts"}),
        (
            "from etude.cli import call; call(['list'])",
            {"torch", "transformers", "sqlalchemy", "numpy", "bm25s"},
        ),
        (
            "from etude.cli import call; call(['show', 'flap'])",
            {"torch", "transformers", "sqlalchemy", "numpy"},
        ),
        ("from etude.cli import call; call(['run', 'wnda'])", {"torch", "transformers", "sqlalchemy"}),
        ("from etude.cli import call; call(['search', 'wanda'])", {"torch", "transformers", "sqlalchemy"}),
    ],
)
def test_quick_commands_import_nothing_heavy(code: str, absent: set[str]) -> None:
    program = f"import sys\n{code}\nprint(sorted({absent!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"

"""What a newcomer sees first: ``etude``, ``--help``, ``--version``, ``doctor``."""

from __future__ import annotations

import pytest

import etude as package


def test_etude_alone_welcomes_within_80_columns(etude) -> None:
    answer = etude(*[])
    assert answer.code == 0
    assert "etude search" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_help_lists_the_commands(etude) -> None:
    text = etude("--help").out
    for command in ("list", "show", "search", "run", "compare", "claim", "runs", "doctor"):
        assert f"│ {command} " in text


def test_version(etude) -> None:
    assert etude("--version").out == f"{package.__version__}\n"


@pytest.mark.parametrize("command", ["list", "show", "search", "run", "compare", "claim", "runs", "doctor"])
def test_every_command_explains_itself(etude, command: str) -> None:
    answer = etude(f"{command} --help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: etude {command}")
    assert max(map(len, answer.out.splitlines())) <= 80


def test_doctor(etude, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("ETUDE_DATA", str(tmp_path))
    answer = etude("doctor")
    assert answer.code == 0
    assert "torch" in answer.out
    report = etude("doctor --json").json
    assert report["environment"]["etude"] == package.__version__
    assert set(report["models"]) >= {"nano-llama", "smollm2"}
    data = report["data"]
    assert (data["ETUDE_DATA"], data["available"], data["hub"]) == (str(tmp_path), True, False)
    assert data["sets"]["novels"]["available"]
    assert "english_novels" in data["sets"]["english_novels"]["hint"]
    assert report["store"]["available"] and report["store"]["runs"] == 0
    assert "toy" in report["plugins"]


def test_doctor_says_what_is_wrong_with_the_store(etude, tmp_path) -> None:
    report = etude("doctor", "--json", "--store", str(tmp_path)).json
    assert report["store"]["available"] is False
    assert "is a folder" in report["store"]["hint"]

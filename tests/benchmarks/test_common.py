"""What all benchmarks share: peers' environments, jobs in processes, the table."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, with peers and environments of its own."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = import_module("common")
    (tmp_path / "peers").mkdir()
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "ENVIRONMENTS", tmp_path / "environments")
    return module


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_when_its_requirements_change(
    common: ModuleType, tmp_path: Path
) -> None:
    requirements = tmp_path / "peers" / "nothing.txt"
    requirements.write_text("# needs nothing\n")
    python = common.peer_python("nothing")
    mark = python.parent / "mark"
    mark.touch()
    assert common.peer_python("nothing") == python and mark.exists()
    requirements.write_text("# needs nothing else\n")
    assert common.peer_python("nothing") == python and not mark.exists()


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_says_why(common: ModuleType, tmp_path: Path) -> None:
    missing = tmp_path / "no-such-wheel.whl"
    (tmp_path / "peers" / "broken.txt").write_text(f"{missing}\n")
    with pytest.raises(common.Unavailable, match=r"cannot be installed: .*no-such-wheel"):
        common.peer_python("broken")
    with pytest.raises(common.Unavailable):  # a failed attempt is no environment
        common.peer_python("broken")


def test_a_job_answers_through_its_file_on_one_thread(common: ModuleType, tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import json, os, sys\n"
        "job = json.load(open(sys.argv[1]))\n"
        "print('noise')\n"
        "threads = os.environ['OMP_NUM_THREADS']\n"
        "json.dump({'twice': 2 * job['n'], 'threads': threads}, open(sys.argv[2], 'w'))\n"
    )
    assert common.play(script, {"n": 21}) == {"twice": 42, "threads": "1"}


def test_a_job_that_fails_gives_its_last_words(common: ModuleType, tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import sys\nprint('warning', file=sys.stderr)\nraise ValueError('no attention here')\n"
    )
    with pytest.raises(common.Unavailable, match=r"failed: ValueError: no attention here"):
        common.play(script, {}, Path(sys.executable))


def test_tables_align_numbers_and_show_what_is_missing(common: ModuleType) -> None:
    rows = [{"method": "ours", "CPU s": 1.5, "M": 134}, {"method": "peer", "note": "cannot be installed"}]
    assert common.table(rows).splitlines() == [
        "| method | CPU s |   M | note                |",
        "| ------ | ----: | --: | ------------------- |",
        "| ours   |  1.50 | 134 | –                   |",
        "| peer   |     – |   – | cannot be installed |",
    ]

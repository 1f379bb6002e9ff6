from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.engine.watch import hidden, visible

from etude.engine.artifact import building, discard, sweep


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with building(target) as folder:
        (folder / "weights").write_text("new")
        assert not target.exists()
    assert (target / "weights").read_text() == "new"
    assert hidden(tmp_path) == []


def test_it_replaces_what_was_there_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError), building(target) as folder:
        (folder / "half").write_text("half")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["old"]
    with building(target) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert hidden(tmp_path) == []


def test_discarding_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    discard(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_sweeping_spares_the_living_and_clears_up_after_the_dead(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from etude.engine.artifact import building\n"
        "with building(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    target = tmp_path / "model"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        sweep(tmp_path)
        assert any((path / "half").exists() for path in hidden(tmp_path))
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert hidden(tmp_path) != []
    sweep(tmp_path)
    assert hidden(tmp_path) == visible(tmp_path) == []


def test_sweeping_leaves_other_hidden_files(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".notes.lock").write_text("")
    sweep(tmp_path)
    assert [path.name for path in hidden(tmp_path)] == [".git", ".notes.lock"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that root cannot write to either")
def test_where_nothing_can_be_written_there_is_an_error_and_no_waiting() -> None:
    with pytest.raises(OSError, match="/proc/"), building(Path("/proc/model")):
        raise AssertionError("there is no folder to fill")


def test_when_several_build_the_same_one_of_them_wins(tmp_path: Path) -> None:
    target = tmp_path / "model"
    together = threading.Barrier(8)
    errors: list[BaseException] = []

    def build(number: int) -> None:
        try:
            with building(target) as folder:
                for name in ("a", "b"):
                    (folder / name).write_text(str(number))
                together.wait()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (target / "a").read_text() == (target / "b").read_text()
    assert hidden(tmp_path) == []

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etude.engine.record import Record
from etude.engine.store import SCHEMA, Store
from etude.errors import InputError


def record(key: str = "0123456789abcdef", **changes: Any) -> Record:
    facts: dict[str, Any] = {
        "status": "done",
        "task": "toy",
        "method": "toy-mean",
        "paper": "a-paper",
        "parameters": {"share": 0.5, "names": ["ä", "b"], "limit": None},
        "inputs": {"size": 3},
        "fingerprints": {"numbers": "ff"},
        "seed": 2**32 - 1,
        "metrics": {"error": 0.1},
        "artifact": "/somewhere",
        "started": "2026-01-01T00:00:00.000000+00:00",
        "environment": {"threads": 1},
    }
    return Record(key=key, **facts | changes)


def test_what_goes_in_comes_out(store: Store) -> None:
    store.put(record())
    assert store.get("0123456789abcdef") == record()
    assert Store(store.url).get("0123456789abcdef") == record()
    assert store.get("0123") is None


figures = st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False))


@given(figures, st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.booleans() | st.none()))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_figures_and_parameters_survive(
    store: Store, metrics: dict[str, float], parameters: dict[str, Any]
) -> None:
    store.put(record(metrics=metrics, parameters=parameters))
    assert store.get(record().key) == record(metrics=metrics, parameters=parameters)


def test_a_later_record_takes_the_place_of_an_earlier_one(store: Store) -> None:
    store.put(record(metrics={"error": 1.0}))
    store.put(record(metrics={"error": 2.0}))
    assert [r.metrics for r in store.records()] == [{"error": 2.0}]


def test_success_replaces_failure_and_failure_stands_beside_success(store: Store) -> None:
    failed = record(status="failed", error="Traceback\nboom", started="2026-01-02")
    store.put(failed)
    assert store.get(failed.key) == failed
    store.put(record())
    assert store.records() == [record()]
    store.put(failed)
    assert store.records() == [failed, record()]
    assert store.get(failed.key) == record()


def test_a_user_may_shorten_a_key(store: Store) -> None:
    store.put(record("aa11"))
    store.put(record("aa22"))
    store.put(record("aa22", status="failed"))
    store.put(record("bb%3"))
    assert store.find("aa1").key == "aa11"
    assert store.find("aa2").status == "done"
    assert store.find("bb%").key == "bb%3"
    for prefix, message in [
        ("aa", "begins 2 runs: aa11, aa22"),
        ("c", "no run"),
        ("b_", "no run"),
        ("", "no run"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            store.find(prefix)
        assert caught.value.field == "run"


def test_records_are_filtered_and_newest_first(store: Store) -> None:
    for number, (method, status) in enumerate(
        [("a", "done"), ("b", "failed"), ("a", "failed"), ("b", "done")]
    ):
        store.put(record(f"k{number}", method=method, status=status, started=f"2026-01-0{number + 1}"))
    store.put(record("other", task="other", started="2025"))
    assert [r.key for r in store.records()] == ["k3", "k2", "k1", "k0", "other"]
    assert [r.key for r in store.records(task="toy", limit=2)] == ["k3", "k2"]
    assert [r.key for r in store.records(method="a", status="done")] == ["k0"]


def test_deleting_takes_the_artifact_along_but_not_what_lies_elsewhere(store: Store, tmp_path: Path) -> None:
    inside, outside = store.artifacts / "k1", tmp_path / "mine"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "weights").write_text("1")
    store.put(record("k1", artifact=str(inside)))
    store.put(record("k2", artifact=str(outside)))
    store.put(record("k3"))
    assert store.delete(["k1", "k2", "absent"]) == 2
    assert [r.key for r in store.records()] == ["k3"]
    assert not inside.exists()
    assert outside.exists()


def test_where_a_store_is(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Store().url == f"sqlite:///{own_home}/etude.db"
    assert Store().artifacts == own_home / "etude.artifacts"
    monkeypatch.setenv("ETUDE_STORE", str(tmp_path / "by" / "variable.db"))
    assert Store().artifacts == tmp_path / "by" / "variable.artifacts"
    assert Store(f"sqlite:///{tmp_path}/by/url.db").artifacts == tmp_path / "by" / "url.artifacts"
    monkeypatch.chdir(tmp_path)
    assert Store("here.db").url == f"sqlite:///{tmp_path}/here.db"


def test_the_file_is_written_ahead(store: Store) -> None:
    path = store.url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def bad_places(folder: Path) -> list[tuple[str, str]]:
    (folder / "text.db").write_text("this is no database, only text" * 100)
    (folder / "file").write_text("")
    return [
        (str(folder / "text.db"), "not a database"),
        (str(folder / "file" / "runs.db"), "cannot open"),
        (str(folder), "is a folder"),
        ("sqlite://", "names no store"),
        ("mysql://host/database", "names no store|no database URL"),
        ("postgresql://host", "names no store"),
        ("postgresql://nobody:secret@127.0.0.1:1/nothing", "cannot open .*refused"),
        ("nonsense://", "names no store|no database URL"),
        ("://", "no database URL"),
    ]


def test_a_store_that_cannot_be_opened_is_the_users_to_mend(tmp_path: Path) -> None:
    for place, message in bad_places(tmp_path):
        with pytest.raises(InputError, match=message) as caught:
            Store(place)
        assert caught.value.field == "store"
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_store_of_a_later_version_is_left_alone(store: Store) -> None:
    path = store.url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE etude_schema SET version = ?", [SCHEMA + 1])
    connection.close()
    with pytest.raises(InputError, match="later Etude"):
        Store(path)


def test_several_processes_make_and_fill_one_store(tmp_path: Path) -> None:
    program = (
        "import sys; from etude.engine.store import Store; from etude.engine.record import Record\n"
        "store = Store(sys.argv[1])\n"
        "for n in range(15):\n"
        "    for key in (f'{sys.argv[2]}-{n}', f'shared-{n}'):\n"
        "        store.put(Record(key=key, status='done', task='t', method='m', started=sys.argv[2]))\n"
    )
    place = str(tmp_path / "new" / "runs.db")
    processes = [
        subprocess.Popen([sys.executable, "-c", program, place, str(number)], stderr=subprocess.PIPE)
        for number in range(4)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert len(Store(place).records()) == 5 * 15


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="store"):
        Store(tmp_path / "runs.db")


def test_the_password_is_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        Store("postgresql://me:secret@127.0.0.1:1/nothing")
    assert "secret" not in str(caught.value)


def test_records_know_their_last_line() -> None:
    assert record().reason == ""
    assert (
        replace(record(), status="failed", error="Traceback\n  File\nKeyError: 'x'\n").reason
        == "KeyError: 'x'"
    )

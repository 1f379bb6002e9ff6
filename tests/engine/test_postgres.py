"""The store on a real PostgreSQL server, started here and stopped afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from etude_toy import TASK, ToyFail, ToyMean

from etude.engine.compare import compare
from etude.engine.record import Record
from etude.engine.store import Store

pytestmark = pytest.mark.slow


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, which distributions like to keep out of PATH."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/local/pgsql").glob("bin")]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    whole = [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return max(whole, default=None)


def as_user() -> list[str]:
    """A server refuses to run as root; what to put before its command then."""
    if os.geteuid() != 0:
        return []
    names = {user.pw_name for user in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a fresh database."""
    pytest.importorskip("psycopg")
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server is installed (initdb and postgres)")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv")
    with tempfile.TemporaryDirectory(prefix="etude-postgres-") as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        data = Path(place) / "data"
        if as_user():
            shutil.chown(place, as_user()[1].partition("=")[2])
        options = f"-p {port} -h 127.0.0.1 -k {place} -c fsync=off"
        initdb = [
            *as_user(),
            str(folder / "initdb"),
            "-D",
            str(data),
            "-U",
            "etude",
            "--auth=trust",
            "-E",
            "UTF8",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=place)
        control = [*as_user(), str(folder / "pg_ctl"), "-D", str(data), "-w"]
        log = str(Path(place) / "log")
        subprocess.run(
            [*control, "-o", options, "-l", log, "start"], check=True, stdout=subprocess.DEVNULL, cwd=place
        )
        try:
            yield f"postgresql://etude@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=place)


def test_several_processes_make_and_fill_one_store(server: str) -> None:
    program = (
        "import sys; from etude.engine.store import Store; from etude.engine.record import Record\n"
        "store = Store(sys.argv[1])\n"
        "for n in range(20):\n"
        "    for key in (f'{sys.argv[2]}-{n}', f'shared-{n}'):\n"
        "        store.put(Record(key=key, status='done', task='t', method='m', started=sys.argv[2]))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, server, str(number)], stderr=subprocess.PIPE)
        for number in range(4)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert len(Store(server).records(task="t")) == 5 * 20


def test_records_come_out_as_they_went_in(server: str) -> None:
    store = Store(server)
    record = Record(
        key="0123456789abcdef",
        status="done",
        task="toy",
        method="ä",
        seed=2**32 - 1,
        metrics={"x": float("inf")},
    )
    store.put(record)
    store.put(record)
    assert store.get(record.key) == store.find("0123") == record
    assert store.records(method="ä") == [record]
    assert store.delete([record.key]) == 1
    assert store.get(record.key) is None


def test_a_comparison_resumes_from_it(server: str, own_home: Path) -> None:
    store = Store(server)
    methods = [ToyMean(), ToyFail()]
    first = compare(methods, TASK, TASK.inputs(), store=store, jobs=2, seeds=(0, 1))
    again = compare(methods, TASK, TASK.inputs(), store=Store(server), jobs=1, seeds=(0, 1))
    done = [record for record in first.records if record.status == "done"]
    assert len(done) == 2
    assert [record for record in again.records if record.status == "done"] == done
    assert Path(done[0].artifact or "").is_relative_to(own_home)
    assert (Path(done[0].artifact or "") / "complete").exists()

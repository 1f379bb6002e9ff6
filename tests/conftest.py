"""What holds for every test: no network, one thread, a store of its own, and the toy plug-in installed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PLUGIN = TESTS / "plugin"

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Set before anything imports torch or transformers, and inherited by the commands that tests start.
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "COLUMNS": "80",
}


def _install_plugin(folder: Path) -> None:
    """Make ``tests/plugin`` look installed to this process and to those it starts."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections) + "\n")
    paths = [str(PLUGIN), str(folder)]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [*paths, str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    )


_site = tempfile.TemporaryDirectory(prefix="etude-plugin-")
_install_plugin(Path(_site.name))


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test: records, artifacts and caches never reach the user's."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ETUDE_HOME", str(home))
    monkeypatch.delenv("ETUDE_STORE", raising=False)
    return home


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that talks to anything but this machine fails."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1"):
            raise OSError(f"tests have no network, and this one reached for {host}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Results do not depend on the number of cores, and tests do not fight over them."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)

"""Third parties' packages, as an interpreter of its own finds them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from etude import catalog

Ask = Callable[..., str]

METHOD = """
from etude.method import method

@method("{name}", task="toy", paper={paper!r})
class Mine:
    '''Guess seven.'''

    def guess(self, numbers):
        return 7.0
"""


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Install a package of these files, then evaluate an expression over ``catalog`` in a new process."""

    def ask(expression: str, **files: str) -> str:
        for name, text in files.items():
            path = tmp_path / "mine" / name.replace("__", "/").replace("_toml", ".toml")
            path = path if path.suffix else path.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (tmp_path / "mine" / "__init__.py").touch()
        info = tmp_path / "mine-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[etude.methods]\nmine = mine.methods\n")
        code = f"import etude.catalog as catalog\ntry: print({expression})\nexcept ValueError as e: print(e)"
        path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return ask


def test_the_toy_plug_in_is_found() -> None:
    assert "toy" in [entry.name for entry in catalog.plugins()]
    assert catalog.tasks()["toy"] is catalog.task("toy")


def test_methods_of_a_package_are_found(ask: Ask) -> None:
    assert ask("catalog.method('mine').__name__", methods=METHOD.format(name="mine", paper=None)) == "Mine"


def test_a_name_that_is_taken_is_refused(ask: Ask) -> None:
    answer = ask("catalog.methods()", methods=METHOD.format(name="toy-mean", paper=None))
    assert answer == "toy-mean: both mine.methods and etude_toy define it; rename or uninstall one"


def test_a_package_that_cannot_be_imported_is_named(ask: Ask) -> None:
    answer = ask("catalog.methods()", methods="import nothing_of_that_name")
    assert answer.startswith("mine: plug-in mine.methods cannot be imported (ModuleNotFoundError")


def test_a_broken_package_does_not_stop_etudes_own(ask: Ask) -> None:
    expression = "(catalog.method('wanda').name, catalog.task('prune').name, len(catalog.papers()))"
    assert ask(expression, methods="raise RuntimeError('broken')") == "('wanda', 'prune', 86)"


def test_cards_of_a_package_are_listed(ask: Ask) -> None:
    flap = (catalog.ROOT / "papers" / "flap.toml").read_text(encoding="utf-8")
    card = flap.replace('slug = "flap"', 'slug = "mine"').replace('task = "prune"', 'task = "guess"')
    method = METHOD.format(name="mine", paper="mine")
    expression = "(catalog.paper('mine').task, len(catalog.papers()))"
    assert ask(expression, methods=method, papers__mine_toml=card) == "('guess', 87)"


def test_a_bad_card_of_a_package_is_named(ask: Ask) -> None:
    answer = ask("catalog.papers()", methods="", papers__mine_toml="slug = 'mine'")
    assert answer.startswith("mine.toml: name: field required")

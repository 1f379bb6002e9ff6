"""What stands in more than one file says the same in each."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import etude
from etude.card import AREAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    """Distribution names as PyPI compares them."""
    return {re.split(r"[\s\[<>=!~;]", each)[0].lower().replace("_", "-") for each in requirements}


def test_every_package_that_the_source_imports_is_required() -> None:
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    owners = packages_distributions()
    names_of_others = imported - sys.stdlib_module_names - {"etude"}
    # What an extra brings need not be installed; such packages are named as their modules are.
    foreign = {owner for name in names_of_others for owner in owners.get(name, [name])}
    extras = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    assert names(list(foreign)) <= names([*PROJECT["dependencies"], *extras])


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    extras = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    assert names([*PROJECT["dependencies"], *extras]) - {"etude"} <= names(pins)
    assert "torch==2.13.0" in pins


def test_one_version_everywhere() -> None:
    assert f"version: {etude.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {etude.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_lists_the_areas_and_their_tasks() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for area, tasks in AREAS.items():
        assert re.search(rf"^\| {area} \| .* \| {', '.join(tasks)} \|$", readme, re.MULTILINE), area

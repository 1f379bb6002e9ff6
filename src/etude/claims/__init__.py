"""What papers claim, checked: one file a paper, and the outcomes of the last checks in ``results/``.

A claim's file exposes ``CLAIM``, an `etude.engine.claim.Claim`. This module imports nothing heavy, so
that listing papers stays quick.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
"""Where ``make claims`` writes what came of each claim."""


def result(slug: str) -> dict[str, Any] | None:
    """The last recorded check of a paper's claim (`Verdict.to_json`); None if there is none."""
    path = RESULTS / f"{slug}.json"
    if not path.exists():
        return None
    recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return recorded


def outcome(slug: str) -> str:
    """What came of a paper's claim: "holds", "does not hold", "not decided", or "not run".

    Examples
    --------
    >>> outcome("a-paper-yet-to-be-written")
    'not run'
    """
    recorded = result(slug)
    return "not run" if recorded is None else str(recorded["outcome"])

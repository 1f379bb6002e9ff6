"""Runs: what a search gave, best first, and as TREC files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from etude.errors import InputError
from etude.files import new_file
from etude.search.collection import Run


def ranked(documents: Sequence[str], scores: Sequence[float], k: int | None = None) -> dict[str, float]:
    """Documents with their scores, best first; what is given first stands first where scores are equal.

    Examples
    --------
    >>> ranked(["a", "b", "c"], [1.0, 2.0, 1.0], k=2)
    {'b': 2.0, 'a': 1.0}
    """
    order = sorted(range(len(documents)), key=lambda i: -scores[i])[:k]
    return {documents[i]: float(scores[i]) for i in order}


def strict(ranking: Mapping[str, float]) -> dict[str, float]:
    """The same order with scores that fall at every step, so that no tool breaks a tie in its own way.

    Evaluation tools of TREC sort by score and ignore ranks; equal scores go by document name there.

    Examples
    --------
    >>> strict({"b": 1.0, "a": 1.0})
    {'b': 1.0, 'a': 0.9999999}
    """
    last, falling = math.inf, {}
    for document, score in ranking.items():
        if score >= last:
            score = last - max(1e-7, abs(last) * 1e-7)  # of single precision, which the tools read
        falling[document] = last = score
    return falling


def write_run(path: Path, run: Run, tag: str = "etude") -> None:
    """Write a run as a TREC file: ``query Q0 document rank score tag``.

    Raises
    ------
    InputError : if an identifier holds a space, which the format cannot say.
    """
    lines = []
    for query, ranking in run.items():
        for rank, (document, score) in enumerate(strict(ranking).items(), start=1):
            if any(part.split() != [part] for part in (query, document)):
                raise InputError("run", f"a TREC file cannot hold the identifier {query!r} or {document!r}")
            lines.append(f"{query} Q0 {document} {rank} {score:.9g} {tag}\n")
    with new_file(path) as file:
        file.write_text("".join(lines), encoding="utf-8")


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """Read a TREC run; documents stand by score, then as in the file.

    Raises
    ------
    InputError : if the file cannot be read as a run, naming the line.
    """
    found: dict[str, dict[str, float]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("run", f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        try:
            query, _, document, _, score, _ = parts
            value = float(score)
        except ValueError:
            raise InputError(
                "run", f"{path}, line {number} is not 'query Q0 document rank score tag': {line[:80]!r}"
            ) from None
        if not math.isfinite(value) or document in found.setdefault(query, {}):
            raise InputError("run", f"{path}, line {number}: a score that is not finite, or a document twice")
        found[query][document] = value
    return {query: ranked([*scores], [*scores.values()]) for query, scores in found.items()}

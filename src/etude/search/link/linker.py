"""What linkers have in common: names ranked for texts, and how linkers are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from etude.data.mentions import END, START, Mention
from etude.errors import InputError
from etude.files import new_folder

KIND = "linker.json"
Some = Sequence[Sequence[int]]
"""For each text, places of the names that are looked at."""


class Linker(Protocol):
    """What a method's ``fit`` returns."""

    kind: str
    names: Sequence[str]

    def rank(self, texts: Sequence[str], k: int, candidates: Some | None = None) -> list[list[int]]:
        """Places of the best ``k`` names for each text, best first; fewer if no more are found.

        Parameters
        ----------
        texts : with a mention marked.
        k : how many.
        candidates : the names to choose from for each text; None for all.
        """

    @property
    def nbytes(self) -> int:
        """Size of what there is of the names alone: a tree, vectors, .."""

    def save(self, folder: Path) -> None:
        """Write all but the names into a folder."""

    @classmethod
    def load(cls, folder: Path, names: Sequence[str]) -> Any:
        """Read what `save` wrote."""


def check_mentions(names: Any, examples: Any) -> None:
    """Raise `InputError` unless there are names, each once, and mentions of some of them."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise InputError("names", "are not a list of one or more names")
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError("names", "hold something that is no text, or empty")
    if len(set(names)) < len(names):
        raise InputError("names", "hold the same name twice")
    if not isinstance(examples, Sequence) or not examples:
        raise InputError("examples", "are not a list of one or more mentions")
    for example in examples:
        if not isinstance(example, Mention) or not isinstance(example.text, str):
            raise InputError("examples", f"{example!r:.60} is no Mention")
        if not isinstance(example.name, int) or not 0 <= example.name < len(names):
            raise InputError("examples", f"{example!r:.60} means none of the {len(names)} names")


def plain(text: str) -> str:
    """A text without marks.

    Examples
    --------
    >>> plain("in [START_ENT] Troy [END_ENT] they")
    'in Troy they'
    """
    return " ".join(word for word in text.split() if word not in (START, END))


def top(scores: Tensor, k: int, candidates: Some | None) -> list[list[int]]:
    """Places of the highest scores ``[texts, names]`` of each row, of the candidates if there are any.

    A score of minus infinity is none.

    Examples
    --------
    >>> top(torch.tensor([[1.0, 3.0, 2.0]]), 2, [[0, 2]])
    [[2, 0]]
    """
    if candidates is not None:
        allowed = torch.zeros_like(scores, dtype=torch.bool)
        for row, some in enumerate(candidates):
            allowed[row, list(some)] = True
        scores = scores.masked_fill(~allowed, -torch.inf)
    found = scores.topk(min(k, scores.shape[1]), dim=1)
    there = found.values > -torch.inf
    return [row[keep].tolist() for row, keep in zip(found.indices, there, strict=True)]


def save_linker(linker: Any, folder: str | Path) -> None:
    """Write a linker into a new or empty folder, for `load_linker`."""
    with new_folder(Path(folder).expanduser()) as temporary:
        facts = {"kind": linker.kind, "names": list(linker.names)}
        (temporary / KIND).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        linker.save(temporary)


def load_linker(folder: str | Path) -> Any:
    """Read a linker.

    Raises
    ------
    InputError : naming ``linker`` if there is none.
    """
    from etude.search.link.linkers import KINDS

    path = Path(folder).expanduser()
    if not (path / KIND).is_file():
        raise InputError("linker", f"{path} holds none ({KIND})")
    facts = json.loads((path / KIND).read_text(encoding="utf-8"))
    return KINDS[facts["kind"]].load(path, facts["names"])

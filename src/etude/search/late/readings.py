"""What an encoder's transformer makes of texts, made once for all trainings of a projection."""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from etude.files import cache_folder, new_file
from etude.search.late.encoder import Kind, TokenEncoder
from etude.search.late.tokens import Tokens


@dataclass(frozen=True)
class Readings:
    """An encoder's states of texts, which stand still while its projection is trained.

    Parameters
    ----------
    states : of the texts of each kind.
    places : where each text stands among them.
    """

    states: Mapping[Kind, Tokens]
    places: Mapping[Kind, Mapping[str, int]]

    @classmethod
    def of(cls, encoder: TokenEncoder, queries: Sequence[str], documents: Sequence[str]) -> Readings:
        """Read each text once."""
        texts: dict[Kind, Sequence[str]] = {"query": queries, "document": documents}
        states = {kind: encoder.states(own, kind) for kind, own in texts.items()}
        return cls(states, _places(queries, documents))

    @classmethod
    def kept(cls, encoder: TokenEncoder, queries: Sequence[str], documents: Sequence[str]) -> Readings:
        """The same, kept in the user's cache in half precision, or taken from there."""
        texts = json.dumps([encoder.fingerprint, queries, documents])
        path = cache_folder("token-states", f"{hashlib.sha256(texts.encode()).hexdigest()[:32]}.safetensors")
        if not path.is_file():
            with new_file(path) as file:
                _save(cls.of(encoder, queries, documents), file)
        return _read(path, queries, documents)

    def __call__(self, texts: Sequence[str], kind: Kind) -> Tokens:
        """The states of some of the texts."""
        return self.states[kind].take(torch.tensor([self.places[kind][text] for text in texts]))


def _places(queries: Sequence[str], documents: Sequence[str]) -> dict[Kind, dict[str, int]]:
    return {
        "query": {text: i for i, text in enumerate(queries)},
        "document": {text: i for i, text in enumerate(documents)},
    }


def _save(readings: Readings, path: Path) -> None:
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for kind, states in readings.states.items():
        tensors |= {f"{kind}.vectors": states.vectors.half(), f"{kind}.lengths": states.lengths}
    save_file(tensors, path)


def _read(path: Path, queries: Sequence[str], documents: Sequence[str]) -> Readings:
    from safetensors.torch import load_file

    tensors, kinds = load_file(path), typing.get_args(Kind)
    states = {kind: Tokens(tensors[f"{kind}.vectors"].float(), tensors[f"{kind}.lengths"]) for kind in kinds}
    return Readings(states, _places(queries, documents))

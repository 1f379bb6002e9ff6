"""Text to token ids: as little of it as suffices, and never the same large text twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from etude.data.sources import digest
from etude.files import cache_folder, new_file

_LARGE = 1_000_000
"""Characters from which on the ids of a text are kept in the user's cache."""

Ids = list[int]


def encode(texts: Sequence[str], tokenizer: Any) -> list[Ids]:
    """The ids of each text, without any special token."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    return [list(row) for row in encoded["input_ids"]]


def encode_all(documents: tuple[str, ...], tokenizer: Any) -> list[Ids]:
    """The ids of all documents; those of a large text are remembered in the cache."""
    kind = _digest(tokenizer)
    if kind is None or sum(map(len, documents)) < _LARGE:
        return encode(documents, tokenizer)
    path = cache_folder("tokens", hashlib.sha256(f"{digest(documents)} {kind}".encode()).hexdigest())
    if not path.is_file():
        _write(path, encode(documents, tokenizer))
    return _read(path)


def end_token(tokenizer: Any) -> Ids:
    """What stands between two documents: the end-of-text token, or else the separator, or nothing."""
    for token in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        if token is not None:
            return [token]
    return []


def _digest(tokenizer: Any) -> str | None:
    """What identifies a tokenizer; None for those written in Python, which do not tell."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return None if backend is None else hashlib.sha256(backend.to_str().encode()).hexdigest()


def _write(path: Any, rows: list[Ids]) -> None:
    from safetensors.torch import save_file

    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.tensor([token for row in rows for token in row], dtype=torch.int32)
    with new_file(path) as temporary:
        save_file({"ids": ids, "lengths": lengths}, temporary)


def _read(path: Any) -> list[Ids]:
    from safetensors.torch import load_file

    stored: dict[str, Tensor] = load_file(path)
    return [row.tolist() for row in torch.split(stored["ids"], stored["lengths"].tolist())]

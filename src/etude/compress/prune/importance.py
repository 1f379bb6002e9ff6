"""Importance of every weight of the blocks: which to remove for a budget, and files to keep it in.

An importance is a mapping from the name of a linear layer, from the model's root, to a tensor of its
weight's shape, ``[out, in]``: the lower, the less is lost. It does not depend on how much is to be
removed, so it is worth keeping.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from etude.compress.prune.masks import lowest, remove
from etude.errors import InputError
from etude.files import new_file
from etude.models.blocks import block_linears
from etude.models.measure import parameter_count

Importance = Mapping[str, Tensor]
Over = Literal["linears", "parameters"]


def apportion(sizes: Sequence[int], share: float) -> list[int]:
    """Split ``round(share * sum(sizes))`` into a count for each size, none more than 1 off its own share.

    Examples
    --------
    >>> apportion([3, 3, 3], 0.5)
    [2, 1, 1]
    """
    ends = [round(share * sum(sizes[:count])) for count in range(len(sizes) + 1)]
    return [after - before for before, after in pairwise(ends)]


def share_of_linears(model: nn.Module, sparsity: float, over: Over) -> float:
    """The share of the blocks' linear weights to remove, for a sparsity over them or over all parameters.

    Raises
    ------
    InputError : if so many parameters of the model are not in these layers that they would not suffice.
    """
    if over == "linears":
        return sparsity
    inside = sum(linear.weight.numel() for linear in block_linears(model))
    total = parameter_count(model)
    share = round(sparsity * total) / inside
    if share > 1:
        raise InputError(
            "sparsity",
            f"{sparsity:g} of all {total:,} parameters are more than the blocks' linear layers hold, "
            f"{inside:,}; at most {inside / total:.3f}",
        )
    return share


@torch.no_grad()
def remove_lowest(model: nn.Module, importance: Importance, share: float, runs: int = 1) -> None:
    """Set the least important weights of every layer, or of every run of its columns, to zero, in place.

    Parameters
    ----------
    model : edited in place; what is kept stays as it is, to the last bit.
    importance : of each linear layer of the blocks.
    share : of these weights to remove: ``round(share * all of them)`` in all, and of each layer or run
        its share, at most 1 more or less.
    runs : how many runs of consecutive columns each layer is cut into; weights are compared inside one.

    Raises
    ------
    InputError : if an importance is not finite; nothing has been removed then.
    """
    for name, tensor in importance.items():
        if not bool(tensor.isfinite().all()):
            raise InputError(
                "model", f"the importance of {name} is not finite; the model, or its descent, is broken"
            )
    linears = block_linears(model)
    scores = [importance[linear.name].tensor_split(runs, dim=1) for linear in linears]
    counts = iter(apportion([score.numel() for parts in scores for score in parts], share))
    for linear, parts in zip(linears, scores, strict=True):
        masks = [lowest(score.reshape(1, -1), next(counts)).view(score.shape) for score in parts]
        remove(linear, torch.cat(masks, dim=1))


def save(importance: Importance, path: str | Path, model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Write an importance, with what it was computed for and how, as safetensors.

    Parameters
    ----------
    importance : of each linear layer of the blocks of ``model``.
    path : the file; one that is there is replaced.
    model : the model that it is for, as it was when it was scored.
    settings : how it was computed; anything that JSON can hold.
    """
    with saving(path, model, settings) as put:
        for name, tensor in importance.items():
            put(name, tensor)


@contextmanager
def saving(
    path: str | Path, model: nn.Module, settings: Mapping[str, Any]
) -> Iterator[Callable[[str, Tensor], None]]:
    """Write an importance layer by layer, in any order, so that it need not be in memory; see `save`.

    Inside this context, call what it gives with a layer's name and tensor. What was never given is 0.
    """
    about = {"model": weights_fingerprint(model), "settings": json.dumps(dict(settings), sort_keys=True)}
    header: dict[str, Any] = {"__metadata__": about}
    size = 0
    for linear in block_linears(model):
        start, size = size, size + 4 * linear.weight.numel()
        header[linear.name] = {
            "dtype": "F32",
            "shape": list(linear.weight.shape),
            "data_offsets": [start, size],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with new_file(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)

        def put(name: str, tensor: Tensor) -> None:
            file.seek(8 + len(text) + header[name]["data_offsets"][0])
            file.write(tensor.float().contiguous().numpy().data)

        yield put


def load(path: str | Path, model: nn.Module, field: str = "importances") -> dict[str, Tensor]:
    """Read an importance that was computed for this very model; errors name ``field``.

    Raises
    ------
    InputError : if the file is missing, damaged, or of another model.
    """
    return dict(Stored(path, model, field))


class Stored(Mapping[str, Tensor]):
    """An importance in a file, read layer by layer as it is asked for; see `load`."""

    def __init__(self, path: str | Path, model: nn.Module, field: str = "importances") -> None:
        self.path = path
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                self._names = list(file.keys())
        except (OSError, SafetensorError) as error:
            raise InputError(field, f"{path} cannot be read ({error}); compute it again") from error
        if about.get("model") != weights_fingerprint(model):
            raise InputError(field, f"{path} is of another model; importance holds for the weights scored")

    def __getitem__(self, name: str) -> Tensor:
        # Opened each time: what has been read of a file that is open stays in memory.
        with safe_open(self.path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name).clone()
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def weights_fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, shapes and values of the linear weights of the blocks."""
    return fingerprint((linear.name, linear.weight) for linear in block_linears(model))


def fingerprint(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over named tensors."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

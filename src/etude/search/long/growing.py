"""More positions for an encoder: a longer matrix of learned ones, or rotary ones turned more slowly."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from etude.errors import InputError


def interpolated(matrix: Tensor, scale: int) -> Tensor:
    """``scale`` times as many positions: every ``scale``-th is an old one, those between lie on a line.

    Behind the last old one there is nothing to go towards: it is repeated.

    Parameters
    ----------
    matrix : learned positions, ``[positions, width]``.
    scale : a whole number.

    Examples
    --------
    >>> interpolated(torch.tensor([[0.0], [2.0]]), 2)[:, 0].tolist()
    [0.0, 1.0, 2.0, 2.0]
    """
    following = torch.cat([matrix[1:], matrix[-1:]])
    shares = torch.arange(scale, dtype=matrix.dtype)[:, None] / scale
    return torch.lerp(matrix[:, None], following[:, None], shares).flatten(0, 1)


def repeated(matrix: Tensor, scale: int) -> Tensor:
    """``scale`` times as many positions: the old ones again and again.

    Examples
    --------
    >>> repeated(torch.tensor([[0.0], [2.0]]), 2)[:, 0].tolist()
    [0.0, 2.0, 0.0, 2.0]
    """
    return matrix.repeat(scale, 1)


def positions_of(model: Any) -> nn.Embedding | None:
    """The matrix of learned positions, found by its name and size; None if there is none.

    Raises
    ------
    InputError : if positions do not begin at 0 in it.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position" in name.rpartition(".")[2]:
            if module.padding_idx is not None or len(module.weight) != model.config.max_position_embeddings:
                raise InputError("encoder", f"its {name} do not begin at position 0, and cannot be moved")
            return module
    return None


def with_matrix(model: Any, matrix: Tensor) -> Any:
    """A copy with this matrix of positions; all other tensors are the same."""
    old = positions_of(model)
    config = copy.deepcopy(model.config)
    config.max_position_embeddings = len(matrix)
    grown = type(model)(config)
    state = dict(model.state_dict())
    (name,) = (name for name, module in model.named_modules() if module is old)
    state[f"{name}.weight"] = matrix
    grown.load_state_dict(state)
    return grown.eval()


def with_rotation(model: Any, positions: int, **rope: Any) -> Any:
    """A copy whose rotary positions have other parameters, such as ``rope_theta`` or a linear ``factor``.

    Raises
    ------
    InputError : if the encoder has learned positions, or its rotation is not the plain one.
    """
    known = check_rotary(model)
    config = copy.deepcopy(model.config)
    config.rope_parameters = {**known, **rope}
    config.max_position_embeddings = positions
    turned = type(model)(config)
    turned.load_state_dict(model.state_dict())
    return turned.eval()


def check_rotary(model: Any) -> dict[str, Any]:
    """The parameters of plain rotary positions, the same in all layers.

    Raises
    ------
    InputError : if the encoder has none.
    """
    known = getattr(model.config, "rope_parameters", None)
    if positions_of(model) is not None:
        raise InputError("encoder", f"{type(model).__name__} has learned positions, not rotary ones")
    if not isinstance(known, dict) or "rope_theta" not in known:
        raise InputError("encoder", f"{type(model).__name__} has no rotary positions of one kind")
    if known.get("rope_type", "default") != "default":
        raise InputError("encoder", f"its rotary positions are {known['rope_type']} already")
    return known

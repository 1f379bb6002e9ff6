"""What enters linear layers, rounded to a few bits: put on a model, taken off, saved beside its weights.

What attention multiplies is rounded likewise, once its products are open (`etude.models.products`).

The numbers are rounded in float32 to those that the bits stand for, which is what a kernel for so many bits
computes with, but for the order of its sums. Rounding sits in front of a layer as a hook, so that the layer
itself, its parameters and its name stay as they are.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from etude.errors import InputError
from etude.models import checkpoint, products
from etude.models.numbers import Numbers

SCHEMES = "etude_inputs.json"
RANGES = "etude_inputs.safetensors"
VERSION = 1

Sharing = int | Literal["token", "tensor"]
"""Which numbers share a range: so many consecutive features of a token, a token, or all that come at once."""


class InputRounding:
    """Rounds what enters a layer; a hook that `install` puts in front of it.

    Its gradient is the identity within the range and 0 beyond.

    Parameters
    ----------
    numbers : what is rounded to.
    by : which numbers share a range that is fitted to them as they come.
    scale : of a range that is fixed instead, one number or ``[features]``.
    zero : of that range, likewise; None for 0.

    Examples
    --------
    >>> rounding = InputRounding(Numbers.whole(4), by="token")
    >>> rounding.round(torch.tensor([[0.1, 0.75], [1.0, 7.5]]))
    tensor([[0.1000, 0.7000],
            [1.0000, 7.0000]])
    """

    def __init__(
        self,
        numbers: Numbers,
        by: Sharing = "token",
        scale: Tensor | None = None,
        zero: Tensor | None = None,
    ) -> None:
        self.numbers = numbers
        self.by = by
        self.scale = scale
        self.zero = zero

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Round the first argument of a layer."""
        return (self.round(args[0]), *args[1:])

    def round(self, x: Tensor) -> Tensor:
        """What becomes of ``x``, ``[..., features]``."""
        if self.scale is not None:
            return self._rounded(x, self.scale, self.zero)
        groups = x.flatten() if self.by == "tensor" else x
        if isinstance(self.by, int):
            groups = x.reshape(*x.shape[:-1], -1, self.by)
        return self._rounded(groups, *self.numbers.fit(groups.detach())).view_as(x)

    def _rounded(self, x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        found: Tensor = _Rounded.apply(x, scale, zero, self.numbers)  # type: ignore[no-untyped-call]
        return found


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor | None, numbers: Numbers) -> Tensor:
        if x.requires_grad:
            ctx.save_for_backward(numbers.reaches(x, scale, zero))
        return numbers.round(x, scale, zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


def install(model: nn.Module, roundings: Mapping[str, InputRounding]) -> None:
    """Put roundings in front of layers, by dotted name; one that is there already is replaced.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False))
    >>> install(model, {"0": InputRounding(Numbers.whole(2))})
    >>> list(installed(model)), len(list(model.parameters()))
    (['0'], 1)
    >>> remove(model)
    >>> installed(model)
    {}
    """
    for name, rounding in roundings.items():
        layer = model.get_submodule(name)
        _take_off(layer)
        layer.register_forward_pre_hook(rounding)


def installed(model: nn.Module) -> dict[str, InputRounding]:
    """The roundings of a model, by layer."""
    return {name: hook for name, layer in model.named_modules() for hook in _hooks(layer).values()}


def remove(model: nn.Module) -> None:
    """Take all roundings off."""
    for layer in model.modules():
        _take_off(layer)


def write(model: nn.Module, folder: Path) -> None:
    """Write the roundings of a model into a checkpoint's folder; no file if it has none."""
    from safetensors.torch import save_file

    roundings = installed(model)
    if not roundings:
        return
    schemes = {
        name: {"numbers": dataclasses.asdict(rounding.numbers), "by": rounding.by}
        for name, rounding in roundings.items()
    }
    ranges = dict(_ranges(roundings))
    (folder / SCHEMES).write_text(json.dumps({"version": VERSION, "layers": schemes}, indent=1) + "\n")
    if ranges:
        save_file(ranges, folder / RANGES, metadata={"format": "pt"})


def read(folder: Path) -> dict[str, InputRounding]:
    """The roundings that lie in a checkpoint's folder, by layer.

    Raises
    ------
    InputError : if they were written by another version, or are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / SCHEMES).is_file():
        return {}
    values = checkpoint.read_json(folder / SCHEMES)
    if values.get("version") != VERSION:
        raise InputError("model", f"{folder / SCHEMES} is of version {values.get('version')}, not {VERSION}")
    try:
        ranges = load_file(folder / RANGES) if (folder / RANGES).is_file() else {}
        return {
            name: InputRounding(
                Numbers(**scheme["numbers"]),
                scheme["by"],
                ranges.get(f"{name}.scale"),
                ranges.get(f"{name}.zero"),
            )
            for name, scheme in values["layers"].items()
        }
    except (SafetensorError, LookupError, TypeError, AttributeError) as error:
        raise InputError("model", f"{folder / SCHEMES} is damaged: {error}") from error


def attach(model: nn.Module, folder: Path) -> None:
    """Put the roundings that lie in a checkpoint's folder in front of the layers of its model.

    Raises
    ------
    InputError : if a layer is not there, or the files are damaged.
    """
    roundings = read(folder)
    attentions = products.owners(roundings)
    if attentions:
        products.open_products(model, [name for name in attentions if name in dict(model.named_modules())])
    known = dict(model.named_modules()) if roundings else {}
    for name in roundings:
        if name not in known:
            raise InputError("model", f"{folder / SCHEMES} names {name}, which the model does not have")
    install(model, roundings)


def _ranges(roundings: Mapping[str, InputRounding]) -> Iterator[tuple[str, Tensor]]:
    for name, rounding in roundings.items():
        if rounding.scale is not None:
            yield f"{name}.scale", rounding.scale.contiguous()
        if rounding.zero is not None:
            yield f"{name}.zero", rounding.zero.contiguous()


def _hooks(layer: nn.Module) -> dict[int, InputRounding]:
    hooks: Mapping[int, Any] = layer._forward_pre_hooks
    return {key: hook for key, hook in hooks.items() if isinstance(hook, InputRounding)}


def _take_off(layer: nn.Module) -> None:
    for key in _hooks(layer):
        del layer._forward_pre_hooks[key]

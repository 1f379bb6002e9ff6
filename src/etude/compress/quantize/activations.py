"""What AWQ needs to know of the inputs of linear layers, and a few whole calls to judge by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from etude.models.blocks import CHUNK_IMAGES, CHUNK_TOKENS, Call, first_tensor


class Activations:
    """Mean magnitudes of the inputs, and the Gram matrix of each group of them.

    Parameters
    ----------
    features : of the input.
    size : of a group of consecutive features; divides ``features``.

    Examples
    --------
    >>> found = Activations(2, size=1)
    >>> found.update(torch.tensor([[1.0, 2.0], [-3.0, 0.0]]), segments=1)
    >>> found.magnitude(), found.grams().flatten()
    (tensor([2., 1.]), tensor([5., 2.]))
    """

    def __init__(self, features: int, size: int) -> None:
        self.tokens = 0
        self.segments = 0
        self._magnitudes = torch.zeros(features, dtype=torch.float64)
        self._grams = torch.zeros(features // size, size, size)

    def update(self, x: Tensor, segments: int) -> None:
        """Take in ``x``, ``[tokens, features]``, that came from ``segments`` sequences."""
        groups = x.reshape(len(x), len(self._grams), -1).transpose(0, 1)
        self._grams.baddbmm_(groups.transpose(1, 2), groups)
        self._magnitudes += x.abs().sum(0)
        self.tokens += len(x)
        self.segments += segments

    def magnitude(self) -> Tensor:
        """``mean_t |x_tj|``, float32 ``[features]``."""
        return (self._magnitudes / max(1, self.tokens)).float()

    def grams(self) -> Tensor:
        """``mean_t x_t x_t^T`` of each group, float32 ``[groups, size, size]``."""
        return self._grams / max(1, self.tokens)


class FirstCalls:
    """Keeps the first call of each module, cut to the first segments of the calibration.

    Parameters
    ----------
    calibration : forward arguments, each ``[segments, ...]``.
    tokens : how many tokens, at least, a call that is kept has.
    """

    def __init__(self, calibration: Mapping[str, Tensor], tokens: int) -> None:
        first = next(iter(calibration.values()))
        text = first.ndim == 2
        self.segments = min(len(first), -(-tokens // first.shape[1]) if text else CHUNK_IMAGES)
        mask = calibration.get("attention_mask")
        self.mask = None if mask is None else mask[: self.segments]
        self.chunk = self.segments if text and tokens > CHUNK_TOKENS else None
        self._kept: dict[nn.Module, Call] = {}
        self._heard: set[nn.Module] = set()

    @contextmanager
    def of(self, modules: Iterable[nn.Module]) -> Iterator[None]:
        """Listen to these modules inside the block."""

        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if module not in self._heard:
                self._heard.add(module)
                batch = len(args[0] if args else first_tensor(tuple(kwargs.values())))
                self._kept[module] = narrow((args, kwargs), batch, self.segments)

        with ExitStack() as stack:
            for module in modules:
                stack.callback(module.register_forward_pre_hook(keep, with_kwargs=True).remove)
            yield

    def take(self, module: nn.Module) -> Call:
        """The call of a module, which is then let go."""
        return self._kept.pop(module)


def narrow(value: Any, batch: int, segments: int) -> Any:
    """The first segments of every tensor, however deep, whose first dimension is the batch."""
    if isinstance(value, Tensor):
        return value[:segments] if value.ndim and len(value) == batch else value
    if isinstance(value, Mapping):
        return {name: narrow(item, batch, segments) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(narrow(item, batch, segments) for item in value)
    return value


def calls_within(
    block: nn.Module, names: Iterable[str], call: Call
) -> tuple[dict[str, Call], dict[str, Tensor]]:
    """The calls of modules of a block (by name, "" for itself) during one call of it, and what they gave."""
    calls: dict[str, Call] = {}
    results: dict[str, Tensor] = {}

    def listen(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            calls[name], results[name] = (args, kwargs), first_tensor(output)

        return hook

    with ExitStack() as stack:
        for name in names:
            module = block.get_submodule(name)
            stack.callback(module.register_forward_hook(listen(name), with_kwargs=True).remove)
        block(*call[0], **call[1])
    return calls, results

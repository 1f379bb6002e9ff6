"""The layouts of packed checkpoints, by the name that ``config.json`` gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torch import Tensor

from etude.models.packed import awq, compressed_tensors, gptq, native
from etude.models.packed.weight import Packed, Scheme


class Layout(Protocol):
    """One way to lay packed weights out as the tensors of a checkpoint; each is a module."""

    NAME: str
    """``quant_method`` in the configuration."""

    def refusal(self, scheme: Scheme, shape: tuple[int, int]) -> str | None:
        """Why the layout cannot hold a weight ``[out, in]`` in a scheme; None if it can."""

    def configuration(self, schemes: Mapping[str, Scheme], left: Iterable[str]) -> dict[str, Any]:
        """The ``quantization_config`` of a checkpoint in which the linear layers ``left`` are dense."""

    def encode(self, weight: Packed, scheme: Scheme) -> dict[str, Tensor]:
        """The tensors of one layer, by name."""

    def decode(self, configuration: Mapping[str, Any], state: dict[str, Tensor]) -> dict[str, Packed]:
        """The weights of a checkpoint, by layer; their tensors are taken out of ``state``."""


LAYOUTS: dict[str, Layout] = {layout.NAME: layout for layout in (compressed_tensors, awq, gptq, native)}

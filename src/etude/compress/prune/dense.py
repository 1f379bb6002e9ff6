"""The model as it is: the row that every other is read against."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from etude.method import method


@method("dense", task="prune")
class Dense:
    """Change nothing.

    Examples
    --------
    >>> import etude
    >>> model, _ = etude.models.load("nano-llama")
    >>> Dense().prune(model)
    >>> etude.models.sparsity(model) < 0.001
    True
    """

    def prune(self, model: nn.Module, calibration: Mapping[str, Tensor] | None = None) -> None:
        """Leave ``model`` as it is."""

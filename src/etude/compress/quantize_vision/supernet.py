"""Training one set of weights for all formats at once (EQ-Net)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from etude.compress.quantize_vision.elastic import configure, elastic_layers
from etude.compress.quantize_vision.formats import Format

FLAT = 1.8
"""Kurtosis of a uniform distribution."""


def kurtosis(weight: Tensor) -> Tensor:
    """Mean fourth power of the standardised weight: 1.8 if it is uniform, 3 if it is Gaussian."""
    return ((weight - weight.mean()) / weight.std()).pow(4).mean()


def skewness(weight: Tensor) -> Tensor:
    """Mean third power of the standardised weight: 0 if it is symmetric."""
    return ((weight - weight.mean()) / weight.std()).pow(3).mean()


def regularisation(model: nn.Module, flat: float, even: float) -> Tensor:
    """Weight-distribution regularisation (WDR): latent weights are drawn towards a uniform distribution.

    ``flat * mean (kurtosis - 1.8)^2 + even * mean skewness^2`` over all layers but the first.
    """
    weights = [layer.weight.weight for layer in elastic_layers(model)[1:]]
    of_kurtosis = torch.stack([(kurtosis(weight) - FLAT) ** 2 for weight in weights]).mean()
    of_skewness = torch.stack([skewness(weight) ** 2 for weight in weights]).mean()
    return flat * of_kurtosis + even * of_skewness


@dataclass(frozen=True)
class Sampler:
    """Draws the formats of a model's layers, each layer for itself.

    Parameters
    ----------
    layers : of the model.
    bits : widths to draw from.
    kinds : granularities and symmetries to draw from (`KINDS`).
    draw : source of chance.
    """

    layers: int
    bits: Sequence[int]
    kinds: Sequence[tuple[Any, bool, bool]]
    draw: Generator

    def random(self) -> list[Format]:
        """Everything at random."""
        return [self._format(self._one(self.bits), self._one(self.bits)) for _ in range(self.layers)]

    def uniform(self, bits: int) -> list[Format]:
        """Everything at random but the bits."""
        return [self._format(bits, bits) for _ in range(self.layers)]

    def _format(self, bits: int, activation_bits: int) -> Format:
        granularity, symmetric, activation_symmetric = self._one(self.kinds)
        return Format(
            bits=bits,
            activation_bits=activation_bits,
            granularity=granularity,
            symmetric=symmetric,
            activation_symmetric=activation_symmetric,
        )

    def _one(self, options: Sequence[Any]) -> Any:
        return options[int(torch.randint(len(options), (1,), generator=self.draw))]


def supernet_backward(
    model: Any,
    sampler: Sampler,
    *,
    subnets: int = 3,
    guidance: float = 0.5,
    flat: float = 0.015,
    even: float = 1.0,
    clip: float = 1.0,
) -> Callable[[Tensor, Tensor], None]:
    """Backward pass of one step: gradients of several sub-networks on one batch, added up.

    The largest sub-network learns from labels, then random ones, then the smallest. Group progressive
    guidance (GPG): each of these learns from labels and from what the one before it predicted.

    Parameters
    ----------
    model : its layers are elastic.
    sampler : of formats.
    subnets : in all: 1 for the largest alone, 3 with a random one and the smallest.
    guidance : weight of the predecessor's probabilities, the labels having the rest; 0 for labels alone.
    flat, even : see `regularisation`; 0 and 0 for none.
    clip : largest magnitude of an element of the gradient.
    """
    largest, smallest = max(sampler.bits), min(sampler.bits)

    def formats(index: int) -> list[Format]:
        if index == 0:
            return sampler.uniform(largest)
        return sampler.uniform(smallest) if index == subnets - 1 else sampler.random()

    def backward(inputs: Tensor, labels: Tensor) -> None:
        if flat or even:
            regularisation(model, flat, even).backward()  # type: ignore[no-untyped-call]
        before: Tensor | None = None
        for index in range(subnets):
            configure(model, formats(index))
            logits = model(inputs).logits
            loss = F.cross_entropy(logits, labels)
            if before is not None and guidance:
                divergence = F.kl_div(logits.log_softmax(-1), before.softmax(-1), reduction="batchmean")
                loss = guidance * divergence + (1 - guidance) * loss
            loss.backward()  # type: ignore[no-untyped-call]
            before = logits.detach()
        nn.utils.clip_grad_value_(model.parameters(), clip)

    return backward


def recalibrate(model: nn.Module, inputs: Tensor, batch: int = 64) -> None:
    """Adaptive batch normalisation: statistics of the format that is set, where the model has such layers."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
        norm.train()
    with torch.no_grad():
        for part in inputs.split(batch):  # type: ignore[no-untyped-call]
            model(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()

"""Residual codes: products with them are products with what they decode to."""

from __future__ import annotations

import pytest
import torch

from etude.search.late.codes import Codec


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("width", [3, 13, 128])
def test_products_are_those_of_the_decoded(bits: int, width: int) -> None:
    torch.manual_seed(0)
    residuals, vectors = 0.1 * torch.randn(200, width), torch.randn(7, width)
    codec = Codec.fit(residuals, bits)
    codes = codec.encode(residuals)
    assert codes.dtype == torch.uint8 and codes.shape == (200, -(-width * bits // 8))
    expected = codec.decode(codes) @ vectors.T
    assert (codec.products(codes, vectors) - expected).abs().max() < 2e-4 * expected.abs().max()


def test_each_bit_more_loses_less_and_eight_lose_nearly_nothing() -> None:
    torch.manual_seed(0)
    residuals = torch.randn(5000, 32) * torch.linspace(0.01, 1, 32)
    lost = []
    for bits in (1, 2, 4, 8):
        codec = Codec.fit(residuals, bits)
        error = codec.decode(codec.encode(residuals)) - residuals
        lost.append(float((error.square().mean(0) / residuals.square().mean(0)).mean()))
    assert lost == sorted(lost, reverse=True)
    # Max's errors of uniform quantisers of a normal number: 0.3634, 0.1188, 0.01154 for 1, 2 and 4 bits.
    assert lost[:3] == pytest.approx([0.3634, 0.1188, 0.01154], rel=0.03) and lost[3] < 2e-4


def test_what_never_varies_is_coded_too() -> None:
    codec = Codec.fit(torch.zeros(4, 8), 4)
    assert float(codec.decode(codec.encode(torch.zeros(4, 8))).abs().max()) < 1e-30
    assert bool(codec.products(codec.encode(torch.zeros(4, 8)), torch.randn(2, 8)).isfinite().all())

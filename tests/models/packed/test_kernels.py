"""Every kernel multiplies as exactly as it says, and the choice among them can be fixed."""

from __future__ import annotations

import copy

import pytest
import torch

from etude.errors import InputError
from etude.models.packed.kernels import DECODING, KERNELS, Kernel, chosen
from etude.models.packed.linear import PackedLinear
from etude.models.packed.weight import LowRank, Packed

from .test_packed import integers, random

ERRORS = {
    "decode": 1e-6,
    "dense": 1e-6,
    "nbits": 1e-6,
    "nbits-int8": 0.02,
    "int4pack": 0.01,
    "int8pack": 0.02,
    "int8": 0.04,
}
"""Relative to the length of the output; zeros far from the middle make all products cancel a little."""


def weights() -> list[Packed]:
    shape = {"rows": 48, "columns": 192}
    channel = {"group": 192, **shape}
    return [
        integers(4, "whole", 64, **shape)[0],
        integers(4, "none", 32, **shape)[0],
        integers(3, "real", 32, **shape)[0],
        integers(4, "whole", 64, index=True, **shape)[0],
        integers(8, "none", **channel)[0],
        integers(8, "whole", **channel)[0],
        integers(2, "none", **channel)[0],
        Packed.of(integers(4)[0].codes(), random(16), torch.ones(32, 1)),
    ]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_a_kernel_errs_no_more_than_it_says(kernel: Kernel) -> None:
    if kernel.name.startswith("nbits"):
        pytest.importorskip("onnxruntime")
    fitting = [weight for weight in weights() if kernel.fits(weight)]
    assert fitting
    for weight in fitting:
        product = kernel.make(weight)
        for rows in (1, 5) if kernel.several else (1,):
            x = random(rows, weight.shape[1], seed=rows)
            expected = x @ weight.decoded().T
            error = (product(x) - expected).norm() / expected.norm()
            assert error <= ERRORS[kernel.name], (weight.bits, rows)


def test_which_kernels_fit() -> None:
    fits = [{kernel.name for kernel in KERNELS if kernel.fits(weight)} for weight in weights()]
    nbits = {name for name in fits[0] if name.startswith("nbits")}
    always = {"decode", "dense", "int8"}
    assert fits[0] == fits[1] == fits[6] == always | nbits | {"int4pack"}
    assert fits[2] == always | {"int4pack"}
    assert fits[3] == fits[7] == always
    assert fits[4] == always | nbits | {"int8pack"}
    assert fits[5] == always | nbits
    large = integers(4, "none", 64, rows=1024, columns=192)[0]
    assert "dense" not in {kernel.name for kernel in KERNELS if kernel.fits(large)}


def test_the_choice() -> None:
    weight, ordered = weights()[0], weights()[3]
    assert chosen(weight) is chosen(weight)  # measured once
    assert all(kernel.exact for kernel in (chosen(weight, "exact").one, chosen(weight, "exact").several))
    assert "dense" not in {chosen(weight).one.name, chosen(weight).several.name}  # auto keeps to few bits
    assert chosen(weight, "int8").one.name == "int8" and chosen(weight, "int8").several is DECODING
    assert chosen(ordered, "int4pack").one is DECODING
    with pytest.raises(InputError, match="kernel: unknown 'int5'"):
        chosen(weight, "int5")


@pytest.mark.parametrize("kernel", ["decode", "dense", "int4pack"])
def test_a_packed_layer_computes_as_a_dense_one(kernel: str) -> None:
    base = weights()[0]
    product = LowRank(random(48, 3), random(3, 192))
    weight = Packed(base.shape, base.octets, base.levels, base.scale, base.zero, low_rank=product)
    bias = random(48)
    layer = PackedLinear(weight, bias, chosen(weight, kernel))
    x = random(2, 3, 192, seed=9)
    expected = torch.nn.functional.linear(x, weight.weight(), bias)
    assert ((layer(x) - expected).norm() / expected.norm()) < 0.01
    assert layer(x[:1, :1]).shape == (1, 1, 48)
    x.requires_grad_()
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, weight.weight().sum(0).expand_as(x), rtol=1e-4, atol=1e-3)
    halves = weight.shape[0] * weight.shape[1] // 2
    assert layer.bytes() >= (2 if kernel == "int4pack" else 1) * halves
    assert kernel in repr(layer)


def test_a_small_layer_held_decoded_is_as_quick_as_a_dense_one() -> None:
    """It is the same call, with nothing in between, and the same numbers."""
    weight, bias, x = weights()[0], random(48), random(2, 3, 192)
    layer = PackedLinear(weight, bias, chosen(weight, "dense"))
    assert torch.equal(layer(x), torch.nn.functional.linear(x, weight.decoded(), bias))
    assert layer.bytes() == weight.bytes() + 4 * 48 * 192
    x.requires_grad_()
    copy.deepcopy(layer)(x).sum().backward()
    torch.testing.assert_close(x.grad, weight.decoded().sum(0).expand_as(x))

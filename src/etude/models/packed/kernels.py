"""Products with a packed weight on the CPU: existing kernels, and which of them is fastest here.

=============  ============================  =====================================  ====================
kernel         weights                       what it computes                       relative error
=============  ============================  =====================================  ====================
``decode``     all                           decodes a few rows at a time           none
``dense``      up to 131,072 weights         from weights that are held decoded,    none
                                             float32; only where "exact" is asked
``nbits``      integers up to 8 bits         from the codes, float32                none
``nbits-int8`` integers up to 8 bits         inputs in 8 bits, a scale for a group  0.6 %
``int4pack``   integers up to 4 bits         inputs, scales and outputs bfloat16    0.3 %
``int8pack``   8 bits, a scale for a row     inputs, scales and outputs bfloat16    0.6 %
``int8``       all                           inputs in 7 bits, a scale for a row;   2 %
                                             weights in 8 bits, a scale for a row
=============  ============================  =====================================  ====================

The errors are those of one layer on normal inputs. ``nbits`` is onnxruntime's ``MatMulNBits`` and needs
the extra ``kernels``; ``int8`` (fbgemm's) takes one range for all rows of a call, so it serves single
rows only. Which is fastest depends on the processor and on the shape: `chosen` measures.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from etude.errors import InputError, unknown
from etude.models.packed import nbits
from etude.models.packed.integers import in_blocks, whole
from etude.models.packed.weight import Packed

Product = Callable[[Tensor], Tensor]
"""``[rows, in]`` to ``[rows, out]``, both float32."""

SEVERAL = 64
"""Rows of a call by which kernels for several rows are compared."""
_DECODED = 2**20
"""Weights that are decoded together: few enough to stay in the cache."""
_SMALL = 2**17
"""Weights of a layer, at most, that may be held decoded: calling a kernel takes longer than reading them."""
_CACHE_BYTES = 2**25
"""Passes through the cache between two timed rows, as the other layers of a model do."""
_GAIN = 0.8
"""A kernel that errs is taken only if it takes at most this share of the time of one that does not."""


@dataclass(frozen=True)
class Kernel:
    """One way to multiply by a packed weight.

    Attributes
    ----------
    name : as in the table above.
    fits : whether it can take a weight.
    make : prepares a weight; the result multiplies by it.
    held : bytes that the prepared weight takes beside the packed one.
    exact : whether it computes with the weight and the inputs as they are.
    several : whether it serves more than one row.
    """

    name: str
    fits: Callable[[Packed], bool]
    make: Callable[[Packed], Product]
    held: Callable[[Packed], int]
    exact: bool = False
    several: bool = True


@dataclass(frozen=True)
class Choice:
    """The kernels of a layer: for one row, and for several."""

    one: Kernel
    several: Kernel


def chosen(weight: Packed, kernel: str = "auto") -> Choice:
    """The kernels for a weight.

    Parameters
    ----------
    weight : as it is stored.
    kernel : "auto" for the fastest here, measured once in a process for each shape and kind of weight;
        "exact" for the fastest of those that do not err, small layers held decoded where nothing is faster;
        or a kernel's name, which is then taken wherever it fits, with "decode" where it does not: the same
        on every machine.

    Raises
    ------
    InputError : if there is no such kernel, or it is not installed.
    """
    if kernel not in ("auto", "exact"):
        only = _named(kernel)
        one = only if only.fits(weight) else DECODING
        return Choice(one, one if one.several else DECODING)
    exact = kernel == "exact"
    candidates = [k for k in KERNELS if (k.exact if exact else k is not DENSE) and k.fits(weight)]
    names = tuple(k.name for k in candidates)
    key = (weight.shape, weight.bits, weight.scale.shape, names, torch.get_num_threads())
    if key not in _CHOICES:
        _CHOICES[key] = _fastest(weight, candidates)
    return _CHOICES[key]


def _fastest(weight: Packed, candidates: list[Kernel]) -> Choice:
    one, several = torch.randn(1, weight.shape[1]), torch.randn(SEVERAL, weight.shape[1])
    flood = torch.zeros(_CACHE_BYTES // 4)
    times: dict[Kernel, tuple[float, float]] = {}
    for kernel in candidates:
        product, handicap = kernel.make(weight), 1.0 if kernel.exact else 1 / _GAIN
        alone = _seconds(partial(product, one), before=partial(flood.add_, 1))
        together = _seconds(partial(product, several)) if kernel.several else math.inf
        times[kernel] = (alone * handicap, together * handicap)
    return Choice(min(times, key=lambda k: times[k][0]), min(times, key=lambda k: times[k][1]))


def _seconds(call: Callable[[], object], before: Callable[[], object] = lambda: None, runs: int = 4) -> float:
    """The least of several runs, after one that is not timed."""
    call()
    found = []
    for _ in range(runs):
        before()
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return min(found)


def _named(name: str) -> Kernel:
    if name not in {kernel.name for kernel in KERNELS}:
        raise unknown("kernel", name, ["auto", "exact", *(kernel.name for kernel in KERNELS)])
    if name.startswith("nbits") and not _has_onnx():
        raise InputError("kernel", f'{name} needs onnxruntime: pip install "etude[kernels]"')
    return next(kernel for kernel in KERNELS if kernel.name == name)


def _decoding(weight: Packed) -> Product:
    step = max(1, _DECODED // weight.shape[1])
    pieces = [slice(start, start + step) for start in range(0, weight.shape[0], step)]

    def product(x: Tensor) -> Tensor:
        return torch.cat([x @ weight.decoded(piece).T for piece in pieces], 1)

    return product


def _dense(weight: Packed) -> Product:
    transposed = weight.decoded().T
    return lambda x: x @ transposed


def _int8(weight: Packed) -> Product:
    rows = weight.decoded()
    scale = (rows.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    codes = (rows / scale[:, None]).round_().to(torch.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that its quantised tensors move to torchao
        tensor = torch._make_per_channel_quantized_tensor(
            codes, scale.double(), torch.zeros(len(scale), dtype=torch.long), 0
        )
        prepared = torch.ops.quantized.linear_prepack(tensor, None)
    # 7 bits: sums of two products of 8 bits would overflow on processors without VNNI.
    return lambda x: torch.ops.quantized.linear_dynamic(x, prepared, True)


def _int4pack(weight: Packed) -> Product:
    blocks = in_blocks(weight, (256, 128, 64, 32), bits=4)
    assert blocks is not None  # it fits
    size, codes, scale, zero = blocks
    prepared = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
    ranges = torch.stack([scale.T, ((8 - zero) * scale).T], -1).bfloat16().contiguous()
    multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
    return lambda x: multiply(x.bfloat16(), prepared, size, ranges).float()


def _int8pack(weight: Packed) -> Product:
    codes = (weight.codes().to(torch.int16) - 128).to(torch.int8)
    scale = weight.per_group()[0][:, 0].bfloat16()
    multiply = torch.ops.aten._weight_int8pack_mm
    return lambda x: multiply(x.bfloat16(), codes, scale).float()


def _fits_int4pack(weight: Packed) -> bool:
    return weight.shape[0] % 16 == 0 and in_blocks(weight, (256, 128, 64, 32), bits=4) is not None


def _fits_int8pack(weight: Packed) -> bool:
    return weight.bits == 8 and weight.scale.shape[1] == 1 and whole(weight) == -128 and weight.zero is None


def _has_onnx() -> bool:
    return bool(find_spec("onnx") and find_spec("onnxruntime"))


def _fits_nbits(weight: Packed) -> bool:
    return _has_onnx() and nbits.fits(weight)


def _elements(weight: Packed) -> int:
    return weight.shape[0] * weight.shape[1]


DECODING = Kernel("decode", lambda _: True, _decoding, lambda _: 0, exact=True)
DENSE = Kernel("dense", lambda w: _elements(w) <= _SMALL, _dense, lambda w: 4 * _elements(w), exact=True)
KERNELS = (
    DECODING,
    DENSE,
    Kernel("nbits", _fits_nbits, lambda w: nbits.product(w, exact=True), nbits.held, exact=True),
    Kernel("nbits-int8", _fits_nbits, lambda w: nbits.product(w, exact=False), nbits.held),
    Kernel("int4pack", _fits_int4pack, _int4pack, lambda w: _elements(w) // 2),
    Kernel("int8pack", _fits_int8pack, _int8pack, _elements),
    Kernel("int8", lambda _: torch.backends.quantized.engine != "none", _int8, _elements, several=False),
)
_CHOICES: dict[tuple[object, ...], Choice] = {}

"""Packed weights stand for what their codes, levels and ranges say, in every layout."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st

from etude.models.packed import awq, compressed_tensors, gguf_blocks, gptq, native
from etude.models.packed.bits import packed, unpacked
from etude.models.packed.layouts import Layout
from etude.models.packed.parts import integer_levels
from etude.models.packed.weight import LowRank, Packed, Scheme


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def integers(
    bits: int, zeros: str = "none", group: int = 16, *, rows: int = 32, columns: int = 64, index: bool = False
) -> tuple[Packed, Scheme]:
    draw = torch.Generator().manual_seed(bits)
    codes = torch.randint(2**bits, (rows, columns), generator=draw, dtype=torch.uint8)
    groups = columns // group
    scale = (random(rows, groups).abs() + 0.1).half()
    zero = {
        "none": None,
        "whole": torch.randint(2**bits, (rows, groups), generator=draw).float(),
        "real": random(rows, groups, seed=1).half() / scale.float(),
    }[zeros]
    order = torch.randperm(columns, generator=draw) // group if index else None
    weight = Packed.of(codes, integer_levels(bits, symmetric=zero is None), scale, zero, order)
    return weight, Scheme(bits=bits, zeros=zeros, group=group, ordered=index)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 40), st.integers(0, 10**6))
def test_codes_come_back_from_a_stream_of_bits(bits: int, rows: int, columns: int, seed: int) -> None:
    codes = torch.randint(2**bits, (rows, columns), generator=torch.Generator().manual_seed(seed))
    words = packed(codes, bits)
    assert words.dtype == torch.int32 and words.shape == (rows, -(-columns * bits // 32))
    assert torch.equal(unpacked(words, bits, columns), codes.to(torch.uint8))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.sampled_from(["none", "whole", "real"]), st.sampled_from([8, 24]), st.booleans())
def test_decodes_by_the_formula(bits: int, zeros: str, group: int, index: bool) -> None:
    weight, _ = integers(bits, zeros, group, rows=5, columns=24, index=index)
    codes, columns = weight.codes(), torch.arange(24)
    groups = columns // group if weight.index is None else weight.index
    zero = 0 if weight.zero is None else weight.zero[:, groups]
    expected = weight.scale.float()[:, groups] * (weight.levels[codes.long()] - zero)
    assert torch.equal(weight.decoded(), expected)
    assert torch.equal(weight.decoded(slice(2, 4)), expected[2:4])
    order = torch.tensor([4, 2, 0, 1, 3])
    assert torch.equal(weight.taking(order).decoded(), expected[order])
    assert weight.octets.numel() == 5 * -(-24 * weight.width // 8) and weight.width in (1, 2, 4, 8)


def test_rows_may_share_a_range() -> None:
    weight = Packed.of(torch.eye(3, dtype=torch.uint8), torch.tensor([0.0, 1.0]), torch.tensor([[2.0]]))
    assert torch.equal(weight.decoded(), 2 * torch.eye(3))
    assert torch.equal(weight.taking(torch.tensor([2, 1, 0])).decoded(), 2 * torch.eye(3).flip(0))


CASES = [
    (compressed_tensors, 4, "none", False),
    (compressed_tensors, 3, "whole", False),
    (awq, 4, "none", False),
    (awq, 4, "whole", False),
    (gptq, 3, "none", False),
    (gptq, 2, "whole", True),
    (gptq, 8, "whole", False),
    (native, 1, "real", False),
    (native, 5, "whole", True),
    (native, 7, "real", False),
]


@pytest.mark.parametrize(("layout", "bits", "zeros", "index"), CASES)
def test_layouts_give_back_what_they_hold(layout: Layout, bits: int, zeros: str, index: bool) -> None:
    weight, scheme = integers(bits, zeros, index=index)
    assert layout.refusal(scheme, weight.shape) is None
    state = {f"up.{part}": tensor for part, tensor in layout.encode(weight, scheme).items()}
    again = layout.decode(layout.configuration({"up": scheme}, []), state)["up"]
    assert not state
    assert torch.equal(again.decoded(), weight.decoded())


def test_native_holds_any_levels_powers_of_two_and_products() -> None:
    codes = torch.randint(8, (4, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    low_rank = LowRank(random(4, 2), random(2, 6))
    scale = torch.tensor([[0.25], [2.0], [2.0**-24], [2.0**15]])
    weight = Packed.of(codes, random(8), scale, low_rank=low_rank)
    scheme = Scheme(bits=3, numbers="odd", scales="power-of-two", compensated=True)
    tensors = native.encode(weight, scheme)
    assert tensors["scale"].dtype == torch.uint8
    state = {f"up.{part}": tensor for part, tensor in tensors.items()}
    again = native.decode(native.configuration({"up": scheme}, []), state)["up"]
    torch.testing.assert_close(again.weight(), weight.weight(), rtol=0, atol=0)


def test_awq_lays_eight_columns_out_in_its_order() -> None:
    codes = torch.arange(8, dtype=torch.uint8)[:, None]  # one input, output j has code j
    weight = Packed.of(codes, integer_levels(4, symmetric=False), torch.ones(8, 1), torch.full((8, 1), 9.0))
    tensors = awq.encode(weight, Scheme(bits=4, zeros="whole", group="channel"))
    assert [int(tensors["qweight"][0, 0]) >> 4 * i & 15 for i in range(8)] == [0, 2, 4, 6, 1, 3, 5, 7]
    assert int(tensors["qzeros"][0, 0]) & 0xFFFFFFFF == 0x99999999


def test_gptq_lays_codes_down_the_inputs_and_stores_zeros_by_version() -> None:
    weight, scheme = integers(4, group=8, rows=8, columns=8)
    tensors, codes = gptq.encode(weight, scheme), weight.codes()
    assert [int(tensors["qweight"][0, 3]) >> 4 * k & 15 for k in range(8)] == codes[3].tolist()
    assert int(tensors["qzeros"][0, 0]) == 0x77777777  # version 1: the middle code less one
    assert gptq.configuration({"up": scheme}, [])["checkpoint_format"] == "gptq"
    weight, scheme = integers(3, "whole", group=32, rows=32, columns=32)
    tensors, codes = gptq.encode(weight, scheme), weight.codes()
    assert tensors["qweight"].shape == (3, 32)
    eleventh = int(tensors["qweight"][0, 5]) >> 30 & 3 | (int(tensors["qweight"][1, 5]) & 1) << 2
    assert eleventh == codes[5, 10]  # it lies in two words
    assert gptq.configuration({"up": scheme}, [])["checkpoint_format"] == "gptq_v2"
    stored = unpacked(tensors["qzeros"], 3, 32)
    assert weight.zero is not None and torch.equal(stored[0].float(), weight.zero[:, 0])


def test_what_a_layout_cannot_hold_is_told() -> None:
    plain = {"bits": 4, "group": 32}
    for layout, fields in (
        (awq, {"bits": 3}),
        (awq, {"numbers": "e2m1"}),
        (awq, {"ordered": True}),
        (awq, {"zeros": "real"}),
        (awq, {"group": "tensor"}),
        (awq, {"scales": "float32"}),
        (gptq, {"bits": 5}),
        (gptq, {"zeros": "real"}),
        (gptq, {"group": "tensor"}),
        (gptq, {"scales": "bfloat16"}),
        (compressed_tensors, {"bits": 1}),
        (compressed_tensors, {"ordered": True}),
        (compressed_tensors, {"zeros": "real"}),
        (compressed_tensors, {"numbers": "e3m0"}),
        (compressed_tensors, {"numbers": "e2m1"}),
        (gguf_blocks, {"bits": 3}),
        (gguf_blocks, {"bits": 8, "zeros": "whole"}),
        (gguf_blocks, {"group": 48}),
        (gguf_blocks, {"ordered": True}),
        (gguf_blocks, {"scales": "float32"}),
        (gguf_blocks, {"compensated": True}),
    ):
        assert layout.refusal(Scheme(**plain), (64, 96)) is None
        assert layout.refusal(Scheme(**(plain | fields)), (64, 96)) is not None
        assert native.refusal(Scheme(**(plain | fields)), (64, 96)) is None
    for layout in (awq, gptq):
        assert "12" in str(layout.refusal(Scheme(**plain), (12, 96)))
    assert "48" in str(gguf_blocks.refusal(Scheme(bits=4), (64, 48)))


@pytest.mark.parametrize("kind", list(dict.fromkeys(gguf_blocks.TYPES.values())))
def test_gguf_s_own_library_decodes_our_blocks_and_we_its(kind: Type) -> None:
    bits, zeros = next(key for key, value in gguf_blocks.TYPES.items() if value is kind)
    weight, _ = integers(bits, "real" if zeros != "none" else "none", 32)
    blocks = gguf_blocks.encode(weight, kind)
    theirs = torch.from_numpy(gguf.dequantize(blocks.numpy(), kind))
    torch.testing.assert_close(theirs, weight.decoded(), rtol=1e-6, atol=1e-5)
    values = random(8, 96).numpy().astype(np.float32)
    values[:2, :32] = 0
    values[2:4, 32:64] = 0.5
    blocks = torch.from_numpy(gguf.quantize(values, kind))
    theirs = torch.from_numpy(gguf.dequantize(blocks.numpy(), kind))
    torch.testing.assert_close(gguf_blocks.decode(blocks, kind).decoded(), theirs, rtol=1e-6, atol=1e-5)

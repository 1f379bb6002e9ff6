"""Products by onnxruntime's ``MatMulNBits``: from codes of 4 or 8 bits in blocks, one small graph a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from etude.models.packed.integers import in_blocks
from etude.models.packed.weight import Packed

_BLOCKS = (256, 128, 64, 32, 16)
_FLOAT32, _INT8 = 1, 4
"""Values of ``accuracy_level``: in what the inputs are taken."""


def fits(weight: Packed) -> bool:
    """Whether the operator can take a weight: whole levels, whole zeros, consecutive groups."""
    if weight.zero is not None and not torch.equal(weight.zero, weight.zero.round()):
        return False
    return in_blocks(weight, _BLOCKS, bits=8) is not None


def held(weight: Packed) -> int:
    """Bytes of the codes and ranges that the operator holds."""
    return weight.shape[0] * weight.shape[1] * _width(weight) // 8 + weight.scale.numel() * 5


def product(weight: Packed, *, exact: bool) -> Callable[[Tensor], Tensor]:
    """Multiplies rows ``[rows, in]``, float32, by the weight; inputs in 8 bits unless ``exact``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    graph = _graph(weight, _FLOAT32 if exact else _INT8)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def multiply(x: Tensor) -> Tensor:
        found = session.run(None, {"x": x.detach().contiguous().numpy()})
        return torch.from_numpy(found[0])

    return multiply


def _graph(weight: Packed, accuracy: int) -> bytes:
    """The model ``y = MatMulNBits(x, codes, scales, zeros)``."""
    from onnx import TensorProto, helper, numpy_helper

    width = _width(weight)
    blocks = in_blocks(weight, _BLOCKS, bits=8)
    assert blocks is not None  # it fits
    size, codes, scale, zero = blocks
    outputs, inputs = weight.shape
    settings: dict[str, Any] = {
        "K": inputs, "N": outputs, "bits": width, "block_size": size, "accuracy_level": accuracy
    }  # fmt: skip
    names = ["x", "codes", "scales", "zeros"]
    node = helper.make_node("MatMulNBits", names, ["y"], domain="com.microsoft", **settings)
    shaped = _bytes(codes, width).reshape(outputs, inputs // size, size * width // 8)
    parts = (shaped, scale.reshape(-1), _bytes(zero.to(torch.uint8), width).reshape(-1))
    graph = helper.make_graph(
        [node],
        "packed linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        [
            numpy_helper.from_array(part.contiguous().numpy(), name)
            for name, part in zip(names[1:], parts, strict=True)
        ],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model: bytes = helper.make_model(graph, opset_imports=versions, ir_version=9).SerializeToString()
    return model


def _width(weight: Packed) -> int:
    return 4 if weight.bits <= 4 else 8


def _bytes(codes: Tensor, width: int) -> Tensor:
    """Codes of each row as bytes, the first of two in the lower half."""
    if width == 8:
        return codes
    even = torch.nn.functional.pad(codes, (0, codes.shape[1] % 2))
    return even[:, ::2] | even[:, 1::2] << 4

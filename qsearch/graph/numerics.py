"""The numerics canary: one fixed model whose outputs, bit by bit, tell how a machine computes.

Float kernels (convolution, matrix products, softmax, erf) show the order in which sums are formed and
which approximations are taken; quantize/dequantize pairs show how integer kernels round, and u8 × s8
products near the ends of their ranges whether sums saturate on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

#: Raised whenever the model or its inputs change: classes of two versions are not comparable.
VERSION = "qsearch-numerics/1"
BATCH, WIDTH, SIDE = 4, 96, 12

Array = NDArray[np.float32]


def write_numerics(path: Path) -> Path:
    """Write the model: the same bytes everywhere."""
    wide = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    nodes: list[onnx.NodeProto] = []
    values: dict[str, NDArray[np.generic]] = {}
    outputs = [
        *_floats(nodes, values),
        *(_quantized(name, kernel, nodes, values) for name, kernel in _KERNELS.items()),
    ]
    told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "numerics", [wide, image], told, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def numerics_feeds() -> dict[str, Array]:
    """Its inputs: one batch, seeded."""
    return {"x": _draw(0, (BATCH, WIDTH), 1.0), "image": _draw(1, (BATCH, 3, SIDE, SIDE), 1.0)}


def _floats(nodes: list[onnx.NodeProto], values: dict[str, NDArray[np.generic]]) -> Sequence[str]:
    values |= {
        "w": _draw(6, (WIDTH, WIDTH), 0.1),
        "g": _draw(7, (WIDTH, WIDTH), 0.1),
        "bias": _draw(8, (WIDTH,), 0.1),
        "kernel": _draw(9, (8, 3, 3, 3), 0.2),
    }
    nodes += [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Gemm", ["x", "g", "bias"], ["gemm"], transB=1),
        helper.make_node("Conv", ["image", "kernel"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Softmax", ["product"], ["softmax"], axis=-1),
        helper.make_node("Erf", ["gemm"], ["erf"]),
    ]
    return "product", "gemm", "conv", "softmax", "erf"


def _quantized(
    name: str, kernel: _Quantized, nodes: list[onnx.NodeProto], values: dict[str, NDArray[np.generic]]
) -> str:
    """An operator between quantize and dequantize: u8 in and out by two steps and one zero point, s8 weights."""
    (step, wide), scale = kernel.steps, np.float32(np.abs(kernel.weight).max() / 127)
    values |= {
        f"{name}.step": np.array(step, np.float32),
        f"{name}.zero": np.array(kernel.zero, np.uint8),
        f"{name}.w": np.clip(np.rint(kernel.weight / scale), -127, 127).astype(np.int8),
        f"{name}.scale": np.array(scale, np.float32),
        f"{name}.none": np.array(0, np.int8),
        f"{name}.wide": np.array(wide, np.float32),
    }
    nodes += [
        helper.make_node("QuantizeLinear", [kernel.given, f"{name}.step", f"{name}.zero"], [f"{name}.q"]),
        helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.step", f"{name}.zero"], [f"{name}.x"]),
        helper.make_node("DequantizeLinear", [f"{name}.w", f"{name}.scale", f"{name}.none"], [f"{name}.f"]),
        helper.make_node(kernel.op, [f"{name}.x", f"{name}.f"], [f"{name}.y"]),
        # back through u8: only then do all runtimes take the integer kernel, which rounds its results too
        helper.make_node("QuantizeLinear", [f"{name}.y", f"{name}.wide", f"{name}.zero"], [f"{name}.z"]),
        helper.make_node("DequantizeLinear", [f"{name}.z", f"{name}.wide", f"{name}.zero"], [name]),
    ]
    return name


def _draw(seed: int, shape: tuple[int, ...], spread: float) -> Array:
    # integers and one division: numpy promises the bits of neither normal() nor its float streams
    whole = np.random.Generator(np.random.PCG64(seed)).integers(-1000, 1001, shape)
    return (whole * np.float32(spread / 1000)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quantized:
    op: str
    given: str
    weight: Array
    #: of u8 in and out
    steps: tuple[float, float]
    zero: int


_KERNELS = {
    "low": _Quantized(op="MatMul", given="x", weight=_draw(3, (WIDTH, WIDTH), 0.1), steps=(0.008, 0.02), zero=127),
    # activations far out in their range and weights at ±127: without VNNI two products pass a signed 16-bit lane
    "saturated": _Quantized(
        op="MatMul", given="x", weight=np.sign(_draw(4, (WIDTH, WIDTH), 1.0)), steps=(0.004, 0.3), zero=64
    ),
    "qconv": _Quantized(op="Conv", given="image", weight=_draw(5, (8, 3, 3, 3), 0.2), steps=(0.008, 0.02), zero=127),
}

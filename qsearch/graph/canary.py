"""The canary: a tiny fixed model whose own time tells what the machine does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: rows, width and depth: about half a megaflop, a fraction of a millisecond on any CPU of this century
ROWS, WIDTH, DEPTH = 16, 128, 4


def write_canary(path: Path) -> Path:
    """Write a chain of fp32 MatMul and Relu with seeded weights: the same bytes everywhere."""
    draw = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for i in range(DEPTH):
        weights.append(numpy_helper.from_array(draw.standard_normal((WIDTH, WIDTH)).astype(np.float32) * 0.1, f"w{i}"))
        nodes += [
            helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"], name=f"matmul{i}"),
            helper.make_node("Relu", [f"m{i}"], [f"r{i}"], name=f"relu{i}"),
        ]
        last = f"r{i}"
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", ROWS, WIDTH])
    got = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", ROWS, WIDTH])
    graph = helper.make_graph(nodes, "canary", [given], [got], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path

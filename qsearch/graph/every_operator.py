"""A tiny model with one node of each weighted operator: what a runtime's kernels are tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

#: rows of the samples, width of every product, rows of the embedding
ROWS, WIDTH, WORDS = 2, 64, 32
#: its time input
TIME = "time"


def every_operator_feeds(time: float = 0.0) -> dict[str, NDArray[Any]]:
    """Its inputs: one batch of `ROWS`, seeded, at one time."""
    draw = np.random.default_rng(0)
    return {
        "x": draw.standard_normal((ROWS, WIDTH)).astype(np.float32),
        "image": draw.standard_normal((ROWS, 3, 8, 8)).astype(np.float32),
        "ids": draw.integers(0, WORDS, (ROWS, 4)),
        TIME: np.full(ROWS, time, dtype=np.float32),
    }


def write_every_operator(path: Path) -> Path:
    """Write the model: the same bytes everywhere."""
    draw = np.random.default_rng(1)
    weights = {
        "w": (WIDTH, WIDTH),
        "g": (WIDTH, WIDTH),
        "kernel": (8, 3, 3, 3),
        "table": (WORDS, WIDTH),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
        helper.make_node("Gemm", ["x", "g"], ["gemm"], name="gemm"),
        helper.make_node("Conv", ["image", "kernel"], ["conv"], name="conv"),
        helper.make_node("Gather", ["table", "ids"], ["words"], name="words"),
    ]
    given = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH]),
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 4]),
        helper.make_tensor_value_info(TIME, TensorProto.FLOAT, ["batch"]),
    ]
    told = [
        helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", WIDTH]),
        helper.make_tensor_value_info("gemm", TensorProto.FLOAT, ["batch", WIDTH]),
        helper.make_tensor_value_info("conv", TensorProto.FLOAT, ["batch", 8, 6, 6]),
        helper.make_tensor_value_info("words", TensorProto.FLOAT, ["batch", 4, WIDTH]),
    ]
    constants = [numpy_helper.from_array(draw.standard_normal(s).astype(np.float32), n) for n, s in weights.items()]
    graph = helper.make_graph(nodes, "kernels", given, told, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path

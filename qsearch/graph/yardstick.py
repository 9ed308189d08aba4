"""The yardstick: a fixed model of a few milliseconds, measured against itself to learn what a machine's noise is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from qsearch.contracts.task import Array

#: side of the input image; channels of the stem and of the body; about 0.8 gigaflop, 4 to 20 ms on one core
SIDE, STEM, BODY = 112, 32, 64
#: convolutions of the body, and the width of the dense layers behind it
DEPTH, WIDTH = 3, 128
#: samples are folded into so many rows for the last dense layers
ROWS = 49


def write_yardstick(path: Path) -> Path:
    """Write a small convolutional net with a dense head, seeded fp32 weights: the same bytes everywhere.

    NOTE: the canary is over in microseconds, and a block of it is all caches and calls. What a search times
    lasts milliseconds, streams weights and moves activations, and its luck (where those lie in memory) is of
    another size; a floor is only worth something when it was measured on the like.
    """
    build = _Build()
    last = build.conv("x", (STEM, 3, 3, 3), stride=1)
    last = build.conv(last, (BODY, STEM, 3, 3), stride=2)
    for _ in range(DEPTH - 1):
        last = build.conv(last, (BODY, BODY, 3, 3), stride=1)
    pixels = (SIDE // 2) ** 2
    last = build.reshape(last, (0, BODY, pixels), transpose=True)
    last = build.dense(last, (BODY, WIDTH))
    folded = pixels * WIDTH // ROWS
    last = build.reshape(last, (0, ROWS, folded), transpose=False)
    last = build.dense(last, (folded, WIDTH))
    last = build.dense(last, (WIDTH, WIDTH))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    got = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", ROWS, WIDTH])
    graph = helper.make_graph(build.nodes, "yardstick", [given], [got], build.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


class _Build:
    """Nodes and weights as they are added; each adder names the tensor it leaves."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._draw = np.random.default_rng(0)

    def conv(self, last: str, shape: tuple[int, int, int, int], stride: int) -> str:
        fan_in = shape[1] * shape[2] * shape[3]
        weight = self._keep("w", self._draw.standard_normal(shape).astype(np.float32) * (2 / fan_in) ** 0.5)
        made = self._node("Conv", [last, weight], strides=[stride, stride], pads=[1, 1, 1, 1])
        return self._node("Relu", [made])

    def dense(self, last: str, shape: tuple[int, int]) -> str:
        weight = self._keep("w", self._draw.standard_normal(shape).astype(np.float32) * (2 / shape[0]) ** 0.5)
        return self._node("Relu", [self._node("MatMul", [last, weight])])

    def reshape(self, last: str, shape: tuple[int, ...], *, transpose: bool) -> str:
        made = self._node("Reshape", [last, self._keep("s", np.array(shape, np.int64))])
        return self._node("Transpose", [made], perm=[0, 2, 1]) if transpose else made

    def _node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        out = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def _keep(self, kind: str, value: Array) -> str:
        name = f"{kind}{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

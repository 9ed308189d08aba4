"""Whole numbers that a graph can be fed with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qsearch.graph.input_ranges import InputRange, input_ranges


def _written(
    tmp_path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    kind: int = TensorProto.INT64,
    **others: int,
) -> Path:
    """A model whose input `ids` ends in the output `y`."""
    inputs = [
        helper.make_tensor_value_info(name, k, ["batch", "length"]) for name, k in {"ids": kind, **others}.items()
    ]
    y = helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(list(nodes), "g", inputs, [y], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


TABLE = np.zeros((50, 4), np.float32)


def test_token_ids_reach_to_the_rows_of_their_table_through_moves_and_casts(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["a"], to=TensorProto.INT32),
        helper.make_node("Unsqueeze", ["a", "axes"], ["b"]),
        helper.make_node("Gather", ["words", "b"], ["y"]),
    ]
    found = input_ranges(_written(tmp_path, nodes, {"axes": np.array([2]), "words": TABLE}))
    assert found == {"ids": InputRange(low=0, high=49, reason="rows of words")}


def test_the_smallest_of_several_tables_counts_and_a_shift_moves_the_range(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["w"]),
        helper.make_node("Add", ["ids", "two"], ["shifted"]),
        helper.make_node("Gather", ["places", "shifted"], ["p"]),
        helper.make_node("Add", ["w", "p"], ["y"]),
    ]
    weights = {"words": TABLE, "places": TABLE[:12], "two": np.array(2)}
    assert input_ranges(_written(tmp_path, nodes, weights))["ids"] == InputRange(low=0, high=9, reason="rows of places")


def test_another_axis_and_negative_ones_are_counted(tmp_path: Path) -> None:
    node = helper.make_node("Gather", ["words", "ids"], ["y"], axis=-1)
    assert input_ranges(_written(tmp_path, [node], {"words": TABLE}))["ids"].high == 3


def test_a_one_hot_is_bounded_by_its_depth_and_so_is_one_that_is_spelled_out(tmp_path: Path) -> None:
    values = np.array([0.0, 1.0], np.float32)
    node = helper.make_node("OneHot", ["ids", "depth", "values"], ["y"])
    found = input_ranges(_written(tmp_path, [node], {"depth": np.array(257), "values": values}))
    assert (found["ids"].low, found["ids"].high) == (0, 256)
    nodes = [
        helper.make_node("Unsqueeze", ["ids", "axes"], ["a"]),
        helper.make_node("Equal", ["row", "a"], ["y"]),
    ]
    row = np.arange(257, dtype=np.int64).reshape(1, 1, 257)
    found = input_ranges(_written(tmp_path, nodes, {"axes": np.array([2]), "row": row}))
    assert (found["ids"].low, found["ids"].high) == (0, 256)


def test_masks_are_ones_and_comparing_with_one_number_bounds_nothing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Equal", ["ids", "pad"], ["b"]),
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["a", "c"], ["y"]),
    ]
    found = input_ranges(_written(tmp_path, nodes, {"pad": np.array(0)}))
    assert (found["ids"].low, found["ids"].high) == (1, 1)


def test_a_cast_to_bool_keeps_no_value(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["a"], to=TensorProto.BOOL),
        helper.make_node("Cast", ["a"], ["b"], to=TensorProto.INT64),
        helper.make_node("Gather", ["words", "b"], ["y"]),
    ]
    found = input_ranges(_written(tmp_path, nodes, {"words": TABLE}))
    assert (found["ids"].low, found["ids"].high) == (1, 1)


def test_an_image_of_bytes_has_all_of_them_and_floats_have_no_range(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["a", "x"], ["y"]),
    ]
    found = input_ranges(_written(tmp_path, nodes, {}, TensorProto.UINT8, x=TensorProto.FLOAT))
    assert list(found) == ["ids"]
    assert (found["ids"].low, found["ids"].high) == (0, 255)


def test_a_range_never_leaves_the_inputs_own_type(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["a"], to=TensorProto.INT64),
        helper.make_node("Gather", ["words", "a"], ["y"]),
    ]
    table = np.zeros((1000, 1), np.float32)
    found = input_ranges(_written(tmp_path, nodes, {"words": table}, TensorProto.INT8))
    assert (found["ids"].low, found["ids"].high) == (0, 127)


def test_the_fused_embedding_of_onnx_runtime_has_a_table_for_each_kind_of_id(tmp_path: Path) -> None:
    scale = np.ones(4, np.float32)
    node = helper.make_node(
        "EmbedLayerNormalization",
        ["ids", "segments", "words", "places", "kinds", "scale", "scale", "mask"],
        ["y"],
        domain="com.microsoft",
    )
    weights = {"words": TABLE, "places": TABLE[:16], "kinds": TABLE[:2], "scale": scale}
    found = input_ranges(_written(tmp_path, [node], weights, segments=TensorProto.INT64, mask=TensorProto.INT64))
    assert {name: (r.low, r.high) for name, r in found.items()} == {"ids": (0, 49), "segments": (0, 1), "mask": (1, 1)}


@pytest.mark.parametrize("op", ["Gather", "GatherElements"])
def test_a_table_of_unknown_size_bounds_nothing(tmp_path: Path, op: str) -> None:
    node = helper.make_node(op, ["x", "ids"], ["y"], axis=1)
    found = input_ranges(_written(tmp_path, [node], {}, x=TensorProto.FLOAT))
    assert (found["ids"].low, found["ids"].high) == (1, 1)

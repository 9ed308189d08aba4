"""Ports are those that the onnx package reads, in the file's order and words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.errors import ModelError
from qsearch.measure.graph_ports import read_ports


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An old file: its initializer is listed among the inputs; one input has a fixed, an open and an unnamed axis."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["Größe", 8, None])
    weight = helper.make_tensor_value_info("W", TensorProto.FLOAT, [4])
    scalar = helper.make_tensor_value_info("k", TensorProto.INT64, [])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("b", "a")]
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Relu", ["W"], ["b"])]
    graph = helper.make_graph(
        nodes, "g", [scalar, weight, x], outputs, [numpy_helper.from_array(np.ones(4, np.float32), "W")]
    )
    save(helper.make_model(graph, ir_version=3, opset_imports=[helper.make_opsetid("", 8)]), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_names_and_axes_are_the_files(model: Path) -> None:
    found = read_ports(model)
    assert found.inputs == {"k": (), "x": ("Größe", "", "")}
    assert list(found.inputs) == ["k", "x"]
    assert found.outputs == ("b", "a")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_file_that_is_cut_short_is_refused(model: Path, share: float) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match=r"m\.onnx"):
        read_ports(model)


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x3a\xff\x01ab", b"\x3a\x80", b"\x08\x07" * 100, b"\x3b\x01"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        read_ports(tmp_path / "bad.onnx")

"""What a model takes and gives, and whether another can stand in for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from qsearch.contracts.errors import ModelError
from qsearch.contracts.layer import TensorInfo
from qsearch.graph.signature import Signature, read_signature
from tests.unit.quantize.tiny_graphs import draw, model, node, save

EXPECTED = Signature(
    inputs=(TensorInfo(name="x", dtype="float32", shape=("n", 4)), TensorInfo(name="m", dtype="int64", shape=())),
    outputs=(TensorInfo(name="a", dtype="float32", shape=()), TensorInfo(name="b", dtype="float32", shape=())),
    size_bytes=1,
)


def test_a_file_is_read_from_outside(tmp_path: Path) -> None:
    proto = model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 64]}, "y", {"w": draw(64, 64)})
    # as files of IR version 3 have it
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [64, 64]))
    path = save(proto, tmp_path)
    found = read_signature(path)
    assert [t.name for t in found.inputs] == ["x"]
    assert (found.inputs[0].dtype, found.inputs[0].shape) == ("float32", ("n", 64))
    assert [t.name for t in found.outputs] == ["y"]
    assert found.size_bytes == path.stat().st_size


def test_external_data_counts(tmp_path: Path) -> None:
    proto = model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 64]}, "y", {"w": draw(64, 64)})
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert read_signature(tmp_path / "m.onnx").size_bytes >= (tmp_path / "w.bin").stat().st_size + 64


def test_equal_names_and_types_match_whatever_the_shapes_and_the_order_of_inputs() -> None:
    x, m = EXPECTED.inputs
    replace(EXPECTED, inputs=(m, replace(x, shape=(1, 4))), size_bytes=9).must_match(EXPECTED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": EXPECTED.inputs[:1]}, "it has no input 'm', which the spec's model has; it has x"),
        ({"inputs": (*EXPECTED.inputs, TensorInfo(name="z", dtype="bool", shape=()))}, "it has an input 'z'"),
        (
            {"inputs": (TensorInfo(name="x", dtype="float16", shape=()), EXPECTED.inputs[1])},
            "its input 'x' is float16; the spec's model has float32",
        ),
        ({"outputs": ()}, "it has no output 'a', which the spec's model has; it has none"),
        ({"outputs": EXPECTED.outputs[::-1]}, "its outputs come as b, a; the spec's model gives a, b"),
    ],
)
def test_what_differs_is_named(change: dict[str, tuple[TensorInfo, ...]], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        replace(EXPECTED, **change).must_match(EXPECTED)  # type: ignore[arg-type]

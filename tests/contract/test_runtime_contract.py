"""What every `Runtime` promises, over ONNX Runtime and the in-memory twin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError, ModelError, Unsupported
from qsearch.contracts.runtime import Runtime
from qsearch.contracts.target import Target
from qsearch.measure.memory import MemoryModel, MemoryRuntime
from qsearch.measure.ort import OnnxRuntime

WEIGHT = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
TARGET = Target(name="here")


def _write(path: Path) -> None:
    """y = relu(x · W), s = Σ y."""
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
        helper.make_node("ReduceSum", ["y"], ["s"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, []),
        ],
        [numpy_helper.from_array(WEIGHT, "W")],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)


def _function(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    y = np.maximum(feeds["x"] @ WEIGHT, 0)
    return {"y": y, "s": y.sum()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    _write(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


@pytest.fixture(params=["onnxruntime", "memory"])
def runtime(request: pytest.FixtureRequest, model: Path) -> Runtime:
    if request.param == "onnxruntime":
        return OnnxRuntime()
    twin = MemoryModel(
        inputs={"x": ("float32", ("batch", 8))},
        function=_function,
        outputs=("y", "s"),
        operators={"MatMul": 1, "Relu": 1, "ReduceSum": 1},
    )
    return MemoryRuntime({model: twin})


def test_it_says_its_name_and_version(runtime: Runtime) -> None:
    name, version = runtime.version().split()
    assert name
    assert version[0].isdigit()


def test_its_table_has_fp32_first_everywhere(runtime: Runtime) -> None:
    table = runtime.capabilities()
    assert set(table) == {"MatMul", "Gemm", "Conv", "Gather"}
    assert all(choices[0] is Choice.FP32 for choices in table.values())
    assert set(table["MatMul"]) == {Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY}
    assert set(table["Gather"]) == {Choice.FP32, Choice.TERNARY}


def test_inputs_have_names_types_and_shapes(runtime: Runtime, model: Path) -> None:
    assert runtime.load(model, TARGET).inputs() == {"x": ("float32", ("batch", 8))}


def test_outputs_are_the_models_in_its_order(runtime: Runtime, model: Path) -> None:
    x = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    found = runtime.load(model, TARGET).run({"x": x})
    assert list(found) == ["y", "s"]
    np.testing.assert_allclose(found["y"], np.maximum(x @ WEIGHT, 0), rtol=1e-5, atol=1e-6)


def test_equal_feeds_give_equal_bits(runtime: Runtime, model: Path) -> None:
    x = np.random.default_rng(2).standard_normal((5, 8)).astype(np.float32)
    one, two = runtime.load(model, TARGET), runtime.load(model, TARGET)
    bits = {one.run({"x": x})["y"].tobytes() for _ in range(3)} | {two.run({"x": x})["y"].tobytes()}
    assert len(bits) == 1


def test_outputs_can_be_picked(runtime: Runtime, model: Path) -> None:
    loaded = runtime.load(model, TARGET, outputs=["s"])
    assert list(loaded.run({"x": np.ones((1, 8), np.float32)})) == ["s"]
    with pytest.raises(ModelError, match="has no output z; it has y, s"):
        runtime.load(model, TARGET, outputs=["z"])


def test_operators_of_what_runs_are_counted(runtime: Runtime, model: Path) -> None:
    counts = runtime.load(model, TARGET).float_ops()
    assert counts["MatMul"] == 1
    assert counts["ReduceSum"] == 1


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({}, "expected the inputs x; found none"),
        ({"z": np.ones((1, 8), np.float32)}, "expected the inputs x; found z"),
        ({"x": np.ones((1, 8), np.float32), "z": np.ones(1)}, "unknown: z"),
        ({"x": np.ones((1, 8), np.float64)}, "input x: expected float32, found float64"),
        ({"x": np.ones((1, 7), np.float32)}, r"input x: expected shape \[batch, 8\], found \[1, 7\]"),
        ({"x": np.ones(8, np.float32)}, r"input x: expected shape \[batch, 8\], found \[8\]"),
    ],
)
def test_wrong_feeds_say_what_was_expected(runtime: Runtime, model: Path, feeds: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        runtime.load(model, TARGET).run(feeds)


def test_what_is_no_model_is_refused(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        runtime.load(tmp_path / "absent.onnx", TARGET)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Target(name="gpu", provider="Abacus"), "provider Abacus"),
        (Target(name="odd", options={"session.no_such_thing": "1"}), "session.no_such_thing"),
        (Target(name="none", threads=0), "threads must be at least 1"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(runtime: Runtime, model: Path, target: Target, said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        runtime.load(model, target)

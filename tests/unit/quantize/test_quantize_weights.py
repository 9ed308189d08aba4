"""Weight quantizers against their definitions and against ONNX Runtime's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import TensorProto
from onnxruntime.quantization.quant_utils import quantize_data

from qsearch.quantize.int8_weights import quantize_int8, scale_floor
from qsearch.quantize.ternary_weights import look_up_table, pack, quantize_ternary

finite = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)
matrices = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=finite)


@settings(max_examples=60, deadline=None)
@given(matrices, st.integers(0, 1))
def test_int8_equals_onnxruntimes_quantizer(weight: np.ndarray, axis: int) -> None:
    codes, scales = quantize_int8(weight, axis, 8)
    for channel in range(weight.shape[axis]):
        column = np.take(weight, channel, axis=axis)
        zero, scale, expected = quantize_data(column, TensorProto.INT8, symmetric=True)
        assert zero == 0
        assert scales[channel] == scale
        np.testing.assert_array_equal(np.take(codes, channel, axis=axis), expected)


@settings(max_examples=40, deadline=None)
@given(matrices, st.sampled_from([7, 8]))
def test_int8_is_within_half_a_step(weight: np.ndarray, bits: int) -> None:
    codes, scales = quantize_int8(weight, 0, bits)
    top = 2 ** (bits - 1) - 1
    assert codes.dtype == np.int8
    assert np.abs(codes.astype(int)).max() <= top
    error = np.abs(codes * scales[:, None].astype(np.float64) - weight)
    assert np.all(error <= scales[:, None] * 0.5001)


def test_seven_bit_products_cannot_saturate() -> None:
    codes, _ = quantize_int8(np.array([[-1.0, 1.0]], np.float32), 0, 7)
    assert (codes.tolist(), 2 * 255 * int(codes.max()) < 2**15) == ([[-63, 63]], True)


def test_zero_channels_get_scale_one_and_a_floor_is_kept() -> None:
    weight = np.array([[0.0, 0.0], [1e-30, -1e-30]], np.float32)
    codes, scales = quantize_int8(weight, 0, 8)
    assert scales[0] == 1.0
    floor = scale_floor(np.array([5.0, 5.0], np.float32), 0.1)
    codes, scales = quantize_int8(weight, 0, 8, floor)
    assert np.all(np.abs(5.0 / (scales.astype(np.float64) * 0.1)) < 2**31)
    assert not codes.any()


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=finite))
def test_ternary_minimises_the_error_of_each_row(weight: np.ndarray) -> None:
    codes, scales = quantize_ternary(weight)
    assert set(np.unique(codes)) <= {-1, 0, 1}
    for row, code, scale in zip(weight.astype(np.float64), codes, scales, strict=True):
        best = min(_error(row, threshold) for threshold in [*np.abs(row), np.inf])
        mine = np.sum((row - code * float(scale)) ** 2)
        assert mine <= best + 1e-6 * np.sum(row**2)


def _error(row: np.ndarray, threshold: float) -> float:
    """Squared error of {-1, 0, 1} · mean above a threshold."""
    kept = np.abs(row) >= threshold
    scale = np.abs(row)[kept].mean() if kept.any() else 0.0
    return float(np.sum((row - np.sign(row) * kept * scale) ** 2))


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8])
def test_packed_codes_come_back_through_the_table(length: int) -> None:
    values = np.random.default_rng(length).integers(-1, 2, (3, length))
    packed = pack((values + 1).astype(np.uint8))
    assert packed.shape == (3, -(-length // 4))
    np.testing.assert_array_equal(look_up_table()[packed].reshape(3, -1)[:, :length], values)

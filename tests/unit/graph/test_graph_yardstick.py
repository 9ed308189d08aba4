"""The yardstick is one file everywhere, with layers that a search would find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from qsearch.contracts.target import Target
from qsearch.graph.yardstick import ROWS, SIDE, WIDTH, write_yardstick
from qsearch.measure.ort import OnnxRuntime


def test_it_is_the_same_valid_file_every_time(tmp_path: Path) -> None:
    first, second = write_yardstick(tmp_path / "a" / "one.onnx"), write_yardstick(tmp_path / "two.onnx")
    assert first.read_bytes() == second.read_bytes()
    model = onnx.load(first)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} == {"Conv", "Relu", "MatMul", "Reshape", "Transpose"}


def test_its_outputs_are_alive_at_any_batch(tmp_path: Path) -> None:
    loaded = OnnxRuntime().load(write_yardstick(tmp_path / "one.onnx"), Target(name="t"))
    draw = np.random.default_rng(0)
    (out,) = loaded.run({"x": draw.standard_normal((2, 3, SIDE, SIDE)).astype(np.float32)}).values()
    assert out.shape == (2, ROWS, WIDTH)
    assert np.isfinite(out).all()
    assert 0.05 < np.abs(out).mean() < 50

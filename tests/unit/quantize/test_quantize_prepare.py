"""Preparing: deterministic, exact about bytes, and clear about what cannot be calibrated."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.choices import UNTIMED, Choice
from qsearch.contracts.errors import DataError, ModelError, Unsupported
from qsearch.contracts.target import Target
from qsearch.quantize.assemble import assemble
from qsearch.quantize.index import read_index
from tests.unit.quantize.test_quantize_assemble import chain, feeds
from tests.unit.quantize.tiny_graphs import draw, model, node, prepare, run_candidate, uniform


def test_equal_inputs_give_equal_digests_and_others_do_not(tmp_path: Path) -> None:
    calibration = [feeds(0), feeds(1)]
    first = prepare(chain(), tmp_path / "a", calibration)
    assert prepare(chain(), tmp_path / "b", calibration).digest == first.digest
    assert prepare(chain(), tmp_path / "a", calibration).digest == first.digest
    assert prepare(chain(), tmp_path / "c", [feeds(2)]).digest != first.digest
    assert prepare(chain(), tmp_path / "d", calibration, weight_bits=7).digest != first.digest
    assert set(first.seconds) == {"normalise", "calibrate", "quantize"}
    assert sorted(f.name for f in (tmp_path / "a" / "prepared").iterdir()) == [
        "index.json",
        "model.onnx",
        "tensors.bin",
    ]


def test_layer_bytes_are_the_stored_bytes(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["t", "ids"], ["e"], "embed"),
        node("MatMul", ["e", "w"], ["m"], "mm"),
        node("MatMul", ["l", "m"], ["n"], "left"),
        node("Flatten", ["n"], ["f"], "flat"),
        node("Gemm", ["f", "g", "gb"], ["y"], "gemm", transB=1),
        node("Conv", ["x", "k", "kb"], ["z"], "conv"),
    ]
    weights = {
        "t": draw(9, 33),
        "w": draw(33, 70),
        "l": draw(3, 5),
        "g": draw(7, 210),
        "gb": draw(7),
        "k": draw(5, 3, 3, 3),
        "kb": draw(5),
    }
    source = model(nodes, {"ids": ["n", 5], "x": ["n", 3, 6, 6]}, ["y", "z"], weights, dtypes={"ids": "int64"})
    prepare(source, tmp_path, [{"ids": np.zeros((1, 5), np.int64), "x": draw(1, 3, 6, 6)}])
    index = read_index(tmp_path / "prepared")
    parts = {
        Choice.INT8_STATIC: ("int8", "scale", "zero"),
        Choice.INT8_DYNAMIC: ("int8", "scale"),
        Choice.TERNARY: ("blocks", "packed", "scales"),
        Choice.INT8_WEIGHT: ("bytes", "byte_scales"),
        Choice.INT4_WEIGHT: ("nibbles", "nibble_scales"),
        Choice.BINARY: ("signs", "sign_scales"),
    }
    for layer in index.layers:
        site = index.sites[layer.id][0]
        bias = index.tensors[site.bias].length if site.bias else 0
        assert layer.bytes[Choice.FP32] == index.tensors[site.weight].length + bias
        for choice in layer.choices[1:]:
            names = (f"qsearch/{site.weight}/{part}" for part in parts[choice])
            stored = sum(index.tensors[name].length for name in names if name in index.tensors)
            # A static bias is int32 with a float32 scale.
            added = 2 * bias if choice is Choice.INT8_STATIC else bias
            assert layer.bytes[choice] == stored + added, (layer.id, choice)
        assert layer.parameters == math.prod(layer.weight_shape) + bias // 4


def test_a_shared_weight_is_one_layer_with_its_own_biases(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"], "first"),
        node("Relu", ["h"], ["r"], "relu"),
        node("Gemm", ["r", "w", "c"], ["y"], "second"),
    ]
    source = model(nodes, {"x": ["n", 8]}, "y", {"w": draw(8, 8), "b": draw(8, seed=1), "c": draw(8, seed=2)})
    x = draw(3, 8, seed=3)
    found = prepare(source, tmp_path, [{"x": x}])
    (layer,) = found.inspection.layers
    assert layer.nodes == ("first", "second")
    assert layer.parameters == 80
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), {"x": x})["y"]
    for choice in UNTIMED[1:3]:
        got = run_candidate(tmp_path, uniform(tmp_path, choice), {"x": x}, exact=False)["y"]
        assert np.abs(got - exact).max() < 0.05 * np.abs(exact).max()
    careful = Target(name="exact", options={"session.x64quantprecision": "1"})
    found = prepare(source, tmp_path, [{"x": x}], target=careful)
    assert found.inspection.layers[0].choices == (Choice.FP32, *UNTIMED[3:])
    assert "'first' has no integer product" in found.notes[-1]


def test_not_a_number_in_calibration_names_the_tensor(tmp_path: Path) -> None:
    nodes = [node("Log", "x", "l", "log"), node("MatMul", "lw", "y", "mm")]
    source = model(nodes, {"x": ["n", 4]}, "y", {"w": draw(4, 4)})
    with pytest.raises(DataError, match="'l'"):
        prepare(source, tmp_path, [{"x": np.full((1, 4), -1, np.float32)}])
    assert not (tmp_path / "prepared" / "calibrate.onnx").exists()


def test_static_needs_samples_and_the_others_do_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="calibration samples"):
        prepare(chain(), tmp_path / "a", [])
    found = prepare(chain(), tmp_path / "b", [], choices=(Choice.FP32, Choice.INT8_DYNAMIC))
    assert {c for layer in found.inspection.layers for c in layer.choices} == {Choice.FP32, Choice.INT8_DYNAMIC}
    assemble(tmp_path / "b" / "prepared", uniform(tmp_path / "b", Choice.INT8_DYNAMIC), tmp_path / "b" / "out")


def test_what_cannot_be_honoured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="weight_bits is 4"):
        prepare(chain(), tmp_path, [feeds()], weight_bits=4)
    with pytest.raises(Unsupported, match="'fp16'"):
        prepare(chain(), tmp_path, [feeds()], choices=(Choice.FP16,))
    bad = draw(4, 4)
    bad[1, 2] = np.nan
    source = model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 4]}, "y", {"w": bad})
    with pytest.raises(ModelError, match="NaN"):
        prepare(source, tmp_path, [{"x": draw(1, 4)}], choices=(Choice.TERNARY,))


def test_seven_bit_weights_stay_in_their_range(tmp_path: Path) -> None:
    prepare(chain(), tmp_path, [feeds()], weight_bits=7)
    index = read_index(tmp_path / "prepared")
    content = (tmp_path / "prepared" / "tensors.bin").read_bytes()
    codes = [e for name, e in index.tensors.items() if name.endswith("/int8")]
    assert len(codes) == 3
    for entry in codes:
        values = np.frombuffer(content[entry.offset : entry.offset + entry.length], np.int8)
        assert np.abs(values.astype(int)).max() == 63


def test_names_like_those_of_a_framework_do_not_collide(tmp_path: Path) -> None:
    nodes = [node("MatMul", "xw", ["x/scale"], "mm"), node("Mul", ["x/scale", "mm/factor"], ["x/float"], "x/codes")]
    nodes.append(node("MatMul", ["x/float", "v"], ["y"], "x"))
    source = model(nodes, {"x": ["n", 4]}, "y", {"w": draw(4, 4), "mm/factor": draw(4), "v": draw(4, 4, seed=1)})
    x = draw(2, 4, seed=2)
    prepare(source, tmp_path, [{"x": x}])
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), {"x": x})["y"]
    for choice in UNTIMED[1:3]:
        got = run_candidate(tmp_path, uniform(tmp_path, choice), {"x": x})["y"]
        assert np.abs(got - exact).max() < 0.05 * np.abs(exact).max()
    with pytest.raises(Unsupported, match="quantized by QSearch already"):
        prepare(tmp_path / "written" / "model.onnx", tmp_path / "again", [{"x": x}])

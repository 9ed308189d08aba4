"""The time input that a spec names: there, and one number per sample."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.quantize.tiny_graphs import CAPABILITIES, draw, model, node, save

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import ModelError, Unsupported
from qsearch.graph.inspection import inspect_model

CHOICES = (Choice.FP32, Choice.TDQ)


def source(folder: Path, shape: list[int | str], dtype: str = "float32") -> Path:
    nodes = [node("MatMul", ["x", "w"], ["y"], "mm")]
    return save(model(nodes, {"x": ["n", 8], "t": shape}, ["y"], {"w": draw(8, 4)}, dtypes={"t": dtype}), folder)


@pytest.mark.parametrize("shape", [[], ["n"], [1], [4]])
@pytest.mark.parametrize("dtype", ["float32", "int64", "int32"])
def test_numbers_per_sample_are_taken(tmp_path: Path, shape: list[int | str], dtype: str) -> None:
    found, _ = inspect_model(source(tmp_path, shape, dtype), capabilities=CAPABILITIES, choices=CHOICES, time_input="t")
    assert found.layers[0].choices == CHOICES


def test_others_are_refused_by_name(tmp_path: Path) -> None:
    path = source(tmp_path, ["n", 1])
    with pytest.raises(Unsupported, match="'tdq' needs the model's time input"):
        inspect_model(path, capabilities=CAPABILITIES, choices=CHOICES)
    with pytest.raises(ModelError, match=r"'t' is \['n', 1\]; expected a scalar, or one number per sample"):
        inspect_model(path, capabilities=CAPABILITIES, choices=CHOICES, time_input="t")
    with pytest.raises(ModelError, match="no input 'time' that could be its time input"):
        inspect_model(path, capabilities=CAPABILITIES, choices=(Choice.FP32,), time_input="time")

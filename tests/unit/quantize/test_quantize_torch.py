"""Torch modules become files: real torch, real ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from qsearch.contracts.errors import ModelError, TaskError
from qsearch.contracts.torch_model import TorchModel
from qsearch.quantize.torch_export import export_torch

X = np.random.default_rng(0).standard_normal((2, 3, 8, 8), dtype=np.float32)


class Net(nn.Module):
    """A convolution with its normalisation, two linear layers that share a weight, one of their own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.first, self.last = nn.Linear(8, 8, bias=False), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        y = self.first(torch.relu(self.first(y)))
        return self.last(y), y


class Lines(nn.Module):
    """Two axes that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.line(a) + b  # type: ignore[no-any-return]


def _exported(folder: Path, module: nn.Module, inputs: Mapping[str, Any], **more: Any) -> onnx.ModelProto:
    export_torch(TorchModel(module=module, inputs=inputs, **more), folder)
    return onnx.load(str(folder / "model.onnx"))


def test_the_file_computes_what_torch_does_for_any_batch(tmp_path: Path) -> None:
    net = Net()
    found = export_torch(TorchModel(module=net, inputs={"x": X}, outputs=("scores", "features")), tmp_path)
    session = ort.InferenceSession(str(tmp_path / "model.onnx"))
    for batch in (1, 2, 5):
        x = np.random.default_rng(batch).standard_normal((batch, 3, 8, 8), dtype=np.float32)
        with torch.no_grad():
            wanted = [value.numpy() for value in net(torch.from_numpy(x))]
        for got, want in zip(session.run(["scores", "features"], {"x": x}), wanted, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)
    assert set(found.expected) == {"scores", "features"}
    assert found.version == torch.__version__


def test_layers_are_called_as_in_the_module(tmp_path: Path) -> None:
    found = export_torch(TorchModel(module=Net(), inputs={"x": X}, outputs=("a", "b")), tmp_path)
    model = onnx.load(str(tmp_path / "model.onnx"))
    names = [node.name for node in model.graph.node if node.op_type in {"Conv", "MatMul", "Gemm"}]
    assert names == ["conv", "first", "first_2", "last"]
    assert {"first.weight", "last.weight"} <= set(found.parameters.values())


def test_equal_modules_give_equal_files_that_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    for name in "ab":
        export_torch(TorchModel(module=Net(), inputs={"x": X}, outputs=("a", "b")), tmp_path / name)
    content = (tmp_path / "a" / "model.onnx").read_bytes()
    assert content == (tmp_path / "b" / "model.onnx").read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b"site-packages" not in content


def test_open_axes_have_the_names_given(tmp_path: Path) -> None:
    a = np.zeros((2, 3, 4), np.float32)
    axes = {0: "people", 1: "words"}
    model = _exported(tmp_path, Lines(), {"a": a, "b": a}, dynamic={"a": axes, "b": axes})
    for value in (*model.graph.input, *model.graph.output):
        assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == ["people", "words", 4]


def test_one_sample_is_a_fixed_batch(tmp_path: Path) -> None:
    model = _exported(tmp_path, Lines(), {name: np.zeros((1, 4), np.float32) for name in "ab"})
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [1, 4]


class Branching(nn.Module):
    """What no capture of a graph can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


ROW = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("module", "more", "error", "words"),
    [
        (3, {}, TaskError, "is int; expected a torch.nn.Module"),
        (Lines(), {"inputs": {}}, TaskError, "inputs is empty"),
        (Lines(), {"inputs": {"a": [1.0], "b": ROW}}, TaskError, r"inputs\['a'\] is list; expected a numpy array"),
        (Lines(), {"dynamic": {"c": {0: "n"}}}, TaskError, r"dynamic names \['c'\]; the inputs are \['a', 'b'\]"),
        (Lines(), {"dynamic": {"a": {2: "n"}}}, TaskError, "axis 2 of an input with 2 axes"),
        (
            Lines(),
            {"inputs": {"a": ROW[:1], "b": ROW[:1]}, "dynamic": {"a": {0: "n"}}},
            TaskError,
            "size 1 on its open",
        ),
        (Lines(), {"outputs": ("y", "z")}, TaskError, r"returned 1 values \(Tensor\); TorchModel.outputs names 2"),
        (Branching(), {"inputs": {"x": ROW}}, ModelError, "torch cannot export Branching: "),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    tmp_path: Path, module: object, more: dict[str, Any], error: type[Exception], words: str
) -> None:
    given: dict[str, Any] = {"module": module, "inputs": {"a": ROW, "b": ROW}, **more}
    with pytest.raises(error, match=words):
        export_torch(TorchModel(**given), tmp_path / "out")

"""ONNX Runtime's providers: refused by name, read back, counted; with the providers that this build has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import Unsupported
from qsearch.contracts.target import Target
from qsearch.measure.ort import OnnxRuntime
from qsearch.measure.ort_providers import assignment_of, must_be_used, provider_named


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["m"]), helper.make_node("Erf", ["m"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), "W")],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("name", ["CPU", "cpu", "CPUExecutionProvider"])
def test_the_cpu_runs_under_each_of_its_names_and_tells_of_no_fallback(model: Path, name: str) -> None:
    loaded = OnnxRuntime().load(model, Target(name="t", provider=name))
    assert loaded.facts() == {}
    assert "CPU" in OnnxRuntime().providers()


@pytest.mark.parametrize("name", ["CUDA", "Tensorrt", "CoreML"])
def test_a_provider_that_the_build_lacks_is_refused_with_what_it_has(model: Path, name: str) -> None:
    if name in OnnxRuntime().providers():
        pytest.skip(f"this build has {name}")
    with pytest.raises(Unsupported, match=rf"target t: provider {name} is not in this ONNX Runtime; it has .*CPU"):
        OnnxRuntime().load(model, Target(name="t", provider=name))


@pytest.mark.parametrize("options", [{"use_arena": "0"}, {"nonsense": "1"}])
def test_an_option_that_does_not_read_back_is_refused(model: Path, options: dict[str, str]) -> None:
    """The CPU provider takes every option without a word and reads none."""
    key = next(iter(options))
    with pytest.raises(Unsupported, match=rf"target t: provider CPU has no option {key}; it reads back none"):
        OnnxRuntime().load(model, Target(name="t", provider_options=options))


def test_a_session_whose_nodes_all_fell_back_is_refused(model: Path) -> None:
    """The Azure provider of the usual build runs no ordinary operator: everything falls back, in silence."""
    if "Azure" not in OnnxRuntime().providers():
        pytest.skip("this build has no provider that runs nothing")
    with pytest.raises(
        Unsupported, match=r"not one of the 2 nodes of m\.onnx runs on Azure; all of them fell back to CPU"
    ):
        OnnxRuntime().load(model, Target(name="t", provider="Azure"))


class _Part:
    def __init__(self, ep_name: str, nodes: int) -> None:
        self.ep_name, self._nodes = ep_name, nodes

    def get_nodes(self) -> list[int]:
        return [0] * self._nodes


class _Session:
    """What a device's session answers, which no machine of this project's tests has."""

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {"CUDAExecutionProvider": {"device_id": "0", "use_tf32": "1"}, "CPUExecutionProvider": {}}

    def get_provider_graph_assignment_info(self) -> list[_Part]:
        return [_Part("CUDAExecutionProvider", 30), _Part("CPUExecutionProvider", 2), _Part("CUDAExecutionProvider", 8)]


def _cuda(**options: str) -> Target:
    return Target(name="gpu", provider="CUDA", provider_options=options)


def test_options_that_read_back_as_asked_are_taken_and_others_are_refused() -> None:
    must_be_used(_Session(), _cuda(device_id="0", use_tf32="true"), "CUDAExecutionProvider")
    with pytest.raises(Unsupported, match="provider option use_tf32=0 is not honoured here: CUDA has 1"):
        must_be_used(_Session(), _cuda(use_tf32="0"), "CUDAExecutionProvider")
    with pytest.raises(Unsupported, match="provider CUDA has no option divice_id; it reads back device_id, use_tf32"):
        must_be_used(_Session(), _cuda(divice_id="0"), "CUDAExecutionProvider")
    with pytest.raises(Unsupported, match="Tensorrt could not be started; ONNX Runtime fell back to CUDA, CPU"):
        must_be_used(_Session(), Target(name="trt", provider="Tensorrt"), "TensorrtExecutionProvider")


def test_nodes_that_fell_back_are_counted() -> None:
    found = assignment_of(_Session(), _cuda(), "CUDAExecutionProvider", "m.onnx")
    assert found == {"fallback_nodes": "2 of 40"}
    assert assignment_of(object(), _cuda(), "CUDAExecutionProvider", "m.onnx") == {"fallback_nodes": "unknown"}


def test_the_table_of_a_provider_has_the_cpus_own_kernels_for_the_cpu_only() -> None:
    runtime = OnnxRuntime()
    assert Choice.INT8_DYNAMIC in runtime.capabilities()["MatMul"]
    assert runtime.capabilities("CUDA")["MatMul"] == (Choice.FP32, Choice.INT8_STATIC)
    assert runtime.capabilities("CUDA")["Gather"] == (Choice.FP32,)
    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert provider_named(_cuda(), available) == "CUDAExecutionProvider"

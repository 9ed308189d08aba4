"""OpenVINO inside the real measuring child: the threads of the target, failures with their cause."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from qsearch.contracts.target import Target
from qsearch.measure.samples import write_samples
from qsearch.spec.targets import find_target
from workers.sitting import predict, read_outputs

BATCHES = [np.arange(12, dtype=np.float32).reshape(3, 4), np.ones((2, 4), np.float32)]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    write_samples(tmp_path / "samples.npz", [{"x": batch} for batch in BATCHES], {}, [3, 2])
    return tmp_path / "samples.npz"


def _reshape(path: Path, shape: list[int]) -> Path:
    """y = x as `shape`, times two."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Add", ["r", "r"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.array(shape), "s")],
    )
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def _predict(model: Path, samples: Path, target: Target) -> dict[str, list[np.ndarray]]:
    found = predict(model, target, samples, model.with_name("out.npz"), deadline_s=60)
    assert found.circumstances.runtime.startswith("openvino 20")
    assert target.threads > 1 or found.circumstances.details["process_threads"] == "1"
    assert found.float_ops["Eltwise:f32"] == 1
    return read_outputs(found.outputs)


def test_the_packaged_target_runs_in_one_thread(tmp_path: Path, samples: Path) -> None:
    found = _predict(_reshape(tmp_path / "m.onnx", [-1, 2, 2]), samples, find_target("openvino-1thread", None))
    np.testing.assert_array_equal(np.stack(found["y"]), 2 * np.concatenate(BATCHES).reshape(5, 2, 2))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_two_threads_are_taken_at_the_runtimes_word_whatever_sleeps_beside_them(tmp_path: Path, samples: Path) -> None:
    two = Target(name="two", runtime="openvino", threads=2)
    found = _predict(_reshape(tmp_path / "m.onnx", [-1, 2, 2]), samples, two)
    np.testing.assert_array_equal(np.stack(found["y"]), 2 * np.concatenate(BATCHES).reshape(5, 2, 2))


def test_what_fails_in_a_run_is_a_bad_model_and_says_why(tmp_path: Path, samples: Path) -> None:
    with pytest.raises(WorkFailed, match=r"m\.onnx loaded, and failed when run: .*reshape") as caught:
        _predict(_reshape(tmp_path / "m.onnx", [3, 4]), samples, find_target("openvino-1thread", None))
    assert caught.value.cause is Cause.BAD_MODEL


def test_a_property_it_does_not_have_is_refused_by_name(tmp_path: Path, samples: Path) -> None:
    odd = Target(name="odd", runtime="openvino", options={"NO_SUCH": "1"})
    with pytest.raises(WorkFailed, match="target odd: OpenVINO's CPU has no property NO_SUCH"):
        _predict(_reshape(tmp_path / "m.onnx", [-1, 2, 2]), samples, odd)

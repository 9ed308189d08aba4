"""The real command line from outside, on a model and data made here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.acceptance import small_disk

QSEARCH = str(Path(sys.executable).with_name("qsearch"))
Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(home: Path) -> dict[str, str]:
    """The user's, less every setting of ours, with a home of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QSEARCH_")}
    return kept | {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "NO_COLOR": "1", "COLUMNS": "160"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with model.onnx, samples.npz (with labels) and a qsearch.toml, so that its database lies here."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "qsearch.toml").write_text("")
    write_classifier(folder / "model.onnx", folder / "samples.npz")
    return folder


@pytest.fixture
def qsearch(project: Path) -> Run:
    """Run the command line in the project folder."""

    def run(*words: str, timeout: float = 110, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [QSEARCH, *words],
            cwd=project,
            env=environment(project.parent) | changes,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that mounts disks runs where it may; see `small_disk`."""
    if pyfuncitem.get_closest_marker("mounts") is None or os.environ.get(small_disk.INSIDE):
        return None
    small_disk.run_inside(pyfuncitem)
    return True


def write_classifier(model: Path, samples: Path, *, width: int = 96, classes: int = 5, count: int = 240) -> None:
    """A two-layer perceptron, and samples labelled by its own fp32 answers on cleaner inputs."""
    draw = np.random.default_rng(7)
    first = draw.standard_normal((width, width)).astype(np.float32) / np.float32(np.sqrt(width))
    second = draw.standard_normal((width, classes)).astype(np.float32) / np.float32(np.sqrt(width))
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="hidden"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["logits"], name="head"),
    ]
    weights = [
        numpy_helper.from_array(first, "w1"),
        numpy_helper.from_array(second, "w2"),
        numpy_helper.from_array(np.zeros(classes, np.float32), "b2"),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])
    got = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    graph = helper.make_graph(nodes, "classifier", [given], [got], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    clean = draw.standard_normal((count, width)).astype(np.float32)
    labels = (np.maximum(clean @ first, 0) @ second).argmax(1)
    noisy = clean + 0.2 * draw.standard_normal(clean.shape).astype(np.float32)
    np.savez(samples, x=noisy.astype(np.float32), labels=labels)

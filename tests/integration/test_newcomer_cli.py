"""A newcomer's slips on the real command line: a model nobody can use, numbers beyond sense, a job that is driven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qsearch.contracts.job import JobState
from qsearch.service.holder import this_holder
from qsearch.spec.loading import load_spec
from qsearch.store.opening import open_ledger

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def qsearch(tmp_path: Path) -> Run:
    """Runs the command in a project folder of its own, with a small model, samples and their spec."""
    random = np.random.default_rng(0)
    weights = numpy_helper.from_array(random.normal(size=(16, 16)).astype(np.float32), "w")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 16]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", value[:1], value[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    np.savez(tmp_path / "x.npz", x=random.normal(size=(64, 16)).astype(np.float32))
    (tmp_path / "qsearch.toml").touch()
    (tmp_path / "model.yaml").write_text("model: {path: model.onnx}\ndata: {path: x.npz}\nmetric: cosine-to-fp32\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "qsearch", *words]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False, env=dict(os.environ)
        )

    return run


@pytest.mark.parametrize("content", [b"", b"cut off"], ids=["empty", "truncated"])
def test_a_model_nobody_can_use_leaves_no_job(qsearch: Run, tmp_path: Path, content: bytes) -> None:
    whole = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(content and whole[: len(whole) // 2])
    for command in ("validate", "run", "submit"):
        ran = qsearch(command, "model.yaml")
        assert (ran.returncode, ran.stdout) == (3, ""), (command, ran.stderr)
        assert "model.onnx" in ran.stderr
    assert json.loads(qsearch("jobs", "--json").stdout)["jobs"] == []


def test_numbers_beyond_sense_are_refused_with_their_bounds(qsearch: Run) -> None:
    for flag, value, said in (
        ("--trials", "9" * 23, "from 1 to 1000000"),
        ("--trials", str(2**63), "from 1 to 1000000"),
        ("--seed", str(2**63), "from 0 to 4294967295"),
        ("--time", "99999999h", "at most 8784h"),
    ):
        ran = qsearch("run", "model.yaml", flag, value)
        assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr


def test_a_job_that_failed_or_is_driven_is_said_to(qsearch: Run, tmp_path: Path) -> None:
    assert qsearch("validate", "model.yaml").returncode == 0
    ledger = open_ledger(f"sqlite:///{tmp_path}/.qsearch/qsearch.db")
    try:
        spec, text = load_spec(tmp_path / "model.yaml")
        driven, failed = (ledger.create_job(spec, text, "me") for _ in range(2))
        ledger.lease(driven.id, this_holder(), 60)
        lease = ledger.lease(failed.id, this_holder(), 60)
        ledger.note(lease, "error", {"kind": "InputError", "message": "no file", "hint": "Give one."})
        ledger.move(lease, JobState.FAILED, "no file")
        ledger.release(lease)
    finally:
        ledger.close()
    resumed = qsearch("resume", driven.id)
    assert (resumed.returncode, f"process {os.getpid()}" in resumed.stderr) == (2, True), resumed.stderr
    watched = qsearch("watch", failed.id)
    assert (watched.returncode, watched.stderr.count("no file")) == (5, 1), watched.stderr
    layers = qsearch("layers", failed.id)
    assert (layers.returncode, "never came to know the layers" in layers.stderr) == (4, True), layers.stderr


def test_every_database_url_that_means_nothing_is_wrong_use(qsearch: Run) -> None:
    for url in ("nonsense", "mysql://me@host/db", "sqlite:///", "postgresql://", "postgresql://me@host:99999/db"):
        ran = qsearch("--database-url", url, "jobs")
        assert ran.returncode == 2, (url, ran.stderr)

"""Choices of weights alone, from the command line: found, searched by name, shown by name, exported."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.acceptance.conftest import Run, write_classifier

SPEC = """\
name: packed
model: {path: model.onnx}
data: {path: samples.npz}
metric: top1
targets: [this-machine]
space: {choices: [fp32, int8-weight, int4-weight, binary]}
search: {trials: 4, seed: 0, finalists: 1}
precision: quick
"""
NAMES = ("int8-weight", "int4-weight", "binary")


def test_inspect_and_init_name_them(project: Path, qsearch: Run) -> None:
    write_classifier(project / "model.onnx", project / "samples.npz", classes=20, count=80)
    found = json.loads(qsearch("inspect", "model.onnx", "--json").stdout)
    assert all(name in layer["choices"] for layer in found["layers"] for name in NAMES)
    made = qsearch("init", "model.onnx", "--data", "samples.npz")
    assert made.returncode == 0, made.stderr
    text = (project / "model.yaml").read_text()
    assert "choices: [fp32, int8-static, int8-dynamic, ternary]" in text
    assert "# Can be added: int8-weight, int4-weight, binary." in text
    plan = qsearch("plan", "model.yaml", "--choice", "fp32", "--choice", "int4-weight", "--json")
    assert plan.returncode == 0, plan.stderr
    assert "int4-weight" in plan.stdout


@pytest.mark.noisy
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_job_of_packed_weights_shows_them_by_name(project: Path, qsearch: Run) -> None:
    write_classifier(project / "model.onnx", project / "samples.npz", classes=20, count=400)
    (project / "packed.yaml").write_text(SPEC)
    done = qsearch("run", "packed.yaml", timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(qsearch("trials", "@last", "--json").stdout)["trials"]
    trials = {row["origin"]: row for row in rows}
    assert {f"uniform {name}" for name in NAMES} <= set(trials)
    assert all(trials[f"uniform {name}"]["state"] == "DONE" for name in NAMES)
    sizes = [trials[f"uniform {name}"]["size_bytes"] for name in ("fp32", *NAMES)]
    assert sizes == sorted(sizes, reverse=True)
    for words in (("pareto", "@last"), ("layers", "@last"), ("trials", "@last")):
        answer = qsearch(*words)
        assert answer.returncode == 0, answer.stderr
    assert "int4-weight" in qsearch("trials", "@last").stdout
    number = trials["uniform int4-weight"]["trial"]
    exported = qsearch("export", str(number), "-o", "out", "--verify", timeout=200)
    assert exported.returncode == 0, exported.stdout + exported.stderr
    (file,) = (project / "out").rglob("*.onnx")
    bits = {
        a.i for n in onnx.load(file).graph.node if n.op_type == "MatMulNBits" for a in n.attribute if a.name == "bits"
    }
    assert bits == {4}

"""A torch module from the command line: validated, planned, searched, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

NET = """\
import numpy as np
import torch

from qsearch.contracts.torch_model import TorchModel


def make():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    return TorchModel(module=net, inputs={"input": np.zeros((2, 64), np.float32)}, outputs=("logits",))


def broken():
    raise OSError("weights not found")
"""
SPEC = """\
model: {torch: "net:make"}
data: {path: rows.npz}
metric: cosine-to-fp32
search: {trials: 4, time: 30s, seed: 0, finalists: 1}
"""


@pytest.fixture
def spec(project: Path) -> Path:
    import numpy as np

    np.savez(project / "rows.npz", input=np.random.default_rng(0).standard_normal((120, 64), dtype=np.float32))
    (project / "net.py").write_text(NET)
    (project / "mine.yaml").write_text(SPEC)
    return project / "mine.yaml"


def test_a_torch_model_is_valid_where_it_can_be_exported(spec: Path, qsearch: Run) -> None:
    done = qsearch("validate", "mine.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch net:make" in done.stdout
    spec.write_text(SPEC.replace("net:make", "net:broken"))
    done = qsearch("validate", "mine.yaml")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "net:broken failed: OSError: weights not found at net.py:14" in done.stderr
    spec.write_text(SPEC.replace('torch: "net:make"', 'torch: "net:make", path: model.onnx'))
    done = qsearch("validate", "mine.yaml")
    assert done.returncode == 3
    assert "expected torch alone, found path or package beside it" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_a_torch_model_is_searched_and_its_layers_have_its_names(spec: Path, qsearch: Run) -> None:
    done = qsearch("run", "mine.yaml", timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(qsearch("show", "@last/1", "--json").stdout)
    assert '"0"' in json.dumps(told)
    assert '"2"' in json.dumps(told)
    again = qsearch("run", "mine.yaml", "--trials", "4", timeout=280)
    assert again.returncode == 0, again.stdout + again.stderr
    kept = [path for path in spec.parent.rglob("model.onnx") if path != spec.parent / "model.onnx"]
    exported = [path for path in kept if [f.name for f in path.parent.iterdir()] == ["model.onnx"]]
    assert len(exported) == 1, "equal exports are one artifact"
    done = qsearch("eval", "@last/1", "--spec", "mine.yaml", "--fast", "--json", timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    (spec.parent / "net.py").unlink()
    done = qsearch("export", "@last/1", "-o", "out")
    assert done.returncode == 0, done.stdout + done.stderr

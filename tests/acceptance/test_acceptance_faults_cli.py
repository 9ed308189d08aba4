"""A scoring function that fails for some candidates, through the command line: the others have their answer."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

pytestmark = [pytest.mark.noisy, pytest.mark.timeout(300)]

SPEC = """\
name: mine
model: {path: model.onnx}
task: mytask:task
constraints: {drop: 50%}
targets: [this-machine]
search: {trials: 5, seed: 0, sampler: random, finalists: 1}
space: {choices: [fp32, int8-dynamic, ternary]}
precision: quick
"""

#: raises for what is far from fp32's own outputs, as ternary layers are here and int8 ones are not
TASK = """\
import numpy as np
import onnx
from onnx import numpy_helper

from qsearch.contracts.task import Split, Task

FAR = 0.15


def score(outputs, labels):
    found = np.stack(outputs["logits"])
    if np.abs(found - labels["logits"]).max() > FAR:
        raise ArithmeticError("too far from what was expected")
    return (found.argmax(1) == labels["labels"]).astype(float)


def task():
    w = {t.name: numpy_helper.to_array(t) for t in onnx.load("model.onnx").graph.initializer}
    data = np.load("samples.npz")
    rows, labels = data["x"][:90], data["labels"][:90]
    logits = np.maximum(rows @ w["w1"], 0) @ w["w2"] + w["b2"]
    parts = [
        Split(samples=[{"x": row} for row in rows[i::3]], labels={"labels": labels[i::3], "logits": logits[i::3]})
        for i in range(3)
    ]
    return Task(metric="hits", score=score, calibration=parts[0], search=parts[1], heldout=parts[2])
"""


@pytest.mark.slow
def test_a_score_that_raises_fails_its_trials_and_not_the_job(project: Path, qsearch: Run) -> None:
    (project / "mytask.py").write_text(TASK)
    (project / "mine.yaml").write_text(SPEC)
    done = qsearch("run", "mine.yaml", timeout=280)
    with sqlite3.connect(f"file:{project}/.qsearch/qsearch.db?mode=ro", uri=True) as database:
        trials = database.execute("select number, state, cause, message, candidate from trials").fetchall()
        tried = database.execute("select count(*) from attempts where cause = 'user-error'").fetchone()[0]
    failed = [row for row in trials if row[1] == "FAILED"]
    assert done.returncode == 0, (done.stdout + done.stderr, trials)
    assert failed, trials
    assert {row[1] for row in trials} == {"DONE", "FAILED"}
    assert {row[2] for row in failed} == {"user-error"}
    assert all(
        "mytask:score failed: ArithmeticError: too far from what was expected at mytask.py:" in r[3] for r in failed
    )
    assert tried == len(failed), "code that raises is not tried again"
    assert "the pick" in done.stdout
    told = json.loads(qsearch("trials", "@last", "--format", "json").stdout)
    assert "user-error" in json.dumps(told)

"""A person's own model, from `init` to a verified export, without a line of Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.acceptance.conftest import Run

pytestmark = pytest.mark.noisy


def test_from_a_model_file_to_a_file_that_can_be_deployed(project: Path, qsearch: Run) -> None:
    written = qsearch("init", "model.onnx", "--data", "samples.npz")
    assert written.returncode == 0, written.stderr
    assert qsearch("validate", "model.yaml").returncode == 0
    plan = qsearch("plan", "model.yaml", "--json")
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["schema"] == "qsearch.plan/1"

    done = qsearch("run", "model.yaml", "--trials", "4", "--fast", "--record", "job.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["schema"] == "qsearch.status/1"

    best = qsearch("best", "@last", "--max-drop", "5%", "--json")
    assert best.returncode == 0, best.stderr
    answer = json.loads(best.stdout)
    assert answer["schema"] == "qsearch.best/1"
    assert set(answer["speedup"]) == {"value", "low", "high", "sessions", "verdict"}
    assert answer["speedup"]["low"] <= answer["speedup"]["value"] <= answer["speedup"]["high"]

    _looking(qsearch)
    _exporting(project, qsearch)
    _replaying(qsearch)


def _replaying(qsearch: Run) -> None:
    """The replay asks the same candidates and gives the same answers, in the time it takes to read them."""
    again = qsearch("run", "model.yaml", "--trials", "4", "--fast", "--pool", "replay:job.jsonl", timeout=30)
    assert again.returncode == 0, again.stderr
    rows = json.loads(qsearch("query", "select number, speedup, origin from v_trials order by number", "--json").stdout)
    seen = [tuple(row.values()) for row in rows["rows"]]
    assert len(seen) == 8
    assert len(set(seen)) == 4


def _looking(qsearch: Run) -> None:
    plot = qsearch("pareto", "@last", "--plot", "-")
    assert plot.returncode == 0, plot.stderr
    assert "fp32" in plot.stdout
    page = qsearch("pareto", "@last", "--plot", "front.html")
    assert (page.returncode, page.stdout) == (0, "front.html\n"), page.stderr
    layers = json.loads(qsearch("layers", "@last", "--json").stdout)
    assert [seen["layer"] for seen in layers["layers"]] == ["hidden", "head"]
    assert [graph["float_ops"] for graph in layers["graphs"] if graph["uniform"] == "fp32"] == [2]
    assert qsearch("show", "@last/best").returncode == 0
    rows = qsearch("query", "select trial, state from v_trials order by number", "--json")
    assert rows.returncode == 0, rows.stderr
    assert "DONE" in rows.stdout
    refused = qsearch("query", "delete from v_trials")
    assert refused.returncode != 0
    jobs = json.loads(qsearch("jobs", "--json").stdout)
    assert len(jobs["jobs"]) == 1


def _exporting(project: Path, qsearch: Run) -> None:
    exported = qsearch("export", "@last/best", "-o", "out", "--verify")
    assert exported.returncode == 0, exported.stdout + exported.stderr
    session = onnxruntime.InferenceSession(str(project / "out/model.onnx"), providers=["CPUExecutionProvider"])
    with np.load(project / "out/check.npz") as check:
        expected = check["out:0:logits"]
        found = session.run(["logits"], {"x": check["in:0:x"]})[0]
    assert np.array_equal(found, expected)
    loader = subprocess.run(
        [sys.executable, "load.py"], cwd=project / "out", capture_output=True, text=True, check=False
    )
    assert loader.returncode == 0, loader.stderr
    again = qsearch("export", "@last/best", "-o", "out")
    assert again.returncode == 2
    assert "--force" in again.stderr


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_without_labels_the_metric_is_fidelity_and_is_called_that(project: Path, qsearch: Run) -> None:
    with np.load(project / "samples.npz") as samples:
        np.savez(project / "plain.npz", x=samples["x"])
    assert qsearch("init", "model.onnx", "--data", "plain.npz").returncode == 0
    done = qsearch("run", "model.yaml", "--trials", "2", "--fast")
    assert done.returncode == 0, done.stderr
    assert "cosine-to-fp32" in done.stdout
    assert "no labels: the metric is fidelity to fp32" in qsearch("status", "@last").stdout
    _evaluating(project, qsearch)


def _evaluating(project: Path, qsearch: Run) -> None:
    """A trial, a file, and another that somebody broke, in one table."""
    (project / "broken.onnx").write_bytes((project / "model.onnx").read_bytes()[:1000])
    models = ["broken.onnx", "model.onnx", "@last/1"]
    seen = qsearch("eval", *models, "--spec", "model.yaml", "--fast", "--json")
    assert seen.returncode == 5, seen.stderr
    answer = json.loads(seen.stdout)
    assert answer["schema"] == "qsearch.evaluation/1"
    rows = {row["model"].rpartition("/")[2]: row for row in answer["models"]}
    assert set(rows) == {"broken.onnx", "model.onnx", "1"}
    assert rows["broken.onnx"]["failure"]["cause"] == "bad-model"
    assert rows["model.onnx"]["drop"]["n"] == rows["1"]["drop"]["n"] == 100
    assert rows["model.onnx"]["latency"]["speedup"]["low"] > 0
    # the file is fp32 itself
    assert rows["model.onnx"]["drop"]["value"] == 0
    assert answer["notes"][0].startswith("no labels")
    assert "are those of job" in answer["notes"][1]


def test_benching_two_files_and_looking_into_one(project: Path, qsearch: Run) -> None:
    inspected = qsearch("inspect", "model.onnx", "--json")
    assert inspected.returncode == 0, inspected.stderr
    assert "hidden" in inspected.stdout
    timed = qsearch("bench", "model.onnx", "model.onnx", "--tier", "quick", "--data", "samples.npz")
    # labels are no input of the model: told by name, and without them it works
    if timed.returncode:
        with np.load(project / "samples.npz") as samples:
            np.savez(project / "plain.npz", x=samples["x"])
        timed = qsearch("bench", "model.onnx", "model.onnx", "--tier", "quick", "--data", "plain.npz")
    assert timed.returncode == 0, timed.stderr
    healthy = qsearch("doctor")
    assert healthy.returncode == 0, healthy.stderr
    assert "onnxruntime" in healthy.stdout


@pytest.mark.ray
@pytest.mark.slow
def test_the_same_job_on_a_local_ray(project: Path, qsearch: Run) -> None:
    assert qsearch("init", "model.onnx", "--data", "samples.npz").returncode == 0
    done = qsearch("run", "model.yaml", "--trials", "2", "--fast", "--pool", "ray")
    assert done.returncode == 0, done.stderr
    assert "the pick for this-machine" in done.stdout

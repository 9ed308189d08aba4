"""A candidate that ruins the accuracy is scored on a few samples, and is shown for what it is."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import QSEARCH, Run, environment, write_classifier

pytestmark = pytest.mark.noisy

SPEC = """\
name: raced
model: {path: model.onnx}
data: {path: samples.npz}
metric: top1
constraints: {drop: 5%}
targets: [this-machine]
space: {choices: [fp32, ternary, int8-dynamic]}
search: {trials: 3, seed: 0, finalists: 1}
precision: quick
"""


@pytest.fixture
def spec(project: Path) -> Path:
    write_classifier(project / "model.onnx", project / "samples.npz", classes=20, count=720)
    file = project / "raced.yaml"
    file.write_text(SPEC)
    return file


def _rows(qsearch: Run, *words: str) -> list[dict[str, Any]]:
    answer = qsearch("trials", "@last", "--json", *words)
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)["trials"]
    return found


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_a_ruined_candidate_is_stopped_and_a_resumed_job_keeps_it(project: Path, spec: Path, qsearch: Run) -> None:
    driver = subprocess.Popen(
        [QSEARCH, "run", "raced.yaml"],
        cwd=project,
        env=environment(project.parent),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        before = _when_it_was_measured(driver, qsearch)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert (before["drop_search_n"], before["drop_search_of"], before["truncated"]) == (38, 300, True)
    assert qsearch("resume", "@last", timeout=200).returncode == 0

    rows = {row["origin"]: row for row in _rows(qsearch)}
    ruined, fp32 = rows["uniform ternary"], rows["uniform fp32"]
    same = ("trial", "drop_search", "drop_search_low", "drop_search_high", "drop_search_n", "score_search")
    assert {key: ruined[key] for key in same} == {key: before[key] for key in same}
    assert not ruined["feasible"]
    assert ruined["rank"] == 2
    assert ruined["drop"] is None, "it was no finalist"
    # fp32 is what the others are compared with, and is not raced
    assert (fp32["drop_search_n"], fp32["truncated"]) == (300, False)
    _shown(qsearch, ruined["trial"])


def _when_it_was_measured(driver: subprocess.Popen[bytes], qsearch: Run) -> dict[str, Any]:
    """The row of the uniform ternary candidate, as soon as there is one."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert driver.poll() is None, "the job was over too soon"
        listed = qsearch("trials", "@last", "--json")
        rows = json.loads(listed.stdout)["trials"] if listed.returncode == 0 else []
        for row in rows:
            if row["origin"] == "uniform ternary" and row["state"] == "DONE" and "truncated" in row:
                return dict(row)
        time.sleep(0.3)
    raise AssertionError("the ternary candidate was not measured")


def _shown(qsearch: Run, trial: str) -> None:
    for words in (("trials", "@last"), ("pareto", "@last"), ("pareto", "@last", "--confident")):
        text = qsearch(*words).stdout
        assert "n=38 of 300" in text, text
        assert "truncated" in text
    assert "n=38 of 300" in qsearch("show", trial).stdout
    shown = json.loads(qsearch("show", trial, "--json").stdout)["accuracy_search"]
    assert (shown["n"], shown["of"], shown["looks"], shown["truncated"]) == (38, 300, [38], True)
    # a looser limit does not make an answer of it: 38 samples are no proof
    loose = json.loads(qsearch("best", "@last", "--max-drop", "95%", "--json").stdout)
    assert loose["trial"] != trial
    exported = qsearch("export", trial, "-o", "ruined", "--verify")
    assert "scores" not in exported.stderr, exported.stderr


@pytest.mark.slow
def test_without_racing_every_sample_is_scored(spec: Path, qsearch: Run) -> None:
    done = qsearch("run", "raced.yaml", "--trials", "2", "--no-racing")
    assert done.returncode == 0, done.stderr
    assert {row["drop_search_n"] for row in _rows(qsearch)} == {300}


@pytest.mark.slow
def test_a_metric_that_is_not_raced_says_so(spec: Path, qsearch: Run) -> None:
    spec.write_text(SPEC.replace("metric: top1", "metric: f1-macro"))
    done = qsearch("run", "raced.yaml", "--trials", "2")
    assert done.returncode == 0, done.stderr
    assert "f1-macro is not raced" in qsearch("status", "@last").stdout
    assert {row["drop_search_n"] for row in _rows(qsearch)} == {300}

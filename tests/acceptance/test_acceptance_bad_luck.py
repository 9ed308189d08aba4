"""Bad input and bad luck: the promised message and exit code, and no accepted measurement lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.acceptance.conftest import QSEARCH, Run, environment

SPEC = """\
name: mine
model: {path: model.onnx}
data: {path: samples.npz}
metric: top1
constraints: {drop: 5%}
targets: [this-machine]
search: {trials: 6, seed: 0, finalists: 1}
precision: quick
"""


@pytest.fixture
def spec(project: Path) -> Path:
    file = project / "mine.yaml"
    file.write_text(SPEC)
    return file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("model.onnx", "absent.onnx"), "absent.onnx"),
        (("samples.npz", "absent.npz"), "absent.npz"),
        (("metric: top1", "metric: topp"), "topp"),
        (("this-machine", "that-machine"), "that-machine"),
        (("precision: quick", "precision: quick\nspace: {choices: [fp32, int8-statik]}"), "int8-static"),
        (("precision: quick", "precisoin: quick"), "precision"),
        (("drop: 5%", "drop: 5%, size: 1KiB"), "smallest reachable"),
        (("precision: quick", "precision: quick\nspace: {pin: {'*nothing*': fp32}}"), "*nothing*"),
    ],
)
def test_a_spec_that_cannot_be_met_starts_nothing(
    spec: Path, qsearch: Run, change: tuple[str, str], words: str
) -> None:
    spec.write_text(SPEC.replace(*change))
    done = qsearch("run", "mine.yaml")
    assert done.returncode == 3, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["missing", "text", "truncated", "weightless"])
def test_a_file_that_is_no_usable_model_is_told_so(project: Path, qsearch: Run, kind: str) -> None:
    model = project / "bad.onnx"
    if kind == "text":
        model.write_text("this is not a model")
    if kind == "truncated":
        data = (project / "model.onnx").read_bytes()
        model.write_bytes(data[: len(data) // 2])
    if kind == "weightless":
        value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    done = qsearch("inspect", "bad.onnx")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "bad.onnx" in done.stderr or "quantize" in done.stderr
    assert 1 <= len(done.stderr.strip().splitlines()) <= 3


def test_samples_that_do_not_fit_the_model_are_named(project: Path, spec: Path, qsearch: Run) -> None:
    np.savez(project / "samples.npz", y=np.zeros((40, 96), np.float32), labels=np.zeros(40, np.int64))
    done = qsearch("run", "mine.yaml")
    assert done.returncode == 3
    assert "no array 'x'" in done.stderr
    np.savez(project / "samples.npz", x=np.zeros((40, 95), np.float32), labels=np.zeros(40, np.int64))
    done = qsearch("run", "mine.yaml")
    assert done.returncode == 3
    assert "shape" in done.stderr


@pytest.mark.parametrize(
    ("body", "words"),
    [("raise KeyError('boom')", "boom"), ("return 7", "expected qsearch.contracts.task.Task")],
)
def test_task_code_that_fails_is_told_with_its_place(
    project: Path, spec: Path, qsearch: Run, body: str, words: str
) -> None:
    (project / "mytask.py").write_text(f"def task():\n    {body}\n")
    spec.write_text(SPEC.replace("data: {path: samples.npz}\nmetric: top1\n", "task: mytask:task\n"))
    done = qsearch("run", "mine.yaml")
    assert done.returncode == 3, done.stdout + done.stderr
    assert words in done.stderr


def test_a_score_of_nan_is_refused(project: Path, spec: Path, qsearch: Run) -> None:
    (project / "mytask.py").write_text(
        "import numpy as np\n"
        "from qsearch.contracts.task import Split, Task\n"
        "def score(outputs, labels):\n    return np.full(4, np.nan)\n"
        "def task():\n"
        "    s = Split(samples=[{'x': np.ones(96, np.float32)}] * 4)\n"
        "    return Task(metric='m', score=score, calibration=s, search=s, heldout=s)\n"
    )
    spec.write_text(SPEC.replace("data: {path: samples.npz}\nmetric: top1\n", "task: mytask:task\n"))
    done = qsearch("run", "mine.yaml")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "not finite" in done.stderr


@pytest.mark.noisy
@pytest.mark.slow
def test_limits_that_nobody_meets_keep_and_print_the_closest(spec: Path, qsearch: Run) -> None:
    spec.write_text(SPEC.replace("drop: 5%", "latency: 1ns").replace("trials: 6", "trials: 2"))
    done = qsearch("run", "mine.yaml")
    if done.returncode == 3:  # a unit that small is refused by the spec; microseconds are the smallest
        spec.write_text(SPEC.replace("drop: 5%", "latency: 0.001us").replace("trials: 6", "trials: 2"))
        done = qsearch("run", "mine.yaml")
    assert done.returncode == 6, done.stdout + done.stderr
    assert "closest" in done.stdout
    assert qsearch("best", "@last").returncode == 6


@pytest.mark.noisy
@pytest.mark.slow
def test_kill_dash_nine_at_random_moments_loses_and_repeats_nothing(project: Path, spec: Path, qsearch: Run) -> None:
    """Five kills, then a run to the end: exactly the budget's DONE rows, one accept each."""
    chance = random.Random(20)
    words = ["run", "mine.yaml"]
    killed = 0
    for _ in range(5):
        with open(project / "driver.log", "w") as log:
            driver = subprocess.Popen(
                [QSEARCH, *words], cwd=project, env=environment(project.parent), stdout=log, stderr=log
            )
        _wait_for_a_job(project)
        time.sleep(chance.uniform(0.5, 5.0))
        driver.kill()
        driver.wait()
        said = (project / "driver.log").read_text()
        assert driver.returncode == -signal.SIGKILL or "DONE" in said, said
        killed += driver.returncode == -signal.SIGKILL
        words = ["resume", "@last"]
    assert killed >= 3, "a run in which nothing was killed proves nothing"
    _assert_nothing_is_left_running(project)
    done = qsearch("resume", "@last")
    assert done.returncode == 0 or "is DONE" in done.stderr, done.stderr
    with sqlite3.connect(f"file:{project}/.qsearch/qsearch.db?mode=ro", uri=True) as database:
        states = [row[0] for row in database.execute("select state from v_trials")]
        accepted = [row[0] for row in database.execute("select data from job_events where kind = 'accepted'")]
        measured = database.execute("select count(*) from v_measurements where tier != 'final'").fetchone()[0]
    assert states == ["DONE"] * 6
    assert len(accepted) == len(set(accepted)) == 6
    assert measured == 6


@pytest.mark.noisy
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_gracefully_and_twice_cancels(project: Path, spec: Path, qsearch: Run, times: int) -> None:
    driver = subprocess.Popen(
        [QSEARCH, "run", "mine.yaml", "--trials", "40"],
        cwd=project,
        env=environment(project.parent),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # with none running the first one may end the job before the second comes
    running = "select count(*) from v_trials where state = 'RUNNING' and exists"
    _wait_for(project, f"{running} (select 1 from v_trials where state = 'DONE')", 1)
    assert _family(project), "the check for what is left must be able to see what runs"
    for _ in range(times):
        os.killpg(driver.pid, signal.SIGINT)
        time.sleep(0.3)
    out, err = driver.communicate(timeout=90)
    assert driver.returncode == 130, err
    assert "Traceback" not in err
    state = "DONE" if times == 1 else "CANCELLED"
    assert state in qsearch("jobs").stdout
    if times == 1:
        assert "the pick" in out
    else:
        assert "qsearch resume" in err
    _assert_nothing_is_left_running(project)


def test_a_locked_database_is_told_with_what_to_do(project: Path, spec: Path, qsearch: Run) -> None:
    assert qsearch("jobs").returncode == 0
    # a lock that outlives every retry: an exclusive transaction of another program
    with sqlite3.connect(project / ".qsearch/qsearch.db", isolation_level=None) as other:
        other.execute("begin exclusive")
        done = qsearch("run", "mine.yaml", timeout=115)
        other.execute("rollback")
    assert done.returncode == 8, done.stdout + done.stderr
    assert "locked" in done.stderr


def _wait_for_a_job(project: Path) -> None:
    _wait_for(project, "select count(*) from v_jobs", 1)


def _wait_for(project: Path, sql: str, least: int) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        try:
            with sqlite3.connect(f"file:{project}/.qsearch/qsearch.db?mode=ro", uri=True) as database:
                if database.execute(sql).fetchone()[0] >= least:
                    return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.05)
    pytest.fail(f"still fewer than {least}: {sql}")


def _assert_nothing_is_left_running(project: Path) -> None:
    """Every process that inherited the home of this test's user ends within seconds."""
    until = time.monotonic() + 15
    while left := _family(project):
        if time.monotonic() > until:
            pytest.fail(f"left running: {[(p / 'cmdline').read_bytes() for p in left]}")
        time.sleep(0.1)


def _family(project: Path) -> list[Path]:
    mark = f"HOME={project.parent}".encode()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(process)
    return found

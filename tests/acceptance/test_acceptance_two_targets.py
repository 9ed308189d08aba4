"""One job on two runtimes, from the command line: two fronts, and where they differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

pytestmark = [pytest.mark.noisy, pytest.mark.slow, pytest.mark.timeout(900)]

TARGETS = ("cpu-1thread", "openvino-1thread")
FLAGS = [word for name in TARGETS for word in ("--target", name)]


def test_two_fronts_in_one_job_and_the_table_that_shows_where_they_differ(project: Path, qsearch: Run) -> None:
    pytest.importorskip("openvino")
    assert qsearch("init", "model.onnx", "--data", "samples.npz").returncode == 0
    plan = qsearch("plan", "model.yaml", *FLAGS)
    assert "openvino-1thread has no kernel for int8-dynamic: it is searched without" in plan.stdout, plan.stderr
    done = qsearch("run", "model.yaml", "--trials", "8", "--fast", *FLAGS, timeout=800)
    assert done.returncode == 0, done.stderr
    assert all(f"the pick for {name}" in done.stdout for name in TARGETS)

    rows = json.loads(qsearch("trials", "@last", "--json").stdout)["trials"]
    assert sorted(row["target"] for row in rows) == [name for name in TARGETS for _ in range(4)]
    assert not [r for r in rows if r["target"] == "openvino-1thread" and "int8-dynamic" in r["choices"]]
    for name in TARGETS:
        front = json.loads(qsearch("pareto", "@last", "--target", name, "--json").stdout)
        assert [each["target"] for each in front["fronts"]] == [name]
        assert json.loads(qsearch("best", "@last", "--target", name, "--json").stdout)["target"] == name
        assert json.loads(qsearch("layers", "@last", "--target", name, "--json").stdout)["target"] == name
        assert qsearch("show", f"@last/best:{name}").returncode == 0
    for words in (("best", "@last"), ("pareto", "@last"), ("layers", "@last"), ("show", "@last/best")):
        asked = qsearch(*words)
        assert asked.returncode == 2
        assert all(name in asked.stderr for name in TARGETS)

    _side_by_side(qsearch)


def _side_by_side(qsearch: Run) -> None:
    across = json.loads(qsearch("compare", "@last", "--targets", "--json").stdout)
    assert across["schema"] == "qsearch.across-targets/1"
    rows = {row["uniform"]: row for row in across["candidates"] if row["uniform"]}
    assert set(rows["uniform int8-static"]["on"]) == set(TARGETS)
    assert rows["uniform int8-dynamic"]["absent"] == {"openvino-1thread": "no kernel for int8-dynamic"}
    pair = [rows["uniform int8-static"]["on"][name]["trial"] for name in TARGETS]
    stored = qsearch("compare", *pair, "--json", "--strict")
    assert stored.returncode == 9, stored.stderr
    told = json.loads(stored.stdout)
    assert told["time"] is None
    assert "runtime_key" in told["incomparable"]
    assert told["accuracy"][-1]["n"] == 100
    now = qsearch("compare", *pair, "--measure", "--fast", "--json")
    assert now.returncode == 0, now.stderr
    assert json.loads(now.stdout)["time"]["basis"] == "now"


def test_a_file_under_two_runtimes_on_a_specs_samples_and_on_random_ones(project: Path, qsearch: Run) -> None:
    pytest.importorskip("openvino")
    assert qsearch("init", "model.onnx", "--data", "samples.npz").returncode == 0
    (project / "broken.onnx").write_bytes((project / "model.onnx").read_bytes()[:1000])
    seen = qsearch("bench", "model.onnx", "--spec", "model.yaml", *FLAGS, "--tier", "quick", "--json")
    assert seen.returncode == 0, seen.stderr
    document = json.loads(seen.stdout)
    assert document["random_inputs"] is False
    assert [arm["target"] for arm in document["models"]] == list(TARGETS)
    assert "search samples of spec model" in document["notes"][0]
    seen = qsearch("bench", "model.onnx", "broken.onnx", *FLAGS, "--tier", "quick", "--json")
    assert seen.returncode == 5, seen.stderr
    document = json.loads(seen.stdout)
    assert document["random_inputs"] is True
    assert [arm["failure"] is None for arm in document["models"]] == [True, False, True, False]

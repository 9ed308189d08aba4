"""User code in its own child: a real one, with real mistakes."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from workers.scoring import UserCode

GOOD = """
    import numpy as np
    from qsearch.contracts.task import Split, Task

    print("noise on stdout must not matter")

    def score(outputs, labels):
        return np.ones(len(labels["labels"]))

    def task():
        split = Split(samples=[{"x": np.ones(2, np.float32)}] * 3, labels={"labels": np.arange(3)})
        return Task(metric="ones", score=score, calibration=split, search=split, heldout=split)
"""


def _ask(folder: Path, body: str, **request: object) -> dict[str, object]:
    (folder / "mine.py").write_text(textwrap.dedent(body))
    code = UserCode()
    try:
        asked: dict[str, object] = {"do": "materialize", "task": "mine:task", "folder": str(folder), "batches": [1]}
        return code.ask(asked | {"out": str(folder / "out")} | request, deadline_s=30)
    finally:
        code.close()


def test_a_task_is_written_and_its_scoring_function_named(tmp_path: Path) -> None:
    answer = _ask(tmp_path, GOOD)
    assert answer["score"] == "mine:score"
    assert answer["samples"] == {"calibration": 3, "search": 3, "heldout": 3}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def task():\n    return 1 / 0\n", r"ZeroDivisionError: division by zero at mine\.py:2"),
        ("def task():\n    return 5\n", "returned int; expected"),
        ("def other():\n    return 5\n", "module 'mine' has no function 'task'"),
        ("import sys\ndef task():\n    sys.exit(3)\n", "SystemExit"),
        ("import nosuchthing\n", "No module named 'nosuchthing'"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(WorkFailed, match=words) as caught:
        _ask(tmp_path, body)
    assert caught.value.cause is Cause.USER_ERROR


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match="no module 'absent' beside the spec"):
        _ask(tmp_path, "", task="absent:task")


def test_a_crash_is_contained_and_the_next_request_served(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\ndef task():\n    os.abort()\n")
    (tmp_path / "fine.py").write_text(textwrap.dedent(GOOD))
    code = UserCode()
    request: dict[str, object] = {
        "do": "materialize",
        "folder": str(tmp_path),
        "batches": [1],
        "out": str(tmp_path / "o"),
    }
    try:
        with pytest.raises(WorkFailed, match="SIGABRT"):
            code.ask(request | {"task": "mine:task"}, 30)
        assert code.ask(request | {"task": "fine:task"}, 30)["metric"] == "ones"
    finally:
        code.close()


def test_code_that_hangs_is_killed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import time\ndef task():\n    time.sleep(600)\n")
    code = UserCode()
    with pytest.raises(WorkFailed, match="did not answer within 2 s") as caught:
        code.ask({"do": "materialize", "task": "mine:task", "folder": str(tmp_path), "batches": [1], "out": "o"}, 2)
    assert caught.value.cause is Cause.TIMEOUT

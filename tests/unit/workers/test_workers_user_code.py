"""User code in its own child: a real one, with real mistakes."""

from __future__ import annotations

import json
import signal
import textwrap
from pathlib import Path

import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from workers.scoring import UserCode
from workers.talk import TalkingChild
from workers.tree import MARK

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


@pytest.mark.parametrize("name", ["numpy", "workers", "json", "onnx"])
def test_a_module_beside_the_spec_shadows_nothing_of_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong one')\n")
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    assert _ask(tmp_path, GOOD)["metric"] == "ones"


def test_a_module_beside_the_spec_can_import_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text(textwrap.dedent(GOOD))
    assert _ask(tmp_path, "from beside import task\n")["metric"] == "ones"


def test_settings_are_not_shown_to_user_code_and_the_mark_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSEARCH_DATABASE_URL", "postgresql://ann:secret@host/db")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("MINE", "kept")
    monkeypatch.setenv(MARK, "family")
    told = tmp_path / "told.json"
    write = f"json.dump(dict(os.environ), open({str(told)!r}, 'w'))"
    body = f"import json, os\ndef task():\n    {write}\n    raise ValueError\n"
    with pytest.raises(WorkFailed):
        _ask(tmp_path, body)
    seen = json.loads(told.read_text())
    assert [n for n in seen if n.startswith(("QSEARCH_", "RAY_"))] == [MARK]
    assert (seen[MARK], seen["MINE"]) == ("family", "kept")


@pytest.mark.parametrize(
    ("death", "cause", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", Cause.NATIVE_CRASH, "SIGSEGV"),
        ("os.abort()", Cause.NATIVE_CRASH, "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", Cause.INFRA, "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGTERM)", Cause.INFRA, "SIGTERM"),
        ("os._exit(3)", Cause.USER_ERROR, "exited with 3"),
    ],
)
def test_each_death_has_its_cause(tmp_path: Path, death: str, cause: Cause, words: str) -> None:
    with pytest.raises(WorkFailed, match=words) as caught:
        _ask(tmp_path, f"import os, signal\ndef task():\n    {death}\n")
    assert caught.value.cause is cause


def test_a_kill_that_the_kernel_counted_is_out_of_memory(tmp_path: Path) -> None:
    kills = iter([3, 4])
    child = TalkingChild("workers.user_code", cwd=str(tmp_path), oom_kills=lambda: next(kills))
    (tmp_path / "mine.py").write_text(f"import os\ndef task():\n    os.kill(os.getpid(), {int(signal.SIGKILL)})\n")
    request: dict[str, object] = {"do": "materialize", "task": "mine:task", "folder": str(tmp_path), "batches": [1]}
    with pytest.raises(WorkFailed, match="for memory") as caught:
        child.ask(request | {"out": str(tmp_path / "o")}, 30)
    assert caught.value.cause is Cause.OUT_OF_MEMORY


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match=r"no process can be started in .*gone"):
        TalkingChild("workers.user_code", cwd=str(tmp_path / "gone"))

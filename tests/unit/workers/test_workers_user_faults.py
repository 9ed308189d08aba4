"""What user code can do to the child it runs in, and what is said of it."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from qsearch.measure.samples import write_samples
from workers.own_folder import make_own_folder, remove_folders_of
from workers.scoring import UserCode
from workers.tree import MARK

HEAD = "import json, os, sys, threading, time, tempfile\nimport numpy as np\nfrom qsearch.contracts.task import *\n"


@pytest.fixture
def code() -> Iterator[UserCode]:
    user_code = UserCode()
    yield user_code
    user_code.close()


def _score(code: UserCode, folder: Path, body: str, name: str = "mine", outputs: object = 0.5) -> dict[str, object]:
    """Ask for the scores of three samples."""
    (folder / f"{name}.py").write_text(HEAD + textwrap.dedent(body))
    given = np.array([[1.0], [2.0], [outputs]], np.float32)
    write_samples(folder / "outputs.npz", [{"y": row[None]} for row in given], {}, [1, 1, 1])
    write_samples(folder / "samples.npz", [{"x": row[None]} for row in given], {"labels": np.arange(3)}, [1, 1, 1])
    files = {key: str(folder / f"{key}.npz") for key in ("samples", "outputs", "out")}
    return code.ask({"do": "score", "score": f"{name}:score", "folder": str(folder), **files}, 30)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("[1.0, float('nan'), 1.0]", "returned outcomes that are not finite, number 1 is nan"),
        ("np.array([np.inf, 1, 1])", "number 0 is inf"),
        ("['a', 'b', 'c']", "expected numbers"),
        ("[1j, 2j, 3j]", "expected numbers"),
        ("None", "expected numbers"),
        ("{'a': 1}", "expected numbers"),
        ("[[1], [2, 3]]", "no array"),
        ("np.ones((3, 2))", r"of shape \(3, 2\); expected \[m\]"),
        ("[]", r"expected \[m\], m ≥ 1"),
        ("3.0", "of shape"),
        ("Scores(outcomes=np.ones(3), weights=['x'] * 3)", "returned weights of list"),
        ("sys.exit('enough')", "SystemExit: enough at mine.py:5"),
        ("os.abort()", "SIGABRT"),
        ("os.fork() and np.ones(3) if False else (_ for _ in ()).throw(Mute())", r"Mute: \(its words cannot be read\)"),
        ("(_ for _ in ()).throw(ValueError('x' * 9_000_000))", "ValueError: xxx"),
        ("(_ for _ in ()).throw(KeyboardInterrupt())", "KeyboardInterrupt"),
    ],
)
def test_what_a_score_returns_instead_is_named(tmp_path: Path, code: UserCode, returned: str, words: str) -> None:
    mute = "class Mute(Exception): __str__ = lambda self: 1 / 0\n"
    with pytest.raises(WorkFailed, match=words) as caught:
        _score(code, tmp_path, f"def score(outputs, labels): return (\n{returned})\n{mute}")
    crashed = "abort" in returned
    assert caught.value.cause is (Cause.NATIVE_CRASH if crashed else Cause.USER_ERROR)
    assert "mine:score" in caught.value.message
    assert len(caught.value.message) < 4000


def test_outcomes_need_not_be_finite_where_the_outputs_are_not(tmp_path: Path, code: UserCode) -> None:
    body = "def score(outputs, labels): return np.array([float(o[0]) for o in outputs['y']])\n"
    assert _score(code, tmp_path, body, outputs=np.inf)["n"] == 3


def test_memory_is_refused_by_its_name(tmp_path: Path, code: UserCode) -> None:
    with pytest.raises(WorkFailed, match=r"MemoryError.* at mine\.py:4") as caught:
        _score(code, tmp_path, "def score(outputs, labels): return bytearray(1 << 45)\n")
    assert caught.value.cause is Cause.OUT_OF_MEMORY


def test_what_one_call_changes_is_not_there_for_the_next(tmp_path: Path, code: UserCode) -> None:
    body = """
    def score(outputs, labels):
        os.chdir("/")
        json.dumps = json.loads = sys.stdout = None
        open(os.path.join(tempfile.gettempdir(), "left"), "w").close()
        return np.ones(3)
    """
    assert _score(code, tmp_path, body, "first")["n"] == 3
    body = """
    def score(outputs, labels):
        assert os.getcwd() == os.path.dirname(os.path.abspath(__file__)), os.getcwd()
        return np.ones(3)
    """
    assert _score(code, tmp_path, body, "second")["n"] == 3


def test_a_fork_that_comes_back_answers_once(tmp_path: Path, code: UserCode) -> None:
    body = "def score(outputs, labels):\n    os.fork()\n    return np.ones(3)\n"
    for name in ("a", "b"):
        assert _score(code, tmp_path, body, name)["n"] == 3


def test_a_flood_ends_neither_memory_nor_disk_and_is_cut(tmp_path: Path, code: UserCode) -> None:
    body = """
    def score(outputs, labels):
        for number in range(64):
            os.write(2, bytes(1 << 20))
        print("the very last words")
        os._exit(4)
    """
    with pytest.raises(WorkFailed, match="exited with 4") as caught:
        _score(code, tmp_path, body)
    assert caught.value.tail.endswith("the very last words")
    assert len(caught.value.tail) <= 4000


def test_threads_that_go_on_stand_still_between_calls(tmp_path: Path, code: UserCode) -> None:
    body = """
    def spin():
        while True: pass
    def score(outputs, labels):
        threading.Thread(target=spin, daemon=True).start()
        return np.ones(3)
    """
    _score(code, tmp_path, body)
    assert code._child is not None
    process = psutil.Process(code._child.pid)
    until = time.monotonic() + 10
    while process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until, process.status()
        time.sleep(0.01)
    code.close()
    assert not process.is_running()


def test_words_in_place_of_an_answer_are_the_users_fault(tmp_path: Path, code: UserCode) -> None:
    body = """
    def score(outputs, labels):
        for number in range(3, 20):
            try:
                os.write(number, b"{}\\n")
            except OSError:
                pass
        return np.ones(3)
    """
    with pytest.raises(WorkFailed, match="in place of an answer") as caught:
        _score(code, tmp_path, body)
    assert caught.value.cause is Cause.USER_ERROR
    assert _score(code, tmp_path, "def score(o, l): return np.ones(3)\n", "fine")["n"] == 3


def test_folders_of_a_worker_that_was_killed_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, f"gone{os.getpid()}")
    folder = Path(make_own_folder())
    (folder / "file").touch()
    remove_folders_of("another")
    assert folder.is_dir()
    remove_folders_of(f"gone{os.getpid()}")
    assert not folder.exists()

"""Errors: one to three lines on stderr, the promised code, a traceback only when asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import report_records as records

from qsearch.cli import exit_codes
from qsearch.contracts import errors
from qsearch.contracts.causes import Cause

CASES = [
    (errors.UsageError("u", "h"), 2),
    (errors.InputError("i"), 3),
    (errors.ModelError("m"), 3),
    (errors.DataError("d"), 3),
    (errors.TaskError("t"), 3),
    (errors.Unsupported("x"), 3),
    (errors.NotFound("n"), 4),
    (errors.JobFailed("j"), 5),
    (errors.WorkFailed(Cause.TIMEOUT, "w", tail="first\nlast\n", hint="h"), 5),
    (errors.Fenced("f"), 5),
    (errors.Unreachable("u"), 8),
    (errors.Inconclusive("i"), 9),
    (errors.Incomparable("i"), 9),
    (errors.Interrupted("stopped", "qsearch resume j1"), 130),
    (errors.Interrupted("stopped", "qsearch resume j1", signal=15), 143),
]


@pytest.mark.parametrize(("error", "code"), CASES, ids=lambda value: type(value).__name__)
def test_each_of_the_family_has_its_code(qsearch, desk, error: errors.QSearchError, code: int) -> None:
    desk.error = error
    ran = qsearch("status", "j1")
    assert (ran.code, ran.out) == (code, "")
    assert 1 <= len(ran.err.splitlines()) <= 3
    assert error.message in ran.err
    assert error.hint in ran.err
    assert "Traceback" not in ran.err


def test_the_table_covers_the_whole_family() -> None:
    def family(kind: type[errors.QSearchError]) -> set[type[errors.QSearchError]]:
        return {kind}.union(*(family(child) for child in kind.__subclasses__()))

    own = {kind for kind in family(errors.QSearchError) if kind.__module__ == errors.__name__}
    for kind in own - {errors.QSearchError}:
        assert any(base.__name__ in exit_codes.BY_ERROR for base in kind.__mro__), kind


def test_every_problem_of_a_spec_begins_with_its_place(qsearch, desk) -> None:
    problems = tuple(errors.Problem(path="search", message=f"wrong {n}", line=n, column=2) for n in (3, 4))
    desk.error = errors.SpecError("s.yaml", problems)
    ran = qsearch("validate", "s.yaml")
    assert ran.code == 3
    assert ran.err.splitlines() == ["s.yaml:3:2 search: wrong 3", "s.yaml:4:2 search: wrong 4"]


def test_the_last_words_of_failed_work_are_shown(qsearch, desk) -> None:
    desk.error = errors.WorkFailed(Cause.USER_ERROR, "task raised", tail="first\nValueError: x\n\n")
    assert qsearch("status", "j1").err.splitlines() == ["error: task raised", "ValueError: x"]
    assert "first" in qsearch("--debug", "status", "j1").err


def test_a_bug_says_so_and_how_to_get_the_traceback(qsearch, desk) -> None:
    desk.error = ZeroDivisionError("division by zero")
    ran = qsearch("status", "j1")
    assert ran.code == 1
    assert "this is a bug" in ran.err
    assert "--debug" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in qsearch("--debug", "status", "j1").err


def test_a_family_error_has_a_traceback_only_with_debug(qsearch, desk) -> None:
    desk.error = errors.NotFound("no job x")
    assert "Traceback" in qsearch("--debug", "status", "x").err


def test_ctrl_c_outside_a_run(qsearch, desk) -> None:
    desk.error = KeyboardInterrupt()
    ran = qsearch("status", "j1")
    assert (ran.code, ran.err) == (130, "interrupted\n")


def test_error_texts_cannot_steer_a_terminal(qsearch, desk) -> None:
    desk.error = errors.NotFound("no job \x1b[2J")
    assert "\x1b" not in qsearch("status", "x").err


def test_typing_errors_name_what_was_meant(qsearch) -> None:
    for argv, meant in (
        (["sttus", "j1"], "status"),
        (["status", "j1", "--jsn"], "--json"),
        (["run", "s.yaml", "--trails", "3"], "--trials"),
        (["status", "j1", "--debug"], "before the command"),
        (["bench", "a.onnx", "--tier", "slow"], "screen"),
        (["status"], "JOB"),
        (["status", "j1", "-f", "xml"], "jsonl"),
    ):
        ran = qsearch(*argv)
        assert ran.code == 2
        assert ran.out == ""
        assert meant in ran.err, argv
        assert len(ran.err.splitlines()) <= 3


def test_no_command_is_answered_with_the_help(qsearch) -> None:
    ran = qsearch()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: qsearch")


def test_an_unreadable_settings_file_is_refused_once(qsearch) -> None:
    ran = qsearch("--config", "nowhere.toml", "config", "show")
    assert ran.code == 2
    assert "nowhere.toml" in ran.err


@pytest.mark.parametrize("argv", [["schema", "spec"], ["version"], ["version", "-f", "csv"]])
def test_a_closed_pipe_is_quiet(argv: list[str]) -> None:
    command = [sys.executable, "-m", "qsearch", *argv]
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_code_of_a_job_is_its_worst_answer() -> None:
    assert exit_codes.code_of_job(records.status()) == 0
    both = records.status(bests=(records.best(), records.best(feasible=False)))
    assert exit_codes.code_of_job(both) == 6

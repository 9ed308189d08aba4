"""What a newcomer stumbles over: hints that can be pasted, a full stdout, numbers beyond sense, a head in use."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import report_records as records
import report_records_desk as desk_records

from qsearch.cli.program import shell_line, typed_within
from qsearch.contracts.errors import InputError, UsageError
from qsearch.contracts.job import JobState
from qsearch.contracts.trial import TrialState
from qsearch.report.progress import progress_line


def test_a_path_with_a_space_is_quoted_in_what_to_type_next(qsearch, desk, tmp_path: Path) -> None:
    (tmp_path / "my model.onnx").touch()
    ran = qsearch("init", "my model.onnx")
    assert (ran.code, ran.err) == (0, "Next: qsearch plan 'my model.yaml'\n")
    assert shell_line("show", "j1/front[2]") == "qsearch show 'j1/front[2]'"


def test_every_command_of_a_hint_has_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsearch.cli.program._program", lambda: "bin/qsearch")
    said = "qsearch resume j1 goes on, qsearch cancel j1 ends it; see /opt/qsearch run and qsearches run"
    wanted = "bin/qsearch resume j1 goes on, bin/qsearch cancel j1 ends it; see /opt/qsearch run and qsearches run"
    assert typed_within(said) == wanted


@pytest.mark.parametrize("argv", [["version"], ["--help"], ["schema", "spec"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_named(argv: list[str], unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "qsearch", *argv]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ran.returncode == 8, ran.stderr
    assert "standard output: No space left on device" in ran.stderr
    assert "bug" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 2


def test_a_closed_stdout_is_refused_before_anything_is_started() -> None:
    command = f"'{sys.executable}' -m qsearch version >&-"
    ran = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ran.returncode, "standard output is closed" in ran.stderr) == (2, True)


def test_numbers_that_no_database_holds_are_refused(qsearch, desk) -> None:
    for argv in (["jobs", "--limit", "9223372036854775808"], ["query", "x", "--limit", "9" * 30]):
        ran = qsearch(*argv)
        assert (ran.code, desk.opened) == (2, 0)


def test_a_job_that_judged_nothing_is_inconclusive(qsearch, desk) -> None:
    desk.the_status = records.status(unjudged=(records.best().target,))
    ran = qsearch("run", "s.yaml")
    assert ran.code == 9
    assert "run it again on a quieter machine" in ran.err
    assert "qsearch export" not in ran.err
    desk.the_status = replace(desk.the_status, job=records.job(state=JobState.FAILED))
    assert qsearch("watch", "j1").code == 5


def test_a_head_to_which_a_job_is_being_handed_in_is_not_ended_unasked(qsearch, desk) -> None:
    desk.the_head = replace(desk_records.head(), handing_in=True)
    ran = qsearch("head", "stop")
    assert (ran.code, "ended" in desk.asked) == (2, False)
    assert qsearch("head", "stop", "-y").code == 0
    assert desk.asked["cut_off"] is True
    desk.the_head = desk_records.head()
    assert "has ended" in qsearch("head", "stop").out
    assert desk.asked["cut_off"] is False


def test_no_head_is_said_in_words(qsearch, desk) -> None:
    desk.the_head = None
    for command in ("show", "stop"):
        assert qsearch("head", command).out == "no local Ray head lives for this database\n"
        assert json.loads(qsearch("head", command, "--json").out)["heads"] == []


def test_a_message_of_several_lines_is_one_line_in_a_list_and_whole_in_a_status(qsearch, desk) -> None:
    job = records.job(state=JobState.FAILED, message="first\nsecond")
    desk.the_jobs = (job,)
    desk.the_status = replace(desk.the_status, job=job)
    listed = qsearch("jobs").out
    assert ("first" in listed, "second" in listed, "\\x0a" in listed) == (True, False, False)
    shown = qsearch("status", "j1").out
    assert ("second" in shown, "\\x0a" in shown) == (True, False)


def test_a_failure_is_not_said_by_the_progress_too(qsearch, desk) -> None:
    failed = records.progress(2, job=records.job(state=JobState.FAILED), doing="no file m.onnx")
    assert "no file" not in progress_line(failed)


def test_a_cancelled_trial_uses_up_nothing() -> None:
    progress = replace(records.progress(), trials={TrialState.DONE: 5, TrialState.CANCELLED: 1}, budget=7)
    assert " 5/7 | 5 done, 1 cancelled" in progress_line(progress)


@pytest.mark.parametrize("name", ["/dev/full.png", "/dev/null/x.png"])
def test_a_drawing_among_devices_is_refused(qsearch, desk, name: str) -> None:
    ran = qsearch("pareto", "j1", "--plot", name)
    assert (ran.code, desk.opened, Path(name).exists()) == (2, 0, False)


@pytest.mark.parametrize(("error", "code"), [(UsageError("u"), 2), (InputError("i"), 3)])
def test_an_error_of_validate_has_its_code(qsearch, desk, error: Exception, code: int) -> None:
    desk.error = error
    assert qsearch("validate", "s.yaml").code == code


def test_doctor_tells_sittings_that_were_asked_for_from_those_that_were_not(qsearch, desk) -> None:
    qsearch("doctor", "--self-test")
    assert desk.asked["sittings"] is None
    qsearch("doctor", "--self-test", "--sittings", "6")
    assert desk.asked["sittings"] == 6

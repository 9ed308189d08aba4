"""submit, watch, stop, cancel and head on a desk in memory: what they ask, say, and end with."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import report_records as records
import report_records_desk as desk_records

from qsearch.contracts.errors import Interrupted, JobFailed, TimedOut, Unreachable, UsageError
from qsearch.contracts.job import JobState, Request
from qsearch.contracts.views import Overrides


def test_submit_says_where_the_job_is_and_what_lives_on(qsearch, desk) -> None:
    ran = qsearch("submit", "s.yaml", "--trials", "5", "--json")
    assert ran.code == 0, ran.err
    assert desk.asked["overrides"] == Overrides(trials=5, pool="ray")
    document = json.loads(ran.out)
    assert (document["schema"], document["submission"]) == ("qsearch.submission/1", "j1-1")
    assert "qsearch watch j1" in ran.err
    assert "qsearch head stop" in ran.err
    assert "has not taken it yet" not in ran.err


def test_submit_of_a_job_that_waits_for_its_turn_says_so(qsearch, desk) -> None:
    desk.the_submission = desk_records.submission(driven=False, head=None, notes=("not sent along: big.bin",))
    ran = qsearch("submit", "s.yaml")
    assert ran.code == 0
    assert "waits for its turn" in ran.err
    assert "not sent along: big.bin" in ran.err
    assert "head" not in ran.err


def test_submit_and_wait_ends_as_run_does(qsearch, desk) -> None:
    waited, run = qsearch("submit", "s.yaml", "--wait"), qsearch("run", "s.yaml")
    assert (waited.code, waited.out) == (run.code, run.out)
    assert desk.asked["job"] == "j1"
    assert "qsearch export j1/best" in waited.err
    desk.the_status = replace(desk.the_status, job=records.job(state=JobState.CANCELLED))
    assert qsearch("submit", "s.yaml", "--wait").code == 5


def test_the_driver_s_refusal_reaches_the_submitter(qsearch, desk) -> None:
    desk.error = Unreachable("the driver of job j1 says: another database", "qsearch resume j1")
    ran = qsearch("submit", "s.yaml")
    assert (ran.code, ran.out) == (8, "")
    assert "another database" in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimedOut("job j1 is SEARCHING after 2 s and goes on", "qsearch watch j1"), 124),
        (Interrupted("no longer watching; job j1 goes on"), 130),
        (JobFailed("nobody drives job j1 any more", "qsearch resume j1"), 5),
    ],
)
def test_a_watch_that_ends_before_the_job(qsearch, desk, error: Exception, code: int) -> None:
    desk.error = error
    ran = qsearch("watch", "j1", "--timeout", "2s")
    assert (ran.code, ran.out) == (code, "")
    assert "j1" in ran.err
    assert desk.asked["timeout_s"] == 2.0


def test_a_timeout_that_is_no_time_is_refused_before_anything_is_opened(qsearch, desk) -> None:
    for argv in (["watch", "j1"], ["cancel", "j1", "-y"], ["submit", "s.yaml"], ["stop", "j1"]):
        ran = qsearch(*argv, "--timeout", "soon")
        assert (ran.code, desk.opened) == (2, 0)


def test_stop_and_cancel_ask_for_what_they_say(qsearch, desk) -> None:
    assert qsearch("stop", "@last").code == 0
    assert (desk.asked["request"], desk.asked["wait"]) == (Request.STOP, False)
    assert qsearch("cancel", "j1", "-y", "--wait", "--timeout", "1m").code == 0
    assert desk.asked == {"job": "j1", "request": Request.CANCEL, "wait": True, "timeout_s": 60.0}


def test_a_job_that_still_runs_has_been_asked(qsearch, desk) -> None:
    desk.the_status = replace(desk.the_status, job=records.job(state=JobState.SEARCHING, requested=Request.CANCEL))
    ran = qsearch("cancel", "j1", "-y")
    assert ran.code == 0
    assert "asked to" in ran.out
    assert "qsearch watch j1" in ran.err


def test_cancel_without_a_terminal_wants_a_yes_and_says_the_line(qsearch, desk) -> None:
    desk.the_status = replace(desk.the_status, job=records.job(state=JobState.SEARCHING))
    ran = qsearch("--artifacts", "a b", "--database-url", "postgresql://u:secret@h/d", "cancel", "j1")
    assert ran.code == 2
    assert "qsearch --artifacts 'a b' cancel j1 -y" in ran.err
    assert "secret" not in ran.err
    assert "request" not in desk.asked


def test_cancel_takes_no_last(qsearch, desk) -> None:
    ran = qsearch("cancel", "@last", "-y")
    assert ran.code == 2
    assert "qsearch cancel j1" in ran.err
    assert "request" not in desk.asked


def test_a_job_that_has_ended_is_said_to_have(qsearch, desk) -> None:
    desk.error = UsageError("job j1 is DONE and cannot be asked to cancel")
    assert qsearch("cancel", "j1", "-y").code == 2


def test_head_stop_asks_only_when_somebody_would_be_cut_off(qsearch, desk) -> None:
    assert qsearch("head", "stop").code == 0
    desk.the_head = desk_records.head("j1-1", "j2-1")
    ran = qsearch("head", "stop")
    assert ran.code == 2
    assert "qsearch head stop -y" in ran.err
    assert qsearch("head", "stop", "-y").code == 0
    desk.the_head = None
    assert json.loads(qsearch("head", "stop", "--json").out)["heads"] == []


def test_head_stop_asks_when_nobody_knows_what_runs_on_the_head(qsearch, desk) -> None:
    desk.the_head = replace(desk_records.head(), answers=False)
    ran = qsearch("head", "stop")
    assert ran.code == 2
    assert "qsearch head stop -y" in ran.err
    assert "ended" not in desk.asked
    ran = qsearch("head", "stop", "-y", "--json")
    assert ran.code == 0
    (told,) = json.loads(ran.out)["heads"]
    assert (told["answers"], told["drivers"]) == (False, None)


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 130), ("", 130)])
def test_a_yes_on_a_terminal(answer: str, code: int) -> None:
    """On a real terminal, in a process of its own: `must_be_sure` looks at stdin and stderr themselves."""
    ours, theirs = pty.openpty()
    script = (
        "from qsearch.cli.confirming import must_be_sure; from qsearch.contracts.errors import Interrupted\n"
        "import sys\n"
        "try: must_be_sure('Sure?', 'qsearch x -y', yes=False)\n"
        "except Interrupted as error: sys.exit(128 + error.signal)"
    )
    asked = subprocess.Popen([sys.executable, "-c", script], stdin=theirs, stderr=theirs)
    os.write(ours, f"{answer}\n".encode())
    try:
        assert asked.wait(30) == code
        assert b"Sure? [y/N]" in os.read(ours, 1000)
    finally:
        os.close(ours)
        os.close(theirs)


def test_drive_outside_ray_says_what_to_do_instead(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "qsearch", "--database-url", f"sqlite:///{tmp_path}/q.db", "drive", "j1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "qsearch resume JOB" in ran.stderr
    assert not (tmp_path / "q.db").exists(), "nothing is made where nothing can be driven"

"""Measuring children and workers killed while a job runs, and the user who stops it, in every phase."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from qsearch.contracts.causes import RETRIES, Cause
from tests.acceptance.checker import Books
from tests.acceptance.fire import Site, wait_for, write_deep_classifier

#: part of the command line of each
VICTIMS = {"child": "workers/child.py", "worker": "workers.worker"}
PHASES = ("PREPARING", "SEARCHING, measuring", "FINALIZING")

pytestmark = pytest.mark.noisy


@pytest.fixture
def site(project: Path) -> Iterator[Site]:
    write_deep_classifier(project)
    with Site(project) as found:
        yield found


def test_a_killed_child_and_a_killed_worker_cost_an_attempt_each(site: Site) -> None:
    with _under_fire(site, 1) as books:
        for shots, part in enumerate(VICTIMS.values(), start=1):
            # the canary first, and then an arm
            wait_for(
                lambda: "measuring" in books.phase() and len(site.processes(VICTIMS["child"])) > 1, "nothing measures"
            )
            os.kill(_one(site.processes(part), part), signal.SIGKILL)
            wait_for(lambda shots=shots: books.causes()["infra"] == shots, "nobody noticed")
        _finished(books, 1, site)
        assert set(books.causes()) <= {"infra", "polluted"}
        said = books.messages()
    assert any("arm " in message and "died by SIGKILL" in message for message in said), said
    assert any("the worker was killed by SIGKILL" in message for message in said), said


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", VICTIMS)
def test_whoever_measures_is_killed_at_random_moments_and_nothing_is_lost(site: Site, victim: str) -> None:
    trials, chance, shots = 10, random.Random(victim), Counter[str]()
    with _under_fire(site, trials) as books:
        while books.phase().startswith(("QUEUED", "PREPARING", "SEARCHING")):
            time.sleep(chance.uniform(0.2, 4.0))
            part = VICTIMS[victim]
            doing, found = f"trial {books.running()}", site.processes(part)
            # a fourth failure of one trial would end it, and rightly so; and a shot may hit the next trial
            if len(found) > (victim == "child") and shots[doing] < RETRIES[Cause.INFRA] - 1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(_one(found, part), signal.SIGKILL)
                    shots[doing] += 1
        _finished(books, trials, site)
        causes, messages = books.causes(), Counter(books.messages())
    print(f"shots at a {victim}: {shots.total()}; failed attempts: {dict(causes)}; {dict(messages)}")
    assert causes["infra"] >= 3, "a run in which nothing was retried proves nothing"
    assert set(causes) <= {"infra", "polluted"}, "a kill from outside is nobody's fault but the outside's"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)])
@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_in_any_phase_leaves_a_job_that_resume_finishes(
    site: Site, phase: str, number: signal.Signals, times: int
) -> None:
    trials = 4
    site.write_spec(trials)
    with site.books() as books:
        driver = _driven_to(site, books, phase)
        for _ in range(times):
            os.killpg(driver.pid, number)
            time.sleep(0.3)
        assert driver.wait(120) == 128 + number, site.log.read_text()
        said = site.log.read_text()
        assert "Traceback" not in said
        site.assert_nothing_is_left()
        graceful = times == 1 and phase != "PREPARING"
        job = books.job()
        assert job is not None
        assert job.state == ("DONE" if graceful else "CANCELLED"), said
        before = books.accepted()
        if not graceful:
            assert "qsearch resume" in said
            assert site.run("resume", "@last").returncode == 0
            assert books.states()["DONE"] == trials
            after = books.accepted()
            assert {n: after[n] for n in before} == before
            assert books.count("accepted") == len({digest for digest, _ in after.values()}) == trials


def _one(found: list[int], part: str) -> int:
    """Which of them to shoot: a worker's guard has its words and a higher number, a sitting's canary a lower one."""
    return found[0] if part == VICTIMS["worker"] else found[-1]


def _driven_to(site: Site, books: Books, phase: str) -> subprocess.Popen[bytes]:
    """The driver of a job that is in this phase, and not at its very end."""
    for _ in range(3):
        # a search that is stopped before it has measured anything has no answer, and is cancelled
        least, driver = 0 if phase == "PREPARING" else 1, site.start("run", "fire.yaml")
        stands = partial(_stands, books, phase, least)
        ended = driver.poll
        wait_for(lambda stands=stands, ended=ended: stands() or ended() is not None, f"never {phase}", 300, 0.005)
        # where every trial was polluted nothing can be judged, and the finals are over at once
        time.sleep(1.0 * least)
        if driver.poll() is None and books.phase() != "DONE":
            return driver
        driver.wait()
    pytest.fail(f"three jobs were over before they could be stopped {phase}: this machine is too busy to measure")


def _stands(books: Books, phase: str, least: int) -> bool:
    """Whether the job is in this phase and has so many measurements."""
    return books.phase() == phase and len(books.accepted()) >= least


@contextlib.contextmanager
def _under_fire(site: Site, trials: int) -> Iterator[Books]:
    """A job that is being driven, and its books."""
    site.write_spec(trials)
    driver = site.start("run", "fire.yaml")
    with site.books() as books:
        wait_for(lambda: books.job() is not None, "no job")
        yield books
    assert driver.wait(300) == 0, site.log.read_text()
    assert "Traceback" not in site.log.read_text()
    site.assert_nothing_is_left()


def _finished(books: Books, trials: int, site: Site) -> None:
    wait_for(lambda: (job := books.job()) is not None and job.state == "DONE", "not done", 400, 0.2)
    assert books.complaints(trials) == [], site.log.read_text()

"""The driver over the in-memory twins: a real loop and a real ledger, no clock and no children."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from driver_world import TARGET, World

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import (
    Fenced,
    Incomparable,
    InputError,
    Interrupted,
    JobFailed,
    Unreachable,
    WorkFailed,
)
from qsearch.contracts.job import Job, JobState
from qsearch.contracts.target import Target
from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import Progress
from qsearch.contracts.work import Work, WorkKind
from qsearch.service.driver import Driver
from qsearch.service.holder import is_dead, this_holder
from qsearch.service.looking import status


class Killed(BaseException):
    """What `kill -9` looks like from inside: nothing is caught and nothing is written any more."""


def drive(world: World, job: Job, told: list[Progress] | None = None) -> Job:
    with world.place() as place:
        return Driver(place, (told if told is not None else []).append).drive(world.ledger.job(job.id, "me"))


def test_a_job_runs_to_its_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    job, told = world.job(8), list[Progress]()
    assert drive(world, job, told).state is JobState.DONE
    assert [t.state for t in world.ledger.trials(job.id)] == [TrialState.DONE] * 8
    best = world.ledger.best(job.id, TARGET.name)
    assert best is not None
    assert best.drop is not None, "the answer was judged on held-out samples"
    assert {p.job.state for p in told} >= {JobState.PREPARING, JobState.SEARCHING, JobState.FINALIZING, JobState.DONE}
    assert not list(tmp_path.glob("scratch-*/trial-*")), "a trial leaves no files"


@pytest.mark.parametrize(
    "kind", [WorkKind.INSPECT, WorkKind.MATERIALIZE, WorkKind.PREPARE, WorkKind.TRIAL, WorkKind.FINAL]
)
def test_killed_in_any_phase_a_job_is_resumed_without_loss_or_repetition(tmp_path: Path, kind: WorkKind) -> None:
    world = World(tmp_path)
    job = world.job(6)
    seen = Counter[WorkKind]()

    def die(work: Work) -> None:
        seen[work.kind] += 1
        if work.kind is kind and seen[kind] == (3 if kind is WorkKind.TRIAL else 1):
            raise Killed

    world.fail = die
    with pytest.raises(Killed):
        _drive_until_killed(world, job)
    world.fail = lambda work: None
    assert drive(world, job).state is JobState.DONE
    trials = world.ledger.trials(job.id)
    assert [t.state for t in trials] == [TrialState.DONE] * 6
    accepted = [e.data["trial"] for e in world.ledger.events(job.id) if e.kind == "accepted"]
    assert sorted(accepted) == sorted(set(accepted))
    assert len(accepted) == 6
    if kind is WorkKind.FINAL:
        assert Counter(world.measured)[f"{job.id}/final:here"] == 1


def _drive_until_killed(world: World, job: Job) -> None:
    """As a killed process leaves it: the lease is not given back, and its holder is gone."""
    with world.place() as place:
        driver = Driver(place, lambda progress: None)
        ledger = place.ledger
        release, ledger.release = ledger.release, lambda lease: None  # type: ignore[method-assign]
        try:
            driver.drive(ledger.job(job.id, "me"))
        finally:
            ledger.release = release  # type: ignore[method-assign]
            # the test's own process is alive, so the lease is let go here instead of by the dead holder
            release(driver._lease)


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(2)
    world.ledger.lease(job.id, "somebody", 60)
    with pytest.raises(Fenced):
        drive(world, job)


@pytest.mark.parametrize(("field", "value"), [("runtime", "2"), ("model", "m2")])
def test_a_job_whose_world_changed_is_refused_before_anything_is_measured(
    tmp_path: Path, field: str, value: str
) -> None:
    world = World(tmp_path)
    job = world.job(6)
    _stop_after(world, 3)
    with pytest.raises(Killed):
        _drive_until_killed(world, job)
    world.fail = lambda work: None
    before = list(world.measured)
    setattr(world, field, value)
    with pytest.raises(Incomparable):
        drive(world, job)
    assert world.measured == before
    setattr(world, field, {"runtime": "1", "model": "m1"}[field])
    assert drive(world, job).state is JobState.DONE, "put back, it goes on"


def _stop_after(world: World, trials: int) -> None:
    def die(work: Work) -> None:
        if work.kind is WorkKind.TRIAL and len(world.measured) >= trials:
            raise Killed

    world.fail = die


def test_a_failure_is_tried_again_as_often_as_its_cause_allows(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(4)
    tries = Counter[str]()

    def sometimes(work: Work) -> None:
        tries[work.key] += 1
        if work.key == f"{job.id}/1" and tries[work.key] <= 2:
            raise WorkFailed(Cause.INFRA, "the worker died")
        if work.key == f"{job.id}/2":
            raise WorkFailed(Cause.NATIVE_CRASH, "SIGSEGV")

    world.fail = sometimes
    assert drive(world, job).state is JobState.DONE
    states = [t.state for t in world.ledger.trials(job.id)]
    assert states == [TrialState.DONE, TrialState.DONE, TrialState.FAILED, TrialState.DONE]
    assert tries[f"{job.id}/1"] == 3
    assert tries[f"{job.id}/2"] == 2, "a crash is confirmed once, then the candidate is quarantined"


def test_a_job_without_any_result_has_failed(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)

    def never(work: Work) -> None:
        if work.kind is WorkKind.TRIAL:
            raise WorkFailed(Cause.BAD_MODEL, "refused")

    world.fail = never
    with pytest.raises(JobFailed, match="no trial of target here gave a result"):
        drive(world, job)
    assert world.ledger.job(job.id, "me").state is JobState.FAILED


def test_several_targets_share_the_budget_in_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(8, targets=(TARGET, Target(name="there", threads=2)))
    drive(world, job)
    counts = Counter(t.target for t in world.ledger.trials(job.id))
    assert counts == {"here": 4, "there": 4}
    assert all(world.ledger.best(job.id, name) is not None for name in counts)


@pytest.mark.parametrize(("times", "state"), [(1, JobState.DONE), (2, JobState.CANCELLED)])
def test_ctrl_c_once_stops_and_twice_cancels(tmp_path: Path, times: int, state: JobState) -> None:
    world = World(tmp_path)
    job = world.job(8)

    def interrupt(work: Work) -> None:
        if work.key == f"{job.id}/2":
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    world.fail = interrupt
    with pytest.raises(Interrupted) as caught:
        drive(world, job)
    assert world.ledger.job(job.id, "me").state is state
    assert caught.value.answered == (job.id if times == 1 else "")
    assert caught.value.signal == signal.SIGINT
    assert len(world.ledger.trials(job.id, [TrialState.DONE])) == 3
    if times == 2:
        world.fail = lambda work: None
        assert drive(world, job).state is JobState.DONE, "what was cancelled can be resumed"
        assert len(world.ledger.trials(job.id, [TrialState.DONE])) == 8


def test_no_time_left_means_no_further_trial(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(8, time_s=0.0)
    with pytest.raises(JobFailed, match="gave a result"):
        drive(world, job)
    assert not world.ledger.trials(job.id)


def test_ctrl_c_while_preparing_cancels_and_says_how_to_go_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(4)

    def interrupt(work: Work) -> None:
        if work.kind is WorkKind.PREPARE:
            os.kill(os.getpid(), signal.SIGINT)

    world.fail = interrupt
    with pytest.raises(Interrupted, match="cancelled") as caught:
        drive(world, job)
    assert caught.value.hint == f"qsearch resume {job.id}"
    assert world.ledger.job(job.id, "me").state is JobState.CANCELLED


def test_a_shape_that_is_no_axis_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    world = World(tmp_path)
    spec = replace(world.job(4).spec, shapes={"nowhere": (8,)})
    job = world.ledger.create_job(spec, "text", "me")
    with pytest.raises(InputError, match="nowhere is not an axis of this model"):
        drive(world, job)
    assert not world.measured


def test_a_bug_leaves_the_job_failed_and_not_seemingly_alive(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(4)

    def broken(progress: Progress) -> None:
        if progress.trials.get(TrialState.DONE):
            raise ZeroDivisionError("in the watcher")

    with world.place() as place, pytest.raises(ZeroDivisionError):
        Driver(place, broken).drive(job)
    found = world.ledger.job(job.id, "me")
    assert found.state is JobState.FAILED
    assert "a bug of QSearch: ZeroDivisionError" in found.message


def test_status_tells_a_dead_driver_from_a_living_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(4)
    host, boot, _, _ = this_holder().rsplit("/", 3)
    world.ledger.lease(job.id, f"{host}/{boot}/1/0", 60)
    assert "its driver has died; go on with qsearch resume" in status(world.ledger, _now(world, job)).progress.doing
    world.ledger.lease(job.id, this_holder(), 60, dead=is_dead)
    assert "died" not in status(world.ledger, _now(world, job)).progress.doing


def _now(world: World, job: Job) -> Job:
    return world.ledger.job(job.id, "me")


def test_a_full_disk_stops_the_job_and_counts_as_no_failure(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(6)

    def full(work: Work) -> None:
        if work.key == f"{job.id}/3":
            raise WorkFailed(Cause.DISK_FULL, "no space is left on the disk of /scratch")

    world.fail = full
    with pytest.raises(Unreachable, match="/scratch") as caught:
        drive(world, job)
    assert caught.value.hint == f"Free some space there. Then: qsearch resume {job.id}"
    assert not world.ledger.trial(job.id, 3).failures
    world.fail = lambda work: None
    assert drive(world, job).state is JobState.DONE
    assert [t.state for t in world.ledger.trials(job.id)] == [TrialState.DONE] * 6


def test_a_database_that_is_gone_for_good_is_told_as_what_it_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(4)

    def gone(*_args: object, **_more: object) -> None:
        raise Unreachable("the database does not answer", "Start it.")

    def lose(work: Work) -> None:
        if work.key == f"{job.id}/2":
            for write in ("finish", "move", "note", "release"):
                setattr(world.ledger, write, gone)

    world.fail = lose
    with pytest.raises(Unreachable, match="does not answer") as caught:
        drive(world, job)
    assert caught.value.hint == f"Start it. Then: qsearch resume {job.id}"
    assert world.ledger.job(job.id, "me").state is JobState.SEARCHING, "nobody could say otherwise"


def test_a_stopped_job_killed_in_its_finals_and_again_while_prepared_searches_no_further(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(8)

    def die(work: Work) -> None:
        if work.key == f"{job.id}/2":
            os.kill(os.getpid(), signal.SIGINT)
        if work.kind is WorkKind.FINAL:
            raise Killed

    world.fail = die
    with pytest.raises(Killed):
        _drive_until_killed(world, job)
    world.fail = lambda work: _die_at(work, WorkKind.INSPECT)
    with pytest.raises(Killed):
        _drive_until_killed(world, job)
    world.fail = lambda work: None
    assert drive(world, job).state is JobState.DONE
    done = world.ledger.trials(job.id, [TrialState.DONE])
    assert len(done) == 3, "those that were being finalized when it was killed"


def _die_at(work: Work, kind: WorkKind) -> None:
    if work.kind is kind:
        raise Killed

"""Stop and cancel asked through the ledger, and a job followed through it: no signals, no clock, no children."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from driver_world import World

from qsearch.contracts.errors import (
    Fenced,
    InputError,
    Interrupted,
    JobFailed,
    TimedOut,
    Unreachable,
    UsageError,
)
from qsearch.contracts.job import Job, JobState, Request
from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import Progress
from qsearch.contracts.work import Work, WorkKind
from qsearch.service.asking import ask
from qsearch.service.driver import Driver
from qsearch.service.failing import failure_of
from qsearch.service.holder import this_holder
from qsearch.service.watching import Patience, follow


def drive(world: World, job: Job, *, epoch: int | None = None) -> Job:
    """Each look at the clock is half a second, so the driver beats between any two trials."""
    ticks = itertools.count(0, 0.5)
    with world.place() as place:
        driver = Driver(place, lambda progress: None, clock=lambda: next(ticks))
        return driver.drive(world.ledger.job(job.id, "me"), epoch=epoch)


def asked_during(world: World, job: Job, kind: WorkKind, request: Request, nth: int = 1) -> Callable[[Work], None]:
    """Ask when the n-th piece of this kind begins."""
    seen = itertools.count(1)

    def look(work: Work) -> None:
        if work.kind is kind and next(seen) == nth:
            world.ledger.request(job.id, request)

    return look


def test_a_stop_lets_running_trials_end_and_the_finals_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(20)
    world.fail = asked_during(world, job, WorkKind.TRIAL, Request.STOP, nth=4)
    with pytest.raises(Interrupted) as stopped:
        drive(world, job)
    assert (stopped.value.signal, stopped.value.answered) == (0, job.id)
    now = world.ledger.job(job.id, "me")
    assert (now.state, now.requested) == (JobState.DONE, Request.STOP)
    assert 4 <= len(world.ledger.trials(job.id, [TrialState.DONE])) < 20
    assert world.ledger.best(job.id, "here") is not None


@pytest.mark.parametrize("kind", [WorkKind.PREPARE, WorkKind.TRIAL])
def test_a_cancel_ends_the_job_before_its_answers(tmp_path: Path, kind: WorkKind) -> None:
    world = World(tmp_path)
    job = world.job(3)
    world.fail = asked_during(world, job, kind, Request.CANCEL)
    with pytest.raises(Interrupted) as cancelled:
        drive(world, job)
    assert (cancelled.value.signal, cancelled.value.answered) == (0, "")
    assert world.ledger.job(job.id, "me").state is JobState.CANCELLED
    world.fail = lambda work: None
    assert drive(world, job).state is JobState.DONE, "the next driver was not asked"


def test_a_driver_of_another_epoch_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    with pytest.raises(Fenced, match="at epoch 0"):
        drive(world, job, epoch=2)
    cancelled = ask(world.ledger, job, Request.CANCEL, "me", None)
    assert (cancelled.state, cancelled.epoch) == (JobState.CANCELLED, 1)
    with pytest.raises(Fenced, match="at epoch 1"):
        drive(world, job, epoch=1)
    assert world.ledger.job(job.id, "me").state is JobState.CANCELLED


def test_a_job_without_a_driver_is_cancelled_at_once_and_cannot_be_stopped(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    world.ledger.lease(job.id, this_holder().rpartition("/")[0] + "/0", 60)
    world.ledger.move(_lease(world, job), JobState.PREPARING)
    # its holder has our process number and another start: it has died
    with pytest.raises(UsageError, match="nobody drives job"):
        ask(world.ledger, world.ledger.job(job.id, "me"), Request.STOP, "me", None)
    ended = ask(world.ledger, world.ledger.job(job.id, "me"), Request.CANCEL, "ann", None)
    assert ended.state is JobState.CANCELLED
    assert "cancelled by ann; nobody drove it" in ended.message
    assert world.ledger.leased(job.id) is None


@pytest.mark.parametrize("request_", list(Request))
def test_a_job_that_has_ended_cannot_be_asked(tmp_path: Path, request_: Request) -> None:
    world = World(tmp_path)
    done = drive(world, world.job(2))
    with pytest.raises(UsageError, match=f"is DONE and cannot be asked to {request_}"):
        ask(world.ledger, done, request_, "me", Patience(1.0))


def test_a_wait_for_a_cancel_outlives_the_driver(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    lease = world.ledger.lease(job.id, "elsewhere/1/2/3", 60)
    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        world.ledger.release(lease)

    ended = ask(world.ledger, job, Request.CANCEL, "me", Patience(60.0, sleep=sleep))
    assert ended.state is JobState.CANCELLED
    assert len(sleeps) == 1


def test_following_tells_every_look_and_returns_the_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    told: list[Progress] = []
    ended = follow(world.ledger, job, told.append, Patience(sleep=lambda seconds: drive(world, job)))
    assert ended.state is JobState.DONE
    assert [p.job.state for p in told] == [JobState.QUEUED, JobState.DONE]
    assert "waiting for its driver" in told[0].doing
    assert told[-1].leaders


def test_following_a_dead_driver_says_the_way_on_instead_of_waiting(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    lease = world.ledger.lease(job.id, "elsewhere/1/2/3", 60)
    world.ledger.move(lease, JobState.PREPARING)
    with pytest.raises(JobFailed, match="its driver has died") as died:
        follow(world.ledger, job, lambda progress: None, Patience(sleep=lambda seconds: world.ledger.release(lease)))
    assert died.value.hint == f"qsearch resume {job.id}"


def test_following_a_job_whose_driver_ended_before_its_turn_says_the_way_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    looks = iter([False, True])
    with pytest.raises(JobFailed, match="is QUEUED, and its driver ended before its turn came") as lost:
        follow(world.ledger, job, _silent, Patience(sleep=lambda seconds: None), lambda now: next(looks))
    assert lost.value.hint == f"qsearch resume {job.id}"

    def taken(now: Job) -> bool:
        """It ended because it was done: the job is DONE by the time its driver is missed."""
        drive(world, job)
        return True

    assert follow(world.ledger, job, _silent, Patience(sleep=lambda seconds: None), taken).state is JobState.DONE


def test_a_watcher_of_a_cluster_that_was_lost_is_told_how_to_go_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)

    def lost(work: Work) -> None:
        raise Unreachable("the cluster does not answer", "Look at it.")

    world.fail = lost
    with pytest.raises(Unreachable) as driver:
        drive(world, job)
    with pytest.raises(JobFailed, match="the cluster does not answer") as watcher:
        follow(world.ledger, job, _silent, Patience())
    assert watcher.value.hint == driver.value.hint == f"Look at it. Then: qsearch resume {job.id}"


def test_a_wait_ends_by_its_clock_or_by_ctrl_c_and_the_job_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    ticks = itertools.count(0, 7.0)
    with pytest.raises(TimedOut, match="is QUEUED and goes on"):
        follow(world.ledger, job, _silent, Patience(20.0, lambda: next(ticks), lambda seconds: None))

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="goes on") as left:
        follow(world.ledger, job, _silent, Patience(sleep=interrupted))
    assert left.value.signal == 2
    assert world.ledger.job(job.id, "me").state is JobState.QUEUED


def test_a_failure_is_told_to_a_watcher_as_to_its_driver(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)

    def refuse(work: Work) -> None:
        raise InputError("no file model.onnx", "Give another one.")

    world.fail = refuse
    with suppress(InputError):
        drive(world, job)
    with pytest.raises(JobFailed, match=r"no file model\.onnx") as told:
        follow(world.ledger, job, _silent, Patience())
    assert told.value.hint == f"Give another one. Then: qsearch resume {job.id}"


def test_a_bug_is_told_with_the_job_s_own_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)

    def break_(work: Work) -> None:
        raise KeyError("oops")

    world.fail = break_
    with suppress(KeyError):
        drive(world, job)
    told = failure_of(world.ledger, world.ledger.job(job.id, "me"))
    assert type(told) is JobFailed
    assert "a bug of QSearch: KeyError" in told.message


def test_an_error_of_an_earlier_driver_is_not_the_last_one_s(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    lease = world.ledger.lease(job.id, "one", 60)
    world.ledger.note(lease, "error", {"kind": "InputError", "message": "old", "hint": ""})
    world.ledger.release(lease)
    last = world.ledger.lease(job.id, "two", 60)
    failed = world.ledger.move(last, JobState.FAILED, "new")
    told = failure_of(world.ledger, failed)
    assert (type(told), "new" in told.message) == (JobFailed, True)


def _lease(world: World, job: Job):  # type: ignore[no-untyped-def]
    lease = world.ledger.leased(job.id)
    assert lease is not None
    return lease


def _silent(progress: Progress) -> None:
    """Nobody listens."""

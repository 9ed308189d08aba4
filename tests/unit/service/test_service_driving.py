"""A submitted job before its driver has the lease: waiting for its turn, and not being able to begin."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from driver_world import World

from qsearch.cluster.ray_jobs import Passport, Submitted
from qsearch.contracts.errors import Fenced, InputError, JobFailed, Unreachable
from qsearch.contracts.job import Job, JobState
from qsearch.contracts.views import Progress
from qsearch.service import driving
from qsearch.service.driving import Host, drive_submitted
from qsearch.service.holder import this_place
from qsearch.service.watching import Patience, follow


class ImaginedPool:
    """Slots that come one after the other; only the waiting for them is asked of it."""

    def __init__(self, ready: Sequence[bool] = (True,), complete: Sequence[bool] = (True,)) -> None:
        self._ready = iter(ready)
        self._complete = iter(complete)
        self.settled = False

    def ready(self, timeout_s: float) -> bool:
        return next(self._ready)

    def complete(self, timeout_s: float) -> bool:
        return next(self._complete)

    def settle(self) -> None:
        self.settled = True


def submitted(job: Job, artifacts: Path = Path("/nowhere")) -> Submitted:
    passport = Passport(database="d", place=this_place(), artifacts=str(artifacts), travelled="no")
    return Submitted(job=job.id, epoch=1, passport=passport)


def drive(world: World, job: Job) -> Job:
    host = Host(database="d", artifacts=world.folder, folder=world.folder)
    return drive_submitted(submitted(job, world.folder), world.ledger, host, _silent)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (Unreachable("no Ray cluster at auto", "Look."), "Look. Then: qsearch resume {job}"),
        (InputError("no such model", "Give one."), "Give one. Then: qsearch resume {job}"),
        (KeyError("oops"), "Then: qsearch resume {job}"),
    ],
)
def test_a_job_that_cannot_be_begun_is_failed_and_its_watchers_hear_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, hint: str
) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(driving, "RayPool", refuse)
    world = World(tmp_path)
    job = world.job(3)
    with pytest.raises(type(error)):
        drive(world, job)
    now = world.ledger.job(job.id, "me")
    assert (now.state, now.epoch, world.ledger.leased(job.id)) == (JobState.FAILED, 1, None)
    with pytest.raises(JobFailed) as told:
        follow(world.ledger, job, _silent, Patience())
    assert told.value.hint == hint.format(job=job.id)


def test_a_driver_that_cannot_begin_does_not_touch_a_job_that_somebody_has_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    job = world.job(3)

    def refuse(*words: object, **options: object) -> None:
        world.ledger.lease(job.id, "elsewhere/1/2/3", 60)
        raise Unreachable("no Ray cluster at auto")

    monkeypatch.setattr(driving, "RayPool", refuse)
    with suppress(Unreachable):
        drive(world, job)
    now = world.ledger.job(job.id, "me")
    assert (now.state, now.epoch) == (JobState.QUEUED, 1)


def test_a_driver_of_another_database_writes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    host = Host(database="other", artifacts=tmp_path, folder=tmp_path)
    with pytest.raises(Unreachable, match="another one"):
        drive_submitted(submitted(job), world.ledger, host, _silent)
    assert world.ledger.job(job.id, "me").state is JobState.QUEUED


def test_further_slots_are_given_some_seconds_and_then_done_without(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(3)
    pool = ImaginedPool([False, True], itertools.repeat(False))  # type: ignore[arg-type]
    ticks = itertools.count(0, 5.0)
    driving._await_turn(world.ledger, submitted(job), pool, lambda: next(ticks))  # type: ignore[arg-type]
    assert pool.settled
    assert next(ticks) == driving.COMPANY_S + 5.0
    assert world.ledger.leased(job.id) is None


@pytest.mark.parametrize("pool", [ImaginedPool([False]), ImaginedPool([True], [False])])
def test_a_job_that_is_cancelled_while_it_waits_needs_no_driver(tmp_path: Path, pool: ImaginedPool) -> None:
    world = World(tmp_path)
    job = world.job(3)
    world.ledger.move(world.ledger.lease(job.id, "elsewhere/1/2/3", 60), JobState.CANCELLED)
    with pytest.raises(Fenced, match="is CANCELLED at epoch 1"):
        driving._await_turn(world.ledger, submitted(job), pool)  # type: ignore[arg-type]
    assert not pool.settled


def _silent(progress: Progress) -> None:
    """Nobody listens."""

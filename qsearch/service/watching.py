"""`watch`: a job that another process drives, followed through the database alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from qsearch.contracts.desk import Watcher
from qsearch.contracts.errors import Interrupted, JobFailed, TimedOut, UsageError
from qsearch.contracts.job import Job, JobState, holder_text
from qsearch.contracts.ledger import Ledger
from qsearch.service.failing import failure_of
from qsearch.service.holder import is_dead
from qsearch.service.looking import progress_of

#: how often the database is looked at, seconds
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and by which clock; None = until it ends."""

    timeout_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def follow(
    ledger: Ledger, job: Job, watch: Watcher, patience: Patience, is_lost: Callable[[Job], bool] = lambda job: False
) -> Job:
    """Tell the watcher of every look until the job has ended.

    Args:
        ledger: holds the job.
        job: as it stands.
        watch: hears of every look.
        patience: how long.
        is_lost: whether a job that nobody has driven yet is known to have lost the driver that it waits for.

    Returns:
        The job, DONE or CANCELLED.

    Raises:
        TimedOut, Interrupted: the wait is over, the job goes on.
        JobFailed: the job is FAILED, with its driver's words; or nobody drives it any more, or will.
    """
    try:
        ended = await_end(ledger, job, watch, patience, lambda now: _must_be_driven(ledger, now, is_lost))
    except KeyboardInterrupt:
        raise Interrupted(
            f"no longer watching; job {job.id} goes on",
            f"qsearch watch {job.id} looks again, qsearch cancel {job.id} ends it.",
        ) from None
    if ended.state is JobState.FAILED:
        raise failure_of(ledger, ended)
    return ended


def await_end(ledger: Ledger, job: Job, watch: Watcher, patience: Patience, check: Callable[[Job], Job | None]) -> Job:
    """Look until the job has ended, or `check`, which hears of every look, says so. Raises TimedOut."""
    until = None if patience.timeout_s is None else patience.clock() + patience.timeout_s
    while True:
        now = ledger.job(job.id, "")
        watch(progress_of(ledger, now))
        if now.state.ended:
            return now
        ended = check(now)
        if ended is not None:
            return ended
        if until is not None and patience.clock() >= until:
            # no seconds: what was left of a longer wait may be all that was waited here
            raise TimedOut(
                f"the time to wait is over; job {job.id} is {now.state} and goes on", f"qsearch watch {job.id}"
            )
        patience.sleep(LOOK_S)


def is_driven(ledger: Ledger, job: Job) -> bool:
    """Whether somebody holds the job's lease who is not known to be dead."""
    lease = ledger.leased(job.id)
    return lease is not None and not is_dead(lease.holder)


def must_be_free(ledger: Ledger, job: Job) -> None:
    """Refuse to drive a job that somebody else drives, before anything is opened for it.

    Raises:
        UsageError: names who drives it.
    """
    lease = ledger.leased(job.id)
    if lease is not None and not is_dead(lease.holder):
        raise UsageError(
            f"job {job.id} is driven already, by {holder_text(lease.holder)}",
            f"qsearch watch {job.id} looks on, qsearch stop {job.id} ends it early, with its answer.",
        )


def _must_be_driven(ledger: Ledger, job: Job, is_lost: Callable[[Job], bool]) -> None:
    """A job that nobody has ever driven may wait for its turn; one whose driver is gone waits for a person."""
    if not is_lost(job) if job.epoch == 0 else is_driven(ledger, job):
        return
    now = ledger.job(job.id, "")
    # ended, or taken by another driver, between the two looks
    if now.state.ended or now.epoch != job.epoch:
        return
    how = "has died" if job.epoch else "ended before its turn came"
    raise JobFailed(
        f"nobody drives job {job.id} any more: it is {job.state}, and its driver {how}", f"qsearch resume {job.id}"
    )

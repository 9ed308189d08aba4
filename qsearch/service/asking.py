"""`stop` and `cancel`: asked of a job's driver, wherever it runs."""

from __future__ import annotations

from qsearch.contracts.errors import Fenced, UsageError
from qsearch.contracts.job import Job, JobState, Request
from qsearch.contracts.ledger import Ledger
from qsearch.service.holder import is_dead, this_holder
from qsearch.service.watching import Patience, await_end, is_driven

#: seconds for which the lease of a job without a driver is taken to cancel it
_LEASE_S = 60.0


def ask(ledger: Ledger, job: Job, request: Request, owner: str, patience: Patience | None) -> Job:
    """Ask, and wait for the end when there is a patience.

    Raises:
        UsageError: the job has ended, or is to stop gracefully and nobody drives it.
        TimedOut: see `await_end`.
    """
    asked = _ask(ledger, job, request, owner)
    if patience is None or asked.state.ended:
        return asked

    def check(now: Job) -> Job | None:
        # the driver may die before it obeys
        if is_driven(ledger, now):
            return None
        fresh = ledger.job(now.id, "")
        return fresh if fresh.state.ended else _ask(ledger, fresh, request, owner)

    return await_end(ledger, job, lambda progress: None, patience, check)


def _ask(ledger: Ledger, job: Job, request: Request, owner: str) -> Job:
    if not job.state.ended and not is_driven(ledger, job):
        if request is Request.STOP:
            raise UsageError(
                f"nobody drives job {job.id}, which is {job.state}: there is nothing to stop",
                f"qsearch resume {job.id} goes on with it, qsearch cancel {job.id} ends it.",
            )
        try:
            return _cancel_undriven(ledger, job, owner)
        except Fenced:
            # a driver has taken it this moment: it can be asked
            pass
    return ledger.request(job.id, request)


def _cancel_undriven(ledger: Ledger, job: Job, owner: str) -> Job:
    lease = ledger.lease(job.id, this_holder(), _LEASE_S, dead=is_dead, epoch=job.epoch + 1)
    try:
        ledger.cancel_trials(lease)
        return ledger.move(lease, JobState.CANCELLED, f"cancelled by {owner}; nobody drove it")
    finally:
        ledger.release(lease)

"""`drive`: the driver of a submitted job, inside the Ray job that `submit` started."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qsearch.cluster.ray_jobs import SLOT_WAIT_S, Submitted
from qsearch.cluster.ray_pool import RayPool
from qsearch.contracts.desk import Watcher
from qsearch.contracts.errors import Fenced, QSearchError, Unreachable
from qsearch.contracts.job import Job, JobState
from qsearch.contracts.ledger import Ledger
from qsearch.service.driver import Driver
from qsearch.service.failing import and_resume, error_data
from qsearch.service.holder import is_dead, this_holder, this_place
from qsearch.service.scratch import own_scratch
from qsearch.service.workplace import Workplace
from qsearch.spec.model_file import resolve_model
from qsearch.store.artifacts import ArtifactStore

#: how long to wait for a measuring slot before looking whether the job is still to be driven, seconds
TURN_S = 1.0
#: seconds that further free slots have to answer after the first; those that others use are done without
COMPANY_S = 20.0
#: seconds for which the lease of a job that cannot be begun is taken to say so
_LEASE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the settings and the place of the driver's own host say."""

    #: uuid of the database
    database: str
    #: folder of artifacts, used when the job comes from another host
    artifacts: Path
    #: what travelled with the job
    folder: Path


def drive_submitted(submitted: Submitted, ledger: Ledger, host: Host, watch: Watcher) -> Job:
    """Drive a submitted job under the epoch that it was submitted for; see `Driver.drive`.

    The job's lease is taken only when a measuring slot is free, so that several submitted jobs take
    turns: until then the job is QUEUED, and whoever cancels it cancels it. It is driven with the slots
    that are free when its turn comes. A job that cannot be begun is FAILED, so that its watchers hear why.

    Args:
        submitted: what this process was started for.
        ledger: of this host's settings.
        host: what is known here.
        watch: hears of every change.

    Raises:
        Unreachable: this host's settings name another database than the one the job is in.
        Fenced: the job was taken or cancelled meanwhile.
        QSearchError: the job is FAILED, for this reason.
    """
    passport = submitted.passport
    if host.database != passport.database:
        raise Unreachable(
            f"the driver's database is another one: {host.database[:8]}…, the job is in {passport.database[:8]}…",
            "Set QSEARCH_DATABASE_URL on the cluster's head to the database that submit uses.",
        )
    job = ledger.job(submitted.job, "")
    if passport.place != this_place() and passport.travelled == "yes":
        job = replace(job, spec=replace(job.spec, folder=str(host.folder)))
    with ExitStack() as opened:
        try:
            place = _begin(submitted, job, ledger, host, opened)
        except Fenced:
            raise
        except Unreachable as error:
            told = Unreachable(error.message, and_resume(error.hint, job.id))
            _fail(ledger, submitted, told)
            raise told from error
        except Exception as error:
            _fail(ledger, submitted, error)
            raise
        return Driver(place, watch).drive(job, epoch=submitted.epoch)


def _begin(submitted: Submitted, job: Job, ledger: Ledger, host: Host, opened: ExitStack) -> Workplace:
    """All that a driver needs before it takes the lease; what it opens is left to `opened`."""
    resolve_model(job.spec.model)
    at_home = submitted.passport.place == this_place()
    store = ArtifactStore(Path(submitted.passport.artifacts) if at_home else host.artifacts, ledger)
    scratch = opened.enter_context(own_scratch(store.scratch))
    pool = opened.enter_context(closing(RayPool("auto", scratch=scratch, start_s=SLOT_WAIT_S)))
    _await_turn(ledger, submitted, pool)
    return Workplace(ledger=ledger, artifacts=store, pool=pool, scratch=scratch)


def _await_turn(
    ledger: Ledger, submitted: Submitted, pool: RayPool, clock: Callable[[], float] = time.monotonic
) -> None:
    """Until there is a slot, and each other free one too; the lease is not to be held while waiting for more."""
    while not pool.ready(TURN_S):
        _must_be_wanted(ledger, submitted)
    until = clock() + COMPANY_S
    while not pool.complete(TURN_S) and clock() < until:
        _must_be_wanted(ledger, submitted)
    pool.settle()


def _must_be_wanted(ledger: Ledger, submitted: Submitted) -> None:
    now = ledger.job(submitted.job, "")
    if now.state.ended or now.epoch >= submitted.epoch:
        raise Fenced(f"job {now.id} is {now.state} at epoch {now.epoch}; it needs no driver of epoch {submitted.epoch}")


def _fail(ledger: Ledger, submitted: Submitted, error: Exception) -> None:
    """Leave the job FAILED, with the reason; where that cannot be written, somebody else says how it stands."""
    said = error.message if isinstance(error, QSearchError) else f"a bug of QSearch: {type(error).__name__}: {error}"
    with suppress(Fenced, Unreachable):
        lease = ledger.lease(submitted.job, this_holder(), _LEASE_S, dead=is_dead, epoch=submitted.epoch)
        ledger.note(lease, "error", error_data(error))
        ledger.move(lease, JobState.FAILED, said)
        ledger.release(lease)

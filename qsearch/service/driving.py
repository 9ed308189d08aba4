"""`drive`: the driver of a submitted job, inside the Ray job that `submit` started."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from qsearch.cluster.ray_jobs import SLOT_WAIT_S, Submitted
from qsearch.cluster.ray_pool import RayPool
from qsearch.contracts.desk import Watcher
from qsearch.contracts.errors import Fenced, Unreachable
from qsearch.contracts.job import Job
from qsearch.contracts.ledger import Ledger
from qsearch.service.driver import Driver
from qsearch.service.holder import this_place
from qsearch.service.scratch import own_scratch
from qsearch.service.workplace import Workplace
from qsearch.spec.model_file import resolve_model
from qsearch.store.artifacts import ArtifactStore

#: how long to wait for a measuring slot before looking whether the job is still to be driven, seconds
TURN_S = 1.0


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
    turns: until then the job is QUEUED, and whoever cancels it cancels it.

    Args:
        submitted: what this process was started for.
        ledger: of this host's settings.
        host: what is known here.
        watch: hears of every change.

    Raises:
        Unreachable: this host's settings name another database than the one the job is in.
        Fenced: the job was taken or cancelled meanwhile.
    """
    passport = submitted.passport
    if host.database != passport.database:
        raise Unreachable(
            f"the driver's database is another one: {host.database[:8]}…, the job is in {passport.database[:8]}…",
            "Set QSEARCH_DATABASE_URL on the cluster's head to the database that submit uses.",
        )
    job = ledger.job(submitted.job, "")
    at_home = passport.place == this_place()
    if not at_home and passport.travelled == "yes":
        job = replace(job, spec=replace(job.spec, folder=str(host.folder)))
    resolve_model(job.spec.model)
    store = ArtifactStore(Path(passport.artifacts) if at_home else host.artifacts, ledger)
    with own_scratch(store.scratch) as scratch:
        pool = RayPool("auto", scratch=scratch, start_s=SLOT_WAIT_S)
        try:
            _await_turn(ledger, submitted, pool)
            place = Workplace(ledger=ledger, artifacts=store, pool=pool, scratch=scratch)
            return Driver(place, watch).drive(job, epoch=submitted.epoch)
        finally:
            pool.close()


def _await_turn(ledger: Ledger, submitted: Submitted, pool: RayPool) -> None:
    while not pool.ready(TURN_S):
        now = ledger.job(submitted.job, "")
        if now.state.ended or now.epoch >= submitted.epoch:
            raise Fenced(
                f"job {now.id} is {now.state} at epoch {now.epoch}; it needs no driver of epoch {submitted.epoch}"
            )

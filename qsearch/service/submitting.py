"""`submit`: a job row first, then its driver as a Ray job.

NOTE: the row is there before anything runs. A submit that dies in between leaves a QUEUED job, which
`resume` takes like any other; and a driver that comes late finds its epoch taken and changes nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from qsearch.cluster.ray_head import Head, HeadFolder, held, note_handed
from qsearch.cluster.ray_jobs import Passport, RayJobs
from qsearch.contracts.desk import Watcher
from qsearch.contracts.errors import Interrupted, JobFailed, QSearchError, Unreachable, Unsupported
from qsearch.contracts.job import Job, JobSpec, JobState
from qsearch.contracts.views import Submission
from qsearch.service.failing import failure_of
from qsearch.service.heading import folder_of, have_head, head_view
from qsearch.service.holder import this_place
from qsearch.service.looking import progress_of
from qsearch.service.travelling import copy_code, has_own_code
from qsearch.spec.settings import Settings
from qsearch.store.sql_ledger import SqlLedger

#: how often the database is asked whether the driver has come, seconds
ASK_S = 0.5
#: Ray is asked as often at first, where a driver that cannot begin says so; after that so often, seconds.
#: Its server works where the others' jobs may be measuring.
LOOK_AT_FIRST_S = 5.0
LOOK_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where jobs are handed in."""

    jobs: RayJobs
    #: of the local head; None for a cluster that somebody else keeps
    head: Head | None = None
    folder: HeadFolder | None = None
    fresh: bool = False


class Submitter:
    """Hands jobs to the cluster of the settings, or to the local head of the database."""

    def __init__(
        self,
        settings: Settings,
        ledger: SqlLedger,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._sleep = sleep

    def submit(self, spec: JobSpec, source: str, owner: str, watch: Watcher, patience_s: float) -> Submission:
        """Create the job and start its driver; see `Desk.submit`."""
        # the cluster first: one that is mistyped or does not answer must not leave a job behind
        with self._door() as door, tempfile.TemporaryDirectory(prefix="qsearch-code-") as copied:
            folder, notes = self._luggage(spec, door, Path(copied))
            job = self._ledger.create_job(spec, source, owner)
            try:
                submission = door.jobs.start(job.id, job.epoch + 1, self._passport(folder), folder)
                if door.folder is not None:
                    note_handed(door.folder, submission)
                driven = self._await(job, door.jobs, submission, watch, patience_s)
            except JobFailed:
                # names the way on itself
                raise
            except QSearchError as error:
                error.hint = f"{error.hint}\n{self._left(job)}".strip()
                raise
            except KeyboardInterrupt:
                raise Interrupted(
                    f"interrupted while job {job.id} was being handed in; its driver may have been started",
                    f"qsearch status {job.id} says; qsearch cancel {job.id} ends it, qsearch resume {job.id} goes on.",
                ) from None
            return Submission(
                job=self._ledger.job(job.id, ""),
                submission=submission,
                address=door.jobs.address,
                driven=driven,
                head=head_view(door.folder, door.head) if door.folder is not None else None,
                fresh=door.fresh,
                notes=notes,
            )

    @contextmanager
    def _door(self) -> Iterator[Door]:
        address = self._settings.value("ray_address")
        if address:
            jobs = RayJobs(address)
            self._must_share_database(jobs)
            yield Door(jobs=jobs)
            return
        database = self._ledger.uuid
        folder = folder_of(database)
        with held(folder):
            head, fresh = have_head(self._settings, database)
            yield Door(jobs=RayJobs(head.dashboard, token=folder.token), head=head, folder=folder, fresh=fresh)

    def _must_share_database(self, jobs: RayJobs) -> None:
        hosts = jobs.hosts()
        if len(hosts) > 1 and self._settings.value("database_url").startswith("sqlite"):
            raise Unsupported(
                f"the cluster at {jobs.address} has {len(hosts)} hosts, and {self._settings.shown('database_url')}"
                " is a file of one of them",
                "Name a PostgreSQL database, here and on the cluster's head: QSEARCH_DATABASE_URL=postgresql://…",
            )

    def _luggage(self, spec: JobSpec, door: Door, to: Path) -> tuple[Path | None, tuple[str, ...]]:
        """A folder to send along, and what stayed behind. Our own head is on this host and needs none."""
        if door.head is not None or not has_own_code(spec):
            return None, ()
        stayed = copy_code(Path(spec.folder), to)
        more = f" and {len(stayed) - 3} more" if len(stayed) > 3 else ""
        note = f"not sent along, for their size or kind: {', '.join(stayed[:3])}{more}"
        return to, (note,) if stayed else ()

    def _passport(self, folder: Path | None) -> Passport:
        return Passport(
            database=self._ledger.uuid,
            place=this_place(),
            artifacts=self._settings.value("artifacts"),
            travelled="no" if folder is None else "yes",
        )

    def _left(self, job: Job) -> str:
        """What a submit that goes wrong leaves behind."""
        try:
            now = self._ledger.job(job.id, "")
        except Unreachable:
            return f"How job {job.id} stands: qsearch status {job.id}"
        if now.state is JobState.FAILED:
            return f"Job {job.id} is FAILED; qsearch resume {job.id} drives it here."
        if now.epoch > job.epoch:
            return f"Job {job.id} is driven all the same: qsearch watch {job.id}"
        return f"Job {job.id} stays QUEUED; qsearch resume {job.id} drives it here."

    def _await(self, job: Job, jobs: RayJobs, submission: str, watch: Watcher, patience_s: float) -> bool:
        """Whether the driver has taken the job by the end of the patience.

        Raises:
            Unreachable: it ended without; with its own words.
            JobFailed: it could not begin, and has failed the job; with its own words.
        """
        began = self._clock()
        looked = float("-inf")
        while True:
            now = self._ledger.job(job.id, "")
            if self._is_taken(job, now):
                return True
            at = self._clock()
            if at - looked >= (ASK_S if at - began < LOOK_AT_FIRST_S else LOOK_S):
                looked = at
                if jobs.look(submission).ended:
                    # it may have taken the job and finished between the two looks
                    if self._is_taken(job, self._ledger.job(job.id, "")):
                        return True
                    raise _refused(job, jobs, submission)
            if at - began >= patience_s:
                return False
            watch(replace(progress_of(self._ledger, now), doing="waiting for its driver"))
            self._sleep(ASK_S)

    def _is_taken(self, before: Job, now: Job) -> bool:
        if now.state is JobState.FAILED:
            raise failure_of(self._ledger, now)
        return now.epoch > before.epoch or now.state.ended


def _refused(job: Job, jobs: RayJobs, submission: str) -> Unreachable:
    """The error that the driver told its log, or its last line."""
    lines = jobs.last_words(submission)
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    if errors:
        said = lines[errors[-1] :]
        return Unreachable(f"the driver of job {job.id} says: {said[0].removeprefix('error: ')}", " ".join(said[1:3]))
    last = lines[-1] if lines else "it said nothing"
    return Unreachable(f"the driver of job {job.id} ended before it began: {last}")

"""The use-cases on this machine: `LocalDesk`, and the wiring of its parts."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path

from qsearch.contracts.errors import Interrupted, UsageError
from qsearch.contracts.front import Best
from qsearch.contracts.job import Job, JobSpec, JobState
from qsearch.contracts.layer import Inspection
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Tier
from qsearch.contracts.pool import Pool
from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import (
    BenchView,
    BestQuery,
    Check,
    ExportReceipt,
    FrontRow,
    FrontView,
    JobStatus,
    Overrides,
    Plan,
    Progress,
    QueryResult,
    TrialView,
)
from qsearch.service.scratch import own_scratch
from qsearch.service.workplace import Workplace
from qsearch.spec.settings import Settings, load_settings
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.opening import open_ledger
from qsearch.store.query import read_only_query

Watch = Callable[[Progress], None]


def open_desk(flags: Mapping[str, str | None]) -> LocalDesk:
    """A desk with the settings of flags, environment and files, in that order of precedence.

    Raises:
        UsageError: a flag or variable that means nothing.
        InputError: a setting that is unknown or cannot be honoured, by name.
    """
    settings = load_settings(flags, os.environ, Path.cwd())
    settings.require_local()
    return LocalDesk(settings)


class LocalDesk:
    """`Desk` over this machine's database, artifacts and pools. Opens each part when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._owner = _user()

    # a job's life
    def init(self, model: str, *, data: str, metric: str, example: str, out: Path) -> Path:
        """See `Desk.init`."""
        from qsearch.service.starting import init

        with self._place("local") as place:
            return init(place, model, data=data, metric=metric, example=example, out=out)

    def validate(self, spec: Path) -> JobSpec:
        """See `Desk.validate`."""
        from qsearch.spec.loading import load_spec
        from qsearch.spec.model_file import resolve_model

        found, _ = load_spec(spec)
        resolve_model(found.model)
        return found

    def plan(self, spec: Path, overrides: Overrides) -> Plan:
        """See `Desk.plan`."""
        from qsearch.service.planning import plan
        from qsearch.spec.loading import load_spec

        found, _ = load_spec(spec, overrides)
        with self._place(overrides.pool) as place:
            return plan(place, found)

    def run(self, spec: Path, overrides: Overrides, watch: Watch) -> JobStatus:
        """See `Desk.run`."""
        from qsearch.spec.loading import load_spec

        found, source = load_spec(spec, overrides)
        # the pool first: one that is mistyped or does not answer must not leave a job behind
        with self._place(overrides.pool, overrides.record) as place:
            return self._drive(place, self._ledger.create_job(found, source, self._owner), watch)

    def resume(self, job: str, overrides: Overrides, watch: Watch) -> JobStatus:
        """See `Desk.resume`."""
        found = self._ledger.job(job, self._owner)
        if found.state is JobState.DONE:
            raise UsageError(f"job {found.id} is DONE; there is nothing to resume", f"qsearch pareto {found.id}")
        with self._place(overrides.pool, overrides.record) as place:
            return self._drive(place, found, watch)

    # looking
    def jobs(self, *, limit: int, states: Sequence[JobState]) -> Sequence[Job]:
        """See `Desk.jobs`."""
        return self._ledger.jobs(limit=limit, states=states)

    def status(self, job: str) -> JobStatus:
        """See `Desk.status`."""
        from qsearch.service.looking import status

        return status(self._ledger, self._ledger.job(job, self._owner))

    def trials(self, job: str, *, states: Sequence[TrialState]) -> Sequence[FrontRow | TrialView]:
        """See `Desk.trials`."""
        from qsearch.service.looking import trials

        return trials(self._ledger, self._ledger.job(job, self._owner), states)

    def front(self, job: str, target: str) -> FrontView:
        """See `Desk.front`."""
        from qsearch.service.answers import front_view
        from qsearch.service.references import target_of

        found = self._ledger.job(job, self._owner)
        return front_view(self._ledger, found.id, found.spec, target_of(found, target))

    def best(self, job: str, query: BestQuery) -> Best:
        """See `Desk.best`."""
        from qsearch.service.looking import best

        return best(self._ledger, self._ledger.job(job, self._owner), query)

    def show(self, trial: str) -> TrialView:
        """See `Desk.show`."""
        from qsearch.service.looking import trial_view
        from qsearch.service.references import find_trial

        job, number = find_trial(self._ledger, trial, self._owner)
        return trial_view(self._ledger, job, number)

    def query(self, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
        """See `Desk.query`."""
        return read_only_query(self._migrated_url(), sql, limit=limit, timeout_s=timeout_s)

    # models
    def inspect(self, model: str) -> Inspection:
        """See `Desk.inspect`."""
        from qsearch.service.starting import inspect

        with self._place("local") as place:
            return inspect(place, model)

    def bench(self, models: Sequence[str], *, data: str, target: str, tier: Tier, shapes: Sequence[str]) -> BenchView:
        """See `Desk.bench`."""
        from qsearch.service.starting import bench

        with self._place("local") as place:
            return bench(place, models, data=data, target=target, tier=tier, shapes=shapes)

    def export(self, trial: str, out: Path, *, verify: bool, force: bool) -> ExportReceipt:
        """See `Desk.export`."""
        from qsearch.service.exporting import export
        from qsearch.service.references import find_trial

        job, number = find_trial(self._ledger, trial, self._owner)
        with self._place("local") as place:
            return export(place, job, number, out, verify=verify, force=force)

    def doctor(self, *, self_test: bool) -> Sequence[Check]:
        """See `Desk.doctor`."""
        from qsearch.service.health import doctor

        return doctor(self._settings, lambda: self._ledger, lambda: self._place("local"), self_test=self_test)

    def close(self) -> None:
        """Close the database; idempotent."""
        if "_ledger" in self.__dict__:
            self._ledger.close()

    @cached_property
    def _ledger(self) -> Ledger:
        return open_ledger(self._settings.value("database_url"))

    @cached_property
    def _artifacts(self) -> ArtifactStore:
        return ArtifactStore(Path(self._settings.value("artifacts")), self._ledger)

    def _migrated_url(self) -> str:
        # opening the ledger creates and migrates the database, so that the views are there to be read
        self._ledger.jobs(limit=1)
        return self._settings.value("database_url")

    @contextmanager
    def _place(self, pool_name: str, record: str = "") -> Iterator[Workplace]:
        from qsearch.cluster.pools import open_pool
        from qsearch.cluster.recording import RecordingPool

        address = self._ray_address(pool_name)
        with own_scratch(self._artifacts.scratch) as scratch, ExitStack() as opened:
            pool: Pool = opened.enter_context(closing(open_pool(pool_name, scratch=scratch, ray_address=address)))
            if record:
                pool = opened.enter_context(closing(RecordingPool(pool, Path(record))))
            yield Workplace(ledger=self._ledger, artifacts=self._artifacts, pool=pool, scratch=scratch)

    def _ray_address(self, pool_name: str) -> str:
        """Of the variable and the files only for Ray; a flag was meant for this command, whatever its pool."""
        told = self._settings.origin("ray_address") == "--ray-address"
        return self._settings.value("ray_address") if told or pool_name == "ray" else ""

    def _drive(self, place: Workplace, job: Job, watch: Watch) -> JobStatus:
        from qsearch.service.driver import Driver

        try:
            Driver(place, watch).drive(job)
        except Interrupted as interrupted:
            interrupted.hint = interrupted.hint or f"qsearch resume {job.id}"
            raise
        return self.status(job.id)


def _user() -> str:
    """The user's name; the number where none is known, as in a container with a made-up user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

"""The use-cases on this machine: `LocalDesk`, and the wiring of its parts."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path

from qsearch.contracts.comparison import AcrossView, CompareView
from qsearch.contracts.desk import SITTINGS
from qsearch.contracts.errors import Interrupted, NotFound, Unsupported, UsageError
from qsearch.contracts.front import Best
from qsearch.contracts.job import Job, JobSpec, JobState, Request
from qsearch.contracts.layer import Inspection
from qsearch.contracts.measurement import Tier
from qsearch.contracts.pool import Pool
from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import (
    BenchView,
    BestQuery,
    Check,
    EvalView,
    ExportReceipt,
    FrontRow,
    FrontView,
    HeadView,
    JobStatus,
    LayersView,
    Overrides,
    Plan,
    Progress,
    QueryResult,
    Submission,
    TrialView,
)
from qsearch.service.scratch import own_scratch
from qsearch.service.workplace import Workplace
from qsearch.spec.settings import Settings, load_settings
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.opening import open_ledger
from qsearch.store.query import read_only_query
from qsearch.store.sql_ledger import SqlLedger

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

        found, _ = load_spec(spec)
        _check_targets(found)
        _check_model(found)
        return found

    def plan(self, spec: Path, overrides: Overrides) -> Plan:
        """See `Desk.plan`."""
        from qsearch.service.planning import plan
        from qsearch.service.torch_models import with_file
        from qsearch.spec.loading import load_spec

        found, _ = load_spec(spec, overrides)
        with self._place(overrides.pool) as place:
            return plan(place, with_file(place.workshop(), found, place.artifacts))

    def run(self, spec: Path, overrides: Overrides, watch: Watch) -> JobStatus:
        """See `Desk.run`."""
        from qsearch.service.placing import must_serve_all
        from qsearch.service.preparing import inspect_model
        from qsearch.service.torch_models import with_file
        from qsearch.spec.loading import load_spec

        found, source = load_spec(spec, overrides)
        # the pool first: one that is mistyped or does not answer must not leave a job behind
        with self._place(overrides.pool, overrides.record) as place:
            must_serve_all(place.workshop(), place.pool.capacity(), found.targets)
            found = with_file(place.workshop(), found, place.artifacts)
            inspect_model(place.workshop(), "run", found)
            return self._drive(place, self._ledger.create_job(found, source, self._owner), watch)

    def resume(self, job: str, overrides: Overrides, watch: Watch) -> JobStatus:
        """See `Desk.resume`."""
        from qsearch.service.watching import must_be_free

        found = self._ledger.job(job, self._owner)
        if found.state is JobState.DONE:
            raise UsageError(f"job {found.id} is DONE; there is nothing to resume", f"qsearch pareto {found.id}")
        must_be_free(self._ledger, found)
        with self._place(overrides.pool, overrides.record) as place:
            return self._drive(place, found, watch)

    def submit(self, spec: Path, overrides: Overrides, watch: Watch, *, patience_s: float) -> Submission:
        """See `Desk.submit`."""
        from qsearch.service.submitting import Submitter
        from qsearch.service.torch_models import with_file
        from qsearch.spec.loading import load_spec

        found, source = load_spec(spec, overrides)
        if not self._settings.value("ray_address"):
            # of a cluster only its driver can tell what is there
            _check_targets(found)
        if found.model.torch:
            with self._place("local") as place:
                found = with_file(place.workshop(), found, place.artifacts)
        _check_model(found)
        return Submitter(self._settings, self._ledger).submit(found, source, self._owner, watch, patience_s)

    def watch(self, job: str, watch: Watch, *, timeout_s: float | None) -> JobStatus:
        """See `Desk.watch`."""
        from qsearch.service.awaited import AwaitedDriver
        from qsearch.service.watching import Patience, follow

        found = self._ledger.job(job, self._owner)
        awaited = AwaitedDriver(self._ledger.uuid)
        return self.status(follow(self._ledger, found, watch, Patience(timeout_s), awaited.is_lost).id)

    def ask(self, job: str, request: Request, *, wait: bool, timeout_s: float | None) -> JobStatus:
        """See `Desk.ask`."""
        from qsearch.service.asking import ask
        from qsearch.service.watching import Patience

        found = self._ledger.job(job, self._owner)
        patience = Patience(timeout_s) if wait else None
        return self.status(ask(self._ledger, found, request, self._owner, patience).id)

    def drive(self, job: str, folder: Path, watch: Watch) -> JobStatus:
        """See `Desk.drive`."""
        from qsearch.cluster.ray_jobs import this_submission
        from qsearch.service.driving import Host, drive_submitted

        submitted = this_submission(os.environ)
        if submitted.job != job:
            raise UsageError(f"this Ray job was started for job {submitted.job}, not for {job}")
        # nothing is made here: a database that is not there is not the one that was submitted to
        self._ledger = open_ledger(self._settings.value("database_url"), create=False)
        host = Host(database=self._ledger.uuid, artifacts=Path(self._settings.value("artifacts")), folder=folder)
        try:
            drive_submitted(submitted, self._ledger, host, watch)
        except Interrupted as interrupted:
            if interrupted.signal:
                raise
        return self.status(job)

    def head(self) -> HeadView | None:
        """See `Desk.head`."""
        from qsearch.service.heading import present_head

        return present_head(self._ledger.uuid)

    def end_head(self, *, cut_off: bool) -> HeadView | None:
        """See `Desk.end_head`."""
        from qsearch.service.heading import end_present_head

        return end_present_head(self._ledger.uuid, cut_off=cut_off)

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

    def front(self, job: str, target: str, *, confident: bool = False) -> FrontView:
        """See `Desk.front`."""
        from qsearch.service.answers import front_view
        from qsearch.service.references import target_of

        found = self._ledger.job(job, self._owner)
        asked = target_of(found, target)
        return front_view(self._ledger, found.id, found.spec, asked, confident=confident, state=found.state)

    def layers(self, job: str, target: str) -> LayersView:
        """See `Desk.layers`."""
        from qsearch.service.layering import layers_view
        from qsearch.service.references import target_of

        found = self._ledger.job(job, self._owner)
        return layers_view(self._ledger, found, target_of(found, target))

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

    def compare(self, first: str, second: str, *, measure: bool, quick: bool) -> CompareView:
        """See `Desk.compare`."""
        from qsearch.service.comparing import compare, compare_now

        if not measure:
            return compare(self._ledger, first, second, self._owner)
        with self._place("local") as place:
            return compare_now(place, first, second, self._owner, quick=quick)

    def across(self, job: str) -> AcrossView:
        """See `Desk.across`."""
        from qsearch.service.targeting import across_targets

        return across_targets(self._ledger, self._ledger.job(job, self._owner))

    def query(self, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
        """See `Desk.query`."""
        url = self._settings.value("database_url")
        try:
            return read_only_query(url, sql, limit=limit, timeout_s=timeout_s)
        except (NotFound, Unsupported):
            # No views there yet, or those of an older version: opening the ledger makes and migrates them.
            # Not before asking, because a login may have the right to read the views and nothing else.
            self._ledger.jobs(limit=1)
            return read_only_query(url, sql, limit=limit, timeout_s=timeout_s)

    # models
    def inspect(self, model: str, *, target: str = "") -> Inspection:
        """See `Desk.inspect`."""
        from qsearch.service.starting import inspect

        with self._place("local") as place:
            return inspect(place, model, target)

    def bench(
        self,
        models: Sequence[str],
        *,
        data: str,
        target: str,
        tier: Tier,
        shapes: Sequence[str],
        targets: Sequence[str] = (),
        spec: Path | None = None,
    ) -> BenchView:
        """See `Desk.bench`."""
        from qsearch.service.benching import bench, resolve

        named = tuple(targets) or ((target,) if target else ())
        asked = resolve(models, data=data, spec=spec, targets=named, tier=tier, shapes=shapes)
        with self._place("local") as place:
            return bench(place, asked)

    def eval(self, models: Sequence[str], spec: Path, *, target: str, quick: bool) -> EvalView:
        """See `Desk.eval`."""
        from qsearch.service.evaluating import evaluate, resolve

        asked = resolve(spec, models, target=target, quick=quick)
        with self._place("local") as place:
            return evaluate(place, asked, self._owner)

    def export(self, trial: str, out: Path, *, verify: bool, force: bool) -> ExportReceipt:
        """See `Desk.export`."""
        from qsearch.service.exporting import export
        from qsearch.service.references import find_trial

        job, number = find_trial(self._ledger, trial, self._owner)
        with self._place("local") as place:
            return export(place, job, number, out, verify=verify, force=force)

    def doctor(
        self, *, self_test: bool, targets: Sequence[str] = (), model: str = "", sittings: int | None = None
    ) -> Sequence[Check]:
        """See `Desk.doctor`."""
        from qsearch.service.health import doctor
        from qsearch.service.self_test import SelfTest
        from qsearch.service.starting import HERE
        from qsearch.spec.targets import find_target

        test = None
        if self_test:
            found = tuple(find_target(name, Path.cwd()) for name in targets or (HERE,))
            file = str(Path(model).expanduser().resolve()) if model else ""
            test = SelfTest(targets=found, model=file, sittings=SITTINGS if sittings is None else sittings)
        elif targets or model or sittings is not None:
            raise UsageError("--target, --model and --sittings say what the self-test sits", "Add --self-test.")
        return doctor(self._settings, lambda: self._ledger, lambda: self._place("local"), test=test)

    def close(self) -> None:
        """Close the database; idempotent."""
        if "_ledger" in self.__dict__:
            self._ledger.close()

    @cached_property
    def _ledger(self) -> SqlLedger:
        return open_ledger(self._settings.value("database_url"))

    @cached_property
    def _artifacts(self) -> ArtifactStore:
        return ArtifactStore(Path(self._settings.value("artifacts")), self._ledger)

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
            if not interrupted.signal:
                # asked from another process: nothing here was interrupted, the job has the end it was to have
                return self.status(job.id)
            interrupted.hint = interrupted.hint or f"qsearch resume {job.id}"
            raise
        return self.status(job.id)


def _check_targets(spec: JobSpec) -> None:
    """Look for the interpreters and providers of a spec's targets on this machine. Raises Unsupported, by name."""
    from qsearch.service.placing import must_be_asked
    from workers.interpreters import probed

    for target in filter(must_be_asked, spec.targets):
        probed(target)


def _check_model(spec: JobSpec) -> None:
    """Look at a spec's model on this machine, without a database. Raises InputError, see `inspect_model`."""
    from qsearch.cluster.pools import open_pool
    from qsearch.service.preparing import inspect_model
    from qsearch.service.torch_models import with_file
    from qsearch.service.workshop import Workshop

    with tempfile.TemporaryDirectory(prefix="qsearch-look-") as made:
        scratch = Path(made)
        with closing(open_pool("local", scratch=scratch, ray_address="")) as pool:
            workshop = Workshop(pool, scratch)
            inspect_model(workshop, "look", with_file(workshop, spec))


def _user() -> str:
    """The user's name; the number where none is known, as in a container with a made-up user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

"""The port `Desk`, answering fixed records and remembering what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import report_records as records
import report_records_compared as compared
import report_records_desk as desk_records
import report_records_models as model_records

from qsearch.contracts.comparison import AcrossView, CompareView
from qsearch.contracts.desk import Desk, Watcher
from qsearch.contracts.front import Best
from qsearch.contracts.job import Job, JobSpec, JobState, Request
from qsearch.contracts.layer import Inspection
from qsearch.contracts.measurement import Tier
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
    QueryResult,
    Submission,
    TrialView,
)


class MemoryDesk:
    """Every answer is an attribute that a test may replace; `error` is raised by whatever is asked."""

    def __init__(self) -> None:
        self.flags: Mapping[str, str | None] = {}
        self.opened = 0
        self.closed = 0
        self.error: BaseException | None = None
        self.asked: dict[str, object] = {}
        self.the_status = records.status()
        self.the_best = records.best()
        self.the_front = records.front()
        self.the_layers = model_records.layers()
        self.the_plan = records.plan()
        self.the_receipt = desk_records.receipt()
        self.the_timings = records.bench()
        self.the_comparison = compared.comparison()
        self.the_evaluation = model_records.evaluation(result=model_records.all_measured())
        self.the_checks: tuple[Check, ...] = desk_records.checks()
        self.the_head: HeadView | None = desk_records.head()
        self.the_submission = desk_records.submission()
        self.the_jobs: tuple[Job, ...] = (records.job(),)

    def init(self, model: str, *, data: str, metric: str, example: str, out: Path) -> Path:
        self._ask(model=model, data=data, metric=metric, example=example, out=out)
        return out

    def validate(self, spec: Path) -> JobSpec:
        self._ask(spec=spec)
        return records.job().spec

    def plan(self, spec: Path, overrides: Overrides) -> Plan:
        self._ask(spec=spec, overrides=overrides)
        return self.the_plan

    def run(self, spec: Path, overrides: Overrides, watch: Watcher) -> JobStatus:
        self._ask(spec=spec, overrides=overrides)
        for done in range(31):
            watch(records.progress(done))
        return self.the_status

    def resume(self, job: str, overrides: Overrides, watch: Watcher) -> JobStatus:
        self._ask(job=job, overrides=overrides)
        watch(records.progress())
        return self.the_status

    def submit(self, spec: Path, overrides: Overrides, watch: Watcher, *, patience_s: float) -> Submission:
        self._ask(spec=spec, overrides=overrides, patience_s=patience_s)
        watch(records.progress())
        return self.the_submission

    def watch(self, job: str, watch: Watcher, *, timeout_s: float | None) -> JobStatus:
        self._ask(job=job, timeout_s=timeout_s)
        watch(records.progress())
        return self.the_status

    def ask(self, job: str, request: Request, *, wait: bool, timeout_s: float | None) -> JobStatus:
        self._ask(job=job, request=request, wait=wait, timeout_s=timeout_s)
        return self.the_status

    def drive(self, job: str, folder: Path, watch: Watcher) -> JobStatus:
        self._ask(job=job, folder=folder)
        return self.the_status

    def head(self) -> HeadView | None:
        return self.the_head

    def end_head(self, *, cut_off: bool) -> HeadView | None:
        self._ask(ended=self.the_head, cut_off=cut_off)
        return self.the_head

    def jobs(self, *, limit: int, states: Sequence[JobState]) -> Sequence[Job]:
        self._ask(limit=limit, states=tuple(states))
        return self.the_jobs

    def status(self, job: str) -> JobStatus:
        self._ask(job=job)
        return self.the_status

    def trials(self, job: str, *, states: Sequence[TrialState]) -> Sequence[FrontRow | TrialView]:
        self._ask(job=job, states=tuple(states))
        return (*self.the_front.rows, records.failed())

    def front(self, job: str, target: str, *, confident: bool = False) -> FrontView:
        self._ask(job=job, target=target, confident=confident)
        return self.the_front

    def layers(self, job: str, target: str) -> LayersView:
        self._ask(job=job, target=target)
        return self.the_layers

    def best(self, job: str, query: BestQuery) -> Best:
        self._ask(job=job, query=query)
        return self.the_best

    def show(self, trial: str) -> TrialView:
        self._ask(trial=trial)
        return records.shown()

    def inspect(self, model: str, *, target: str = "") -> Inspection:
        self._ask(model=model)
        return records.inspection()

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
        self._ask(models=tuple(models), data=data, target=target, tier=tier, shapes=tuple(shapes))
        self.asked |= {"targets": tuple(targets), "spec": spec}
        return self.the_timings

    def compare(self, first: str, second: str, *, measure: bool, quick: bool) -> CompareView:
        self._ask(first=first, second=second, measure=measure, quick=quick)
        return self.the_comparison

    def across(self, job: str) -> AcrossView:
        self._ask(job=job)
        return compared.across()

    def eval(self, models: Sequence[str], spec: Path, *, target: str, quick: bool) -> EvalView:
        self._ask(models=tuple(models), spec=spec, target=target, quick=quick)
        return self.the_evaluation

    def export(self, trial: str, out: Path, *, verify: bool, force: bool) -> ExportReceipt:
        self._ask(trial=trial, out=out, verify=verify, force=force)
        return self.the_receipt

    def query(self, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
        self._ask(sql=sql, limit=limit, timeout_s=timeout_s)
        return desk_records.rows_of_query()

    def doctor(
        self, *, self_test: bool, targets: Sequence[str] = (), model: str = "", sittings: int | None = None
    ) -> Sequence[Check]:
        self._ask(self_test=self_test, targets=tuple(targets), model=model, sittings=sittings)
        return self.the_checks

    def close(self) -> None:
        self.closed += 1

    def _ask(self, **asked: object) -> None:
        self.asked = asked
        if self.error is not None:
            raise self.error


#: a type checker's proof that the port is implemented
PORT: type[Desk] = MemoryDesk

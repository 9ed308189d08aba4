"""The port between a front (command line, page) and the use-cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from qsearch.contracts.front import Best
from qsearch.contracts.job import Job, JobSpec, JobState
from qsearch.contracts.layer import Inspection
from qsearch.contracts.measurement import Tier
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

#: called with every change of a running job, from the thread that drives it
Watcher = Callable[[Progress], None]


class Desk(Protocol):
    """The use-cases as a person or a program calls them; a local and a remote desk give equal answers.

    References: a job is a name, an id, a unique id prefix or `@last`; a trial is `JOB/42`, `JOB/best`,
    `JOB/best:TARGET` or `JOB/front[2]`. Errors are QSearchErrors. Nothing here prints.
    """

    def init(self, model: str, *, data: str, metric: str, example: str, out: Path) -> Path:
        """Write a runnable, commented spec for a person's own model (or a packaged example)."""
        ...

    def validate(self, spec: Path) -> JobSpec: ...

    def plan(self, spec: Path, overrides: Overrides) -> Plan: ...

    def run(self, spec: Path, overrides: Overrides, watch: Watcher) -> JobStatus:
        """Create the job and drive it here, to its end."""
        ...

    def resume(self, job: str, overrides: Overrides, watch: Watcher) -> JobStatus:
        """Drive an unfinished job on from what the database holds."""
        ...

    def jobs(self, *, limit: int, states: Sequence[JobState]) -> Sequence[Job]: ...

    def status(self, job: str) -> JobStatus: ...

    def trials(self, job: str, *, states: Sequence[TrialState]) -> Sequence[FrontRow | TrialView]:
        """Finished trials as rows of the front, the others as views, by number."""
        ...

    def front(self, job: str, target: str) -> FrontView:
        """An empty target = the job's only one; with several it must be named."""
        ...

    def best(self, job: str, query: BestQuery) -> Best: ...

    def show(self, trial: str) -> TrialView: ...

    def inspect(self, model: str) -> Inspection: ...

    def bench(
        self, models: Sequence[str], *, data: str, target: str, tier: Tier, shapes: Sequence[str]
    ) -> BenchView: ...

    def export(self, trial: str, out: Path, *, verify: bool, force: bool) -> ExportReceipt: ...

    def query(self, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
        """Rows of one read-only statement; an empty one answers the views and their columns."""
        ...

    def doctor(self, *, self_test: bool) -> Sequence[Check]: ...

    def close(self) -> None: ...

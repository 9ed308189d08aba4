"""The port between a front (command line, page) and the use-cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from qsearch.contracts.comparison import AcrossView, CompareView
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
    Progress,
    QueryResult,
    Submission,
    TrialView,
)

#: A/A sittings of a self-test, two sessions each: three times the weight of what is assumed without them
SITTINGS = 6
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

    def validate(self, spec: Path) -> JobSpec:
        """The spec, resolved.

        Raises InputError, also for a model that cannot be read, and for a target whose interpreter or provider
        is not there.
        """
        ...

    def plan(self, spec: Path, overrides: Overrides) -> Plan: ...

    def run(self, spec: Path, overrides: Overrides, watch: Watcher) -> JobStatus:
        """Create the job and drive it here, to its end."""
        ...

    def resume(self, job: str, overrides: Overrides, watch: Watcher) -> JobStatus:
        """Drive an unfinished job on from what the database holds.

        Raises:
            UsageError: the job is DONE, or somebody drives it.
        """
        ...

    def submit(self, spec: Path, overrides: Overrides, watch: Watcher, *, patience_s: float) -> Submission:
        """Create the job and start its driver on the Ray cluster, a local one where no address is set.

        Waits up to `patience_s` for the driver to take the job. Raises Unreachable, with the driver's
        own words, when it ended before that; the job is QUEUED then and `resume` can take it.
        """
        ...

    def watch(self, job: str, watch: Watcher, *, timeout_s: float | None) -> JobStatus:
        """Follow a job that somebody else drives, to its end, from what the database holds.

        Raises:
            TimedOut: not ended after `timeout_s` seconds; the job goes on.
            JobFailed: the job is FAILED, with its driver's words; or its driver has died. Names the way on.
            Interrupted: Ctrl-C; the job goes on.
        """
        ...

    def ask(self, job: str, request: Request, *, wait: bool, timeout_s: float | None) -> JobStatus:
        """Ask a job's driver to stop or to cancel; a job that nobody drives is cancelled here.

        A stop before the search has begun cancels: there is nothing yet that finals could measure.

        Raises:
            UsageError: the job has ended, or there is no driver that could stop gracefully.
            TimedOut: `wait`, and not ended after `timeout_s` seconds.
        """
        ...

    def drive(self, job: str, folder: Path, watch: Watcher) -> JobStatus:
        """Drive a submitted job to its end; called inside the Ray job that `submit` started, only.

        `folder` holds what travelled with the job.
        """
        ...

    def head(self) -> HeadView | None:
        """The local Ray head of this database, also one that does not answer; None when none lives."""
        ...

    def end_head(self, *, cut_off: bool) -> HeadView | None:
        """End the local Ray head and the drivers on it; what it was, None when none lived.

        Args:
            cut_off: whatever runs there, and whoever is handing in a job just now. Without it
                nobody may be.

        Raises:
            UsageError: without `cut_off`, while a job is being handed in or a driver is there.
            Unreachable: it does not end; without `cut_off`, it does not say which drivers it has.
        """
        ...

    def jobs(self, *, limit: int, states: Sequence[JobState]) -> Sequence[Job]: ...

    def status(self, job: str) -> JobStatus: ...

    def trials(self, job: str, *, states: Sequence[TrialState]) -> Sequence[FrontRow | TrialView]:
        """Finished trials as rows of the front, the others as views, by number."""
        ...

    def front(self, job: str, target: str, *, confident: bool = False) -> FrontView:
        """An empty target = the job's only one; with several it must be named.

        `confident`: feasible, and the pick, by the upper bounds of drop and latency, whatever the job was driven by.
        """
        ...

    def layers(self, job: str, target: str) -> LayersView:
        """Layers, their sensitivity seen so far and the graphs that ran; at any state of the job.

        Raises:
            NotFound: the job has ended, and never knew its layers.
        """
        ...

    def best(self, job: str, query: BestQuery) -> Best: ...

    def show(self, trial: str) -> TrialView: ...

    def compare(self, first: str, second: str, *, measure: bool, quick: bool) -> CompareView:
        """The second trial against the first, of one job or of two; from what is stored unless `measure`.

        `quick` is for `measure`: one session instead of the finals' six.
        """
        ...

    def across(self, job: str) -> AcrossView:
        """A job of several targets: where they differ. From what is stored."""
        ...

    def inspect(self, model: str, *, target: str = "") -> Inspection:
        """Layers, and what each can have on a target's runtime; an empty target = this machine's."""
        ...

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
        """Time files against the first, under the first target, in one sitting.

        Several `targets` stand in place of `target`: every file under each of them. Inputs are those of
        `data`, else the search samples of `spec`, else random and said to be so.
        """
        ...

    def eval(self, models: Sequence[str], spec: Path, *, target: str, quick: bool) -> EvalView:
        """Time files and trials against the spec's fp32 in one sitting, and score them on its held-out split.

        A model is a file, or a trial's reference, which is exported on the way. An empty target = the
        spec's only one.
        """
        ...

    def export(self, trial: str, out: Path, *, verify: bool, force: bool) -> ExportReceipt: ...

    def query(self, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
        """Rows of one read-only statement; an empty one answers the views and their columns."""
        ...

    def doctor(
        self, *, self_test: bool, targets: Sequence[str] = (), model: str = "", sittings: int | None = None
    ) -> Sequence[Check]:
        """Every check; with `self_test` also so many A/A sittings on each target, whose floor is kept.

        No target = this machine's own; no model = the built-in yardstick; no number of sittings = `SITTINGS`.

        Raises:
            UsageError: a target, a model or a number of sittings without `self_test`.
            NotFound: an unknown target.
            ModelError: a model file that is not there.
        """
        ...

    def close(self) -> None: ...

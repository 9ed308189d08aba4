"""Fronts and bests: computed once per change, stored, and read back as views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qsearch.contracts.errors import NotFound
from qsearch.contracts.job import Job, JobSpec, JobState, Lease
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.trial import Result
from qsearch.contracts.views import FrontRow, FrontView, Origin
from qsearch.contracts.work import Prepared
from qsearch.search.objectives import is_usable
from qsearch.search.pareto import front
from qsearch.search.pick import pick
from qsearch.search.space import Space


class Answers:
    """What a driven job's results say, kept in the ledger after every result."""

    def __init__(self, ledger: Ledger, job: Job, spaces: Mapping[str, Space]) -> None:
        self._ledger = ledger
        self._job = job.id
        self._spec = job.spec
        self._spaces = spaces

    def history(self, target: str) -> Sequence[Result]:
        """Finished trials of a target."""
        return self._ledger.history(self._job, target)

    def refresh(self, lease: Lease, target: str) -> Sequence[Result]:
        """Store front and best of a target as of now; the history they were drawn from."""
        history = self.history(target)
        if not history:
            return history
        self._ledger.set_front(lease, target, front(history, self._spec.constraints, self._spec.objectives))
        final = self._ledger.final(lease.job, target)
        if any(is_usable(result) for result in history):
            space, asked = self._spaces[target], self._spec.constraints
            best = pick(lease.job, target, history, asked, space, final, objectives=self._spec.objectives)
            self._ledger.set_best(lease, best)
        return history


def front_view(
    ledger: Ledger,
    job: str,
    spec: JobSpec,
    target: str,
    *,
    confident: bool = False,
    state: JobState = JobState.DONE,
) -> FrontView:
    """The front of a target as the ledger holds it; `confident` draws it anew, judged by upper bounds.

    Raises:
        NotFound: nothing was measured for it yet.
    """
    entries = ledger.front(job, target)
    prepared = ledger.prepared(job, target)
    if not entries or prepared is None:
        raise NotFound(f"job {job} has no finished trial for target {target}", f"qsearch status {job}")
    results = {r.trial.number: r for r in ledger.history(job, target)}
    best = ledger.best(job, target)
    space = Space.of(prepared[1].layers, spec.space)
    if confident:
        history, asked = list(results.values()), spec.constraints
        entries = front(history, asked, spec.objectives, confident=True)
        final, objectives = ledger.final(job, target), spec.objectives
        best = pick(job, target, history, asked, space, final, confident=True, objectives=objectives)
    rows = tuple(
        FrontRow(
            result=results[e.number],
            trial=f"{job}/{e.number}",
            rank=e.rank,
            tied_with="" if e.tied_with is None else f"{job}/{e.tied_with}",
            feasible=e.feasible,
            excess=e.excess,
            uniform=space.uniform_name(results[e.number].trial.candidate).removeprefix("uniform "),
            pick=best is not None and best.trial == f"{job}/{e.number}",
        )
        for e in entries
    )
    return FrontView(
        job=job,
        target=target,
        metric=prepared[0].metric,
        machine_key=rows[0].result.machine_key,
        rows=rows,
        best=best,
        constraints=spec.constraints,
        objectives=tuple(spec.objectives),
        origin=_origin(spec, target, prepared[1], list(results.values())),
        state=state,
    )


def _origin(spec: JobSpec, target: str, prepared: Prepared, results: Sequence[Result]) -> Origin:
    asked = next(t for t in spec.targets if t.name == target)
    return Origin(
        name=spec.name,
        cpu=prepared.machine.cpu,
        cores=prepared.machine.cores,
        runtime=prepared.circumstances.runtime,
        threads=asked.threads,
        batch=asked.batch,
        tier=spec.precision,
        measured=max((r.trial.ended for r in results if r.trial.ended), default=None),
    )

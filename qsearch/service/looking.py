"""Read-only views of jobs and trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from qsearch.contracts.errors import NotFound
from qsearch.contracts.front import Best
from qsearch.contracts.job import Constraints, Job
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Tier
from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import BestQuery, FrontRow, JobStatus, Progress, TrialView
from qsearch.search.pick import pick
from qsearch.search.proposing import make_proposer
from qsearch.search.space import Space
from qsearch.service.answers import front_view
from qsearch.service.holder import is_dead
from qsearch.service.references import target_of
from qsearch.spec.units import parse_drop, parse_latency, parse_size


def status(ledger: Ledger, job: Job) -> JobStatus:
    """A job as the database knows it, whoever drives it."""
    states = [t.state for t in ledger.trials(job.id)]
    bests = [ledger.best(job.id, t.name) for t in job.spec.targets]
    ended = job.ended or datetime.now(UTC)
    progress = Progress(
        job=job,
        trials={state: states.count(state) for state in TrialState if state in states},
        budget=job.spec.search.trials,
        elapsed_s=(ended - job.created).total_seconds(),
        eta_s=None,
        doing=_doing(ledger, job),
        leaders=tuple(
            (b.target, b.trial, b.speedup.value, b.speedup.low, b.speedup.high, b.drop_search.value)
            for b in bests
            if b is not None
        ),
    )
    return JobStatus(
        job=job,
        progress=progress,
        bests=tuple(b for b in bests if b is not None),
        seconds=_seconds(ledger, job),
        notes=_notes(ledger, job),
    )


def trials(ledger: Ledger, job: Job, states: Sequence[TrialState]) -> Sequence[FrontRow | TrialView]:
    """Finished trials as rows of their front, the others as views, by number."""
    rows: dict[int, FrontRow | TrialView] = {}
    for target in job.spec.targets:
        if ledger.front(job.id, target.name):
            rows |= {r.result.trial.number: r for r in front_view(ledger, job.id, job.spec, target.name).rows}
    for trial in ledger.trials(job.id, states):
        if trial.number not in rows:
            rows[trial.number] = TrialView(
                trial=trial, measurement=None, final_latency=None, heldout=None, why=trial.message or trial.origin
            )
    wanted = {t.number for t in ledger.trials(job.id, states)}
    return [rows[number] for number in sorted(wanted)]


def trial_view(ledger: Ledger, job: Job, number: int) -> TrialView:
    """Everything about one trial."""
    trial = ledger.trial(job.id, number)
    result = next((r for r in ledger.history(job.id, trial.target) if r.trial.number == number), None)
    return TrialView(
        trial=trial,
        measurement=ledger.measurement(job.id, number),
        final_latency=result.final_latency if result else None,
        heldout=result.heldout if result else None,
        why=_why(ledger, job, number),
    )


def best(ledger: Ledger, job: Job, query: BestQuery) -> Best:
    """One answer with its reason, under the query's limits in place of the job's own.

    Raises:
        NotFound: nothing was measured yet.
    """
    target = target_of(job, query.target)
    history = ledger.history(job.id, target)
    prepared = ledger.prepared(job.id, target)
    if not history or prepared is None:
        raise NotFound(f"job {job.id} has no finished trial for target {target} yet", f"qsearch status {job.id}")
    return pick(
        job.id,
        target,
        history,
        limits(job.spec.constraints, query),
        Space.of(prepared[1].layers, job.spec.space),
        ledger.final(job.id, target),
        rule=query.rule,
        confident=query.confident,
        objectives=job.spec.objectives,
    )


def limits(constraints: Constraints, query: BestQuery) -> Constraints:
    """The job's constraints with those that the query names replaced."""
    if query.max_drop is not None:
        constraints = replace(constraints, drop=parse_drop(query.max_drop))
    if query.max_latency is not None:
        constraints = replace(constraints, latency_ms=parse_latency(query.max_latency))
    if query.max_size is not None:
        constraints = replace(constraints, size_bytes=parse_size(query.max_size))
    return constraints


def _doing(ledger: Ledger, job: Job) -> str:
    """What the job does now; a job whose driver has died does nothing, and says how to go on."""
    if job.state.ended or job.epoch == 0:
        return job.message
    taken = [e for e in ledger.events(job.id) if e.kind == "leased"]
    if taken and is_dead(str(taken[-1].data.get("holder", ""))):
        return f"nothing: its driver has died; go on with qsearch resume {job.id}"
    return job.message


def _why(ledger: Ledger, job: Job, number: int) -> str:
    trial = ledger.trial(job.id, number)
    prepared = ledger.prepared(job.id, trial.target)
    if prepared is None:
        return trial.origin
    space = Space.of(prepared[1].layers, job.spec.space)
    proposer = make_proposer(space, job.spec.search, trial.target, job.spec.objectives, job.spec.constraints)
    return proposer.explain(trial.candidate)


def _seconds(ledger: Ledger, job: Job) -> dict[str, float]:
    total: dict[str, float] = {}
    for trial in ledger.trials(job.id, [TrialState.DONE]):
        measurement = ledger.measurement(job.id, trial.number, Tier.SCREEN)
        for part, seconds in (measurement.seconds if measurement else {}).items():
            total[part] = total.get(part, 0.0) + seconds
    return total


def _notes(ledger: Ledger, job: Job) -> tuple[str, ...]:
    notes: list[str] = []
    for target in job.spec.targets:
        prepared = ledger.prepared(job.id, target.name)
        if prepared is not None:
            notes += [n for n in (*prepared[0].notes, *prepared[1].notes) if n not in notes]
    return tuple(notes)

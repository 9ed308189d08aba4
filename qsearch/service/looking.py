"""Read-only views of jobs and trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from qsearch.contracts.errors import NotFound
from qsearch.contracts.front import Best
from qsearch.contracts.job import Constraints, Job, JobState
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Tier
from qsearch.contracts.trial import Trial, TrialState
from qsearch.contracts.views import BestQuery, FrontRow, JobStatus, Progress, TrialView
from qsearch.search.objectives import is_usable
from qsearch.search.pick import pick
from qsearch.search.proposing import make_proposer
from qsearch.search.space import Space, is_fp32
from qsearch.service.answers import front_view
from qsearch.service.holder import is_dead
from qsearch.service.racing import racing_note
from qsearch.service.references import target_of
from qsearch.service.tracking import FINALS_GUESS_S
from qsearch.spec.units import parse_drop, parse_latency, parse_size

#: what a driver does in a state
_WHILE = {
    JobState.PREPARING: "preparing",
    JobState.SEARCHING: "searching",
    JobState.FINALIZING: "measuring the finalists head to head",
}


def status(ledger: Ledger, job: Job) -> JobStatus:
    """A job as the database knows it, whoever drives it."""
    return JobStatus(
        job=job,
        progress=progress_of(ledger, job),
        bests=_bests(ledger, job),
        seconds=_seconds(ledger, job),
        notes=_notes(ledger, job),
        lease=ledger.leased(job.id),
        unjudged=tuple(
            t.name for t in job.spec.targets if job.state is JobState.DONE and _unjudged(ledger, job, t.name)
        ),
    )


def progress_of(ledger: Ledger, job: Job) -> Progress:
    """Where a job stands, without reading what was measured: cheap enough for every second."""
    found = ledger.trials(job.id)
    states = [t.state for t in found]
    counts = {state: states.count(state) for state in TrialState if state in states}
    ended = job.ended or datetime.now(UTC)
    return Progress(
        job=job,
        trials=counts,
        budget=job.spec.search.trials,
        elapsed_s=(ended - job.created).total_seconds(),
        eta_s=_eta(job, counts) if _is_alive(ledger, job) else None,
        doing=_doing(ledger, job, found),
        leaders=tuple(
            (b.target, b.trial, b.speedup.value, b.speedup.low, b.speedup.high, b.drop_search.value)
            for b in _bests(ledger, job)
        ),
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
    found = pick(
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
    return replace(found, state=job.state)


def limits(constraints: Constraints, query: BestQuery) -> Constraints:
    """The job's constraints with those that the query names replaced."""
    if query.max_drop is not None:
        constraints = replace(constraints, drop=parse_drop(query.max_drop))
    if query.max_latency is not None:
        constraints = replace(constraints, latency_ms=parse_latency(query.max_latency))
    if query.max_size is not None:
        constraints = replace(constraints, size_bytes=parse_size(query.max_size))
    return constraints


def _bests(ledger: Ledger, job: Job) -> tuple[Best, ...]:
    found = (ledger.best(job.id, target.name) for target in job.spec.targets)
    return tuple(replace(best, state=job.state) for best in found if best is not None)


def _unjudged(ledger: Ledger, job: Job, target: str) -> bool:
    quantized = [r for r in ledger.history(job.id, target) if not is_fp32(r.trial.candidate)]
    return bool(quantized) and not any(is_usable(result) for result in quantized)


def _is_alive(ledger: Ledger, job: Job) -> bool:
    lease = ledger.leased(job.id)
    return lease is not None and not is_dead(lease.holder)


def _eta(job: Job, counts: Mapping[TrialState, int]) -> float | None:
    """Seconds to the end, as its driver would guess them from the time that its trials have taken."""
    done = counts.get(TrialState.DONE, 0)
    if job.state is not JobState.SEARCHING or done < 2 or not job.searched_s:
        return None
    left = max(0, job.spec.search.trials - done - counts.get(TrialState.FAILED, 0)) * job.searched_s / done
    if job.spec.search.time_s is not None:
        left = min(left, max(0.0, job.spec.search.time_s - job.searched_s))
    return left + FINALS_GUESS_S


def _doing(ledger: Ledger, job: Job, found: Sequence[Trial]) -> str:
    """What the job does now; a job whose driver has died does nothing, and says how to go on."""
    if job.state.ended:
        return job.message
    lease = ledger.leased(job.id)
    if lease is None and job.epoch == 0:
        return f"waiting for its driver; where none was started, qsearch resume {job.id} drives it"
    if lease is None or is_dead(lease.holder):
        return f"nothing: its driver has died; go on with qsearch resume {job.id}"
    if job.requested is not None:
        return f"asked to {job.requested}"
    running = [t for t in found if t.state is TrialState.RUNNING]
    if job.state is JobState.SEARCHING and running:
        return ", ".join(f"trial {t.number}: {t.origin}" for t in running)
    return _WHILE.get(job.state, "")


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
            said = (*prepared[0].notes, racing_note(job.spec, prepared[0]), *prepared[1].notes)
            notes += [n for n in said if n and n not in notes]
    notes += [f"{e.data.get('message')}; made again" for e in ledger.events(job.id) if e.kind == "damaged"]
    return tuple(notes)

"""Jobs and their status, as answers."""

from __future__ import annotations

from collections.abc import Sequence

from qsearch.contracts.job import Job, JobState, ModelRef, holder_text
from qsearch.contracts.views import JobStatus, Progress
from qsearch.report.answer import Answer, Line, Mark, Row, Table, facts
from qsearch.report.bests import best_document, best_table
from qsearch.report.numbers import count, duration, durations, moment
from qsearch.report.progress import leaders_table, states_text

_MARKS = {JobState.DONE: Mark.GOOD, JobState.FAILED: Mark.PROBLEM, JobState.CANCELLED: Mark.DIM}


def job_row(job: Job) -> Row:
    """One job, flat: ids, state, what was asked, when."""
    return {
        "job": job.id,
        "name": job.name,
        "state": job.state.value,
        "owner": job.owner,
        "created": moment(job.created),
        "ended": moment(job.ended),
        "model": model_text(job.spec.model),
        "targets": ",".join(target.name for target in job.spec.targets),
        "sampler": job.spec.search.sampler,
        "budget_trials": job.spec.search.trials,
        "budget_time_s": job.spec.search.time_s,
        "searched_s": job.searched_s,
        "requested": None if job.requested is None else job.requested.value,
        "message": job.message,
    }


def jobs_answer(jobs: Sequence[Job]) -> Answer:
    """A list of jobs, in the order given."""
    rows = tuple(job_row(job) for job in jobs)
    lines = tuple(
        Line(
            cells=(
                job.id,
                job.name,
                job.state.value,
                moment(job.created) or "",
                count(job.spec.search.trials, "trial"),
                ", ".join(target.name for target in job.spec.targets),
                job.message.partition("\n")[0],
            ),
            mark=_MARKS.get(job.state, Mark.NONE),
        )
        for job in jobs
    )
    table = Table(columns=("job", "name", "state", "created", "budget", "targets", "message"), lines=lines)
    return Answer(noun="jobs", row_noun="job", document={"jobs": list(rows)}, rows=rows, tables=(table,))


def status_answer(status: JobStatus) -> Answer:
    """A job with its progress and its answers so far."""
    row = {**job_row(status.job), **_progress_row(status.progress), **_driver_row(status)}
    document = {
        **row,
        "trials": {state.value: number for state, number in status.progress.trials.items()},
        "leaders": [_leader(leader) for leader in status.progress.leaders],
        "bests": [best_document(best) for best in status.bests],
        "seconds": dict(status.seconds),
        "notes": list(status.notes),
    }
    tables = [_status_table(status)]
    if status.bests:
        tables += [best_table(best) for best in status.bests]
    elif status.progress.leaders:
        tables.append(leaders_table(status.progress))
    return Answer(noun="status", row_noun="status", document=document, rows=(row,), tables=tuple(tables))


def model_text(model: ModelRef) -> str:
    """Where a model is, in one string."""
    return f"torch {model.torch}" if model.torch else model.path or f"{model.package}:{model.file}"


def _progress_row(progress: Progress) -> Row:
    states: Row = {f"trials_{state.value.lower()}": number for state, number in progress.trials.items()}
    return {**states, "elapsed_s": progress.elapsed_s, "eta_s": progress.eta_s, "doing": progress.doing}


def _driver_row(status: JobStatus) -> Row:
    lease = status.lease
    if lease is None:
        return {"driver": None, "lease_until": None, "epoch": status.job.epoch}
    return {"driver": lease.holder, "lease_until": moment(lease.until), "epoch": lease.epoch}


def _driver(status: JobStatus) -> str:
    """`HOST, process 4711, until 2026-01-01T00:00:00Z (epoch 2)`."""
    lease = status.lease
    if lease is None:
        return "" if status.job.state.ended else "nobody"
    return f"{holder_text(lease.holder)}, until {moment(lease.until)} (epoch {lease.epoch})"


def _leader(leader: tuple[str, str, float, float, float, float]) -> dict[str, object]:
    target, trial, value, low, high, drop_search = leader
    return {
        "target": target,
        "trial": trial,
        "speedup": {"value": value, "low": low, "high": high},
        "drop_search": drop_search,
    }


def _status_table(status: JobStatus) -> Table:
    job, progress = status.job, status.progress
    pairs = [
        ("state", job.state.value),
        ("doing", "" if job.state.ended else progress.doing),
        ("driver", _driver(status)),
        ("asked to", "" if job.requested is None else job.requested.value),
        ("message", job.message),
        ("model", model_text(job.spec.model)),
        ("targets", ", ".join(target.name for target in job.spec.targets)),
        ("trials", f"{states_text(progress)} of {progress.budget}"),
        ("elapsed", duration(progress.elapsed_s)),
        ("to go", "" if job.state.ended else duration(progress.eta_s)),
        ("created", moment(job.created) or ""),
        ("ended", moment(job.ended) or ""),
        ("time went to", durations(status.seconds)),
    ]
    return facts(f"job {job.name} ({job.id})", pairs, notes=status.notes)

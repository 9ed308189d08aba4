"""What both ledgers decide alike: moves, retries, refusals, references. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from qsearch.contracts.causes import RETRIES, Cause
from qsearch.contracts.codec import canonical
from qsearch.contracts.errors import Fenced, NotFound, UsageError
from qsearch.contracts.job import JOB_MOVES, JobState, Lease, Request, holder_text
from qsearch.contracts.measurement import Measurement, Tier
from qsearch.contracts.trial import TRIAL_MOVES, TrialState
from qsearch.contracts.work import FinalResult


class Refused(Fenced):
    """A write that was refused because somebody else has taken over; the ledger notes it as an event."""

    def __init__(self, message: str, job: str, data: Mapping[str, object]) -> None:
        super().__init__(message, "What was measured is kept; this driver must stop.")
        self.job = job
        self.data = data


def stale_epoch(lease: Lease, current: int, write: str) -> Refused:
    """The lease is not the job's current one."""
    return Refused(
        f"{write} refused: job {lease.job} is driven under epoch {current}, this lease is epoch {lease.epoch}",
        lease.job,
        {"write": write, "epoch": lease.epoch, "current_epoch": current, "holder": lease.holder},
    )


def stale_token(job: str, number: int, token: int, found: tuple[TrialState, int], write: str) -> Refused:
    """The attempt is not the trial's current one, or the trial no longer runs."""
    state, current = found
    return Refused(
        f"{write} refused: trial {job}/{number} is {state} with token {current}, this is token {token}",
        job,
        {"write": write, "trial": number, "token": token, "state": state.value, "current_token": current},
    )


def other_measurement(job: str, number: int, token: int, digest: str, accepted: str) -> Refused:
    """The trial has accepted another measurement."""
    return Refused(
        f"finish refused: trial {job}/{number} accepted measurement {accepted[:12]}…, this is {digest[:12]}…",
        job,
        {"write": "finish", "trial": number, "token": token, "digest": digest, "accepted": accepted},
    )


def is_other(present: str, holder: str, dead: Callable[[str], bool] | None) -> bool:
    """Whether somebody else, not known to be dead, holds the job."""
    return bool(present) and present != holder and not (dead is not None and dead(present))


def live_lease(job: str, holder: str, seconds: float) -> Fenced:
    """Another holder drives the job."""
    return Fenced(
        f"job {job} is driven by {holder_text(holder)}, whose lease lasts another {max(seconds, 0.0):.0f} s",
        "Wait for it to end; a driver that died loses the job when that time is over.",
    )


def check_epoch(job: str, current: int, wanted: int | None) -> None:
    """Raises Fenced when the next epoch is not the one that is wanted."""
    if wanted is not None and current + 1 != wanted:
        raise Fenced(
            f"job {job} is at epoch {current}; this driver was started to take it as epoch {wanted}",
            "Somebody has taken or cancelled it in between: qsearch status says how it stands.",
        )


def after_request(job: str, state: JobState, before: Request | None, request: Request) -> Request:
    """What is asked of the driver after this request, too. Raises UsageError when there is no driver to come."""
    if state.ended:
        raise UsageError(f"job {job} is {state} and cannot be asked to {request}", f"qsearch status {job}")
    return Request.CANCEL if before is Request.CANCEL else request


def check_job_move(job: str, now: JobState, wanted: JobState) -> None:
    """Raises UsageError for a move that JOB_MOVES does not have."""
    if wanted not in JOB_MOVES[now]:
        allowed = ", ".join(JOB_MOVES[now]) or "nothing: it has ended for good"
        raise UsageError(f"job {job} is {now} and cannot become {wanted}; allowed: {allowed}")


def check_trial_move(job: str, number: int, now: TrialState, wanted: TrialState) -> None:
    """Raises UsageError for a move that TRIAL_MOVES does not have."""
    if wanted not in TRIAL_MOVES[now]:
        allowed = ", ".join(TRIAL_MOVES[now]) or "nothing: it has ended"
        raise UsageError(f"trial {job}/{number} is {now} and cannot become {wanted}; allowed: {allowed}")


def after_failure(failures: Mapping[Cause, int], cause: Cause) -> TrialState:
    """Where a trial goes after a failure of this cause, the failure counted in `failures`."""
    return TrialState.QUEUED if failures[cause] <= RETRIES[cause] else TrialState.FAILED


def event_text(data: Mapping[str, object]) -> str:
    """An event's data as stored; raises UsageError when it is not plain finite data."""
    try:
        return canonical(data)
    except ValueError as error:
        raise UsageError(f"an event holds plain finite data: {error}") from error


def no_job(reference: str, known: Sequence[str]) -> NotFound:
    """There is no such job; `known` are names and ids that may be near."""
    near = get_close_matches(reference, sorted(set(known)), n=3, cutoff=0.6)
    hint = f"Did you mean {', '.join(near)}?" if near else "qsearch jobs shows all."
    return NotFound(f"no job has the name, id or id prefix {reference!r}", hint)


def many_jobs(prefix: str, found: Sequence[str]) -> NotFound:
    """The prefix fits several ids."""
    shown = ", ".join(found[:5]) + ("…" if len(found) > 5 else "")
    return NotFound(f"{prefix!r} begins the ids of several jobs: {shown}", "Give more characters.")


def no_last(owner: str) -> NotFound:
    """`@last` of a user who has none."""
    return NotFound(f"user {owner} has no jobs yet, so there is no @last", "qsearch jobs shows everybody's.")


def no_trial(job: str, number: int, count: int) -> NotFound:
    """There is no such trial."""
    found = f"it has 0 to {count - 1}" if count else "it has none yet"
    return NotFound(f"job {job} has no trial {number}; {found}")


def no_target(job: str, target: str, known: Sequence[str]) -> NotFound:
    """The job does not have this target."""
    return NotFound(f"job {job} has no target {target!r}; it has: {', '.join(known) or 'none'}")


def final_measurement(own: Measurement, number: int, final: FinalResult) -> Measurement:
    """A finalist's numbers in the shape of a measurement; size and operators are the trial's own.

    Raises:
        NotFound: the trial is no finalist.
    """
    found = next((finalist for finalist in final.finalists if finalist.number == number), None)
    if found is None:
        raise NotFound(f"trial {number} is no finalist; they are {[f.number for f in final.finalists]}")
    return Measurement(
        tier=Tier.FINAL,
        latency=found.latency,
        accuracy=found.heldout,
        size_bytes=own.size_bytes,
        artifact_sha256=found.artifact_sha256,
        peak_memory_bytes=found.peak_memory_bytes,
        circumstances=final.circumstances,
        sitting=final.sitting,
        optimised_ops=own.optimised_ops,
        seconds=own.seconds,
    )


def unfinished(job: str, number: int, role: str) -> UsageError:
    """A trial without an accepted measurement cannot take this role."""
    return UsageError(f"trial {job}/{number} has no accepted measurement, so it cannot be {role}")

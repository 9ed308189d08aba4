"""`JOB`, `JOB/42`, `JOB/best`, `JOB/best:TARGET`, `JOB/front[2]`: what people type, to rows."""

from __future__ import annotations

import re

from qsearch.contracts.errors import NotFound, UsageError
from qsearch.contracts.job import Job
from qsearch.contracts.ledger import Ledger

_FRONT = re.compile(r"front\[(\d{1,9})\]", re.ASCII)
#: of the number of a trial; no job has as many
_DIGITS = 9


def target_of(job: Job, name: str) -> str:
    """The target meant: the only one, or the one that is named.

    Raises:
        UsageError: several, and none is named.
        NotFound: no such target.
    """
    names = [t.name for t in job.spec.targets]
    if not name:
        if len(names) > 1:
            raise UsageError(f"job {job.id} has {len(names)} targets: {', '.join(names)}", "Name one: --target NAME")
        return names[0]
    if name not in names:
        raise NotFound(f"job {job.id} has no target {name!r}; it has {', '.join(names)}")
    return name


def find_trial(ledger: Ledger, reference: str, owner: str) -> tuple[Job, int]:
    """The job and the number of the trial a reference means.

    Raises:
        UsageError: not of the form JOB/TRIAL.
        NotFound: no such job or trial.
    """
    name, slash, what = reference.partition("/")
    if not slash or not what:
        raise UsageError(f"{reference!r} names no trial", "Write JOB/42, JOB/best or JOB/front[2]; JOB may be @last.")
    job = ledger.job(name, owner)
    if what.isascii() and what.isdigit():
        if len(what) > _DIGITS:
            raise NotFound(f"job {job.id} has no trial {what[:20]}…", f"qsearch trials {job.id}")
        return job, ledger.trial(job.id, int(what)).number
    kind, _, target = what.partition(":")
    if not target and len(job.spec.targets) > 1 and (kind == "best" or _FRONT.fullmatch(kind)):
        names = [f"{job.id}/{kind}:{t.name}" for t in job.spec.targets]
        raise UsageError(
            f"job {job.id} has {len(names)} targets, each with its own {kind}", f"Write {' or '.join(names)}."
        )
    target = target_of(job, target)
    if kind == "best":
        best = ledger.best(job.id, target)
        if best is None:
            raise NotFound(f"job {job.id} has no best trial yet", f"qsearch status {job.id}")
        return job, int(best.trial.rpartition("/")[2])
    match = _FRONT.fullmatch(kind)
    if match:
        return job, _front_member(ledger, job, target, int(match.group(1)))
    raise UsageError(f"{what!r} is no trial of a job", "Write JOB/42, JOB/best, JOB/best:TARGET or JOB/front[2].")


def _front_member(ledger: Ledger, job: Job, target: str, index: int) -> int:
    members = [e.number for e in ledger.front(job.id, target) if e.rank == 0]
    if index >= len(members):
        raise NotFound(f"the front of job {job.id} has {len(members)} members, counted from 0; there is no {index}")
    return members[index]

"""What the process says with its last number. One table; scripts may rely on it.

| code | meaning                                                                                  |
|------|------------------------------------------------------------------------------------------|
| 0    | as asked                                                                                 |
| 1    | a bug of QSearch                                                                         |
| 2    | usage                                                                                    |
| 3    | the spec, the model or the data is unusable; nothing was started                         |
| 4    | not found                                                                                |
| 5    | the job failed or was cancelled; eval, bench: a file could not be measured               |
| 6    | finished, but nothing meets the constraints; the best infeasible one is kept and printed |
| 8    | the database, the cluster or the server is unreachable; doctor found a problem           |
| 9    | inconclusive: a job judged nothing; compare --strict: the times were not told apart      |
| 124  | the time of --timeout was over; the job goes on                                          |
| 130  | interrupted (143: terminated)                                                            |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qsearch.contracts.errors import QSearchError
    from qsearch.contracts.front import Best
    from qsearch.contracts.views import Check, JobStatus

OK = 0
BUG = 1
USAGE = 2
UNUSABLE = 3
NOT_FOUND = 4
JOB_FAILED = 5
INFEASIBLE = 6
UNREACHABLE = 8
INCONCLUSIVE = 9
TIMED_OUT = 124
INTERRUPTED = 130
TERMINATED = 143

#: error of the family → code; a subclass has the code of its nearest named ancestor.
#: NOTE: `Incomparable` was measured and gives no answer; a `Fenced` driver lost its job; a
#: `WorkFailed` that reaches the user ended what was asked.
BY_ERROR: dict[str, int] = {
    "UsageError": USAGE,
    "InputError": UNUSABLE,
    "NotFound": NOT_FOUND,
    "JobFailed": JOB_FAILED,
    "WorkFailed": JOB_FAILED,
    "Fenced": JOB_FAILED,
    "Unreachable": UNREACHABLE,
    "Inconclusive": INCONCLUSIVE,
    "Incomparable": INCONCLUSIVE,
    "TimedOut": TIMED_OUT,
    "Interrupted": INTERRUPTED,
}


def code_of(error: QSearchError) -> int:
    """The exit code of an error; one that the table does not know is a bug."""
    for kind in type(error).__mro__:
        if kind.__name__ in BY_ERROR:
            code = BY_ERROR[kind.__name__]
            return 128 + getattr(error, "signal", 2) if code == INTERRUPTED else code
    return BUG


def code_of_best(best: Best) -> int:
    """6 when the answer is only the closest to the constraints."""
    return OK if best.feasible else INFEASIBLE


def code_of_job(status: JobStatus) -> int:
    """What `run` and `resume` end with: the job's own end, then its worst answer.

    NOTE: an fp32 that was taken for want of anything to compare it with is no answer: what was measured
    was polluted, and a quieter machine may answer otherwise.
    """
    if status.job.state.value in ("FAILED", "CANCELLED"):
        return JOB_FAILED
    if status.unjudged:
        return INCONCLUSIVE
    return max((code_of_best(best) for best in status.bests), default=OK)


def code_of_checks(checks: Sequence[Check]) -> int:
    """8 when one of them is a problem: this installation cannot do its work."""
    return UNREACHABLE if any(check.status == "problem" for check in checks) else OK

"""Why a job failed, kept with it: whoever watches from another process is told what its driver was told."""

from __future__ import annotations

from collections.abc import Mapping

from qsearch.contracts.errors import JobFailed, QSearchError
from qsearch.contracts.job import Job
from qsearch.contracts.ledger import Ledger


def error_data(error: Exception) -> Mapping[str, object]:
    """The kind and the words of an error, as the data of an event."""
    said = (error.message, error.hint) if isinstance(error, QSearchError) else ("", "")
    return {"kind": type(error).__name__, "message": said[0], "hint": said[1]}


def and_resume(hint: str, job: str) -> str:
    """What to do about it, and how to go on after that."""
    return hint if "qsearch resume" in hint else f"{hint} Then: qsearch resume {job}".strip()


def failure_of(ledger: Ledger, job: Job) -> JobFailed:
    """What the last driver of a FAILED job said when it ended.

    NOTE: always JobFailed, whatever ended the driver: to whoever looks on, a job was started and failed.
    Only the command that refuses an input itself can say that nothing was started.
    """
    told = [event.data for event in ledger.events(job.id) if event.kind == "error" and event.epoch == job.epoch]
    message, hint = (str(told[-1].get(key) or "") for key in ("message", "hint")) if told else ("", "")
    return JobFailed(f"job {job.id} failed: {message or job.message}", and_resume(hint, job.id))

"""Why a job failed, kept with it: whoever watches from another process is told what its driver was told."""

from __future__ import annotations

from collections.abc import Mapping

from qsearch.contracts import errors
from qsearch.contracts.errors import JobFailed, QSearchError, SpecError, WorkFailed
from qsearch.contracts.job import Job
from qsearch.contracts.ledger import Ledger


def error_data(error: Exception) -> Mapping[str, object]:
    """The kind and the words of an error, as the data of an event."""
    said = (error.message, error.hint) if isinstance(error, QSearchError) else ("", "")
    return {"kind": type(error).__name__, "message": said[0], "hint": said[1]}


def and_resume(hint: str, job: str) -> str:
    """What to do about it, and how to go on after that."""
    return hint if "qsearch resume" in hint else f"{hint} Then: qsearch resume {job}".strip()


def failure_of(ledger: Ledger, job: Job) -> QSearchError:
    """The error with which the last driver of a FAILED job ended.

    A kind that is not of the family (a bug, or of another version) is a JobFailed with the job's words.
    """
    told = [event.data for event in ledger.events(job.id) if event.kind == "error" and event.epoch == job.epoch]
    if not told:
        return JobFailed(f"job {job.id} failed: {job.message}", f"qsearch resume {job.id}")
    return _kind(str(told[-1].get("kind")))(str(told[-1].get("message") or job.message), str(told[-1].get("hint", "")))


def _kind(name: str) -> type[QSearchError]:
    found = getattr(errors, name, None)
    # two of the family take more than words, and are no end of a driver
    if isinstance(found, type) and issubclass(found, QSearchError) and not issubclass(found, SpecError | WorkFailed):
        return found
    return JobFailed

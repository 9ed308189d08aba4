"""One piece of work at a time: submit it, wait for it, turn a failure into an error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from qsearch.contracts.causes import RETRIES, Cause
from qsearch.contracts.errors import InputError, JobFailed, QSearchError, TaskError, Unreachable
from qsearch.contracts.pool import Pool
from qsearch.contracts.target import Target
from qsearch.contracts.work import Order, Outcome, Work, WorkKind, WorkResult


class Workshop:
    """A pool as a function call, for work that the job cannot go on without.

    Args:
        scratch: folder below which each piece of work gets one of its own.
        heartbeat: called at least once a second while waiting; may raise to give up.
    """

    def __init__(self, pool: Pool, scratch: Path, heartbeat: Callable[[], None] = lambda: None) -> None:
        self._pool = pool
        self._scratch = scratch
        self._heartbeat = heartbeat

    def folder(self, key: str, token: int) -> Path:
        """Where the work with this key and attempt may write."""
        return self._scratch / key.replace("/", "-").replace(":", "-") / str(token)

    def do(self, kind: WorkKind, key: str, order: Order, target: Target, deadline_s: float) -> tuple[WorkResult, Path]:
        """The result, and the scratch folder with the files it left.

        Raises:
            InputError: the model, the data or the task's code cannot be used.
            Unreachable: a disk is full.
            JobFailed: it failed for another reason, every allowed attempt included.
        """
        failed: dict[Cause, int] = {}
        token = 0
        while True:
            token += 1
            folder = self.folder(key, token)
            shutil.rmtree(folder, ignore_errors=True)
            work = Work(
                kind=kind,
                key=key,
                token=token,
                order=order,
                scratch=str(folder),
                deadline_s=deadline_s,
                failures=sum(failed.values()),
            )
            self._pool.submit(work, target)
            outcome = self._await(key, token)
            if outcome.result is not None:
                return outcome.result, folder
            shutil.rmtree(folder, ignore_errors=True)
            cause = outcome.cause or Cause.INFRA
            failed[cause] = failed.get(cause, 0) + 1
            if failed[cause] > RETRIES[cause]:
                raise error_of(outcome)

    def _await(self, key: str, token: int) -> Outcome:
        while True:
            for outcome in self._pool.results(timeout_s=1.0):
                if (outcome.key, outcome.token) == (key, token):
                    return outcome
            self._heartbeat()


def error_of(outcome: Outcome) -> QSearchError:
    """What a failed piece of work means to the user."""
    hint = f"Its last words:\n{outcome.tail.strip()[-1500:]}" if outcome.tail.strip() else ""
    if outcome.cause is Cause.USER_ERROR:
        return TaskError(outcome.message, hint)
    if outcome.cause is Cause.BAD_MODEL:
        return InputError(outcome.message)
    if outcome.cause is Cause.DISK_FULL:
        return Unreachable(outcome.message, "Free some space there.")
    cause = outcome.cause.value if outcome.cause else "unknown"
    return JobFailed(f"{outcome.kind.value} failed ({cause}): {outcome.message}", hint)

"""The one family of errors. Every message says what was expected, what was found, what to do.

    QSearchError
    ├── UsageError              a flag, or a combination of flags, that means nothing
    ├── InputError              the spec, the model or the data cannot be used; nothing was started
    │   ├── SpecError           a job spec, with every problem and its place in the file
    │   ├── ModelError          missing, not ONNX, truncated, nothing to quantize
    │   ├── DataError           input names, shapes, types, not-a-number
    │   ├── TaskError           the user's task or scoring code raised, or returned something else
    │   └── Unsupported         a choice, op, runtime or setting that cannot be honoured, by name
    ├── NotFound                a job, trial, target or artifact that is not there
    ├── JobFailed               the job ended without an answer
    ├── Unreachable             the database, the cluster or the server does not answer
    ├── Inconclusive            measured, and the answer is not clear
    ├── Incomparable            two numbers taken under unlike circumstances
    ├── Fenced                  a stale epoch or token: somebody else has taken over
    ├── WorkFailed              a task of the pool failed, with its cause and the tail of its output
    ├── TimedOut                the wait was over before the work; the work goes on
    └── Interrupted             the user asked to stop

NOTE: one root, because the command line turns exactly this family into one to three lines and an
exit code; anything else is a bug and keeps its traceback. Foreign exceptions are translated at the
door of the room that owns the library (`raise ... from error`), never further up.
"""

from __future__ import annotations

from dataclasses import dataclass

from qsearch.contracts.causes import Cause


class QSearchError(Exception):
    """Something the user can understand and act on.

    Args:
        message: what was expected and what was found, one sentence.
        hint: what to do about it; printed on a line of its own, empty when the message says it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(QSearchError):
    """A flag, or a combination of flags, that means nothing."""


class InputError(QSearchError):
    """The spec, the model or the data cannot be used; nothing was started."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file, and where."""

    #: dotted path of the key, `space.choices[2]`; empty for the whole document
    path: str
    message: str
    #: 1-based; 0 when the place is unknown
    line: int = 0
    column: int = 0


class SpecError(InputError):
    """A file of ours that says something we cannot do. All problems at once, each with its place."""

    def __init__(self, source: str, problems: tuple[Problem, ...], hint: str = "") -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join(self._line(p) for p in problems), hint)

    def _line(self, problem: Problem) -> str:
        place = f"{self.source}:{problem.line}:{problem.column}" if problem.line else self.source
        return f"{place} {problem.path}: {problem.message}" if problem.path else f"{place}: {problem.message}"


class ModelError(InputError):
    """A model that is missing, is not ONNX, is truncated, or has nothing to quantize."""


class DataError(InputError):
    """Samples whose names, shapes, types or values do not fit the model."""


class TaskError(InputError):
    """The user's task or scoring code raised, or returned something that is not what was promised."""


class Unsupported(InputError):
    """A choice, op, runtime or setting that cannot be honoured here; the message names it."""


class NotFound(QSearchError):
    """A job, trial, target or artifact that is not there."""


class JobFailed(QSearchError):
    """The job ended without an answer; what was measured is kept."""


class Unreachable(QSearchError):
    """The database, the cluster or the server does not answer."""


class Inconclusive(QSearchError):
    """It was measured, and the answer is not clear."""


class Incomparable(QSearchError):
    """Two numbers taken under unlike circumstances; the message names both values."""


class Fenced(QSearchError):
    """A stale epoch or token: somebody else has taken over, and nothing was written."""


class WorkFailed(QSearchError):
    """A task of the pool failed."""

    def __init__(self, cause: Cause, message: str, tail: str = "", hint: str = "") -> None:
        super().__init__(message, hint)
        self.cause = cause
        #: the last lines the failing process wrote
        self.tail = tail


class TimedOut(QSearchError):
    """A wait with `--timeout` was over before the job was; the job goes on."""


class Interrupted(QSearchError):
    """The user asked to stop; what was measured is kept and `resume` continues.

    Args:
        message: what was stopped.
        hint: how to go on.
        signal: number of the signal that asked, 2 or 15; the exit code is 128 more. 0 when it was asked
            through the ledger, from another process: then the job has the end that was asked for.
        answered: id of a job that was stopped gracefully and has its answer; empty when there is none.
    """

    def __init__(self, message: str, hint: str = "", signal: int = 2, answered: str = "") -> None:
        super().__init__(message, hint)
        self.signal = signal
        self.answered = answered

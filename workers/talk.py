"""A child process that answers one JSON line per JSON line, with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from qsearch.measure.ort import QUIET
from workers.bounds import bound, limit_memory
from workers.crashes import CRASHES
from workers.deadline import within
from workers.hearing import Hearing
from workers.offspring import end_child, hold, now_ours, release
from workers.oom import kernel_oom_kills
from workers.own_folder import make_own_folder, remove_own_folder
from workers.tree import MARK

#: longest answer accepted, bytes; user code must not fill the worker's memory through the pipe
MAX_ANSWER = 4 << 20
#: how much of a child's stderr is kept, bytes; the rest of a flood is read and dropped
_TAIL = 4000
#: after its last word a child gets so long to end by itself, seconds
_GRACE_S = 1.0


class TalkingChild:
    """`python -m MODULE` in a session of its own; killed with everything it started.

    It runs while it is asked and is stopped in between, with what it has started: a thread that goes on
    after its answer would run beside a measurement. Whoever has left it by then, as daemons do, is ended.

    NOTE: `-P`, because without it a `numpy` or `workers` in `cwd` would be imported instead of the
    installed one, before the child has said its first word.

    Args:
        module: what to run.
        cwd: where it runs.
        oom_kills: how many processes this machine's kernel has killed for memory so far.

    Raises:
        WorkFailed: INFRA, it cannot be started there.
    """

    def __init__(self, module: str, *, cwd: str, oom_kills: Callable[[], int] = kernel_oom_kills) -> None:
        self._oom_kills = oom_kills
        self._oom_before = self._asked = 0
        self._folder = make_own_folder()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=_environment(self._folder),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            remove_own_folder(self._folder)
            raise WorkFailed(Cause.INFRA, f"no process can be started in {cwd}: {error.strerror}") from error
        now_ours(self._process)
        bound(self._process.pid)
        self._hearing = Hearing(self._process, longest=MAX_ANSWER, tail=_TAIL)

    @property
    def pid(self) -> int:
        """Number of the process, which is also the number of its session."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def ask(self, request: dict[str, object], deadline_s: float, what: str = "the task's code") -> dict[str, object]:
        """One request, one answer. A child that failed to answer is closed.

        Args:
            request: gets an `id`, which the answer must repeat.
            deadline_s: for the answer; less where the work under way has less time left.
            what: whose answer it is, for messages.

        Raises:
            WorkFailed: TIMEOUT after deadline_s. When it died: OUT_OF_MEMORY where the kernel counted
                one more kill for memory or its last words say so, NATIVE_CRASH by a signal of its own
                code's, INFRA by anybody else's, USER_ERROR when it ended by itself or answered nonsense.
        """
        self._asked += 1
        self._hearing.forget()
        self._oom_before = self._oom_kills()
        limit_memory(self._process.pid)
        release(self._process)
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps({**request, "id": self._asked}).encode() + b"\n")
        except BrokenPipeError:
            pass  # it is dead; reading says how
        try:
            answer = self._answer(within(deadline_s), what)
        except WorkFailed:
            self.close()
            raise
        hold(self._process)
        return answer

    def close(self) -> None:
        """Kill the child and everything it started; idempotent."""
        end_child(self._process)
        self._hearing.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        remove_own_folder(self._folder)

    def _answer(self, allowed_s: float, what: str) -> dict[str, object]:
        line = self._line(allowed_s, what)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.pop("id", 0) != self._asked:
            # what it imports can reach the pipe, and a fork of it answers too
            raise self._failed(Cause.USER_ERROR, f"{what} wrote {line[:80]!r} in place of an answer")
        return answer

    def _line(self, allowed_s: float, what: str) -> bytes:
        try:
            return self._hearing.line(allowed_s)
        except TimeoutError:
            raise self._failed(Cause.TIMEOUT, f"{what} did not answer within {allowed_s:.3g} s") from None
        except OverflowError:
            raise self._failed(Cause.USER_ERROR, f"{what} answered more than {MAX_ANSWER >> 20} MiB") from None
        except EOFError:
            raise self._death(what) from None

    def _death(self, what: str) -> WorkFailed:
        self._hearing.drain(_GRACE_S)
        try:
            # its pipes close a moment before it can be reaped
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return self._failed(Cause.USER_ERROR, f"{what} closed the pipe for answers and went on")
        cause, how = self._cause(code)
        return self._failed(cause, f"the process that runs {what} {how}")

    def _cause(self, code: int) -> tuple[Cause, str]:
        names = {number.value: number.name for number in signal.Signals}
        how = f"exited with {code}" if code >= 0 else f"was killed by {names.get(-code, f'signal {-code}')}"
        if code == -signal.SIGKILL and self._oom_kills() > self._oom_before:
            return Cause.OUT_OF_MEMORY, "was killed by the kernel for memory"
        if code != -signal.SIGKILL and ("bad_alloc" in self._hearing.words or "MemoryError" in self._hearing.words):
            return Cause.OUT_OF_MEMORY, f"{how} for lack of memory"
        if code >= 0:
            return Cause.USER_ERROR, how
        return (Cause.NATIVE_CRASH if -code in CRASHES else Cause.INFRA), how

    def _failed(self, cause: Cause, message: str) -> WorkFailed:
        return WorkFailed(cause, message, self._hearing.words)


def _environment(folder: str) -> dict[str, str]:
    """Ours without what concerns QSearch and Ray: both hold secrets, and neither is user code's business."""
    # the mark stays: by it a worker's guard finds what the user's code has started
    kept = {n: v for n, v in os.environ.items() if n == MARK or not n.startswith(("QSEARCH_", "RAY_"))}
    # what a task runs by ONNX Runtime is told to nobody, see there
    kept.setdefault(*QUIET)
    return {**kept, "TMPDIR": folder} if folder else kept

"""A child process that answers one JSON line per JSON line, with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from workers.crashes import CRASHES
from workers.oom import kernel_oom_kills
from workers.tree import MARK

#: longest answer accepted, bytes; user code must not fill the worker's memory through the pipe
MAX_ANSWER = 4 << 20


class TalkingChild:
    """`python -m MODULE` in a process group of its own; killed with everything it started.

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
        self._oom_before = 0
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                cwd=cwd,
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise WorkFailed(Cause.INFRA, f"no process can be started in {cwd}: {error.strerror}") from error

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def ask(self, request: dict[str, object], deadline_s: float) -> dict[str, object]:
        """One request, one answer.

        Raises:
            WorkFailed: TIMEOUT after deadline_s (the child is killed). When it died: OUT_OF_MEMORY where
                the kernel counted one more kill for memory, NATIVE_CRASH by a signal of its own code's,
                INFRA by anybody else's, USER_ERROR when it ended by itself.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise WorkFailed(Cause.INFRA, "the child has no pipes")
        self._oom_before = self._oom_kills()
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error
        line = self._read_line(stdout.fileno(), time.monotonic() + deadline_s, deadline_s)
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise WorkFailed(Cause.INFRA, f"the child answered {str(answer)[:80]!r}; expected an object")
        return answer

    def close(self) -> None:
        """Kill the child and its group; idempotent."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # what was not sent any more is flushed by closing, into a pipe that nobody reads
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._stderr.close()

    def _read_line(self, descriptor: int, until: float, deadline_s: float) -> bytes:
        received = b""
        while not received.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                tail = self._tail()
                self.close()
                raise WorkFailed(Cause.TIMEOUT, f"the task's code did not answer within {deadline_s:.0f} s", tail)
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise self._death()
            received += chunk
            if len(received) > MAX_ANSWER:
                self.close()
                raise WorkFailed(Cause.USER_ERROR, f"the task's code answered more than {MAX_ANSWER >> 20} MiB")
        return received

    def _death(self) -> WorkFailed:
        code = self._process.wait()
        tail = self._tail()
        self.close()
        cause, how = self._cause(code)
        return WorkFailed(cause, f"the process that runs the task's code {how}", tail)

    def _cause(self, code: int) -> tuple[Cause, str]:
        if code >= 0:
            return Cause.USER_ERROR, f"exited with {code}"
        if code == -signal.SIGKILL and self._oom_kills() > self._oom_before:
            return Cause.OUT_OF_MEMORY, "was killed by the kernel for memory"
        names = {number.value: number.name for number in signal.Signals}
        cause = Cause.NATIVE_CRASH if -code in CRASHES else Cause.INFRA
        return cause, f"was killed by {names.get(-code, f'signal {-code}')}"

    def _tail(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4000))
        return self._stderr.read().decode(errors="replace")


def _environment() -> dict[str, str]:
    """Ours without what concerns QSearch and Ray: both hold secrets, and neither is user code's business."""
    # the mark stays: by it a worker's guard finds what the user's code has started
    return {n: v for n, v in os.environ.items() if n == MARK or not n.startswith(("QSEARCH_", "RAY_"))}

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

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed

#: longest answer accepted, bytes; user code must not fill the worker's memory through the pipe
MAX_ANSWER = 4 << 20


class TalkingChild:
    """`python -m MODULE` in a process group of its own; killed with everything it started."""

    def __init__(self, module: str, *, cwd: str) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=cwd,
            start_new_session=True,
        )

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def ask(self, request: dict[str, object], deadline_s: float) -> dict[str, object]:
        """One request, one answer.

        Raises:
            WorkFailed: TIMEOUT after deadline_s (the child is killed); NATIVE_CRASH when it died.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise WorkFailed(Cause.INFRA, "the child has no pipes")
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
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        tail = self._tail()
        self.close()
        cause = Cause.OUT_OF_MEMORY if code == -signal.SIGKILL else Cause.USER_ERROR
        return WorkFailed(cause, f"the process that runs the task's code {how}", tail)

    def _tail(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4000))
        return self._stderr.read().decode(errors="replace")

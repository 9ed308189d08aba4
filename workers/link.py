"""The parent's end of a worker process: start it, send work, take outcomes, end it on time.

NOTE: every way a worker can end is an outcome. Whoever holds a link never waits for a worker that is
dead, never sees a worker of another version, and never finds a process left behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, Unreachable, UsageError
from qsearch.contracts.pool import Slot
from qsearch.contracts.work import Outcome, Work
from workers.cpus import own_cpus, standing_aside
from workers.crashes import CRASHES
from workers.oom import kernel_oom_kills
from workers.pipes import PipedProcess
from workers.tree import MARK
from workers.wire import WorkerOptions, failed, read_hello, read_outcome, write_work

#: how often a worker may die before it has said hello, in a row
STARTS = 3
#: seconds a worker has for its hello
START_S = 60.0
#: seconds that a worker has, after the deadline of its work, to say what it ended for it; then it is killed
OVERTIME_S = 1.5
#: seconds between SIGTERM and SIGKILL; a worker that is late has had its time
GRACE_S, LATE_GRACE_S = 2.0, 0.5


class WorkerLink:
    """One worker process, restarted after each death. Used from one thread.

    Promises: each piece of work sent comes back exactly once from `poll` or `stop`; a worker that dies
    or is late is an outcome with a cause; after `close` neither the worker nor anything it started is
    alive.

    Args:
        options: how the worker is started.
        wake: set whenever `poll` may have something new; shared by several links when given.
        command: the program to start, for another interpreter; the options' flags are appended.
        clock: monotonic seconds.
        oom_kills: how many processes this machine's kernel has killed for memory so far.

    Raises:
        Unreachable: the worker's folder cannot be made, or its program cannot be started.
    """

    def __init__(
        self,
        options: WorkerOptions | None = None,
        *,
        wake: threading.Event | None = None,
        command: Sequence[str] = (sys.executable, "-P", "-X", "faulthandler", "-m", "workers.worker"),
        clock: Callable[[], float] = time.monotonic,
        oom_kills: Callable[[], int] | None = None,
    ) -> None:
        self._options = options or WorkerOptions()
        self._command = (*command, *_flags(self._options))
        self._wake = wake or threading.Event()
        self._clock = clock
        self._oom_kills = oom_kills or kernel_oom_kills
        self._slot: Slot | None = None
        self._busy: Work | None = None
        self._sent_at = 0.0
        self._oom_before = 0
        self._deaths = 0
        self._broken = ""
        self._closed = False
        self._process = self._spawn()

    @property
    def slot(self) -> Slot | None:
        """What the worker offers; None until it has said hello (again, after a death)."""
        return self._slot

    @property
    def busy(self) -> Work | None:
        """What it is doing."""
        return self._busy

    @property
    def broken(self) -> str:
        """Why no worker can be started any more; empty while one can."""
        return self._broken

    @property
    def pid(self) -> int:
        """Process id of the present worker."""
        return self._process.pid

    def send(self, work: Work) -> None:
        """Give the worker something to do; the deadline starts now.

        Raises:
            UsageError: it is not ready (no hello yet, busy, broken or closed).
            DataError: the order holds something that is no data.
        """
        if self._slot is None or self._busy is not None:
            raise UsageError(f"{work.key}: this worker is not ready for work: {self._state()}")
        text = write_work(work)
        self._process.forget_tail()
        self._oom_before = self._oom_kills()
        self._sent_at = self._clock()
        self._busy = work
        self._process.send(text)

    def poll(self, timeout_s: float = 0.0) -> Outcome | None:
        """The outcome of what was sent, when there is one; waits up to `timeout_s` seconds for it.

        Returns at the first hello, too, so that a caller who waits for a ready worker sees it.
        """
        until = self._clock() + timeout_s
        while True:
            if timeout_s > 0:
                # an event that several links share is cleared by whoever waits for it, before looking
                self._wake.clear()
            greeted = self._slot is not None
            outcome = self._advance()
            left = until - self._clock()
            if outcome is not None or left <= 0 or self._broken or self._closed or (self._slot and not greeted):
                return outcome
            self._wake.wait(min(left, self.patience_s()))

    def patience_s(self) -> float:
        """Seconds after which `poll` must look again even when nothing wakes it."""
        if not self._process.flush():
            return 0.05
        if self._busy is not None:
            return max(0.0, self._sent_at + self._busy.deadline_s + OVERTIME_S - self._clock())
        return max(0.0, self._sent_at + START_S - self._clock()) if self._slot is None else 3600.0

    def stop(self, cause: Cause = Cause.CANCELLED, message: str = "cancelled") -> Outcome | None:
        """Kill what runs and start afresh; its outcome, or None when nothing ran.

        An outcome that had arrived before is returned as it is: what is finished cannot be cancelled.
        """
        if self._busy is None:
            return None
        return self._advance() or self._end_work(cause, message)

    def close(self) -> None:
        """End the worker and everything it started. Idempotent; work that ran has no outcome any more."""
        self._closed = True
        self._busy = self._slot = None
        self._kill()

    def _advance(self) -> Outcome | None:
        """Take in what has happened since the last look."""
        if self._closed or self._broken:
            return None
        self._process.flush()
        for line in self._process.lines():
            if line is None:
                return self._died()
            if self._slot is None:
                self._greet(line)
            elif self._busy is not None:
                return self._answered(line)
        return self._overdue()

    def _greet(self, line: bytes) -> None:
        try:
            self._slot = read_hello(line.decode(errors="replace"))
        except Unreachable as error:
            # a worker of another version will be one next time too
            self._give_up(str(error))
            return
        self._deaths = 0

    def _answered(self, line: bytes) -> Outcome | None:
        work = self._busy
        try:
            outcome = read_outcome(line.decode())
        except (DataError, UnicodeDecodeError) as error:
            return self._end_work(Cause.INFRA, f"the worker's answer cannot be read: {error}")
        if work is None or (outcome.key, outcome.token) != (work.key, work.token):
            return self._end_work(Cause.INFRA, f"the worker answered for {outcome.key}, which it was not asked")
        self._busy = None
        if outcome.cause is not None and not outcome.tail:
            outcome = replace(outcome, tail=self._process.tail())
        return outcome

    def _overdue(self) -> Outcome | None:
        passed = self._clock() - self._sent_at
        if self._busy is not None and passed >= self._busy.deadline_s + OVERTIME_S:
            late = f"not finished within {self._busy.deadline_s:g} s; killed with everything it had started"
            return self._end_work(Cause.TIMEOUT, late, LATE_GRACE_S)
        if self._slot is None and passed >= START_S:
            return self._died(f"said nothing within {START_S:g} s")
        return None

    def _died(self, how: str = "") -> Outcome | None:
        if not how:
            self._process.settle(0.5)
        status = self._kill()
        how = how or _how(status)
        if self._slot is None:
            self._deaths += 1
        if self._busy is None:
            if self._deaths >= STARTS:
                tail = self._process.tail()
                self._give_up(f"the worker {how} before it was ready, {STARTS} times in a row\n{tail}".strip())
            else:
                self._restart()
            return None
        if status == -signal.SIGKILL and self._oom_kills() > self._oom_before:
            return self._end_work(Cause.OUT_OF_MEMORY, "the kernel killed the worker for memory")
        cause = Cause.NATIVE_CRASH if -status in CRASHES else Cause.INFRA
        return self._end_work(cause, f"the worker {how}")

    def _end_work(self, cause: Cause, message: str, grace_s: float = GRACE_S) -> Outcome | None:
        """The running work's outcome; its worker and everything it started is dead, a new one starts."""
        work, slot = self._busy, self._slot
        self._kill(grace_s)
        tail, seconds = self._process.tail(), self._clock() - self._sent_at
        self._restart()
        if work is None:
            return None
        return failed(work, cause, message, tail, host=slot.machine.host if slot else "", seconds=seconds)

    def _restart(self) -> None:
        self._busy = self._slot = None
        if self._broken:
            return
        try:
            self._process = self._spawn()
        except Unreachable as error:
            self._give_up(str(error))

    def _give_up(self, why: str) -> None:
        self._broken = why
        self._busy = self._slot = None
        self._kill()

    def _kill(self, grace_s: float = GRACE_S) -> int:
        """End the process and its family; its exit status."""
        try:
            return self._process.end(grace_s)
        except TimeoutError as error:
            # stuck in the kernel; a second measurement beside it would be worthless
            self._broken = f"{error}: the machine must be looked at"
            return -signal.SIGKILL

    def _spawn(self) -> PipedProcess:
        self._sent_at = self._clock()
        mark = uuid.uuid4().hex
        folder = self._options.folder or None
        environment = {**_inherited(self._options.without), **self._options.environment, MARK: mark}
        try:
            if folder:
                Path(folder).mkdir(parents=True, exist_ok=True)
            return PipedProcess((*self._command, *_own_cpus()), environment, folder, mark, self._wake.set)
        except OSError as error:
            where = f" in {folder}" if folder else ""
            raise Unreachable(
                f"no worker can be started{where}: {error.strerror or error}", "Workers run below --artifacts DIR."
            ) from error

    def _state(self) -> str:
        if self._closed:
            return "it is closed"
        if self._broken:
            return self._broken
        return f"it does {self._busy.key}" if self._busy else "it has not said hello yet"


def _flags(options: WorkerOptions) -> list[str]:
    flags = [f"--label={name}={value}" for name, value in options.labels.items()]
    if options.performer:
        flags.append(f"--performer={options.performer}")
    if options.niceness is not None:
        flags.append(f"--niceness={options.niceness}")
    return flags


def _own_cpus() -> list[str]:
    """Tells a worker that is started while this process stands aside what it may use all the same."""
    return [f"--cpus={','.join(str(cpu) for cpu in sorted(own_cpus()))}"] if standing_aside() else []


def _inherited(without: Sequence[str]) -> dict[str, str]:
    # Ray's own variables hold its token and mean nothing to a worker
    return {n: v for n, v in os.environ.items() if n not in without and not n.startswith("RAY_")}


def _how(status: int) -> str:
    if status < 0:
        names = {number.value: number.name for number in signal.Signals}
        return f"was killed by {names.get(-status, f'signal {-status}')}"
    return f"ended by itself with status {status}"

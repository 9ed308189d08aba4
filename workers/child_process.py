"""The parent's end of a measuring child: start it, ask it, understand its death, leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, WorkFailed
from qsearch.measure import wire
from workers.bounds import bound
from workers.crashes import CRASHES
from workers.deadline import within
from workers.hearing import Hearing
from workers.offspring import end_child, now_ours
from workers.oom import kernel_oom_kills
from workers.own_folder import make_own_folder, remove_own_folder

CHILD = Path(__file__).with_name("child.py")
#: How much of a child's stderr is kept, bytes; the rest of a flood is read and dropped.
_TAIL = 8192
#: After the last word, a child gets so long to end by itself, seconds.
_GRACE_S = 5.0
#: for the rest of its stderr, seconds
_DRAIN_S = 1.0


class ChildProcess:
    """One child in a session of its own. Use as a context manager: leaving it kills whatever it has started.

    Its memory is limited to what is free (`workers.bounds`); its temporary files go with it.

    NOTE: stderr is only read while an answer is awaited. An arm that is not on turn and writes a flood
    is stopped by the full pipe, which is right: it has no business running.

    NOTE: the kernel ends the child when the *thread* that started it ends, not only the process. Start
    and use it in one thread that stays.
    """

    def __init__(self, name: str, python: str, threads: int, inherit: Sequence[int] = ()) -> None:
        """Start it.

        Args:
            name: for messages.
            python: the interpreter, of any environment that has numpy and the runtime.
            threads: told to OpenMP and BLAS, which Ray and shells set to something else.
            inherit: descriptors the child keeps open, such as the machine's lock.

        Raises:
            WorkFailed: INFRA, the interpreter cannot be started.
        """
        self._name = name
        self._ooms = kernel_oom_kills()
        self._folder = make_own_folder()
        try:
            self._process = subprocess.Popen(
                [python, "-I", "-X", "faulthandler", str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(threads, self._folder),
                pass_fds=tuple(inherit),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            remove_own_folder(self._folder)
            raise WorkFailed(Cause.INFRA, f"cannot start {python}: {error.strerror}") from error
        now_ours(self._process)
        bound(self._process.pid)
        self._hearing = Hearing(self._process, longest=wire.LONGEST_LINE, tail=_TAIL)

    @property
    def pid(self) -> int:
        """Number of the process, which is also the number of its group."""
        return self._process.pid

    def ask(self, message: wire.Message, deadline_s: float) -> wire.Message:
        """Send one message and wait for the answer.

        Raises:
            WorkFailed: what the child reported, or what became of it, with its last words.
        """
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(wire.encode(message))
        except BrokenPipeError:
            pass  # it is dead; reading says how
        # never beyond the end of the work that this is a part of
        deadline_s = within(deadline_s)
        line = self._line(deadline_s)
        try:
            answer = wire.decode(line)
        except DataError as error:
            raise WorkFailed(Cause.INFRA, f"{self._name}: {error.message}", self._hearing.words) from error
        if isinstance(answer, wire.Failure):
            self._hearing.drain(_DRAIN_S)
            raise WorkFailed(answer.cause, f"{self._name}: {answer.message}", self._hearing.words, answer.hint)
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

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _line(self, allowed_s: float) -> bytes:
        try:
            return self._hearing.line(allowed_s)
        except TimeoutError:
            words = f"{self._name} gave no answer in {allowed_s:.3g} s and was killed"
            raise WorkFailed(Cause.TIMEOUT, words, self._hearing.words) from None
        except OverflowError:
            raise WorkFailed(
                Cause.INFRA, f"{self._name} wrote something else than answers", self._hearing.words
            ) from None
        except EOFError:
            raise self._death() from None

    def _death(self) -> WorkFailed:
        try:
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return WorkFailed(Cause.INFRA, f"{self._name} closed its answers and went on running", self._hearing.words)
        self._hearing.drain(_DRAIN_S)
        words = self._hearing.words
        if code >= 0:
            out_of_memory = "MemoryError" in words or "bad_alloc" in words
            cause = Cause.OUT_OF_MEMORY if out_of_memory else Cause.INFRA
            return WorkFailed(cause, f"{self._name} ended with exit code {code} before it answered", words)
        number = signal.Signals(-code)
        if (number == signal.SIGKILL and kernel_oom_kills() > self._ooms) or "bad_alloc" in words:
            return WorkFailed(Cause.OUT_OF_MEMORY, f"{self._name} was ended by {number.name} for memory", words)
        cause = Cause.NATIVE_CRASH if number in CRASHES else Cause.INFRA
        return WorkFailed(cause, f"{self._name} died by {number.name}", words)


def _environment(threads: int, folder: str) -> dict[str, str]:
    """The parent's, without what would change Python, and with thread counts as the target asks."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    wanted = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    own = {"TMPDIR": folder} if folder else {}
    return {**kept, **own, **dict.fromkeys(wanted, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"}

"""A child process and its three pipes, read without ever blocking the one who asks."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from workers.tree import end_family

#: longest line accepted, bytes; a result with every raw sample takes a few MB
MAX_LINE = 256 << 20
#: how much of stderr is kept, bytes
MAX_TAIL = 16 << 10


class PipedProcess:
    """A process in a session of its own. Lines come in whole, stderr is drained and its tail kept.

    Not thread-safe. Every descriptor is closed when the process and its family have ended; a stranger
    that still holds the stderr pipe delays only the thread that reads it.

    Args:
        command: program and arguments.
        environment: all of it.
        folder: where it runs; None = here.
        mark: value of `workers.tree.MARK` in the environment.
        wake: called from a reader thread whenever there is something new to see.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str | None,
        mark: str,
        wake: Callable[[], None],
    ) -> None:
        self._mark = mark
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            bufsize=0,
            start_new_session=True,
        )
        self._unsent = bytearray()
        self._stdin = _take(self._process.stdin)
        # a stopped process that reads nothing must not stop us when the pipe is full
        os.set_blocking(self._stdin, False)
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._errors: deque[bytes] = deque()
        out, err = _take(self._process.stdout), _take(self._process.stderr)
        self._readers = (
            threading.Thread(target=_read_lines, args=(out, self._inbox, wake), daemon=True),
            threading.Thread(target=_read_tail, args=(err, self._errors), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Process id; also the id of its session."""
        return self._process.pid

    def send(self, text: str) -> None:
        """Queue one line and write what the pipe takes."""
        self._unsent += text.encode() + b"\n"
        self.flush()

    def flush(self) -> bool:
        """Write what the pipe takes; whether everything has been written (or nobody will read it)."""
        while self._unsent:
            try:
                del self._unsent[: os.write(self._stdin, self._unsent)]
            except BlockingIOError:
                return False
            except BrokenPipeError:
                # the end of its stdout tells the same, with the exit status
                self._unsent.clear()
        return True

    def lines(self) -> list[bytes | None]:
        """Lines since the last call, without their ends; None = the process closed its stdout."""
        found: list[bytes | None] = []
        while True:
            try:
                found.append(self._inbox.get_nowait())
            except queue.Empty:
                return found

    def forget_tail(self) -> None:
        """Start the tail anew: what comes now belongs to another piece of work."""
        self._errors.clear()

    def tail(self) -> str:
        """The last of what it wrote to stderr since `forget_tail`."""
        return b"".join(self._errors.copy())[-MAX_TAIL:].decode(errors="replace").strip()

    def settle(self, timeout_s: float) -> None:
        """Wait until it has ended by itself, without reaping it: its stdout closes a moment before."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(0.005)

    def end(self, grace_s: float = 2.0) -> int:
        """Kill it and its family (SIGTERM, `grace_s` seconds, SIGKILL), reap it; its exit status. Idempotent.

        Raises:
            TimeoutError: somebody survived SIGKILL.
        """
        if self._process.returncode is None:
            # before reaping: until then no other process can get this id
            end_family(self.pid, self._mark, grace_s=grace_s)
            self._process.wait()
            os.close(self._stdin)
            for reader in self._readers:
                reader.join(timeout=1.0)
        return self._process.returncode


def _take(pipe: object) -> int:
    """The descriptor of a Popen pipe, now ours to close."""
    descriptor = os.dup(pipe.fileno())  # type: ignore[attr-defined]
    pipe.close()  # type: ignore[attr-defined]
    return descriptor


def _read_lines(descriptor: int, inbox: queue.SimpleQueue[bytes | None], wake: Callable[[], None]) -> None:
    held = bytearray()
    while chunk := _read(descriptor):
        held += chunk
        *lines, rest = held.split(b"\n") if b"\n" in chunk else [held]
        for line in lines:
            inbox.put(bytes(line))
        held = bytearray(rest)
        if lines:
            wake()
        if len(held) > MAX_LINE:
            break
    os.close(descriptor)
    inbox.put(None)
    wake()


def _read_tail(descriptor: int, errors: deque[bytes]) -> None:
    while chunk := _read(descriptor):
        errors.append(chunk)
        while len(errors) > 1 and sum(map(len, errors)) - len(errors[0]) > MAX_TAIL:
            errors.popleft()
    os.close(descriptor)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""

"""The parent's ear: lines that a child writes to stdout, and the tail of its stderr; no flood fills our memory."""

from __future__ import annotations

import os
import selectors
import subprocess
import time

_CHUNK = 1 << 16
#: when the child is dead, a grandchild that holds its stderr open is listened to for so long, seconds
_AFTER_DEATH_S = 0.2


class Hearing:
    """Both pipes of a child, read only while somebody waits for a line.

    Args:
        process: with pipes for stdout and stderr; not to be read by anybody else.
        longest: of a line, bytes.
        tail: how much of stderr is kept, bytes; the rest is read and dropped.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, longest: int, tail: int) -> None:
        self._process, self._longest, self._kept = process, longest, tail
        self._said = self._tail = b""
        self._pipes = selectors.DefaultSelector()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._pipes.register(pipe, selectors.EVENT_READ)

    @property
    def words(self) -> str:
        """The last of what it wrote to stderr."""
        return self._tail.decode(errors="replace").strip()

    def forget(self) -> None:
        """Drop the tail: what comes now belongs to another question."""
        self._tail = b""

    def line(self, allowed_s: float) -> bytes:
        """The next line, without its end.

        Raises:
            TimeoutError: none within `allowed_s`.
            OverflowError: one longer than a line may be.
            EOFError: the child has closed its stdout.
        """
        until = time.monotonic() + allowed_s
        while b"\n" not in self._said:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if len(self._said) > self._longest:
                raise OverflowError
            for key, _ in self._pipes.select(left):
                if not self._take(key) and key.fileobj is self._process.stdout:
                    raise EOFError
        line, _, self._said = self._said.partition(b"\n")
        return line

    def drain(self, allowed_s: float) -> None:
        """Read the rest of stderr: bounded in time, because a grandchild may hold the pipe open."""
        until = time.monotonic() + allowed_s
        while (left := until - time.monotonic()) > 0 and self._pipes.get_map():
            for key, _ in self._pipes.select(min(left, 0.05)):
                self._take(key)
            if self._process.poll() is not None:
                until = min(until, time.monotonic() + _AFTER_DEATH_S)

    def close(self) -> None:
        """Listen no more; the pipes themselves are the caller's. Idempotent."""
        self._pipes.close()

    def _take(self, key: selectors.SelectorKey) -> bool:
        """Read what is there; False at the end of the pipe, which is then no longer watched."""
        try:
            chunk = os.read(key.fd, _CHUNK)
        except BlockingIOError:
            return True
        if key.fileobj is self._process.stdout:
            self._said += chunk
        else:
            self._tail = (self._tail + chunk)[-self._kept :]
        if not chunk:
            self._pipes.unregister(key.fileobj)
        return bool(chunk)

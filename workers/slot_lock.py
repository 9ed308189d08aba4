"""One lock per machine: whoever measures has it alone, heavy work of ours shares it.

NOTE: the kernel's lock belongs to the *open file*, not to a process. The children of a sitting inherit
that open file, so a machine stays taken for exactly as long as any of them lives, even when the worker
that started them was killed. That is also why the lock is given back by closing and never by
`LOCK_UN`, which would take it from the children too. The worker's own copy spans the moment between two
sessions in which no arm lives; it is closed at the end of the sitting, after the last arm, and by the
kernel when the worker is killed, so that it outlives no arm. The file is never removed: somebody may be
waiting on the very inode.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from workers.deadline import within

#: how long heavy work waits for somebody else's measurement; a final sitting takes five minutes
LOCK_WAIT_S = 900.0
_PAUSE_S = 0.05


def machine_lock() -> Path:
    """The lock file that all processes of this user on this machine agree on; not touched here.

    Of the user and not of the machine: a file of one user cannot be opened by another on most systems.
    """
    folder = Path("/run/lock")
    base = folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())
    return base / f"qsearch-{os.getuid()}.lock"


@contextmanager
def slot_lock(
    path: Path,
    exclusive: bool,
    timeout_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """Hold the machine's lock while the block runs.

    Args:
        path: the lock file; made when absent, never removed.
        exclusive: True to measure; False for heavy work that must not disturb a measurement.
        timeout_s: how long to wait for others.
        clock: seconds, monotonic.
        sleep: waits between two attempts.

    Yields:
        The file descriptor to hand to children (`pass_fds`); it is closed here at the end.

    Raises:
        WorkFailed: INFRA, others held it for all of `timeout_s`, or the file cannot be opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The holder's number is for people only, so whoever may lock may write it.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise WorkFailed(Cause.INFRA, f"cannot open the machine's lock {path}: {error.strerror}") from error
    try:
        _wait(handle, path, exclusive, clock() + within(timeout_s), (clock, sleep))
        if exclusive:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _wait(
    handle: int,
    path: Path,
    exclusive: bool,
    until: float,
    time_of: tuple[Callable[[], float], Callable[[float], None]],
) -> None:
    clock, sleep = time_of
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if clock() >= until:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                raise WorkFailed(
                    Cause.INFRA,
                    f"the machine's lock {path} is held by others; the last to measure was process {holder}",
                    "One measurement at a time runs on a machine; wait for it, or end it.",
                ) from error
            sleep(_PAUSE_S)
        else:
            return

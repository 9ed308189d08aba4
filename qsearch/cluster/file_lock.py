"""Locks between processes that die with their holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: seconds between two tries
_PAUSE_S = 0.1


@contextmanager
def locked(file: Path, *, shared: bool = False, patience_s: float = 0.0) -> Iterator[bool]:
    """Hold a lock on the file, made when absent; the kernel frees it when the process ends, however.

    Args:
        file: on a local disk.
        shared: any number of holders, but none that is not shared.
        patience_s: seconds to wait for other holders.

    Yields:
        Whether the lock is held; False when the patience was over.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + patience_s
    try:
        while not (got := _try(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)):
            if time.monotonic() >= until:
                break
            time.sleep(_PAUSE_S)
        yield got
    finally:
        os.close(descriptor)


def is_locked(file: Path) -> bool:
    """Whether some process holds the file's lock alone."""
    if not file.exists():
        return False
    with locked(file, shared=True) as got:
        return not got


def is_shared(file: Path) -> bool:
    """Whether some process holds the file's lock, alone or with others."""
    if not file.exists():
        return False
    with locked(file) as got:
        return not got


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

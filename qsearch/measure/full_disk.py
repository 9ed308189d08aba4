"""A full disk, told from everything else that can fail while a worker writes.

NOTE: a full disk says nothing about the candidate that happened to be written. Called a bad model or a
dead worker, it would fail one trial after the other for good, and a search would end with its budget
spent on nothing. So whatever fails while a disk has no room, has failed for that: native code says
"cannot write", and an error number is often lost on the way.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed

_FULL = (errno.ENOSPC, errno.EDQUOT)
#: bytes; less room than this is none
_PROBE = 1 << 16


@contextmanager
def full_disk_named(*folders: Path) -> Iterator[None]:
    """Turn what failed because a disk is full into a failure that names the disk.

    Args:
        folders: what is written to. Enter this after what removes files, so that the room is looked
            at while the disk still is as full as it was.

    Raises:
        WorkFailed: DISK_FULL.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, WorkFailed) and error.cause is Cause.DISK_FULL:
            raise
        if not is_full_disk(error) and all(has_room(folder) for folder in folders):
            raise
        raise _no_room(folders) from error


def is_full_disk(error: BaseException | None) -> bool:
    """Whether the error, or one that it came from, is a disk or a quota without room."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def has_room(folder: Path) -> bool:
    """Whether 64 KiB can be written into a folder; tried, because free blocks say nothing about a quota."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE))
            probe.flush()
    except OSError as error:
        return error.errno not in _FULL
    return True


def temporary_folder() -> Path:
    """Where libraries put their temporary files."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        # none can be written, most likely because all of them are full
        return Path("/tmp")  # noqa: S108 - named, not used


def _no_room(folders: tuple[Path, ...]) -> WorkFailed:
    room = {folder: shutil.disk_usage(folder).free for folder in folders if folder.is_dir()}
    if not room:
        return WorkFailed(Cause.DISK_FULL, "no space is left on the worker's disk")
    fullest = min(room, key=lambda folder: room[folder])
    return WorkFailed(Cause.DISK_FULL, f"no space is left on the disk of {fullest} ({room[fullest] >> 10} KiB free)")

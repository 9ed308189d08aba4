"""Folders for work in progress: one per command, gone when it ends, swept when it was killed."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qsearch.contracts.errors import Unreachable


@contextmanager
def own_scratch(root: Path) -> Iterator[Path]:
    """A folder below `root` that no other process uses; removed at the end.

    NOTE: it is named after host and process, never after a job: two drivers of one job (one of them
    fenced and not yet aware of it) must not write into, or remove, each other's files.

    Raises:
        Unreachable: the folder cannot be made.
    """
    mine = f"{socket.gethostname()}={os.getpid()}="
    folder = root / f"{mine}{uuid.uuid4().hex[:8]}"
    try:
        _sweep(root)
        folder.mkdir(parents=True)
    except OSError as error:
        raise Unreachable(
            f"cannot write below {root}: {error.strerror}", "Give another folder: --artifacts DIR"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what processes of this host left that are gone."""
    for folder in root.glob(f"{socket.gethostname()}=*=*"):
        pid = folder.name.split("=")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)

"""A folder for one child's temporary files, so that a child that is killed leaves none."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from workers.tree import MARK


def make_own_folder() -> str:
    """An empty folder below the machine's temporary one; empty text where none can be made.

    The name begins alike for all children of a worker: its guard removes what a killed worker could not.
    """
    try:
        return tempfile.mkdtemp(prefix=_prefix(os.environ.get(MARK) or str(os.getpid())))
    except OSError:
        return ""  # no room, most likely: whoever needs some will say so by name


def remove_own_folder(folder: str) -> None:
    """Remove it with what is in it; the empty text and a folder that is gone are nothing to do."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def remove_folders_of(mark: str) -> None:
    """Remove the folders of all children of the worker with this mark."""
    if not mark:
        return
    try:
        below = Path(tempfile.gettempdir())
    except OSError:
        return
    for folder in below.glob(f"{_prefix(mark)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _prefix(mark: str) -> str:
    return f"qsearch-child-{mark}-"

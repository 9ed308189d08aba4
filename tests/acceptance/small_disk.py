"""A disk so small that a test can fill it: a tmpfs, mounted where mounting is allowed.

A test with the mark `mounts` is run once more by itself, in a mount namespace of its own in which this
user may mount. It needs no rights beyond `unshare --map-root-user --mount`, and what it mounts is seen by
nobody else and gone with it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: set inside of the namespace
INSIDE = "QSEARCH_TEST_MAY_MOUNT"


def run_inside(item: pytest.Item) -> None:
    """Run this one test in a namespace of its own; fails with what it said there."""
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-s", item.nodeid]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", *words],
        cwd=item.config.rootpath,
        env=os.environ | {INSIDE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    if done.returncode:
        pytest.fail(f"in a namespace of its own (unshare --map-root-user --mount):\n{done.stdout}{done.stderr}")


class SmallDisk:
    """A tmpfs at a folder.

    Args:
        folder: made when absent; hidden by the disk as long as it is mounted.
        kib: how much fits in.
    """

    def __init__(self, folder: Path, kib: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._mount(f"size={kib}k")

    def fill(self, leave_kib: int = 0) -> None:
        """Write until nothing fits any more, then give `leave_kib` back."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            file.truncate(max(0, file.tell() - leave_kib * 1024))

    def grow(self, kib: int) -> None:
        """What a person does: make room."""
        (self.folder / "filler").unlink(missing_ok=True)
        self._mount(f"remount,size={kib}k")

    def _mount(self, options: str) -> None:
        words = ["mount", "-t", "tmpfs", "-o", options, "qsearch-test", str(self.folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"this test must be able to mount a tmpfs, as root or by unshare: {done.stderr}")

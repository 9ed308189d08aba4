"""A disk so small that a test can fill it: a tmpfs, mounted where mounting is allowed.

A test with the mark `mounts` is run once more by itself, in a mount namespace of its own in which this
user may mount. It needs no rights beyond `unshare --map-root-user --mount`, and what it mounts is seen by
nobody else and gone with it. Where even that is not allowed such a test fails, or is skipped when
QSEARCH_TEST_WITHOUT_MOUNTS is 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

#: set inside of the namespace
INSIDE = "QSEARCH_TEST_MAY_MOUNT"
#: set by who does without these tests
WITHOUT = "QSEARCH_TEST_WITHOUT_MOUNTS"
#: seconds that a test may take inside, and then to end what it has started
LIMIT_S = 900.0
GRACE_S = 30.0
_UNSHARE = ("unshare", "--map-root-user", "--mount")


def run_inside(item: pytest.Item) -> None:
    """Run this one test in a namespace of its own; fails with what it said there."""
    if why := objection():
        if os.environ.get(WITHOUT) == "1":
            pytest.skip(why)
        pytest.fail(f"{why}; or set {WITHOUT}=1 to do without these tests")
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-s", item.nodeid]
    with subprocess.Popen(
        [*_UNSHARE, *words],
        cwd=item.config.rootpath,
        env=os.environ | {INSIDE: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as inside:
        try:
            said, _ = inside.communicate(timeout=LIMIT_S)
        except BaseException:
            _end(inside)
            raise
    print(said)
    if inside.returncode:
        pytest.fail(f"in a namespace of its own ({' '.join(_UNSHARE)}):\n{said}")


def objection() -> str:
    """What speaks against mounting here; empty where it can be done."""
    try:
        # over a folder that is surely there; seen in the namespace only
        words = [*_UNSHARE, "mount", "-t", "tmpfs", "qsearch-test", "/tmp"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except OSError as error:
        said, refused = str(error), True
    else:
        said, refused = done.stderr.strip(), done.returncode != 0
    return f"this test must be able to mount a tmpfs ({' '.join(_UNSHARE)}): {said}" if refused else ""


def _end(inside: subprocess.Popen[str]) -> None:
    """Out of time: as Ctrl-C, so that it ends what it has started."""
    inside.send_signal(signal.SIGINT)
    try:
        said, _ = inside.communicate(timeout=GRACE_S)
        print(said)
    except subprocess.TimeoutExpired:
        inside.kill()


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

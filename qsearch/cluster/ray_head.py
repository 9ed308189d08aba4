"""The local Ray head of one database: found, started, ended by whoever submits. Does not load Ray.

NOTE: a head outlives the command that started it, because the jobs do. It is kept by a process of ours
(`qsearch.cluster.head_keeper`), found by a file in a folder that only its user may enter, and known to
live by a lock that the kernel frees when the keeper ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qsearch.cluster.file_lock import is_locked, locked
from qsearch.contracts.codec import canonical, from_data
from qsearch.contracts.errors import DataError, Unreachable

#: seconds a head may take to start, and to end
START_S = 120.0
END_S = 40.0
#: seconds for an answer of its server
ANSWER_S = 10.0
#: seconds between two tries to reach a head that lives
_PAUSE_S = 0.5
#: states of a Ray job that has not ended
_BUSY = ("PENDING", "RUNNING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head that was started, as its keeper wrote it down."""

    #: of the keeper
    pid: int
    #: host:port of the cluster
    address: str
    #: http://host:port of the dashboard, which is the job server
    dashboard: str
    #: folder of Ray's own files
    scratch: str
    #: value of `workers.tree.MARK` in the environment of everything that runs on it
    mark: str
    started: datetime
    #: seconds without a job after which it ends by itself
    idle_s: float


@dataclass(frozen=True, slots=True)
class HeadFolder:
    """Where a head's papers lie: the file, its token, its locks, its log. Entered by its user only."""

    path: Path

    @property
    def papers(self) -> Path:
        """The Head, as JSON; there while it serves."""
        return self.path / "head.json"

    @property
    def token(self) -> Path:
        """What Ray demands of everybody who speaks to this head."""
        return self.path / "token"

    @property
    def secret(self) -> Path:
        """What the drivers on this head must know and nobody else may: where their database is."""
        return self.path / "database-url"

    @property
    def alive(self) -> Path:
        """Locked by the keeper as long as it lives."""
        return self.path / "alive.lock"

    @property
    def used(self) -> Path:
        """Held, shared, while somebody is about to submit: an idle head may not end meanwhile."""
        return self.path / "used.lock"

    @property
    def handed(self) -> Path:
        """Ray's ids of the jobs that were handed to the heads of this folder, one a line; outlives them."""
        return self.path / "handed-in"

    @property
    def log(self) -> Path:
        """What the keeper and `ray start` said."""
        return self.path / "head.log"

    def made(self) -> HeadFolder:
        """The folder, there and closed to others.

        Raises:
            Unreachable: it cannot be made, or is another user's.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_uid != os.getuid():
                raise PermissionError(1, "it belongs to another user")
            self.path.chmod(0o700)
        except OSError as error:
            raise Unreachable(f"the folder {self.path} cannot be used for a Ray head: {error.strerror}") from error
        return self


@contextmanager
def held(folder: HeadFolder) -> Iterator[None]:
    """While this lasts, the head does not end by itself. Waits for one that is about to.

    Raises:
        Unreachable: it has been about to for too long.
    """
    with locked(folder.made().used, shared=True, patience_s=END_S) as got:
        if not got:
            raise Unreachable(f"the Ray head of {folder.path} has been ending for {END_S:g} s", _look(folder))
        yield


def living_head(folder: HeadFolder) -> Head | None:
    """The head whose keeper lives, whether it answers or not; None when there is none."""
    head = read_papers(folder)
    return head if head is not None and is_locked(folder.alive) else None


def find_head(folder: HeadFolder) -> Head | None:
    """The head that lives and answers; None when there is none."""
    head = living_head(folder)
    if head is None:
        return None
    with contextlib.suppress(Unreachable):
        ask_head(folder, head, "/api/version")
        return head
    return None


def ensure_head(
    folder: HeadFolder, keeper: Sequence[str], environment: Mapping[str, str], secret: str
) -> tuple[Head, bool]:
    """The head of this folder; started when none lives, a dead one replaced.

    NOTE: one that lives and does not answer is waited for, never replaced: it is slow, or measures, and
    whatever runs on it would end with it. Only a person may end it.

    Args:
        folder: of the head.
        keeper: the command that keeps a head there (`keep_head`); becomes a process of its own.
        environment: of that process, and so of all drivers and workers on the head.
        secret: kept in `folder.secret` as long as a head that is started now lives.

    Returns:
        The head, and whether it was started now.

    Raises:
        Unreachable: it did not start, with the last lines of its log; or it lives and does not answer.
    """
    with _alone(folder):
        head = _await_answer(folder)
        if head is not None:
            return head, False
        # a keeper that is about to end, or one whose starter was killed: nothing runs on it
        _end(folder)
        write_secret(folder.secret, secret)
        return _start(folder, keeper, environment), True


def end_head(folder: HeadFolder) -> Head | None:
    """End the head, healthy or not; what it was, None when none lived.

    Raises:
        Unreachable: its keeper could not be ended.
    """
    with _alone(folder):
        return _end(folder)


def drivers_of(folder: HeadFolder, head: Head) -> tuple[str, ...]:
    """Ray's ids of the jobs that have not ended there. Raises Unreachable."""
    jobs = ask_head(folder, head, "/api/jobs/")
    return tuple(str(job.get("submission_id") or job.get("job_id")) for job in jobs if job.get("status") in _BUSY)


def note_handed(folder: HeadFolder, submission: str) -> None:
    """Remember that this Ray job was handed in here, where there is room: the job itself is in the database."""
    with contextlib.suppress(OSError), folder.handed.open("a", encoding="ascii") as opened:
        opened.write(f"{submission}\n")


def was_handed(folder: HeadFolder, submission: str) -> bool:
    """Whether this Ray job was handed in here, to a head that lives or to an earlier one."""
    try:
        return submission in folder.handed.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return False


def ask_head(folder: HeadFolder, head: Head, path: str) -> Any:
    """What the head's server answers to a GET, read from JSON. Raises Unreachable."""
    try:
        token = folder.token.read_text(encoding="ascii").strip()
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            head.dashboard + path, headers={"Authorization": f"Bearer {token}"}
        )
        with _DIRECT.open(request, timeout=ANSWER_S) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise Unreachable(f"the Ray head at {head.dashboard} does not answer: {error}", _look(folder)) from error


#: without the proxy that the user may have set: it does not know this machine's loopback
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def write_papers(folder: HeadFolder, head: Head) -> None:
    """For the keeper: let the head be found, whole or not at all."""
    fresh = folder.papers.with_suffix(".new")
    fresh.write_text(canonical(head), encoding="utf-8")
    fresh.replace(folder.papers)


def write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first moment on."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def read_papers(folder: HeadFolder) -> Head | None:
    """The head as its keeper wrote it down, whether it lives or not; None when nothing readable is there."""
    try:
        return from_data(Head, json.loads(folder.papers.read_text(encoding="utf-8")))
    except (OSError, ValueError, DataError):
        return None


def last_words(folder: HeadFolder) -> str:
    """The last line of the head's log."""
    text = folder.log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"


@contextmanager
def _alone(folder: HeadFolder) -> Iterator[None]:
    """One process at a time starts or ends a head."""
    with locked(folder.made().path / "start.lock", patience_s=2 * START_S) as mine:
        if not mine:
            raise Unreachable(f"another process has been starting a Ray head in {folder.path} for too long")
        yield


def _await_answer(folder: HeadFolder) -> Head | None:
    """The head that lives, once it answers; None when none lives."""
    until = time.monotonic() + START_S
    while living_head(folder) is not None:
        head = find_head(folder)
        if head is not None:
            return head
        if time.monotonic() >= until:
            raise Unreachable(
                f"the Ray head of {folder.path} lives and has not answered for {START_S:g} s; jobs may run on it",
                f"qsearch head stop ends it, and what runs on it. {_look(folder)}",
            )
        time.sleep(_PAUSE_S)
    return None


def _end(folder: HeadFolder) -> Head | None:
    head = read_papers(folder)
    if not is_locked(folder.alive):
        return None
    for number in (signal.SIGTERM, signal.SIGKILL):
        if head is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(head.pid, number)
        until = time.monotonic() + END_S
        while time.monotonic() < until:
            if not is_locked(folder.alive):
                return head
            head = head or read_papers(folder)
            time.sleep(0.1)
    raise Unreachable(f"the Ray head of {folder.path} does not end", _look(folder))


def _start(folder: HeadFolder, keeper: Sequence[str], environment: Mapping[str, str]) -> Head:
    with folder.log.open("wb") as log:
        process = subprocess.Popen(
            keeper,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            env=dict(environment),
            # a session of its own: neither Ctrl-C nor the end of this terminal reaches it
            start_new_session=True,
        )
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Unreachable(f"no Ray head could be started: {last_words(folder)}", _look(folder))
        head = find_head(folder)
        if head is not None and head.pid == process.pid:
            # it is to outlive us, and a warning about a child nobody waited for would be wrong
            process.returncode = 0
            return head
        time.sleep(0.1)
    process.terminate()
    process.wait(END_S)
    raise Unreachable(f"no Ray head could be started within {START_S:g} s: {last_words(folder)}", _look(folder))


def _look(folder: HeadFolder) -> str:
    return f"See {folder.log}."

"""The process that keeps a local Ray head: starts it, watches over it, ends it when nobody needs it.

NOTE: `ray start` and not `ray.init`: only there can every port be chosen, and two heads of two projects
on one machine would take each other's. The keeper does not load Ray: it sleeps beside measurements.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from qsearch.cluster.file_lock import locked
from qsearch.cluster.ray_cluster import LOCAL, SLOT, STORE_BYTES, short_folder
from qsearch.cluster.ray_head import (
    END_S,
    START_S,
    Head,
    HeadFolder,
    drivers_of,
    last_words,
    read_papers,
    write_papers,
    write_secret,
)
from qsearch.contracts.errors import Unreachable
from workers.tree import MARK, end_family

#: how often the keeper looks for jobs, at most: each look costs Ray's server some milliseconds
LOOK_S = 15.0
#: seconds Ray may take to end
POLITE_S = 3.0
#: how often a head is tried whose ports somebody else took in between
TRIES = 3
#: how long `ray job stop` lets a driver end gracefully, and a driver may wait to be started, seconds
_STOP_WAIT_S = "600"
_PENDING_S = str(7 * 86400)
_PDEATHSIG = 1


class HeadKeeper:
    """Keeps the head of one folder until it is told to end, is idle for too long, or Ray dies.

    Args:
        folder: of the head.
        idle_s: seconds without a job that has not ended.
        slots: measurements at once.
    """

    def __init__(self, folder: HeadFolder, *, idle_s: float, slots: int = 1) -> None:
        self._folder = folder
        self._idle_s = idle_s
        self._slots = slots
        self._told = False

    def keep(self) -> None:
        """Start the head and keep it; returns when it has ended, with everything it started.

        Raises:
            Unreachable: another keeper lives, or Ray does not start or has died.
        """
        with locked(self._folder.made().alive, patience_s=END_S) as mine:
            if not mine:
                raise Unreachable(f"another process keeps the Ray head of {self._folder.path}")
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._end)
            self._sweep()
            scratch = Path(tempfile.mkdtemp(prefix="qsearch-ray-", dir=short_folder()))
            try:
                self._serve(scratch)
            finally:
                self._folder.papers.unlink(missing_ok=True)
                for secret in (self._folder.token, self._folder.secret):
                    secret.unlink(missing_ok=True)
                shutil.rmtree(scratch, ignore_errors=True)

    def _serve(self, scratch: Path) -> None:
        mark = secrets.token_hex(8)
        for _ in range(TRIES):
            port = _free_port()
            ray = self._start_ray(scratch, port, mark)
            try:
                address = self._await(ray, scratch)
                if address:
                    head = Head(
                        pid=os.getpid(),
                        address=address,
                        dashboard=f"http://127.0.0.1:{port}",
                        scratch=str(scratch),
                        mark=mark,
                        started=datetime.now(UTC),
                        idle_s=self._idle_s,
                    )
                    write_papers(self._folder, head)
                    self._watch(ray, head)
                if address or self._told:
                    return
            finally:
                _end(ray, mark)
        raise Unreachable(f"Ray did not start: {last_words(self._folder)}")

    def _start_ray(self, scratch: Path, port: int, mark: str) -> subprocess.Popen[bytes]:
        write_secret(self._folder.token, secrets.token_hex(32))
        words = {
            "port": 0,
            "node-ip-address": "127.0.0.1",
            "dashboard-host": "127.0.0.1",
            "dashboard-port": port,
            "dashboard-agent-listen-port": 0,
            # nobody uses the Ray client here, but `ray start` knows no way without it
            "ray-client-server-port": _free_port(),
            "include-dashboard": "true",
            "num-cpus": max(self._slots, os.cpu_count() or 1),
            "resources": f'{{"{SLOT}": {self._slots}}}',
            "object-store-memory": STORE_BYTES,
            "temp-dir": scratch,
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
            + [f"--{name}={value}" for name, value in words.items()],
            stdin=subprocess.DEVNULL,
            cwd=scratch,
            env={**ray_environment(os.environ, self._folder.token), MARK: mark},
            # a session of its own: Ray's reaper signals the whole group that it is in
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - the keeper has no threads
        )

    def _await(self, ray: subprocess.Popen[bytes], scratch: Path) -> str:
        """The cluster's address once it is there; empty when Ray ended instead, or the keeper was told to."""
        until = time.monotonic() + START_S
        while time.monotonic() < until and ray.poll() is None and not self._told:
            written = scratch / "ray_current_cluster"
            if written.exists() and (address := written.read_text(encoding="ascii").strip()):
                return address
            time.sleep(0.1)
        return ""

    def _watch(self, ray: subprocess.Popen[bytes], head: Head) -> None:
        busy = looked = time.monotonic()
        pause = min(LOOK_S, self._idle_s / 4)
        while not self._told:
            if ray.poll() is not None:
                raise Unreachable(f"Ray ended by itself with {ray.returncode}")
            now = time.monotonic()
            if now - looked >= pause:
                looked = now
                if self._needed(head):
                    busy = now
            if now - busy >= self._idle_s and self._ended_idle(head):
                return
            time.sleep(0.2)

    def _ended_idle(self, head: Head) -> bool:
        """Take the head out of everybody's sight, unless somebody is about to submit or just has."""
        with locked(self._folder.used) as alone:
            if not alone or self._needed(head):
                return False
            self._folder.papers.unlink(missing_ok=True)
            return True

    def _needed(self, head: Head) -> bool:
        try:
            return bool(drivers_of(self._folder, head))
        except Unreachable:
            # too busy to answer, or dying: then its process ends, and that is seen
            return True

    def _sweep(self) -> None:
        """What a keeper left behind that was killed."""
        before = read_papers(self._folder)
        if before is not None:
            # by its mark alone: the numbers of its processes may have been given out again
            end_family(-1, before.mark, grace_s=0.0)
            shutil.rmtree(before.scratch, ignore_errors=True)
        self._folder.papers.unlink(missing_ok=True)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._told = True


def ray_environment(environment: Mapping[str, str], token: Path) -> dict[str, str]:
    """The environment of a head: loopback only, a token demanded, workers at niceness 0.

    What leads to other clusters, or carries another token, is left out.
    """
    foreign = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    kept = {name: value for name, value in environment.items() if name not in foreign}
    return (
        kept
        | LOCAL
        | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_JOB_STOP_WAIT_TIME_S": _STOP_WAIT_S,
            "RAY_JOB_START_TIMEOUT_SECONDS": _PENDING_S,
        }
    )


def _end(ray: subprocess.Popen[bytes], mark: str) -> None:
    """Politely, then with force: Ray would wait half a minute for drivers that still run."""
    ray.terminate()
    with suppress(subprocess.TimeoutExpired):
        ray.wait(POLITE_S)
    end_family(ray.pid, mark, grace_s=0.0)
    ray.wait()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _die_with_parent() -> Callable[[], None]:
    """For the child: SIGTERM when the keeper dies, even by SIGKILL. The library is loaded before the fork."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) and None

"""The processes that belong to one worker, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

import psutil

#: environment variable that marks a worker and whatever it starts; its value is unique per worker
MARK = "QSEARCH_WORKER"


def family(leader: int, mark: str) -> list[psutil.Process]:
    """Live processes of a worker, the worker itself included; zombies are not alive.

    NOTE: three signs, because each alone misses somebody. The session misses a child that called
    `setsid`; descent misses a child whose parent has died; the mark misses a child that was given a
    clean environment.

    Args:
        leader: process id of the worker, which leads a session of its own.
        mark: the value of `MARK` in its environment.
    """
    everyone = [process for process in psutil.process_iter() if _alive(process)]
    parents = {process.pid: _parent(process) for process in everyone}
    return [p for p in everyone if _session(p.pid) == leader or _descends(p.pid, leader, parents) or _marked(p, mark)]


def end_family(leader: int, mark: str, *, grace_s: float = 2.0, spare: Iterable[int] = ()) -> None:
    """SIGTERM, then SIGKILL after `grace_s` seconds; returns when nobody but `spare` is alive.

    Raises:
        TimeoutError: somebody cannot be killed (stuck in the kernel), five seconds after SIGKILL.
    """
    spared = set(spare)
    if grace_s > 0 and not _signal_all(leader, mark, spared, signal.SIGTERM, grace_s):
        return
    left = _signal_all(leader, mark, spared, signal.SIGKILL, 5.0)
    if left:
        raise TimeoutError(f"processes {', '.join(str(p.pid) for p in left)} survived SIGKILL")


def _signal_all(leader: int, mark: str, spared: set[int], number: int, patience_s: float) -> list[psutil.Process]:
    """Signal everybody, newcomers too, until none is left or patience is; who is left."""
    told: set[psutil.Process] = set()
    until = time.monotonic() + patience_s
    while True:
        # who was told stays known even when its parent dies and it no longer descends from the leader
        known = {p for p in told if _alive(p)}
        left = known | {p for p in family(leader, mark) if p.pid not in spared}
        for process in left - told:
            try:
                process.send_signal(number)
                if number == signal.SIGTERM:
                    process.send_signal(signal.SIGCONT)  # a stopped process would never hear of it
            except psutil.NoSuchProcess:
                continue
        told |= left
        if not left or time.monotonic() >= until:
            return sorted(left, key=lambda p: p.pid)
        psutil.wait_procs(left, timeout=min(0.05, patience_s))


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _descends(pid: int, leader: int, parents: dict[int, int]) -> bool:
    seen = set()
    while pid not in seen and pid != leader:
        seen.add(pid)
        pid = parents.get(pid, 0)
    return pid == leader


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False

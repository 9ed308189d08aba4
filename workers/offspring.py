"""What a child has started: found although it left the child's group, and ended with it.

NOTE: a group is left by `setsid`, a parent by dying, so neither finds everybody. A worker therefore makes
itself the one to whom orphans come back (`PR_SET_CHILD_SUBREAPER`): a child of the worker that the worker
did not start is an orphan, whatever it has done to hide. Those that have ended are reaped here too, or
they would stay as zombies for as long as the worker lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36
#: after SIGKILL, seconds; longer than that is stuck in the kernel, and waiting does not end it
_PATIENCE_S = 5.0
#: what multiprocessing starts to remove shared memory whose owner was killed gets so long for it, seconds
_TIDYING_S = 0.5
_TIDIER = b"multiprocessing.resource_tracker"
_PAUSE_S = 0.002


class _Row(NamedTuple):
    parent: int
    group: int
    session: int
    zombie: bool


#: children of this process that QSearch started and has not ended yet
_LIVE: set[int] = set()
#: children of this process from before orphans came to it; None = they do not come to it
_KEPT: set[int] | None = None


def adopt_orphans() -> None:
    """From now on, descendants of this process whose parents have died become its children; on Linux.

    To be called once, in a process that is QSearch's own, after it has started what is to stay with it.
    """
    global _KEPT  # noqa: PLW0603 - a property of the process
    try:
        refused = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if not refused:
        _KEPT = {pid for pid, row in _processes().items() if row.parent == os.getpid()}


def now_ours(process: subprocess.Popen[bytes]) -> None:
    """Note a child, started in a session of its own, as one that `end_child` will end."""
    _LIVE.add(process.pid)


def end_child(process: subprocess.Popen[bytes]) -> int:
    """Kill a child and everything it started, reap them; its exit status. Idempotent.

    Returns also when somebody is stuck in the kernel five seconds after SIGKILL.
    """
    table = _processes()
    known = _members(table, process.pid, process.poll() is None)
    _tidy(table, known)
    # before its death: of an orphan that comes to another process nobody can tell whose it was
    _signal(known, signal.SIGKILL)
    # its number is ours until it is reaped, and its group's as long as anybody is in it
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        table = _processes()
        members = _members(table, process.pid, process.poll() is None) | _orphans(table)
        # a zombie of somebody else's is not ours to reap, and dead
        members = {pid for pid in members if not table[pid].zombie or table[pid].parent == os.getpid()}
        if not members and process.poll() is not None:
            break
        _signal(members, signal.SIGKILL)
        _reap(members - {process.pid})
        time.sleep(_PAUSE_S)
    _LIVE.discard(process.pid)
    return process.wait()


def end_orphans() -> None:
    """Kill and reap whatever has come back to this process without a parent of its own."""
    until = time.monotonic() + _PATIENCE_S
    while (orphans := _orphans(_processes())) and time.monotonic() < until:
        _signal(orphans, signal.SIGKILL)
        _reap(orphans)
        time.sleep(_PAUSE_S)


def hold(process: subprocess.Popen[bytes]) -> None:
    """Stop a child and what it started, until `release`: nobody runs beside a measurement. Orphans end."""
    end_orphans()
    _signal(_members(_processes(), process.pid, True), signal.SIGSTOP)


def release(process: subprocess.Popen[bytes]) -> None:
    """Let those that `hold` has stopped go on."""
    _signal(_members(_processes(), process.pid, True), signal.SIGCONT)


def _tidy(table: dict[int, _Row], members: set[int]) -> None:
    """Kill all but those that remove the others' shared memory, and wait a moment until they have done so."""
    tidiers = {pid for pid in members if not table[pid].zombie and _TIDIER in _command(pid)}
    if not tidiers:
        return
    _signal(members - tidiers, signal.SIGKILL)
    # stopped with the rest of a child that is not on turn, perhaps
    _signal(tidiers, signal.SIGCONT)
    until = time.monotonic() + _TIDYING_S
    while time.monotonic() < until:
        table = _processes()
        if not any(pid in table and not table[pid].zombie for pid in tidiers):
            return
        time.sleep(_PAUSE_S)


def _members(table: dict[int, _Row], leader: int, unreaped: bool) -> set[int]:
    """The child, its group, its session and who descends from them; `unreaped` = its number is still its own."""
    found = {pid for pid, row in table.items() if leader in (row.group, row.session)}
    if unreaped and leader in table:
        found.add(leader)
    return found | _descendants(table, found)


def _orphans(table: dict[int, _Row]) -> set[int]:
    """Children of this process that it did not start, and who descends from them.

    What this process starts itself stays in its session; what a child of QSearch starts never is in it.
    """
    if _KEPT is None:
        return set()
    me, session = os.getpid(), os.getsid(0)
    strangers = {pid for pid, row in table.items() if row.parent == me and row.session != session}
    strangers -= _KEPT | _LIVE
    return strangers | _descendants(table, strangers)


def _descendants(table: dict[int, _Row], roots: Iterable[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, row in table.items():
        children.setdefault(row.parent, []).append(pid)
    found, left = set(), list(roots)
    while left:
        for child in children.get(left.pop(), []):
            if child not in found:
                found.add(child)
                left.append(child)
    return found


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        # it may have ended since the table was read
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _reap(pids: Iterable[int]) -> None:
    """Those of them that have ended and are children of this process."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _processes() -> dict[int, _Row]:
    """Every process by its number; empty where there is no /proc."""
    table: dict[int, _Row] = {}
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return table
    for pid in numbers:
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # the name, in brackets, may hold brackets and spaces
        state, parent, group, session = text.rpartition(")")[2].split()[:4]
        table[pid] = _Row(int(parent), int(group), int(session), state in "ZX")
    return table


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

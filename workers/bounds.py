"""What a process may take of the machine: the memory that is free, and to be the first to go when there is none.

NOTE: a model of 68 bytes can ask for 256 GiB. Where the kernel overcommits it gets them, and the end of it is a
machine that swaps, or the kernel killing whoever is largest. The limit is RLIMIT_DATA, memory that can be
written: RLIMIT_AS would also count what arenas, thread pools and GPU drivers only reserve, a multiple of
what they use.
"""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

import psutil

#: kept free for everybody else, bytes, or this share of the memory where that is more
RESERVE_BYTES, RESERVE_SHARE = 256 << 20, 0.05
#: even where nothing is free a process may have so much: it must get as far as saying what it lacks
LEAST_BYTES = 256 << 20
_FIRST_TO_GO = 1000
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
_VERSION_2 = ("memory.max", "memory.current")


def bound(pid: int) -> None:
    """Limit a child that has just been started; what it starts inherits all of it.

    Its memory as `limit_memory` says; the kernel ends it before others when memory runs out; no core file.
    A child that is dead already is left to whoever waits for it.
    """
    limit_memory(pid)
    # a foreign kernel, or a child that is gone: then there is nothing to limit
    with contextlib.suppress(OSError, AttributeError):
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, resource.prlimit(pid, resource.RLIMIT_CORE)[1]))
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_FIRST_TO_GO), encoding="ascii")


def limit_memory(pid: int) -> None:
    """Let a process of ours have what it has and what is free now. A lower hard limit (`ulimit -H -d`) stays."""
    with contextlib.suppress(OSError, AttributeError):
        hard = resource.prlimit(pid, resource.RLIMIT_DATA)[1]
        soft = _data_bytes(pid) + spare_memory()
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        resource.prlimit(pid, resource.RLIMIT_DATA, (soft, hard))


def spare_memory(groups: Path = Path("/sys/fs/cgroup"), mine: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes that one process may take without the machine, or its container, running out; swap is not counted."""
    memory = psutil.virtual_memory()
    spare = [_less_reserve(memory.available, memory.total)]
    spare += [_less_reserve(limit - used, limit) for limit, used in _groups(groups, mine)]
    return max(LEAST_BYTES, min(spare))


def _less_reserve(free: int, total: int) -> int:
    return free - max(RESERVE_BYTES, int(RESERVE_SHARE * total))


def _groups(groups: Path, mine: Path) -> list[tuple[int, int]]:
    """(limit, used) in bytes of every control group with a limit that this process is in; version 2, then 1."""
    try:
        lines = mine.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        names = _VERSION_1 if controllers else _VERSION_2
        folder = groups / ("memory" if controllers else ".") / path.lstrip("/")
        for place in (folder, *folder.parents):
            limit, used = _number(place / names[0]), _number(place / names[1])
            if limit is not None and used is not None:
                found.append((limit, used - _reclaimable(place)))
            if place == groups:
                break
    return found


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # not there, or "max"


def _reclaimable(place: Path) -> int:
    """Cached files that count as used and are given back when somebody needs the room."""
    try:
        rows = (line.split() for line in (place / "memory.stat").read_text(encoding="ascii").splitlines())
        return next((int(row[1]) for row in rows if row[0] == "inactive_file"), 0)
    except (OSError, ValueError):
        return 0


def _data_bytes(pid: int) -> int:
    """Writable memory that the process has already."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0

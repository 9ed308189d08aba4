"""How long a quota of the process's control groups has held it, version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MOUNT = "sys/fs/cgroup"
#: name in cpu.stat → milliseconds of one unit
_COUNTERS = {"throttled_usec": 1e-3, "throttled_time": 1e-6}


def throttled_ms(root: Path) -> float:
    """Milliseconds so far, of the process's own group and all those around it that can be seen.

    A process waits when any of them has used up its quota, so they add up; an upper bound.

    Args:
        root: where /proc and /sys are.

    Raises:
        OSError, ValueError: nothing tells.
    """
    found = [held for folder in _folders(root) for held in _held_ms(folder / "cpu.stat")]
    if not found:
        raise ValueError("no control group tells of a quota")
    return sum(found)


def _folders(root: Path) -> Iterator[Path]:
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Inside a container the path may be the host's, of which only the end, or nothing, is mounted.
        inner = PurePosixPath(path.lstrip("/"))
        mount = root / _MOUNT / controllers if controllers else root / _MOUNT
        if controllers and not mount.exists():
            mount = root / _MOUNT / "cpu"
        yield from (mount / part for part in (inner, *inner.parents))


def _held_ms(stat: Path) -> list[float]:
    if not stat.exists():
        return []
    words = dict(line.split() for line in stat.read_text().splitlines())
    return [int(words[name]) * unit for name, unit in _COUNTERS.items() if name in words]

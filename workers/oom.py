"""How often this machine's kernel has killed for memory: what tells an OOM kill from any other SIGKILL."""

from __future__ import annotations

from pathlib import Path

_COUNTERS = Path("/proc/vmstat")


def kernel_oom_kills(counters: Path = _COUNTERS) -> int:
    """Processes killed for memory since the machine started (`oom_kill` of /proc/vmstat); 0 when unknown."""
    try:
        rows = (line.split() for line in counters.read_text(encoding="ascii").splitlines())
        return next((int(row[1]) for row in rows if row[:1] == ["oom_kill"]), 0)
    except (OSError, ValueError):
        return 0

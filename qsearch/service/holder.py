"""Who drives a job: a name that tells later whether that process still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_holder() -> str:
    """`HOST/BOOT/PID/START`: unique even when the process number is given out again."""
    return f"{socket.gethostname()}/{_boot()}/{os.getpid()}/{_start(os.getpid())}"


def this_place() -> str:
    """`HOST/BOOT`: equal for all processes of one host, or of one container."""
    return f"{socket.gethostname()}/{_boot()}"


def is_dead(holder: str) -> bool:
    """Whether the holder is known to have died. A process of another host is never known to be dead."""
    try:
        host, boot, pid, start = holder.rsplit("/", 3)
    except ValueError:
        return False
    if host != socket.gethostname():
        return False
    return boot != _boot() or _start(int(pid)) != start


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _start(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # the command may hold spaces and parentheses; fields count from the last one
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]

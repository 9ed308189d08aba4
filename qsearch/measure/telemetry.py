"""What else happened on the CPUs while a block ran, from /proc. A signal that cannot be read is absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# /proc/stat counts in clock ticks; user, nice, system, irq, softirq are work, field 7 is steal.
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_BUSY, _STEAL = (0, 1, 2, 5, 6), 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a block's pair is not used. Shares are of the block's own duration.

    NOTE: margins come before shares. /proc/stat counts in ticks of 10 ms, so that in a block of 50 ms
    one tick of rounding alone would read as 20 % of foreign work; and a single time slice given to
    somebody else delays one inference of the block, which its median does not see. What stays above
    the margins is sustained.
    """

    #: time the hypervisor gave to others, of the pinned CPUs
    steal: float = 0.03
    steal_margin_ms: float = _TICK_MS
    #: time the arm's threads were ready and waited for a CPU
    wait: float = 0.03
    wait_margin_ms: float = 4.0
    #: work of other processes on the pinned CPUs
    foreign: float = 0.10
    foreign_margin_ms: float = 2 * _TICK_MS
    #: pages read from disk while the block ran
    major_faults: float = 10
    #: milliseconds that a cgroup quota held the arm
    throttled_ms: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters at one moment, milliseconds unless the name says otherwise."""

    at_ns: int
    counters: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Reads the counters of this process and of some CPUs."""

    cpus: Sequence[int]
    clock: Callable[[], int]
    root: Path = field(default=Path("/"))

    def read(self) -> Reading:
        """All counters that can be read; about 0.1 ms."""
        counters: dict[str, float] = {}
        for source in (self._stat, self._tasks, self._faults, self._pressure, self._throttled):
            try:
                counters.update(source())
            except (OSError, ValueError, IndexError):
                continue  # absent, and absent it stays: never a zero that was not measured
        return Reading(at_ns=self.clock(), counters=counters)

    def _stat(self) -> dict[str, float]:
        wanted = {f"cpu{cpu}" for cpu in self.cpus}
        rows = [line.split() for line in (self.root / "proc/stat").read_text().splitlines() if line.startswith("cpu")]
        ticks = [[int(value) for value in row[1:]] for row in rows if row[0] in wanted]
        if len(ticks) != len(wanted):
            raise ValueError("not all CPUs are listed")
        busy = sum(row[i] for row in ticks for i in _BUSY)
        return {"busy_ms": busy * _TICK_MS, "steal_ms": sum(row[_STEAL] for row in ticks) * _TICK_MS}

    def _tasks(self) -> dict[str, float]:
        # The file of the process itself counts its first thread only.
        ran = waited = 0
        for task in (self.root / "proc/self/task").iterdir():
            words = (task / "schedstat").read_text().split()
            ran, waited = ran + int(words[0]), waited + int(words[1])
        return {"own_ms": ran / 1e6, "wait_ms": waited / 1e6}

    def _faults(self) -> dict[str, float]:
        # The command name may hold spaces and brackets; fields are counted from the last one.
        return {"major_faults": float((self.root / "proc/self/stat").read_text().rpartition(")")[2].split()[9])}

    def _pressure(self) -> dict[str, float]:
        first = (self.root / "proc/pressure/cpu").read_text().splitlines()[0]
        return {"pressure_ms": int(first.rpartition("total=")[2]) / 1e3}

    def _throttled(self) -> dict[str, float]:
        own = next(line for line in (self.root / "proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        stat = self.root / "sys/fs/cgroup" / own[3:].lstrip("/") / "cpu.stat"
        words = dict(line.split() for line in stat.read_text().splitlines())
        if "throttled_usec" not in words:
            raise ValueError("no quota here")
        return {"throttled_ms": int(words["throttled_usec"]) / 1e3}


def between(before: Reading, after: Reading) -> dict[str, float]:
    """What happened between two readings: elapsed_ms, and the increase of each counter both have.

    `foreign_ms` replaces `busy_ms`: work on the pinned CPUs that was not this process's own.
    """
    names = before.counters.keys() & after.counters.keys()
    seen = {name: after.counters[name] - before.counters[name] for name in sorted(names)}
    busy = seen.pop("busy_ms", None)
    if busy is not None and "own_ms" in seen:
        seen["foreign_ms"] = max(0.0, busy - seen["own_ms"])
    return {"elapsed_ms": (after.at_ns - before.at_ns) / 1e6} | {n: round(v, 4) for n, v in seen.items()}


def rejection(telemetry: Mapping[str, float], limits: Limits, cpus: int) -> str:
    """Why the block cannot be used; empty when it can. Looks at no latency.

    Args:
        telemetry: of `between`.
        limits: when to reject.
        cpus: how many CPUs the arm is pinned to; steal and foreign work add up over them.
    """
    elapsed = max(telemetry.get("elapsed_ms", 0.0), 1e-3)
    shares = (
        ("steal", "steal_ms", limits.steal, limits.steal_margin_ms, cpus),
        ("run-queue wait", "wait_ms", limits.wait, limits.wait_margin_ms, 1),
        ("foreign work", "foreign_ms", limits.foreign, limits.foreign_margin_ms, cpus),
    )
    for words, name, limit, margin, over in shares:
        share = (telemetry.get(name, 0.0) - margin) / (elapsed * over)
        if share > limit:
            return f"{words} {100 * telemetry[name] / (elapsed * over):.1f} % > {100 * limit:g} %"
    if telemetry.get("major_faults", 0) > limits.major_faults:
        return f"{telemetry['major_faults']:.0f} major faults > {limits.major_faults:g}"
    if telemetry.get("throttled_ms", 0) > limits.throttled_ms:
        return f"throttled for {telemetry['throttled_ms']:.1f} ms"
    return ""

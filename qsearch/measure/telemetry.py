"""What else happened on the CPUs while a block ran, from /proc and /sys. A signal that cannot be read is absent."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from qsearch.measure.cgroups import throttled_ms
from qsearch.measure.nvml import Gpu

# /proc/stat counts in clock ticks; user, nice, system, irq, softirq are work, field 7 is steal.
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_BUSY, _STEAL = (0, 1, 2, 5, 6), 7


#: signal → what it is called among a block's telemetry
SIGNALS = MappingProxyType(
    {
        "steal": "steal_ms",
        "run-queue wait": "wait_ms",
        "foreign work": "foreign_ms",
        "CPU pressure": "pressure_ms",
        "memory pressure": "memory_pressure_ms",
        "quota": "throttled_ms",
        "major faults": "major_faults",
        "clock": "clock_mhz",
    }
)
#: the same, asked for only where the arms run on a GPU
GPU_SIGNALS = MappingProxyType(
    {"GPU clock": "gpu_clock_lost", "GPU throttling": "gpu_throttled", "GPU processes": "gpu_foreign"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters at one moment, milliseconds unless the name says otherwise."""

    at_ns: int
    counters: Mapping[str, float]
    #: what is a state and not a sum: clock_mhz, and a GPU's
    states: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Reads the counters of this process and of some CPUs."""

    cpus: Sequence[int]
    clock: Callable[[], int]
    root: Path = field(default=Path("/"))
    #: where the arm runs on one
    gpu: Gpu | None = None

    def read(self) -> Reading:
        """All that can be read; about 0.2 ms."""
        counters: dict[str, float] = {}
        sources = (self._stat, self._tasks, self._faults, self._pressure, self._memory_pressure, self._throttled)
        for source in sources:
            counters.update(_told(source))
        states = _told(self._clock_mhz) | (self.gpu.read() if self.gpu is not None else {})
        return Reading(at_ns=self.clock(), counters=counters, states=states)

    def _stat(self) -> dict[str, float]:
        wanted = {f"cpu{cpu}" for cpu in self.cpus}
        rows = [line.split() for line in (self.root / "proc/stat").read_text().splitlines() if line.startswith("cpu")]
        ticks = [[int(value) for value in row[1:]] for row in rows if row[0] in wanted]
        if len(ticks) != len(wanted):
            raise ValueError("not all CPUs are listed")
        busy = sum(row[i] for row in ticks for i in _BUSY)
        return {"busy_ms": busy * TICK_MS, "steal_ms": sum(row[_STEAL] for row in ticks) * TICK_MS}

    def _tasks(self) -> dict[str, float]:
        # The file of the process itself counts its first thread only.
        ran = waited = 0
        for task in (self.root / "proc/self/task").iterdir():
            try:
                words = (task / "schedstat").read_text().split()
            except (FileNotFoundError, ProcessLookupError):
                if task.exists():
                    raise
                continue  # a thread that ended meanwhile; the others still tell
            ran, waited = ran + int(words[0]), waited + int(words[1])
        return {"own_ms": ran / 1e6, "wait_ms": waited / 1e6}

    def _faults(self) -> dict[str, float]:
        # The command name may hold spaces and brackets; fields are counted from the last one.
        return {"major_faults": float((self.root / "proc/self/stat").read_text().rpartition(")")[2].split()[9])}

    def _pressure(self) -> dict[str, float]:
        return {"pressure_ms": self._stalled_ms("cpu")}

    def _memory_pressure(self) -> dict[str, float]:
        return {"memory_pressure_ms": self._stalled_ms("memory")}

    def _stalled_ms(self, resource: str) -> float:
        first = (self.root / "proc/pressure" / resource).read_text().splitlines()[0]
        return int(first.rpartition("total=")[2]) / 1e3

    def _throttled(self) -> dict[str, float]:
        return {"throttled_ms": throttled_ms(self.root)}

    def _clock_mhz(self) -> dict[str, float]:
        # Virtual machines have no such file.
        folder = self.root / "sys/devices/system/cpu"
        read = [int((folder / f"cpu{cpu}/cpufreq/scaling_cur_freq").read_text()) / 1e3 for cpu in self.cpus]
        return {"clock_mhz": statistics.fmean(read)}


def between(before: Reading, after: Reading) -> dict[str, float]:
    """What happened between two readings: elapsed_ms, the increase of each counter both have, and the last states.

    `foreign_ms` replaces `busy_ms`: work on the pinned CPUs that was not this process's own. It comes from
    counts of ticks, so it is off by a tick or two either way, below zero too; over many blocks that cancels,
    which it would not if what is below zero were cut off.
    """
    names = before.counters.keys() & after.counters.keys()
    seen = {name: after.counters[name] - before.counters[name] for name in sorted(names)}
    busy = seen.pop("busy_ms", None)
    if busy is not None and "own_ms" in seen:
        seen["foreign_ms"] = busy - seen["own_ms"]
    seen |= after.states
    return {"elapsed_ms": (after.at_ns - before.at_ns) / 1e6} | {n: round(v, 4) for n, v in seen.items()}


def unavailable(seen: Iterable[Mapping[str, float]], *, gpu: bool) -> dict[str, str]:
    """Signals that none of these telemetries has → why.

    Args:
        seen: of `between`, of all blocks.
        gpu: whether the arms run on a GPU, so that its signals were asked for.
    """
    names = {name for telemetry in seen for name in telemetry}
    missing = {signal: "this kernel or container does not tell" for signal, key in SIGNALS.items() if key not in names}
    if gpu:
        why = "NVML (nvidia-ml-py) is not installed, or does not tell"
        missing |= {signal: why for signal, key in GPU_SIGNALS.items() if key not in names}
    return missing


def _told(source: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What a source says; nothing where it is absent, and absent it stays: never a zero that was not measured."""
    try:
        return source()
    except (OSError, ValueError, IndexError):
        return {}

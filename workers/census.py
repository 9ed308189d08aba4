"""Who else works on this machine: CPU time of other processes, by name, from /proc."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
#: most names that are told
MOST = 3


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    parent: int
    #: clock ticks since boot; tells a number that was given out again
    started: int
    #: clock ticks
    ran: int


class Census:
    """Counts from one look to the next; a few milliseconds each, so it looks between blocks only.

    NOTE: no thread that watches all the time. It would run on the machine it watches, and the blocks'
    own telemetry says *that* somebody disturbed; this says only who has run most since the last look.
    A process that began and ended in between, or lives in another container, is not seen.

    Args:
        root: where /proc is.
        own: this process; it and whatever it has started are not counted.
    """

    def __init__(self, root: Path = Path("/"), own: int | None = None) -> None:
        self._root, self._own = root, os.getpid() if own is None else own
        self._before = self._look()

    def busiest(self) -> Mapping[str, float]:
        """Name → milliseconds of CPU time since the last look, of those that ran most; not below a tick."""
        now = self._look()
        family = _family(now, self._own)
        ran: Counter[str] = Counter()
        for pid, process in now.items():
            before = self._before.get(pid)
            earlier = before.ran if before is not None and before.started == process.started else 0
            if pid not in family and process.ran > earlier:
                ran[process.name] += process.ran - earlier
        self._before = now
        return {name: ticks * _TICK_MS for name, ticks in ran.most_common(MOST)}

    def _look(self) -> dict[int, _Process]:
        return dict(self._processes())

    def _processes(self) -> Iterator[tuple[int, _Process]]:
        try:
            numbers = [int(name) for name in os.listdir(self._root / "proc") if name.isdigit()]
        except OSError:
            return
        for pid in numbers:
            try:
                text = (self._root / f"proc/{pid}/stat").read_text(errors="replace")
                # The name may hold spaces and brackets; fields are counted from the last one.
                head, _, rest = text.rpartition(")")
                words = rest.split()
                name = head.partition("(")[2]
                yield pid, _Process(name, int(words[1]), int(words[19]), int(words[11]) + int(words[12]))
            except (OSError, IndexError, ValueError):
                continue  # ended meanwhile, or hidden from us


def _family(processes: Mapping[int, _Process], own: int) -> set[int]:
    family, size = {own}, 0
    while len(family) > size:
        size = len(family)
        family |= {pid for pid, process in processes.items() if process.parent in family}
    return family

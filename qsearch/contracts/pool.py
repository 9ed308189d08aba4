"""The port that places work on machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qsearch.contracts.machine import Machine
from qsearch.contracts.target import Target
from qsearch.contracts.work import Outcome, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One place where one measurement at a time can run."""

    machine: Machine
    #: labels of the machine: isa, runtime...
    labels: dict[str, str]
    #: runtimes that can be imported there → version
    runtimes: dict[str, str]

    def lacks(self, target: Target) -> str:
        """Why this slot cannot serve the target; empty when it can.

        NOTE: a target with an interpreter of its own needs nothing of the worker's environment. Whether
        that interpreter serves is found out by a piece of work (`probe`), where it is.
        """
        if not target.python and target.runtime not in self.runtimes:
            found = ", ".join(sorted(self.runtimes)) or "none"
            return f"{self.machine.host} has no runtime {target.runtime}, it has {found}"
        if target.threads > self.machine.cores:
            return f"{self.machine.host} has {self.machine.cores} cores, the target asks {target.threads} threads"
        for name, wanted in target.labels.items():
            found = self.labels.get(name, "")
            if wanted not in found.split(","):
                return f"{self.machine.host} has {name}={found or 'nothing'}, the target asks {wanted}"
        return ""


class Pool(Protocol):
    """Runs work on machines.

    Promises: a piece of work runs at most once per (key, token); every submitted piece comes back
    exactly once from `results`, a dead worker as an outcome with a cause, never silence; one worker's
    death leaves the others; after `close` no process of the pool is left. Called from one thread.
    """

    def capacity(self) -> Sequence[Slot]:
        """The machines there are now. Waits until at least one has answered, or raises Unreachable."""
        ...

    def submit(self, work: Work, target: Target) -> None:
        """Queue it for a slot that matches; an unmatched target is refused at once with Unsupported."""
        ...

    def results(self, timeout_s: float) -> Sequence[Outcome]:
        """Outcomes since the last call; waits up to timeout_s for the first, then returns what is there."""
        ...

    def cancel(self, key: str) -> None:
        """Kill the work with this key; its outcome is CANCELLED. Unknown keys are ignored."""
        ...

    def close(self) -> None:
        """Kill what runs, end the workers. Idempotent."""
        ...

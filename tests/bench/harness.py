"""What every bench shares: its flags, its one JSON document, its exit code.

A bench measures its comparison in the same run, says beforehand how long it takes, prints one document
and exits 0 when it could measure, met or not; `--strict` exits 1 when a goal is unmet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from qsearch.measure.fingerprint import this_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A number with the bound it should keep."""

    name: str
    #: None = it could not be judged, and so is not met
    value: float | None
    unit: str
    #: "<= 0.2", ">= 10"
    goal: str

    @property
    def met(self) -> bool:
        """Whether the value keeps the bound."""
        if self.value is None:
            return False
        relation, bound = self.goal.split()
        return self.value <= float(bound) if relation == "<=" else self.value >= float(bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a bench brings home."""

    rows: Sequence[dict[str, object]]
    goals: Sequence[Goal]


def spread(values: Sequence[float]) -> dict[str, float]:
    """n, minimum, median and maximum: what a row says of repeated readings."""
    return {"n": len(values), "min": min(values), "median": statistics.median(values), "max": max(values)}


def bench(name: str, minutes: float, quick_minutes: float, measure: Callable[[bool], Found]) -> int:
    """Run one bench from the command line's flags; the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.bench.{name}", description=measure.__doc__)
    parser.add_argument("--json", action="store_true", help="print the document only")
    parser.add_argument("--quick", action="store_true", help=f"about {quick_minutes:g} instead of {minutes:g} minutes")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is unmet")
    flags = parser.parse_args()
    print(f"{name}: about {quick_minutes if flags.quick else minutes:g} min", file=sys.stderr)
    found = measure(flags.quick)
    print(json.dumps(document(name, found), indent=None if flags.json else 2))
    return 1 if flags.strict and not all(goal.met for goal in found.goals) else 0


def document(name: str, found: Found) -> dict[str, object]:
    """What a bench prints: its rows and goals, and the machine they are true for."""
    machine = this_machine()
    return {
        "schema": "qsearch.bench/1",
        "bench": name,
        "machine": {"key": machine.key, "cpu": machine.cpu, "cores": machine.cores, "isa": list(machine.isa)},
        "rows": list(found.rows),
        "goals": [{**asdict(goal), "met": goal.met} for goal in found.goals],
    }

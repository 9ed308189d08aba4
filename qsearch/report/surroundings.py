"""What was seen beside a sitting's arms: rejections, the canary, waits, others at work, signals that were absent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from qsearch.contracts.codec import to_data
from qsearch.contracts.measurement import Latency, Sitting
from qsearch.contracts.verdict import Verdict
from qsearch.report.numbers import count, duration, percent
from qsearch.report.thresholds import limits_text

_NUMBER = re.compile(r"\d+(\.\d+)?")


def surroundings_document(sitting: Sitting) -> dict[str, object]:
    """All of it as data."""
    return {
        "rejections": dict(Counter(block.rejected for block in sitting.blocks if block.rejected)),
        "canary_drift": canary_drift(sitting),
        "canary": to_data(sitting.canary),
        "readiness": to_data(sitting.readiness),
        "polluters_ms": dict(sitting.polluters),
        "unavailable": dict(sitting.unavailable),
        "limits": to_data(sitting.limits),
    }


def surroundings_facts(sitting: Sitting) -> list[tuple[str, str]]:
    """Lines for a table; an empty text where there is nothing to say."""
    drift = canary_drift(sitting)
    waits = [wait for wait in sitting.readiness if wait.unrest]
    return [
        ("thresholds", limits_text(sitting.limits)),
        ("rejected for", _most_common([block.rejected for block in sitting.blocks if block.rejected])),
        ("canary", "" if drift is None else f"changed by at most {percent(drift)} within two rounds"),
        ("not ready", "; ".join(f"session {w.session} after {duration(w.waited_s)}: {w.unrest}" for w in waits)),
        ("others ran", ", ".join(f"{name} {duration(ms / 1000)}" for name, ms in sitting.polluters.items())),
        ("unavailable", "; ".join(f"{signal}: {why}" for signal, why in sitting.unavailable.items())),
    ]


def disturbance_notes(sitting: Sitting, latencies: Iterable[Latency]) -> tuple[str, ...]:
    """Why times of a sitting are POLLUTED or many of its blocks were rejected, and what to do; thresholds that are not
    the usual ones. Empty where there is nothing of it."""
    seen = list(latencies)
    polluted = [latency for latency in seen if latency.verdict is Verdict.POLLUTED]
    notes = []
    if polluted or any("many_rejected" in latency.flags for latency in seen):
        lost = _most_common([block.rejected for block in sitting.blocks if block.rejected])
        others = ", ".join(f"{name} {duration(ms / 1000)}" for name, ms in sitting.polluters.items())
        left = min((latency.pairs for latency in polluted or seen), default=0)
        words = f"rejected for {lost}" if lost else "none was rejected: there was time for no more"
        ran = f"; others ran: {others}" if others else ""
        head = f"POLLUTED: {count(left, 'usable pair')} left" if polluted else "many pairs were rejected"
        todo = "stop other programs, wait for a calm moment, and repeat" if lost else "take more care: --tier final"
        notes.append(f"{head} ({words}{ran}): {todo}")
    changed = limits_text(sitting.limits)
    if changed:
        notes.append(f"the thresholds are the spec's and not the usual ones: it {changed}")
    return tuple(notes)


def canary_drift(sitting: Sitting) -> float | None:
    """The largest relative change from one reading to the next of its session; None where there are no two."""
    changes = [two.change_from(one) for one, two in pairwise(sitting.canary) if one.session == two.session]
    return max(changes, default=None)


def _most_common(reasons: list[str]) -> str:
    """`run-queue wait up to 59.4 % > 3 % (36×); steal 9.0 % > 3 % (2×)`: by signal, the three that rejected most."""
    signals: dict[str, list[str]] = {}
    for reason in reasons:
        signals.setdefault(_NUMBER.split(reason, 1)[0].strip(), []).append(reason)
    told = []
    for signal, mine in sorted(signals.items(), key=lambda each: -len(each[1]))[:3]:
        worst = max(mine, key=_first_number)
        up_to = " up to" if len(set(mine)) > 1 else ""
        told.append(f"{signal}{up_to}{worst[len(signal) :]} ({len(mine)}×)")
    return "; ".join(told)


def _first_number(reason: str) -> float:
    found = _NUMBER.search(reason)
    return float(found.group()) if found else 0.0

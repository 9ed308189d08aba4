"""What was seen beside a sitting's arms: rejections, the canary, waits, others at work, signals that were absent."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from qsearch.contracts.codec import to_data
from qsearch.contracts.measurement import Sitting
from qsearch.report.numbers import duration, percent


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
        ("rejected for", _most_common([block.rejected for block in sitting.blocks if block.rejected])),
        ("canary", "" if drift is None else f"changed by at most {percent(drift)} within two rounds"),
        ("not ready", "; ".join(f"session {w.session} after {duration(w.waited_s)}: {w.unrest}" for w in waits)),
        ("others ran", ", ".join(f"{name} {duration(ms / 1000)}" for name, ms in sitting.polluters.items())),
        ("unavailable", "; ".join(f"{signal}: {why}" for signal, why in sitting.unavailable.items())),
    ]


def canary_drift(sitting: Sitting) -> float | None:
    """The largest relative change from one reading to the next of its session; None where there are no two."""
    changes = [two.change_from(one) for one, two in pairwise(sitting.canary) if one.session == two.session]
    return max(changes, default=None)


def _most_common(reasons: list[str]) -> str:
    return "; ".join(f"{reason} ({number}×)" for reason, number in Counter(reasons).most_common(3))

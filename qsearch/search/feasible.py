"""Whether a result keeps the job's constraints, and by how much it does not.

NOTE: exceedances are relative to their limits, so that a drop in percent, a size in bytes and a
latency in milliseconds can be compared: with a limit of 1 %, a drop of 1.5 % exceeds by 0.5, as
a model of 90 MiB does with a limit of 60 MiB. A limit of 0 has no relative excess, so what is above
it counts as it is.

A latency in milliseconds is the ratio of the trial's own sitting × the median of the fp32 times of
all sittings: machines change speed between two sittings, and only the ratio is free of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from qsearch.contracts.errors import NotFound
from qsearch.contracts.job import Constraints, DropLimit
from qsearch.contracts.measurement import Accuracy, Latency
from qsearch.contracts.trial import Result

#: what an unusable number (not finite) exceeds by: more than any real one, and storable
HOPELESS = 1e6
#: what a trial that was stopped early exceeds the drop limit by, at least: see `exceedances`
TRUNCATED = 1e-6
#: a limit of 1 % is met by 0.010000000000000002
_ROUNDING = 1e-9


def excess(
    result: Result,
    constraints: Constraints,
    reference_ms: float | None,
    *,
    heldout: bool = False,
    confident: bool = False,
) -> float:
    """The worst relative exceedance; 0 when every constraint is kept.

    Args:
        result: of a finished trial.
        constraints: of the job; those that are None ask nothing.
        reference_ms: fp32's pooled median (`pooled_reference_ms`); None takes the trial's own sitting.
        heldout: judge by the finals: the held-out drop and the final ratio, unless that was polluted.
        confident: judge drop and latency by the upper bounds of their intervals.

    Raises:
        NotFound: `heldout` is asked of a trial that was no finalist.
    """
    found = exceedances(result, constraints, reference_ms, heldout=heldout, confident=confident)
    return max(0.0, *found.values()) if found else 0.0


def exceedances(
    result: Result,
    constraints: Constraints,
    reference_ms: float | None,
    *,
    heldout: bool = False,
    confident: bool = False,
) -> dict[str, float]:
    """Constraint name → relative exceedance, ≤ 0 where it is kept; constraints that ask nothing are absent.

    NOTE: a trial whose scoring was stopped early broke the limit it was raced against. Its drop stands for
    itself, but a few samples cannot show that it keeps another, looser limit, so it keeps none.
    """
    accuracy, latency = _judged(result, heldout=heldout)
    found: dict[str, float] = {}
    if constraints.drop is not None:
        found["drop"] = _relative(_drop(accuracy, constraints.drop, confident=confident), constraints.drop.amount)
        if accuracy.truncated:
            found["drop"] = max(found["drop"], TRUNCATED)
    if constraints.size_bytes is not None:
        found["size"] = _relative(result.size_bytes, constraints.size_bytes)
    if constraints.memory_bytes is not None:
        found["memory"] = _relative(result.peak_memory_bytes, constraints.memory_bytes)
    if constraints.latency_ms is not None:
        ratio = latency.ratio.high if confident else latency.ratio.value
        pooled = reference_ms if reference_ms is not None else latency.reference_ms
        found["latency"] = _relative(ratio * pooled, constraints.latency_ms)
    return found


def pooled_reference_ms(history: Sequence[Result]) -> float:
    """Median over the trials of fp32's median latency in their sittings, milliseconds.

    Raises:
        NotFound: no trial has a finite one yet.
    """
    seen = [result.latency.reference_ms for result in history if math.isfinite(result.latency.reference_ms)]
    if not seen:
        raise NotFound("no finished trial has timed fp32 yet, so a latency in milliseconds is not known")
    return float(median(seen))


def _judged(result: Result, *, heldout: bool) -> tuple[Accuracy, Latency]:
    if not heldout:
        return result.accuracy, result.latency
    if result.heldout is None:
        number = result.trial.number
        raise NotFound(f"trial {number} has no held-out score; only finalists are scored on that split")
    return result.heldout, result.judged_latency


def _drop(accuracy: Accuracy, limit: DropLimit, *, confident: bool) -> float:
    seen = accuracy.drop if limit.relative else accuracy.drop_points
    return seen.high if confident else seen.value


def _relative(seen: float, limit: float) -> float:
    if not math.isfinite(seen):
        return HOPELESS
    over = (seen - limit) / limit if limit > 0 else seen - limit
    return 0.0 if 0.0 < over < _ROUNDING else min(over, HOPELESS)

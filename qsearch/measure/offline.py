"""Throughput of an `offline` sitting: samples per second at the batch size, with intervals."""

from __future__ import annotations

import math

from qsearch.contracts.measurement import Sitting, Throughput
from qsearch.contracts.scenario import Scenario
from qsearch.contracts.verdict import Interval
from qsearch.measure.mix import block_times
from qsearch.measure.statistics import over_sessions


def scenario(sitting: Sitting, arm: str) -> Scenario:
    """What was asked of an arm; one that says nothing was asked one inference at a time."""
    return Scenario(_detail(sitting, arm, "scenario") or Scenario.SINGLE_STREAM)


def throughput(sitting: Sitting, arm: str, reference: str, ratio: Interval) -> Throughput:
    """Samples per second of two arms of one sitting.

    Args:
        sitting: with every block.
        arm: whose throughput.
        reference: the arm that the ratio divides by.
        ratio: time of the arm / time of the reference, paired.
    """
    batch = int(_detail(sitting, reference, "batch") or "1")
    own = _samples_per_s(sitting, reference, batch)
    gain = ratio.inverse()
    scaled = Interval(
        value=own.value * gain.value,
        low=own.value * gain.low,
        high=own.value * gain.high,
        confidence=ratio.confidence,
    )
    return Throughput(batch=batch, arm=scaled, reference=own)


def _samples_per_s(sitting: Sitting, arm: str, batch: int) -> Interval:
    """Of one arm alone, from the typical time of each block that nothing polluted, over sessions."""
    mine = [block for block in sitting.blocks if block.arm == arm]
    kept = [block for block in mine if not block.rejected] or mine
    by_session: dict[int, list[float]] = {}
    for (session, _), nanoseconds in sorted(block_times(kept).items()):
        by_session.setdefault(session, []).append(math.log(nanoseconds))
    time = over_sessions(list(by_session.values()))
    return Interval(
        value=batch * 1e9 / math.exp(time.value),
        low=batch * 1e9 / math.exp(time.high),
        high=batch * 1e9 / math.exp(time.low),
        confidence=time.confidence,
    )


def _detail(sitting: Sitting, arm: str, name: str) -> str:
    return next((run.circumstances.details.get(name, "") for run in sitting.runs if run.arm == arm), "")

"""What a sitting says of one arm's time."""

from __future__ import annotations

import math
import statistics as plain
from collections.abc import Iterable, Sequence

from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import Block, Latency, Sitting, Tier
from qsearch.contracts.verdict import Interval
from qsearch.measure.statistics import over_sessions, session_effect_modelled, verdict

#: Fewer pairs that telemetry left standing are no measurement.
LEAST_PAIRS = 4
#: A share of rejected pairs above this is told to the reader.
MANY_REJECTED = 0.25
#: Differences below this many milliseconds never matter, whatever their share.
ABSOLUTE_MS = 0.020


def summarise(sitting: Sitting, arm: str, *, against: str = "", threshold: float = 0.02) -> Latency:
    """The ratio of two arms' times with its interval and verdict, from the raw samples alone.

    Args:
        sitting: with every block, the rejected ones too.
        arm: whose time.
        against: the arm it is divided by; empty = the sitting's reference.
        threshold: θ of the verdict; never less than 20 µs of the reference's time.

    Raises:
        DataError: an arm that is not in the sitting, or no complete pair of the two.
    """
    other = against or sitting.reference
    for name in (arm, other):
        if not any(run.arm == name for run in sitting.runs):
            raise DataError(f"the sitting has no arm {name}; it has {', '.join(sorted({r.arm for r in sitting.runs}))}")
    every, clean = _pairs(sitting.blocks, arm, other)
    polluted = sum(map(len, clean)) < LEAST_PAIRS
    used = every if polluted else clean
    ratio = _ratio(used)
    reference_ms = _median_ms(sitting.blocks, other, polluted)
    matters = max(threshold, ABSOLUTE_MS / reference_ms)
    return Latency(
        ratio=ratio,
        verdict=verdict(ratio, matters, polluted=polluted),
        detectable=matters + max(ratio.high - ratio.value, ratio.value - ratio.low) / ratio.value,
        pairs=sum(map(len, clean)),
        sessions=sum(bool(session) for session in clean),
        median_ms=_median_ms(sitting.blocks, arm, polluted),
        reference_ms=reference_ms,
        flags=tuple(_flags(sitting, (arm, other), every, clean)),
    )


def half_width(blocks: Sequence[Block], reference: str) -> float:
    """The widest relative half of any arm's interval so far; infinite before the first clean pair."""
    widest = 0.0
    for arm in {block.arm for block in blocks} - {reference}:
        _, clean = _pairs(blocks, arm, reference)
        if not any(clean):
            return math.inf
        ratio = _ratio(clean)
        widest = max(widest, (ratio.high - ratio.value) / ratio.value, (ratio.value - ratio.low) / ratio.value)
    return widest


def _pairs(blocks: Sequence[Block], arm: str, other: str) -> tuple[list[list[float]], list[list[float]]]:
    """ln(arm / other) of every round by session: all of them, and those that nothing polluted."""
    places = {(b.session, b.round): b for b in blocks if b.arm == other}
    sessions = sorted({b.session for b in blocks})
    every: dict[int, list[float]] = {s: [] for s in sessions}
    clean: dict[int, list[float]] = {s: [] for s in sessions}
    for block in blocks:
        mate = places.get((block.session, block.round))
        if block.arm != arm or mate is None:
            continue
        x = _log_ratio(block.samples_ns, mate.samples_ns)
        every[block.session].append(x)
        if not block.rejected and not mate.rejected:
            clean[block.session].append(x)
    if not any(every.values()):
        raise DataError(f"the sitting has no complete pair of {arm} and {other}")
    return list(every.values()), list(clean.values())


def _log_ratio(mine: Sequence[int], theirs: Sequence[int]) -> float:
    """ln of the median time ratio of a pair of blocks.

    NOTE: both blocks ran the same inputs in the same order, so the ratio is taken input by input and
    then the median. For inputs of one shape that estimates what the ratio of the two medians does;
    for a mix of shapes the median of the times themselves falls between two shapes, where one spike
    moves it from one to the other.
    """
    if len(mine) == len(theirs):
        return plain.median(math.log(max(1, a) / max(1, b)) for a, b in zip(mine, theirs, strict=True))
    return math.log(max(1.0, plain.median(mine)) / max(1.0, plain.median(theirs)))


def _ratio(pairs: Sequence[Sequence[float]]) -> Interval:
    log = over_sessions(pairs)
    return Interval(
        value=math.exp(log.value), low=math.exp(log.low), high=math.exp(log.high), confidence=log.confidence
    )


def _median_ms(blocks: Sequence[Block], arm: str, rejected_too: bool) -> float:
    mine = [block for block in blocks if block.arm == arm]
    kept = [block for block in mine if rejected_too or not block.rejected] or mine
    return plain.median(sample for block in kept for sample in block.samples_ns) / 1e6


def _flags(
    sitting: Sitting, arms: tuple[str, str], every: Sequence[Sequence[float]], clean: Sequence[Sequence[float]]
) -> Iterable[str]:
    if sitting.tier is Tier.QUICK:
        yield "indicative"
    if not session_effect_modelled(sum(bool(session) for session in clean)):
        yield "session_effect_unmodelled"
    if not all(run.steady for run in sitting.runs if run.arm in arms):
        yield "no_steady_state"
    if 1 - sum(map(len, clean)) / sum(map(len, every)) > MANY_REJECTED:
        yield "many_rejected"

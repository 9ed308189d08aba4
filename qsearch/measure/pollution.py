"""What telemetry says against a block, two rounds, a sitting. Looks at no latency of an arm.

NOTE: margins come before shares. /proc/stat counts in ticks of 10 ms, so that in a block of 50 ms
one tick of rounding alone would read as 20 % of foreign work; and a single time slice given to
somebody else delays one inference of the block, which its median does not see. What stays above
the margins is sustained. Over all blocks of a sitting the rounding cancels, so that flags are
raised from sums, with one margin, and can be three times as sensitive as rejections.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qsearch.contracts.limits import Limits, Thresholds
from qsearch.contracts.measurement import Block, CanaryReading, Sitting
from qsearch.measure.telemetry import TICK_MS


@dataclass(frozen=True, slots=True)
class _Signal:
    """One threshold and what it is held against."""

    #: field of `Thresholds`
    threshold: str
    #: key of a block's telemetry
    seen: str
    words: str
    #: in `Latency.flags`
    flag: str
    margin_ms: float = 0.0
    #: adds up over the pinned CPUs
    per_cpu: bool = False


#: milliseconds of the watched time
_SHARES = (
    _Signal("steal", "steal_ms", "steal", "steal", TICK_MS, True),
    _Signal("wait", "wait_ms", "run-queue wait", "run_queue_wait", 4.0),
    _Signal("foreign", "foreign_ms", "foreign work", "foreign_work", 2 * TICK_MS, True),
    _Signal("pressure", "pressure_ms", "CPU pressure", "cpu_pressure"),
    _Signal("memory_pressure", "memory_pressure_ms", "memory pressure", "memory_pressure"),
    _Signal("throttled", "throttled_ms", "held back by a quota", "throttled"),
)
#: numbers of their own
_FACTS = (
    _Signal("major_faults", "major_faults", "major faults", "major_faults"),
    _Signal("gpu_clock", "gpu_clock_lost", "GPU clock lost", "gpu_clock"),
    _Signal("gpu_throttled", "gpu_throttled", "GPU slowed down", "gpu_throttled"),
    _Signal("gpu_foreign", "gpu_foreign", "others on the GPU", "gpu_foreign"),
)


def rejection(telemetry: Mapping[str, float], limits: Limits, cpus: int) -> str:
    """Why a block cannot be used, from its own telemetry; empty when it can.

    Args:
        telemetry: of `between`.
        limits: when to reject.
        cpus: how many CPUs the arm is pinned to; steal and foreign work add up over them.
    """
    return next(iter(_excesses(telemetry, limits.reject, cpus)), "")


def unrest(telemetry: Mapping[str, float], limits: Limits, cpus: int) -> str:
    """What goes on where nothing of ours runs; empty when it is calm enough to begin. Arguments as above."""
    calm = Thresholds(**dict.fromkeys(Thresholds.__dataclass_fields__))
    asked = {name: getattr(limits.flag, name) for name in ("steal", "foreign", "throttled")}
    return next(iter(_excesses(telemetry, replace(calm, **asked), cpus)), "")


def judged(blocks: Sequence[Block], readings: Sequence[CanaryReading], limits: Limits, cpus: int) -> tuple[Block, ...]:
    """The blocks with why each is rejected, or nothing, whatever stood there before.

    Args:
        blocks: any sessions, in order; only telemetry and places are looked at.
        readings: of the canary, in order.
        limits: when to reject.
        cpus: how many CPUs the arms are pinned to.
    """
    usual, moved = _usual_clocks(blocks), _moved(readings, limits.reject.canary)
    told = _usually_told(blocks)
    return tuple(
        replace(
            block,
            rejected=rejection(block.telemetry, limits, cpus)
            or _untold(block, told, limits.reject)
            or _slower(block, usual, limits.reject.clock)
            or moved.get((block.session, block.round), ""),
        )
        for block in blocks
    )


def pollution_flags(sitting: Sitting, arms: Iterable[str]) -> Iterator[str]:
    """What a number of these arms is told with: the signals whose sum over the used blocks passes its flag.

    Args:
        sitting: as it was measured.
        arms: whose blocks count.
    """
    flag, cpus = sitting.limits.flag, max(1, len(sitting.cpus))
    lost = {(b.session, b.round) for b in sitting.blocks if b.rejected}
    used = [b for b in sitting.blocks if b.arm in set(arms) and (b.session, b.round) not in lost]
    elapsed = sum(b.telemetry.get("elapsed_ms", 0.0) for b in used)
    for signal in _SHARES:
        whole = sum(b.telemetry.get(signal.seen, 0.0) for b in used)
        if elapsed and _above(_share(whole, signal, elapsed, cpus), getattr(flag, signal.threshold)):
            yield signal.flag
    for signal in _FACTS:
        if any(_above(b.telemetry.get(signal.seen, 0.0), getattr(flag, signal.threshold)) for b in used):
            yield signal.flag
    usual = _usual_clocks(sitting.blocks)
    if any(_slower(b, usual, flag.clock) for b in used):
        yield "clock_changed"
    if any(place not in lost for place in _moved(sitting.canary, flag.canary)):
        yield "canary_drift"
    if any(wait.unrest for wait in sitting.readiness):
        yield "not_ready"


def _excesses(telemetry: Mapping[str, float], limits: Thresholds, cpus: int) -> Iterator[str]:
    elapsed = max(telemetry.get("elapsed_ms", 0.0), 1e-3)
    for signal in _SHARES:
        seen, limit = telemetry.get(signal.seen, 0.0), getattr(limits, signal.threshold)
        if _above(_share(seen, signal, elapsed, cpus), limit):
            share = seen / (elapsed * (cpus if signal.per_cpu else 1))
            yield f"{signal.words} {100 * share:.1f} % > {100 * limit:g} %"
    for signal in _FACTS:
        seen, limit = telemetry.get(signal.seen, 0.0), getattr(limits, signal.threshold)
        if _above(seen, limit):
            yield f"{signal.words} {seen:g} > {limit:g}"


def _share(seen: float, signal: _Signal, elapsed_ms: float, cpus: int) -> float:
    return (seen - signal.margin_ms) / (elapsed_ms * (cpus if signal.per_cpu else 1))


def _above(seen: float, limit: float | None) -> bool:
    return limit is not None and seen > limit


def _usually_told(blocks: Sequence[Block]) -> dict[str, frozenset[str]]:
    """Arm → the signals that most of its blocks have."""
    seen: dict[str, Counter[str]] = {}
    for block in blocks:
        seen.setdefault(block.arm, Counter()).update(block.telemetry.keys())
    number = Counter(block.arm for block in blocks)
    return {arm: frozenset(n for n, times in found.items() if 2 * times > number[arm]) for arm, found in seen.items()}


def _untold(block: Block, told: Mapping[str, frozenset[str]], limits: Thresholds) -> str:
    """A reading that failed once is no zero: nobody knows what happened beside this block."""
    lost = told[block.arm] - block.telemetry.keys()
    judged_by = (s.words for s in (*_SHARES, *_FACTS) if s.seen in lost and getattr(limits, s.threshold) is not None)
    words = next(judged_by, "")
    return f"{words} could not be read" if words else ""


def _usual_clocks(blocks: Sequence[Block]) -> dict[tuple[str, int], float]:
    """Arm and session → median clock, MHz. By arm: wide vector instructions lower the clock by themselves."""
    seen: dict[tuple[str, int], list[float]] = {}
    for block in blocks:
        if "clock_mhz" in block.telemetry:
            seen.setdefault((block.arm, block.session), []).append(block.telemetry["clock_mhz"])
    return {place: statistics.median(clocks) for place, clocks in seen.items()}


def _slower(block: Block, usual: Mapping[tuple[str, int], float], limit: float | None) -> str:
    known = usual.get((block.arm, block.session), 0.0)
    if not known or "clock_mhz" not in block.telemetry:
        return ""
    lost = 1 - block.telemetry["clock_mhz"] / known
    return f"clock {100 * lost:.1f} % below this arm's usual > {100 * (limit or 0):g} %" if _above(lost, limit) else ""


def _moved(readings: Sequence[CanaryReading], limit: float | None) -> dict[tuple[int, int], str]:
    """Session and round → what the canary says of it, for rounds between two readings that differ too much."""
    found: dict[tuple[int, int], str] = {}
    for before, after in pairwise(readings):
        if before.session != after.session:
            continue
        change = after.change_from(before)
        if _above(change, limit):
            words = f"canary changed by {100 * change:.1f} % > {100 * (limit or 0):g} %"
            found |= dict.fromkeys(((after.session, n) for n in range(before.rounds, after.rounds)), words)
    return found

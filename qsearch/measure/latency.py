"""What a sitting says of one arm's time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import Block, Latency, Sitting, Tier
from qsearch.contracts.noise import SessionLuck
from qsearch.contracts.scenario import Scenario
from qsearch.contracts.verdict import Interval, theta
from qsearch.measure.flicker import over_sittings, wander_of
from qsearch.measure.luck import luck_between, outweighs_belief
from qsearch.measure.mix import block_times, typical_ns
from qsearch.measure.offline import scenario, throughput
from qsearch.measure.pollution import pollution_flags
from qsearch.measure.statistics import (
    believed_luck,
    detectable,
    over_sessions,
    samples_needed,
    session_effect_known,
    tail_percentile,
    verdict,
    within_sessions,
)

#: Fewer pairs that telemetry left standing are no measurement, nor are those of fewer sessions: one
#: process has one luck, and nothing in it tells. A sitting of one session (quick) has to do with it.
LEAST_PAIRS, LEAST_SESSIONS = 4, 2
#: Percentiles of single inferences that are told.
TAILS = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
#: A share of rejected pairs above this is told to the reader.
MANY_REJECTED = 0.25


def summarise(
    sitting: Sitting, arm: str, *, against: str = "", threshold: float = 0.02, luck: Sequence[SessionLuck] = ()
) -> Latency:
    """The ratio of two arms' times with its interval and verdict, from the raw samples alone.

    Args:
        sitting: with every block, the rejected ones too.
        arm: whose time.
        against: the arm it is divided by; empty = the sitting's reference.
        threshold: θ of the verdict; never less than 20 µs of the reference's time.
        luck: what is known of the luck of sessions, and of sittings where the arms are unlike; used where it
            was learned under the arms' own circumstances, and otherwise assumed.

    POLLUTED: telemetry left fewer than four pairs, or fewer than two sessions of a sitting that had them.

    Raises:
        DataError: an arm that is not in the sitting, no complete pair of the two, or a block that is no
            whole cycles of its inputs.
    """
    other = against or sitting.reference
    for name in (arm, other):
        if not any(run.arm == name for run in sitting.runs):
            raise DataError(f"the sitting has no arm {name}; it has {', '.join(sorted({r.arm for r in sitting.runs}))}")
    every, clean = _pairs(sitting.blocks, arm, other)
    sessions = sum(bool(session) for session in clean)
    polluted = sum(map(len, clean)) < LEAST_PAIRS or sessions < min(LEAST_SESSIONS, len(clean))
    used = every if polluted else clean
    known = _known_luck(sitting, (arm, other), luck)
    believed = believed_luck(used, known)
    found = over_sessions(used, believed)
    # one file against itself is moved alike by whatever moves
    wander = None if alike(sitting, arm, other) else wander_of(used, known, believed)
    ratio = _times(over_sittings(found, wander, known) if wander else found)
    reference_ms = _median_ms(sitting.blocks, other, polluted)
    offline = scenario(sitting, arm) is Scenario.OFFLINE
    matters = theta(reference_ms, threshold)
    return Latency(
        ratio=ratio,
        verdict=verdict(ratio, matters, polluted=polluted),
        detectable=detectable(ratio, matters),
        pairs=sum(map(len, clean)),
        sessions=sessions,
        median_ms=_median_ms(sitting.blocks, arm, polluted),
        reference_ms=reference_ms,
        flags=tuple(_flags(sitting, (arm, other), every, clean, believed)),
        tails={} if offline else _tails(sitting.blocks, arm),
        tails_need={} if offline else {name: samples_needed(p) for name, p in TAILS.items()},
        luck=believed,
        scenario=scenario(sitting, arm),
        throughput=throughput(sitting, arm, other, ratio) if offline else None,
        shapes=next(run.circumstances.shapes for run in sitting.runs if run.arm == arm),
        wander=wander,
    )


def alike(sitting: Sitting, one: str, other: str) -> bool:
    """Whether two arms had the very same file under the same runtime."""
    ran = [
        {(r.model_sha256, r.circumstances.runtime_key) for r in sitting.runs if r.arm == arm} for arm in (one, other)
    ]
    return ran[0] == ran[1]


def clean_pairs(sitting: Sitting, arm: str, other: str) -> list[list[float]]:
    """ln(arm / other) of every round that nothing polluted, by session.

    Raises:
        DataError: no complete pair of the two, polluted or not.
    """
    return _pairs(sitting.blocks, arm, other)[1]


def half_width(blocks: Sequence[Block], reference: str) -> float:
    """The widest relative half of any arm's interval so far; infinite before the first clean pair.

    NOTE: for deciding when to stop, so the luck of sessions and sittings is left out on purpose: no number of
    pairs in these processes narrows it, and a screen of two sessions would never stop early. The interval
    that `summarise` reports is wider.
    """
    widest = 0.0
    for arm in {block.arm for block in blocks} - {reference}:
        _, clean = _pairs(blocks, arm, reference)
        if not any(clean):
            return math.inf
        ratio = _times(within_sessions(clean))
        widest = max(widest, (ratio.high - ratio.value) / ratio.value, (ratio.value - ratio.low) / ratio.value)
    return widest


def _pairs(blocks: Sequence[Block], arm: str, other: str) -> tuple[list[list[float]], list[list[float]]]:
    """ln(arm / other) of every round by session: all of them, and those that nothing polluted."""
    mine = {(b.session, b.round): b for b in blocks if b.arm == arm}
    theirs = {(b.session, b.round): b for b in blocks if b.arm == other}
    times, reference = block_times(list(mine.values())), block_times(list(theirs.values()))
    sessions = sorted({b.session for b in blocks})
    every: dict[int, list[float]] = {s: [] for s in sessions}
    clean: dict[int, list[float]] = {s: [] for s in sessions}
    for place in sorted(mine.keys() & theirs.keys()):
        x = math.log(times[place] / reference[place])
        every[place[0]].append(x)
        if not mine[place].rejected and not theirs[place].rejected:
            clean[place[0]].append(x)
    if not any(every.values()):
        raise DataError(f"the sitting has no complete pair of {arm} and {other}")
    return list(every.values()), list(clean.values())


def _known_luck(sitting: Sitting, arms: tuple[str, str], known: Sequence[SessionLuck]) -> SessionLuck | None:
    places = [next(run.circumstances for run in sitting.runs if run.arm == arm) for arm in arms]
    return luck_between(known, places[0], places[1])


def _times(log: Interval) -> Interval:
    """The interval of a ratio of times from that of its logarithm."""
    return Interval(
        value=math.exp(log.value), low=math.exp(log.low), high=math.exp(log.high), confidence=log.confidence
    )


def _median_ms(blocks: Sequence[Block], arm: str, rejected_too: bool) -> float:
    mine = [block for block in blocks if block.arm == arm]
    kept = [block for block in mine if rejected_too or not block.rejected] or mine
    return typical_ns(kept) / 1e6


def _tails(blocks: Sequence[Block], arm: str) -> dict[str, float | None]:
    single = [b for b in blocks if b.arm == arm and not b.rejected and b.group == 1]
    samples = [sample / 1e6 for block in single for sample in block.samples_ns]
    return {name: tail_percentile(samples, p) for name, p in TAILS.items()}


def _flags(
    sitting: Sitting,
    arms: tuple[str, str],
    every: Sequence[Sequence[float]],
    clean: Sequence[Sequence[float]],
    luck: SessionLuck | None,
) -> Iterable[str]:
    if sitting.tier is Tier.QUICK:
        yield "indicative"
    if not session_effect_known(sum(bool(session) for session in clean)) and not outweighs_belief(luck):
        yield "session_effect_assumed"
    if not all(run.steady for run in sitting.runs if run.arm in arms):
        yield "no_steady_state"
    if 1 - sum(map(len, clean)) / sum(map(len, every)) > MANY_REJECTED:
        yield "many_rejected"
    if sitting.limits.lenient:
        yield "lenient_limits"
    if any(run.circumstances.details.get("nice", "0") != "0" for run in sitting.runs if run.arm in arms):
        yield "lowered_priority"
    yield from pollution_flags(sitting, arms)

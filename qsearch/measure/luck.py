"""The luck of a session: what is believed of it beforehand, and what a machine's own A/A sittings teach.

NOTE: the model. A pair of session s is x = μ + b_s + e: μ the truth, b_s the luck that the session's children
keep for their whole lives, e the noise of pairs. In an A/A sitting μ = 0 is known, so that each session
gives b_s² + e² with a whole degree of freedom, and what stays when the variance of its mean is taken out
estimates Var(b). Sessions with noisy pairs tell less: each weighs (Var b / (Var b + Var mean))², its share
of the information, which makes the estimate the solution of an equation; it is found by iterating. The
belief takes part as `SESSION_SD_WEIGHT` sessions without noise, so that two A/A sittings move it a little
and sixty replace it.

NOTE: A/A sittings of other models and other days are pooled, because a job has two sessions of its own
fp32 and that is no estimate. What they teach is the luck of *models like those seen*. Where the very
sessions at hand differ by more than that can explain, it is not used (`believed`), and however much was
learned, it never outweighs them by more than `LUCK_WEIGHT_MOST` sessions.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from qsearch.contracts.machine import Circumstances
from qsearch.contracts.noise import EqualSession, NoiseFloor, SessionLuck

#: What sessions of one sitting are taken to differ by while nothing else is known: standard deviation of
#: ln ratio, and how many sessions this belief weighs as much as.
#: NOTE: a prior. The same file against itself has been off by up to 5 % between fresh processes on shared
#: machines; 1.5 % for two arms is the luck of 1 % that each child has.
SESSION_SD, SESSION_SD_WEIGHT = 0.015, 4
#: Whatever was learned counts for so many sessions at most beside those of the sitting at hand.
LUCK_WEIGHT_MOST = 20
#: The newest sessions of a machine and runtime; older ones are of another life of the machine.
SESSIONS_REMEMBERED = 120
#: Student's t, two-sided 95 %, by degrees of freedom.
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 10: 2.228, 12: 2.179,
      15: 2.131, 20: 2.086, 30: 2.042, 60: 2.000, math.inf: 1.960}  # fmt: skip
#: Fisher's F at 99 % by the sessions' degrees of freedom, against those of `LUCK_WEIGHT_MOST`.
_TORN = {1: 8.096, 2: 5.849, 3: 4.938, 4: 4.431}
_ROUNDS = 100


def luck_of(floors: Sequence[NoiseFloor]) -> tuple[SessionLuck, ...]:
    """What a machine's A/A sittings teach, one record per machine class and runtime that has any.

    Args:
        floors: newest first; of each class and runtime the newest sessions count.
    """
    keys = dict.fromkeys((floor.machine_key, floor.runtime_key) for floor in floors)
    found = (_pooled([f for f in floors if (f.machine_key, f.runtime_key) == key]) for key in keys)
    return tuple(luck for luck in found if luck.sessions)


def luck_between(known: Sequence[SessionLuck], one: Circumstances, other: Circumstances) -> SessionLuck | None:
    """What is known of the luck of two arms against each other; None where one of them is unknown.

    NOTE: the luck of a ratio is that of two children. Equal children share it half and half, so that two
    runtimes against each other have the mean of their A/A variances.
    """
    found = [_of(known, place) for place in (one, other)]
    if found[0] is None or found[1] is None or found[0] == found[1]:
        return found[0] if found[1] is not None else None
    first, second = found[0], found[1]
    return SessionLuck(
        machine_key=first.machine_key,
        runtime_key=f"{first.runtime_key} {second.runtime_key}",
        sd=math.sqrt((first.sd**2 + second.sd**2) / 2),
        weight=min(first.weight, second.weight),
        sessions=min(first.sessions, second.sessions),
        sittings=min(first.sittings, second.sittings),
        flicker=math.sqrt((first.flicker**2 + second.flicker**2) / 2),
        flicker_weight=min(first.flicker_weight, second.flicker_weight),
        repeats=min(first.repeats, second.repeats),
    )


def learn(series: Sequence[Sequence[EqualSession]]) -> tuple[float, float]:
    """Standard deviation between A/A sessions, and how many sessions without noise it is worth.

    Args:
        series: sessions that share the noise of their pairs, one sequence per model and occasion.

    Returns:
        (sd of ln ratio, weight); (0, 0) when there is nothing to learn from.
    """
    seen = [(s.shift**2, noise) for sessions in series for s, noise in zip(sessions, _noises(sessions), strict=True)]
    variance, learned, weight = SESSION_SD**2, 0.0, 0.0
    for _ in range(_ROUNDS if seen else 0):
        shares = [(variance / (variance + noise)) ** 2 for _, noise in seen]
        weight = sum(shares)
        learned = max(0.0, sum(w * (square - noise) for w, (square, noise) in zip(shares, seen, strict=True)) / weight)
        # halfway in logarithms: full steps swing to and fro where the noise is larger than the luck
        variance = math.sqrt(variance * _join(learned, weight))
    return math.sqrt(learned), weight


def between_sessions(luck: SessionLuck | None) -> tuple[float, float]:
    """Variance of ln ratio between sessions before a sitting is looked at, and the sessions it is worth."""
    if luck is None:
        return SESSION_SD**2, SESSION_SD_WEIGHT
    return _join(luck.sd**2, luck.weight), min(SESSION_SD_WEIGHT + luck.weight, LUCK_WEIGHT_MOST)


def believed(luck: SessionLuck | None, sessions: Sequence[float], noise: float) -> SessionLuck | None:
    """The luck that was learned, unless these sessions differ by more than it explains (at 99 %).

    Args:
        luck: of the machine and runtime; None = nothing is known.
        sessions: the estimate of each session of a sitting, ln ratio.
        noise: variance that the estimates have from their pairs.
    """
    if luck is None or not luck.sessions:
        return None
    if len(sessions) < 2:
        return luck
    mean, freedom = sum(sessions) / len(sessions), len(sessions) - 1
    own = sum((x - mean) ** 2 for x in sessions) / freedom
    bound = _TORN[min(freedom, max(_TORN))]
    return None if own > bound * (between_sessions(luck)[0] + noise) else luck


def outweighs_belief(luck: SessionLuck | None) -> bool:
    """Whether more was learned than assumed."""
    return luck is not None and luck.weight >= SESSION_SD_WEIGHT


def typical_pair_sd(sessions: Sequence[EqualSession]) -> float:
    """Standard deviation of the pairs of a typical session; at least one session."""
    middle = statistics.median(session.pair_sd**2 for session in sessions)
    if len(sessions) < 3:
        return math.sqrt(middle)  # the median of two is their mean
    freedom = statistics.median(session.pairs - 1 for session in sessions)
    # the median of a chi-squared variable lies below its mean (Wilson and Hilferty 1931)
    return math.sqrt(middle / (1 - 2 / (9 * freedom)) ** 3)


def student(freedom: float) -> float:
    """Quantile of Student's t for a two-sided 95 %; linear in 1/freedom between tabled values .

    Args:
        freedom: degrees, need not be whole; from 4 on off by less than 0.3 %, and 1 at least.
    """
    below = max(known for known in _T if known <= max(1.0, freedom))
    above = min(known for known in _T if known >= max(1.0, freedom))
    if below == above:
        return _T[below]
    share = (1 / below - 1 / freedom) / (1 / below - 1 / above)
    return _T[below] + share * (_T[above] - _T[below])


def _of(known: Sequence[SessionLuck], place: Circumstances) -> SessionLuck | None:
    keys = (place.machine_key, place.runtime_key)
    return next((luck for luck in known if (luck.machine_key, luck.runtime_key) == keys), None)


def _pooled(floors: Sequence[NoiseFloor]) -> SessionLuck:
    """Of one machine class and runtime; newest first."""
    kept: list[NoiseFloor] = []
    for floor in floors:
        if sum(len(f.sessions) for f in kept) < SESSIONS_REMEMBERED:
            kept.append(floor)
    sd, weight = learn([floor.sessions for floor in kept])
    return SessionLuck(
        machine_key=floors[0].machine_key,
        runtime_key=floors[0].runtime_key,
        sd=sd,
        weight=weight,
        sessions=sum(len(floor.sessions) for floor in kept),
        sittings=sum(floor.sittings for floor in kept),
    )


def _noises(sessions: Sequence[EqualSession]) -> list[float]:
    """Variance that each session's estimate has from its pairs, their noise taken as one for all.

    The median of the sessions' variances, because one pair with a spike would give its session, and a mean
    of all, a noise that the estimate by Hodges and Lehmann does not have. Where it does have some of it,
    that counts as luck, which errs on the wide side.
    """
    if not sessions:
        return []
    noise = typical_pair_sd(sessions) ** 2
    return [noise / session.pairs for session in sessions]


def _join(learned: float, weight: float) -> float:
    return (SESSION_SD_WEIGHT * SESSION_SD**2 + weight * learned) / (SESSION_SD_WEIGHT + weight)

"""What separates two sittings of the same two files, when the files are unlike.

NOTE: the model. The noise of pairs is not white: on a shared host, part of it (who else uses the caches and the
memory) changes over minutes, so that it moves all pairs of a sitting together and no number of pairs or sessions
shows it. Equal arms are moved alike and their ratio stays; unlike arms are not. A sitting's estimate is then
x = μ + a + (its sessions, its pairs) with Var(a) = ρ² s², s being the standard deviation of its own pairs: noise
of 1/f has the same variance at every time scale, so that what pairs show within seconds tells what sittings
will show over hours. ρ belongs to machine and runtime, has no unit, and is learned from files that were measured
more than once: screens and finals of one job, the same candidate in two jobs.
Measured on two virtual cores of an AMD EPYC with a busy host, ONNX Runtime 1.32: 32 repeats of candidates of
MiniLM-L3 an hour apart (their pairs deviate by 1 to 10 %) gave ρ² = 1.0, 15 some minutes apart 0.9, screens
against finals of one job 0.9 (6) and 0.0 (3); of magika 0.8 (3); of a text recogniser, which computes more than it
loads, 0.0 (5). Without it, 4 of 16 intervals of MiniLM-L3 did not meet those of a second job. It is no cure: of
two more such jobs, minutes apart on the same machine at rest, 3 of 27 intervals did not meet. One file was 15 % faster
in the second, with pairs that deviated by 2 % in both; 48 repeats gave ρ² = 4.6, which later sittings there use.

NOTE: what keeps it from misleading. Finalists share a sitting, and are chosen for having looked fast: half of
what repeats say is taken for independent (`SHARED`), and being drawn back to the mean errs on the wide side. One
file that moved for a reason of its own (a new kernel, another host of the class) counts as a rare draw and no more
(`RARE`). And as ρ depends on the model, too, which the figures above show, models that stand still never
take more than half of the assumed variance away from those that do not (`LEAST`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from qsearch.contracts.noise import Repeat, SessionLuck, Wander
from qsearch.contracts.verdict import Interval
from qsearch.measure.luck import student
from qsearch.measure.statistics import pair_scale, standard_error

#: ρ while nothing is known, and how many sittings this belief weighs as much as; see above.
FLICKER, FLICKER_WEIGHT = 0.5, 4
#: Whatever was learned counts for so many sittings at most: the pairs of one sitting tell their own deviation
#: to a quarter, which is worth no more.
FLICKER_WEIGHT_MOST = 8
#: The share of a repeated sitting that counts as one of its own.
SHARED = 0.5
#: ρ² is believed to be at least so much of `FLICKER` squared.
LEAST = 0.5
#: Squares of normal deviations above this are rarer than 1 of 100.
RARE = 6.63
_ROUNDS = 100


def flicker_of(repeats: Sequence[Repeat]) -> tuple[float, float]:
    """ρ, and how many sittings the estimate is worth.

    Args:
        repeats: of one machine class and runtime.

    Returns:
        (ρ, weight); (0, 0) when there is nothing to learn from.
    """
    seen = [terms for repeat in repeats if (terms := _terms(repeat))[1] > 0]
    share, learned, weight = FLICKER**2, 0.0, 0.0
    for _ in range(_ROUNDS if seen else 0):
        # a repeat whose own noise is larger than what is sought tells little of it
        tells = [(share * scale / (share * scale + noise)) ** 2 for _, scale, noise, _ in seen]
        weight = SHARED * sum(t * freedom for t, (_, _, _, freedom) in zip(tells, seen, strict=True))
        above = 0.0
        for told, (square, scale, noise, freedom) in zip(tells, seen, strict=True):
            above += told * freedom * (min(square, RARE * (share * scale + noise)) - noise) / scale
        learned = max(0.0, above * SHARED / weight)
        # halfway in logarithms: full steps swing to and fro
        share = math.sqrt(share * _join(learned, weight))
    return math.sqrt(learned), weight


def with_flicker(known: Sequence[SessionLuck], repeats: Sequence[Repeat]) -> tuple[SessionLuck, ...]:
    """What A/A sittings teach, joined by what repeated measurements do; also where only these are known."""
    lucks = {(luck.machine_key, luck.runtime_key): luck for luck in known}
    groups: dict[tuple[str, str], list[Repeat]] = {}
    for repeat in repeats:
        groups.setdefault((repeat.machine_key, repeat.runtime_key), []).append(repeat)
    for key, mine in groups.items():
        none = SessionLuck(machine_key=key[0], runtime_key=key[1], sd=0.0, weight=0.0, sessions=0, sittings=0)
        flicker, weight = flicker_of(mine)
        sittings = sum(len(repeat.shifts) for repeat in mine)
        lucks[key] = replace(lucks.get(key, none), flicker=flicker, flicker_weight=weight, repeats=sittings)
    return tuple(lucks.values())


def believed_flicker(luck: SessionLuck | None) -> float:
    """ρ as it is used: what was learned, joined to what is assumed."""
    return math.sqrt(_join(luck.flicker**2, luck.flicker_weight)) if luck else FLICKER


def wander_of(sessions: Sequence[Sequence[float]], known: SessionLuck | None, believed: SessionLuck | None) -> Wander:
    """What another sitting may say differently.

    Args:
        sessions: ln ratios of the pairs, by session.
        known: of the machine under the arms' runtimes.
        believed: of that, what the luck of these sessions was taken from; see `believed_luck`.
    """
    pair_sd = pair_scale(sessions)
    learned = known is not None and known.flicker_weight >= FLICKER_WEIGHT
    return Wander(
        pair_sd=pair_sd,
        within_sd=standard_error(sessions, believed),
        between_sd=believed_flicker(known) * pair_sd,
        repeats=known.repeats if known and learned else 0,
    )


def unlike_floor(floor: float, pair_sd: float, luck: SessionLuck | None) -> float:
    """Half of a screen's 95 % interval for unlike files, relative, from that for equal ones."""
    return math.hypot(floor, _student(luck) * believed_flicker(luck) * pair_sd)


def over_sittings(interval: Interval, wander: Wander, luck: SessionLuck | None) -> Interval:
    """The interval that holds for other sittings, too; in logarithms."""
    more = _student(luck) * wander.between_sd
    return replace(
        interval,
        low=interval.value - math.hypot(interval.value - interval.low, more),
        high=interval.value + math.hypot(interval.high - interval.value, more),
    )


def _student(luck: SessionLuck | None) -> float:
    return student(min(FLICKER_WEIGHT + (luck.flicker_weight if luck else 0), FLICKER_WEIGHT_MOST))


def _terms(repeat: Repeat) -> tuple[float, float, float, int]:
    """Observed variance between sittings, the part of it that is ρ²'s, the part that is known, and its freedom."""
    n = len(repeat.shifts)
    mean = math.fsum(repeat.shifts) / n
    return (
        math.fsum((x - mean) ** 2 for x in repeat.shifts) / (n - 1),
        math.fsum(wander.pair_sd**2 for wander in repeat.wanders) / n,
        math.fsum(wander.within_sd**2 for wander in repeat.wanders) / n,
        n - 1,
    )


def _join(learned: float, weight: float) -> float:
    joined = (FLICKER_WEIGHT * FLICKER**2 + weight * learned) / (FLICKER_WEIGHT + weight)
    return max(joined, LEAST * FLICKER**2)

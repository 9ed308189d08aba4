"""From pairs to intervals, from intervals to verdicts, and tails that are only said when they can be.

Pairs x are logarithms of time ratios, ln(arm / reference); verdicts are about the ratios themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from qsearch.contracts.errors import DataError
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.measure.drop import paired_drop
from qsearch.measure.signed_rank import hodges_lehmann

__all__ = [
    "hodges_lehmann",
    "over_sessions",
    "paired_drop",
    "samples_needed",
    "session_effect_known",
    "tail_percentile",
    "verdict",
    "within_sessions",
]

#: What every interval that calls something must reach.
CONFIDENCE = 0.95
#: From here on the sessions themselves are the sample: six can reach 95 % exactly, five only 93.75 %.
SESSIONS_FOR_EXACT = 6
#: What sessions of one sitting are taken to differ by while they are too few to tell: standard deviation
#: of ln ratio, and how many sessions this belief weighs as much as.
#: NOTE: a prior, not a measurement of this machine. The same file against itself has been off by up to
#: 5 % between fresh processes on shared machines; 1.5 % for two arms is the luck of 1 % that each child
#: has. It belongs to the machine and is to be learned from its own A/A sittings; that comes with the
#: instrument's deepening. Until then every summary that rests on it carries `session_effect_assumed`.
SESSION_SD, SESSION_SD_WEIGHT = 0.015, 4
#: Student's t, two-sided 95 %, by degrees of freedom: weight of the prior + sessions − 1.
_T = {4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306}
#: n → t(n − 1) at 95 % over t(n − 1) at what the exact interval reaches: see `within_sessions`.
_STRETCH = {2: 12.706, 3: 2.683, 4: 1.506, 5: 1.084}


def over_sessions(pairs_by_session: Sequence[Sequence[float]]) -> Interval:
    """The interval of what all sessions have in common, in logarithms like the pairs.

    NOTE: pairs of one session share its luck (where memory lay, who was loaded first), so they are
    not independent draws of the truth; the same model has differed from itself by several percent
    between processes while each process looked certain. From six sessions on, each gives one
    estimate and the interval is exact over those. Below that the spread between sessions can hardly be
    estimated, and leaving it out would be pretending that it is zero. So it is assumed: a variance of
    `SESSION_SD`², worth `SESSION_SD_WEIGHT` sessions, drawn towards what the sessions here show (their
    spread still holds the noise of their pairs, which errs on the wide side); divided by the number of
    sessions that the pairs amount to, and joined to the interval within sessions in quadrature.

    Raises:
        DataError: no pairs at all, or one that is not finite.
    """
    kept = [pairs for pairs in pairs_by_session if len(pairs)]
    sessions = [hodges_lehmann(pairs).value for pairs in kept]
    if session_effect_known(len(sessions)):
        return hodges_lehmann(sessions, CONFIDENCE)
    inner = within_sessions(kept)
    luck = _session_half_width(sessions, [len(pairs) for pairs in kept])
    return Interval(
        value=inner.value,
        low=inner.value - math.hypot(inner.value - inner.low, luck),
        high=inner.value + math.hypot(inner.high - inner.value, luck),
        confidence=min(inner.confidence, CONFIDENCE),
    )


def within_sessions(pairs_by_session: Sequence[Sequence[float]]) -> Interval:
    """The same without the luck of sessions: what more pairs in these very processes would narrow.

    The only width that may decide when to stop; verdicts come from `over_sessions`.

    NOTE: each session is centred at its own estimate, and its residuals widened by √(n / (n − 1)) for
    having been centred there. Below six pairs the exact interval is the whole range of the means and
    reaches less than 95 % (four: 87.5 %). It is then stretched to what 95 % would need if the noise of
    pairs were normal, by the ratio of the two quantiles of Student's t. A single pair has no interval:
    its confidence is 0.

    Raises:
        DataError: no pairs at all, or one that is not finite.
    """
    every = [x for pairs in pairs_by_session for x in pairs]
    value = hodges_lehmann(every, CONFIDENCE).value
    residuals = [r for pairs in pairs_by_session for r in _residuals(pairs)] or [x - value for x in every]
    spread, stretch = hodges_lehmann(residuals, CONFIDENCE), _STRETCH.get(len(residuals), 1.0)
    return Interval(
        value=value,
        low=value - stretch * (spread.value - spread.low),
        high=value + stretch * (spread.high - spread.value),
        confidence=CONFIDENCE if len(residuals) in _STRETCH else spread.confidence,
    )


def session_effect_known(sessions: int) -> bool:
    """Whether so many sessions with pairs show the luck of a session, so that none need be assumed."""
    return sessions >= SESSIONS_FOR_EXACT


def verdict(ratio: Interval, threshold: float, *, polluted: bool = False) -> Verdict:
    """What an interval of a time ratio says; see `Verdict` for the rule.

    An interval that reaches less than 95 % calls nothing: UNRESOLVED.

    Args:
        ratio: time of the arm / time of the other, not its logarithm.
        threshold: θ, the relative difference that matters; 0.02 = 2 %.
        polluted: telemetry left too few pairs, whatever the interval is.
    """
    if polluted:
        return Verdict.POLLUTED
    if ratio.confidence < CONFIDENCE:
        return Verdict.UNRESOLVED
    if ratio.high < 1 - threshold:
        return Verdict.FASTER
    if ratio.low > 1 + threshold:
        return Verdict.SLOWER
    if ratio.low >= 1 - threshold and ratio.high <= 1 + threshold:
        return Verdict.EQUIVALENT
    return Verdict.UNRESOLVED


def tail_percentile(samples: Sequence[float], p: float, confidence: float = 0.99) -> float | None:
    """An upper bound of the p-quantile, or None when there are too few samples to give one.

    The rule of MLPerf's LoadGen for early stopping: report the t-th largest of n samples, t being the
    largest number with P(Binomial(n, 1 − p) ≤ t) ≤ 1 − confidence. Needs 11, 64, 130, 662 samples
    for p50, p90, p95, p99. Assumes independent samples.

    Args:
        samples: latencies, any unit, any order.
        p: 0.9 for p90; between 0 and 1.
        confidence: that the true quantile is not above the number reported.

    Raises:
        DataError: p or confidence outside (0, 1).
    """
    rank = _tail_rank(len(samples), p, confidence)
    return None if rank < 1 else float(sorted(samples)[-rank])


@cache
def samples_needed(p: float, confidence: float = 0.99) -> int:
    """The fewest samples from which `tail_percentile` answers."""
    n = 1
    while _tail_rank(n, p, confidence) < 1:
        n += 1
    return n


def _residuals(pairs: Sequence[float]) -> list[float]:
    if len(pairs) < 2:
        return []
    centre, widen = hodges_lehmann(pairs).value, math.sqrt(len(pairs) / (len(pairs) - 1))
    return [(x - centre) * widen for x in pairs]


def _session_half_width(sessions: Sequence[float], pairs: Sequence[int]) -> float:
    mean, weight = sum(sessions) / len(sessions), SESSION_SD_WEIGHT + len(sessions) - 1
    variance = (SESSION_SD_WEIGHT * SESSION_SD**2 + sum((x - mean) ** 2 for x in sessions)) / weight
    # Pooled pairs weigh a session by how many it has: 11 + 1 pairs are hardly two sessions.
    amount_to = sum(pairs) ** 2 / sum(n * n for n in pairs)
    return _T[weight] * math.sqrt(variance / amount_to)


def _tail_rank(n: int, p: float, confidence: float) -> int:
    if not 0 < p < 1 or not 0 < confidence < 1:
        raise DataError(f"a percentile and its confidence lie between 0 and 1, found {p} and {confidence}")
    above, rank, total = 1 - p, -1, 0.0
    for t in range(n + 1):
        log_mass = math.lgamma(n + 1) - math.lgamma(t + 1) - math.lgamma(n - t + 1)
        total += math.exp(log_mass + t * math.log(above) + (n - t) * math.log(p))
        if total > 1 - confidence:
            return rank
        rank = t
    return rank

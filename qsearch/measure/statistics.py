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
    "session_effect_modelled",
    "tail_percentile",
    "verdict",
]

#: From here on the sessions themselves are the sample: six can reach 95 % exactly, five only 93.75 %.
SESSIONS_FOR_EXACT = 6


def over_sessions(pairs_by_session: Sequence[Sequence[float]]) -> Interval:
    """The interval of what all sessions have in common, in the unit of the pairs.

    NOTE: pairs of one session share its luck (where memory lay, who was loaded first), so they are
    not independent draws of the truth; the same model has differed from itself by several percent
    between processes while each process looked certain. From six sessions on, each gives one
    estimate and the interval is exact over those. Below that the spread between sessions cannot be
    estimated, and pretending that the pairs are one sample would make it zero. So the answer covers
    both: the pooled interval and every session's own estimate. It is wide when sessions disagree,
    which is the point, and still not a promise: with s sessions of pure session noise the range of
    their estimates holds the truth with probability 1 − 2^(1−s) only. `session_effect_modelled` is
    False then, and summaries carry the flag `session_effect_unmodelled`.

    Raises:
        DataError: no pairs at all, or one that is not finite.
    """
    sessions = [hodges_lehmann(pairs) for pairs in pairs_by_session if len(pairs)]
    if session_effect_modelled(len(sessions)):
        return hodges_lehmann([session.value for session in sessions])
    pooled = hodges_lehmann([x for pairs in pairs_by_session for x in pairs])
    return Interval(
        value=pooled.value,
        low=min(pooled.low, *(session.value for session in sessions)),
        high=max(pooled.high, *(session.value for session in sessions)),
        confidence=pooled.confidence,
    )


def session_effect_modelled(sessions: int) -> bool:
    """Whether so many sessions with pairs give an interval that contains the luck of a session."""
    return sessions >= SESSIONS_FOR_EXACT


def verdict(ratio: Interval, threshold: float, *, polluted: bool = False) -> Verdict:
    """What an interval of a time ratio says; see `Verdict` for the rule.

    Args:
        ratio: time of the arm / time of the other, not its logarithm.
        threshold: θ, the relative difference that matters; 0.02 = 2 %.
        polluted: telemetry left too few pairs, whatever the interval is.
    """
    if polluted:
        return Verdict.POLLUTED
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

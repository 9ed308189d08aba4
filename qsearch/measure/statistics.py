"""From pairs to intervals, from intervals to verdicts, and tails that are only said when they can be.

Pairs x are logarithms of time ratios, ln(arm / reference); verdicts are about the ratios themselves.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import cache

from qsearch.contracts.errors import DataError
from qsearch.contracts.noise import SessionLuck
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.measure.drop import paired_drop
from qsearch.measure.luck import believed, between_sessions, student
from qsearch.measure.signed_rank import hodges_lehmann

__all__ = [
    "believed_luck",
    "detectable",
    "hodges_lehmann",
    "over_sessions",
    "pair_scale",
    "paired_drop",
    "residuals",
    "samples_needed",
    "session_effect_known",
    "standard_error",
    "tail_percentile",
    "verdict",
    "within_sessions",
]

#: What every interval that calls something must reach.
CONFIDENCE = 0.95
#: A difference is called when 1 is so many of the interval's half-widths beyond its bound: see `verdict`.
CALLING = 0.5
#: From here on the sessions themselves are the sample: six can reach 95 % exactly, five only 93.75 %.
SESSIONS_FOR_EXACT = 6
#: Median of what normal values deviate → their standard deviation.
_NORMAL_MAD = 1.4826
#: n → t(n − 1) at 95 % over t(n − 1) at what the exact interval reaches: see `within_sessions`.
_STRETCH = {2: 12.706, 3: 2.683, 4: 1.506, 5: 1.084}


def over_sessions(pairs_by_session: Sequence[Sequence[float]], luck: SessionLuck | None = None) -> Interval:
    """The interval of what all sessions have in common, in logarithms like the pairs.

    NOTE: pairs of one session share its luck (where memory lay, who was loaded first), so they are
    not independent draws of the truth; the same model has differed from itself by several percent
    between processes while each process looked certain. From six sessions on, each gives one
    estimate and the interval is exact over those. Below that the spread between sessions can hardly be
    estimated, and leaving it out would be pretending that it is zero. So it is believed: what the machine's
    own A/A sittings have shown, and an assumption where there are few (`qsearch.measure.luck`); drawn towards
    what the sessions here show (their spread still holds the noise of their pairs, which errs on the wide
    side); divided by the number of sessions that the pairs amount to, and joined to the interval within
    sessions in quadrature.

    Args:
        pairs_by_session: ln ratios; sessions without any are passed over.
        luck: as `believed_luck` gives it for these very pairs.

    Raises:
        DataError: no pairs at all, or one that is not finite.
    """
    kept = [pairs for pairs in pairs_by_session if len(pairs)]
    sessions = [hodges_lehmann(pairs).value for pairs in kept]
    if session_effect_known(len(sessions)):
        return hodges_lehmann(sessions, CONFIDENCE)
    inner = within_sessions(kept)
    outer = _session_half_width(sessions, [len(pairs) for pairs in kept], luck)
    return Interval(
        value=inner.value,
        low=inner.value - math.hypot(inner.value - inner.low, outer),
        high=inner.value + math.hypot(inner.high - inner.value, outer),
        confidence=min(inner.confidence, CONFIDENCE),
    )


def believed_luck(pairs_by_session: Sequence[Sequence[float]], luck: SessionLuck | None) -> SessionLuck | None:
    """What was learned of the machine, where these sessions need it and do not contradict it; else None.

    Raises:
        DataError: a pair that is not finite.
    """
    kept = [pairs for pairs in pairs_by_session if len(pairs)]
    if session_effect_known(len(kept)):
        return None
    spread = [r for pairs in kept for r in residuals(pairs)]
    noise = sum(r * r for r in spread) / max(1, len(spread))
    estimates = [hodges_lehmann(pairs).value for pairs in kept]
    return believed(luck, estimates, noise * sum(1 / len(pairs) for pairs in kept) / max(1, len(kept)))


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
    centred = [r for pairs in pairs_by_session for r in residuals(pairs)] or [x - value for x in every]
    spread, stretch = hodges_lehmann(centred, CONFIDENCE), _STRETCH.get(len(centred), 1.0)
    return Interval(
        value=value,
        low=value - stretch * (spread.value - spread.low),
        high=value + stretch * (spread.high - spread.value),
        confidence=CONFIDENCE if len(centred) in _STRETCH else spread.confidence,
    )


def pair_scale(pairs_by_session: Sequence[Sequence[float]]) -> float:
    """Standard deviation of the pairs of a session, by the median of what they deviate: a spike does not move it.

    Where no session has two pairs, they deviate from what all have in common; 0 for a single pair.
    """
    centred = [r for pairs in pairs_by_session for r in residuals(pairs)]
    if not centred:
        every = [x for pairs in pairs_by_session for x in pairs]
        centred = residuals(every)
    return _NORMAL_MAD * statistics.median(map(abs, centred)) if centred else 0.0


def standard_error(pairs_by_session: Sequence[Sequence[float]], luck: SessionLuck | None) -> float:
    """Of the estimate, as far as it is known and not assumed: from its pairs, and its sessions where they tell.

    Args:
        pairs_by_session: ln ratios.
        luck: as `believed_luck` gives it for these very pairs.
    """
    kept = [pairs for pairs in pairs_by_session if len(pairs)]
    sessions = [hodges_lehmann(pairs).value for pairs in kept]
    if session_effect_known(len(sessions)):
        return statistics.stdev(sessions) / math.sqrt(len(sessions))
    counts = [len(pairs) for pairs in kept]
    outer, _ = _session_error(sessions, counts, luck) if luck else (0.0, 0.0)
    return math.hypot(pair_scale(kept) / math.sqrt(sum(counts)), outer)


def session_effect_known(sessions: int) -> bool:
    """Whether so many sessions with pairs show the luck of a session, so that none need be assumed."""
    return sessions >= SESSIONS_FOR_EXACT


def verdict(ratio: Interval, threshold: float, *, polluted: bool = False) -> Verdict:
    """What an interval of a time ratio says; see `Verdict` for the rule.

    An interval that reaches less than 95 % calls nothing: UNRESOLVED.

    NOTE: equal models are to be called FASTER or SLOWER in 1 of 100 sittings at most, and an interval of 95 %
    leaves out the truth in 5. θ makes up for it while the half-width is below some 2 θ; on a machine whose
    sessions differ by more than about 4 % it did not (2 to 5 of 100 in simulation). So a difference is called
    when 1 also lies outside an interval half as wide again, which is what 99 % takes of Student's t with few
    degrees of freedom. Where θ decides, which is wherever screens are of use, nothing changes.

    Args:
        ratio: time of the arm / time of the other, not its logarithm.
        threshold: θ, the relative difference that matters; 0.02 = 2 %.
        polluted: telemetry left too few pairs, whatever the interval is.
    """
    if polluted:
        return Verdict.POLLUTED
    if ratio.confidence < CONFIDENCE:
        return Verdict.UNRESOLVED
    if ratio.high + max(threshold, CALLING * (ratio.high - ratio.value)) < 1:
        return Verdict.FASTER
    if ratio.low - max(threshold, CALLING * (ratio.value - ratio.low)) > 1:
        return Verdict.SLOWER
    if ratio.low >= 1 - threshold and ratio.high <= 1 + threshold:
        return Verdict.EQUIVALENT
    return Verdict.UNRESOLVED


def detectable(ratio: Interval, threshold: float) -> float:
    """The smallest relative difference that `verdict` would have called with an interval of this width.

    Args:
        ratio: as for `verdict`.
        threshold: as for `verdict`.
    """
    half = max(ratio.high - ratio.value, ratio.value - ratio.low) / ratio.value
    return half + max(threshold, CALLING * half)


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


def residuals(pairs: Sequence[float]) -> list[float]:
    """What the pairs of a session deviate from its estimate, widened for having been centred there; of one, none."""
    if len(pairs) < 2:
        return []
    centre, widen = hodges_lehmann(pairs).value, math.sqrt(len(pairs) / (len(pairs) - 1))
    return [(x - centre) * widen for x in pairs]


def _session_half_width(sessions: Sequence[float], pairs: Sequence[int], luck: SessionLuck | None) -> float:
    error, freedom = _session_error(sessions, pairs, luck)
    return student(freedom) * error


def _session_error(sessions: Sequence[float], pairs: Sequence[int], luck: SessionLuck | None) -> tuple[float, float]:
    """Standard error that sessions add, and its degrees of freedom."""
    mean, (belief, weight) = sum(sessions) / len(sessions), between_sessions(luck)
    freedom = weight + len(sessions) - 1
    variance = (weight * belief + sum((x - mean) ** 2 for x in sessions)) / freedom
    # Pooled pairs weigh a session by how many it has: 11 + 1 pairs are hardly two sessions.
    amount_to = sum(pairs) ** 2 / sum(n * n for n in pairs)
    return math.sqrt(variance / amount_to), freedom


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

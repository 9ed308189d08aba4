"""Whether a row keeps the job's limits, in words."""

from __future__ import annotations

from qsearch.contracts.choices import Choice
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import FrontRow
from qsearch.report.numbers import percent

#: explained once, below a table, and not in every row
POLLUTED, TRUNCATED = "polluted", "truncated"
#: an excess from here on is no measure of anything: a number that is not finite
_HOPELESS = 1e6


def limits_remark(row: FrontRow) -> str:
    """Empty when it does; a polluted sitting has no latency to judge, which is another thing than a bad one."""
    if row.result.accuracy.truncated:
        return TRUNCATED
    # fp32 against itself is 1 whatever the noise
    if row.result.latency.verdict is Verdict.POLLUTED and row.uniform != Choice.FP32.value:
        return POLLUTED
    return "" if row.feasible else f"infeasible, {_over(row.excess)}"


def _over(excess: float) -> str:
    """`12.0 % over the limit`, `37 times the limit`."""
    if excess >= _HOPELESS:
        return "without a usable number"
    if excess < 1:
        return f"{percent(excess)} over the limit"
    times = 1 + excess
    return f"{times:.{0 if times >= 9.95 else 1}f} times the limit"

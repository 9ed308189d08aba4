"""Whether a row keeps the job's limits, in words."""

from __future__ import annotations

from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import FrontRow
from qsearch.report.numbers import percent


def limits_remark(row: FrontRow) -> str:
    """Empty when it does; a polluted sitting has no latency to judge, which is another thing than a bad one."""
    if row.result.accuracy.truncated:
        return "truncated: a part of the samples shows it over the drop limit"
    if row.result.latency.verdict is Verdict.POLLUTED:
        return "polluted: too few undisturbed pairs to place it"
    return "" if row.feasible else f"infeasible, {percent(row.excess)} over"

"""Why the pick is the pick: one plain sentence with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from qsearch.contracts.job import Constraints
from qsearch.contracts.trial import Result
from qsearch.search.judging import Ruling, latency_of
from qsearch.search.rules import FASTEST
from qsearch.search.space import is_fp32


@dataclass(frozen=True, slots=True)
class Told:
    """What the sentence is made of."""

    job: str
    constraints: Constraints
    rule: str
    ruling: Ruling


def of(told: Told) -> str:
    """The reason of a ruling."""
    ruling = told.ruling
    if ruling.exceeds > 0:
        return _closest(told)
    if is_fp32(ruling.taken.trial.candidate):
        return _do_not_quantize(told)
    return _taken(told)


def limits(constraints: Constraints) -> str:
    """ "drop ≤ 1% and size ≤ 60.0 MiB"; "no limit" when nothing is asked."""
    asked = []
    if constraints.drop is not None:
        asked.append(f"drop ≤ {constraints.drop}")
    if constraints.size_bytes is not None:
        asked.append(f"size ≤ {constraints.size_bytes / 2**20:.1f} MiB")
    if constraints.memory_bytes is not None:
        asked.append(f"memory ≤ {constraints.memory_bytes / 2**20:.1f} MiB")
    if constraints.latency_ms is not None:
        asked.append(f"latency ≤ {constraints.latency_ms:g} ms")
    return " and ".join(asked) or "no limit"


def _taken(told: Told) -> str:
    ruling = told.ruling
    place = "the fastest" if told.rule == FASTEST else "the knee"
    among = f"of {_count(len(ruling.feasible), 'quantized candidate')}"
    kept = f" keeping {limits(told.constraints)}" if told.constraints != Constraints() else ""
    passed = f"; before it, {_passed_over(ruling)}" if ruling.refused else ""
    if ruling.taken.heldout is None and ruling.refused:
        place = "the next"
    seen = f"{_speed(ruling.taken)}, {_drop(ruling.taken)}"
    return f"{_name(told, ruling.taken)} is {place} {among}{kept}: {seen}{passed}."


def _do_not_quantize(told: Told) -> str:
    ruling = told.ruling
    kept = f" that keeps {limits(told.constraints)}" if told.constraints != Constraints() else ""
    if ruling.refused:
        return f"Do not quantize: {_passed_over(ruling)}, and nothing else that keeps the limits is faster than fp32."
    if not ruling.feasible:
        return f"Do not quantize: no quantized candidate keeps {limits(told.constraints)}."
    nearest = min(ruling.feasible, key=lambda r: latency_of(r).ratio.value)
    verdict = latency_of(nearest).verdict
    many = _count(len(ruling.feasible), "quantized candidate")
    return (
        f"Do not quantize: nothing{kept} is faster than fp32 by more than a tie; "
        f"the fastest of {many}, {_name(told, nearest)}, is at {_speed(nearest)}, {verdict}."
    )


def _closest(told: Told) -> str:
    ruling = told.ruling
    passed = f"; {_passed_over(ruling)}" if ruling.refused else ""
    return (
        f"Nothing keeps {limits(told.constraints)}{passed}; {_name(told, ruling.taken)} is the closest and exceeds its "
        f"worst limit by {ruling.exceeds * 100:.3g} % of it: {_speed(ruling.taken)}, {_drop(ruling.taken)}, "
        f"{ruling.taken.size_bytes / 2**20:.1f} MiB."
    )


def _passed_over(ruling: Ruling) -> str:
    return f"{_count(len(ruling.refused), 'finalist')} broke the limits on the held-out split"


def _name(told: Told, result: Result) -> str:
    return f"{told.job}/{result.trial.number}"


def _speed(result: Result) -> str:
    seen = latency_of(result).ratio.inverse()
    return f"{seen.value:.2f}× fp32 ({seen.low:.2f}–{seen.high:.2f})"


def _drop(result: Result) -> str:
    if result.heldout is None:
        seen = result.accuracy
        return f"drop {seen.drop.value * 100:.2f} % on the search split (n={seen.n}), not judged on the held-out split"
    return f"held-out drop {result.heldout.drop.value * 100:.2f} % (n={result.heldout.n})"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

"""Why the pick is the pick: one plain sentence with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from qsearch.contracts.job import Constraints
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import COUNTS_AS_EQUAL, Verdict, rests_on_absolute
from qsearch.search.judging import Ruling
from qsearch.search.objectives import was_seated
from qsearch.search.rules import FASTEST
from qsearch.search.space import is_fp32


@dataclass(frozen=True, slots=True)
class Told:
    """What the sentence is made of."""

    job: str
    constraints: Constraints
    rule: str
    ruling: Ruling
    #: usable quantized results, whatever they keep
    judged: int
    #: finished, and without a number to judge by: polluted, or not finite
    unusable: tuple[Result, ...] = ()


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
    among = _count(len(ruling.feasible), "quantized candidate")
    if was_seated(ruling.taken):
        among = f"{_count(sum(map(was_seated, ruling.feasible)), 'finalist')} from {among}"
    kept = f" keeping {limits(told.constraints)}" if told.constraints != Constraints() else ""
    passed = f"; before it, {_passed_over(ruling)}" if ruling.refused else ""
    if ruling.refused:
        place = "the next"
    final = ruling.taken.final_latency
    screened = ", as screened, its final being polluted" if final and ruling.taken.judged_latency is not final else ""
    seen = f"{_speed(ruling.taken)}{screened}, {_drop(ruling.taken)}"
    return f"{_name(told, ruling.taken)} is {place} of {among}{kept}: {seen}{passed}{_besides(told)}."


def _do_not_quantize(told: Told) -> str:
    ruling = told.ruling
    if not told.judged:
        found = f"{_unusable(told)}, so nothing could be judged" if told.unusable else "no quantized trial has finished"
        return f"fp32 for want of anything to compare: {found}."
    if ruling.refused:
        nothing = "nothing else that surely keeps the limits is faster than fp32"
        return f"Do not quantize: {_passed_over(ruling)}, and {nothing}{_besides(told)}."
    if not ruling.feasible:
        none = f"none of {_count(told.judged, 'quantized candidate')}" if told.unusable else "no quantized candidate"
        return f"Do not quantize: {none} keeps {limits(told.constraints)}{_besides(told)}."
    return _nothing_faster(told)


def _nothing_faster(told: Told) -> str:
    # Beside finalists nobody else was a candidate, however fast its screening looked.
    rivals, noun = [r for r in told.ruling.feasible if was_seated(r)], "finalist"
    if not rivals:
        rivals, noun = list(told.ruling.feasible), "quantized candidate"
    kept = f" that keeps {limits(told.constraints)}" if told.constraints != Constraints() else ""
    nothing = f"no finalist{kept}" if noun == "finalist" else f"nothing{kept}"
    nearest = min(rivals, key=lambda r: r.judged_latency.ratio.value)
    return (
        f"Do not quantize: {nothing} is faster than fp32 by more than a tie; "
        f"the fastest of {_count(len(rivals), noun)}, {_name(told, nearest)}, is at {_speed(nearest)}, "
        f"{nearest.judged_latency.verdict}{_equal(nearest)}{_besides(told)}."
    )


def _closest(told: Told) -> str:
    ruling = told.ruling
    passed = f"; {_passed_over(ruling)}" if ruling.refused else ""
    return (
        f"Nothing keeps {limits(told.constraints)}{passed}; {_name(told, ruling.taken)} is the closest and exceeds its "
        f"worst limit by {ruling.exceeds * 100:.3g} % of it: {_speed(ruling.taken)}, {_drop(ruling.taken)}, "
        f"{ruling.taken.size_bytes / 2**20:.1f} MiB{_besides(told)}."
    )


def _besides(told: Told) -> str:
    return f"; besides, {_unusable(told)} and could not be judged" if told.unusable else ""


def _unusable(told: Told) -> str:
    """ "3 quantized trials were polluted and 1 has numbers that are not finite"; of at least one."""
    polluted = sum(result.latency.verdict is Verdict.POLLUTED for result in told.unusable)
    broken = len(told.unusable) - polluted
    words = []
    if polluted:
        words.append(f"{_count(polluted, 'quantized trial')} {'was' if polluted == 1 else 'were'} polluted")
    if broken:
        words.append(
            f"{_count(broken, 'quantized trial')} {'has' if broken == 1 else 'have'} numbers that are not finite"
        )
    return " and ".join(words)


def _passed_over(ruling: Ruling) -> str:
    return f"{_count(len(ruling.refused), 'finalist')} broke the limits on the held-out split"


def _name(told: Told, result: Result) -> str:
    return f"{told.job}/{result.trial.number}"


def _speed(result: Result) -> str:
    seen = result.judged_latency.ratio.inverse()
    return f"{seen.value:.2f}× fp32 ({seen.low:.2f}–{seen.high:.2f})"


def _equal(result: Result) -> str:
    seen = result.judged_latency
    return f" ({COUNTS_AS_EQUAL})" if rests_on_absolute(seen.verdict, seen.reference_ms) else ""


def _drop(result: Result) -> str:
    if result.heldout is None:
        seen = result.accuracy
        return f"drop {seen.drop.value * 100:.2f} % on the search split (n={seen.n}), not judged on the held-out split"
    return f"held-out drop {result.heldout.drop.value * 100:.2f} % (n={result.heldout.n})"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

"""The front of a job on one target, drawn so that noise cannot win a place on it.

NOTE: the exact rule. With latency among the objectives, the other objective (drop, size, memory) is
taken as it is and the latency as an interval.

1. Walk the trials by rising drop (equal drops: the faster first). The *member at a drop* is the
   fastest front member met so far.
2. The next trial is on the front (rank 0) when its interval is clear below that of the member at its
   drop: each interval widened by θ = 2 %, and with more than 20 µs of fp32's time between them. When the
   member was measured more than twice as coarsely as the trial, its point estimate stands for its
   interval: a wide interval must not hold the front.
3. Otherwise, when neither is clear of the other, it is tied with that member (rank 1): as much drop
   or more, and no speed that could be told apart. Ties are with members only, never with each other,
   because "cannot be told apart" does not chain.
4. Otherwise that member is clearly faster at no more drop: dominated (rank 2).

Example, drop and time ratio: fp32 0 % 1.00 ± .01; A 0.2 % 0.66 ± .01; B 0.4 % 0.64 ± .01; C 0.6 % 0.90 ± .01;
D 0.9 % 0.50 ± .01. On the front are fp32, A and D. B has more drop than A and its 0.63 … 0.65 is not clear
of 0.65 … 0.67, so it is tied with A. C is clearly slower than A, so it is dominated.

A feasible trial is compared with feasible members only: what breaks a constraint takes nobody's
place. An infeasible one is compared with all of them.

Screened and final numbers never meet. A final number comes from fresh sittings and unseen samples, a
screened one was partly chosen for its luck; a finalist's honest number beside an untested rival's
lucky one would favour the rival. So two finalists are compared by their final numbers (final ratio,
held-out drop), and any other pair by the screened numbers of both. In order: finalists that the others
hold back step aside; the rest are ranked among themselves and the survivors are members; the others
are walked with them; who stepped aside is placed last, against all members. A finalist whose final
latency was polluted has no final numbers, and is one of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qsearch.contracts.errors import NotFound
from qsearch.contracts.front import FrontEntry
from qsearch.contracts.job import Constraints
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Interval
from qsearch.search.feasible import HOPELESS, excess, pooled_reference_ms
from qsearch.search.margin import Margin
from qsearch.search.objectives import checked, is_usable, must_be_comparable, values, was_seated

#: a member this many times wider than its challenger is judged by its point estimate
_COARSE = 2.0


def front(
    history: Sequence[Result], constraints: Constraints, objectives: Sequence[str], *, confident: bool = False
) -> tuple[FrontEntry, ...]:
    """Every trial with its place, by rank, then speed, then number. See the rule above.

    Args:
        history: finished trials of one target; the order does not matter.
        constraints: of the job; feasible means kept by the point estimates of the search split.
        objectives: two of latency, drop, size, memory; without latency all numbers are exact.
        confident: feasible means kept by the upper bounds of drop and latency instead.

    Raises:
        Incomparable: the trials were taken on unlike machines or runtimes.
        Unsupported: an unknown objective.
    """
    names = checked(objectives)
    must_be_comparable(history)
    over = excesses(history, constraints, confident=confident)
    usable = {result.trial.number: result for result in history if is_usable(result)}
    # one that was stopped early is dominated wherever it stands: its drop is known to be too large, and no more
    whole = {number: result for number, result in usable.items() if not result.accuracy.truncated}
    margin = Margin.of(_reference_ms(list(usable.values()))) if "latency" in names else None
    places = _places([_Runner.of(result, names, margin, feasible=over[n] == 0) for n, result in whole.items()])
    entries = []
    for number, exceeded in over.items():
        place = places.get(number, _DOMINATED)
        entries.append(
            FrontEntry(
                number=number,
                rank=place.rank,
                tied_with=place.tied_with,
                feasible=exceeded == 0,
                excess=exceeded,
            )
        )
    speed = {number: result.judged_latency.ratio.value for number, result in usable.items()}
    return tuple(sorted(entries, key=lambda entry: (entry.rank, speed.get(entry.number, HOPELESS), entry.number)))


def excesses(history: Sequence[Result], constraints: Constraints, *, confident: bool = False) -> dict[int, float]:
    """Trial number → excess on the search split; an unusable trial (polluted, not finite) is hopeless."""
    usable = [result for result in history if is_usable(result)]
    reference_ms = _reference_ms(usable)
    found = {r.trial.number: excess(r, constraints, reference_ms, confident=confident) for r in usable}
    return {result.trial.number: found.get(result.trial.number, HOPELESS) for result in history}


def hypervolume(points: Iterable[tuple[float, float]], reference: tuple[float, float]) -> float:
    """The area that the points dominate below `reference`, both objectives minimised; exact.

    Args:
        points: any order; those that are not better than the reference in both objectives add nothing.
        reference: worse than every point of interest.
    """
    area, ceiling = 0.0, reference[1]
    for first, second in sorted(points):
        if first < reference[0] and second < ceiling:
            area += (reference[0] - first) * (ceiling - second)
            ceiling = second
    return area


def _reference_ms(usable: Sequence[Result]) -> float | None:
    try:
        return pooled_reference_ms(usable)
    except NotFound:
        return None


@dataclass(frozen=True, slots=True)
class _Place:
    rank: int
    tied_with: int | None = None


_FRONT, _DOMINATED = _Place(0), _Place(2)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a trial is seen: an exact axis, and one that may be an interval."""

    exact: float
    timed: Interval


@dataclass(frozen=True, slots=True)
class _Runner:
    """A trial with its spot in screened numbers and, for a finalist, in final ones."""

    number: int
    feasible: bool
    screened: _Spot
    final: _Spot | None
    #: how far two must lie apart to be told apart; None where all is exact
    margin: Margin | None

    @classmethod
    def of(cls, result: Result, names: tuple[str, str], margin: Margin | None, *, feasible: bool) -> _Runner:
        # Latency is the axis that may have an interval; any other pair is exact in both.
        first, second = names if names[0] != "latency" else (names[1], names[0])
        return cls(
            number=result.trial.number,
            feasible=feasible,
            screened=_Spot(_seen(result, first).value, _seen(result, second)),
            final=_Spot(_final(result, first).value, _final(result, second)) if _has_final(result) else None,
            margin=margin,
        )


def _has_final(result: Result) -> bool:
    return was_seated(result) and result.judged_latency is result.final_latency


def _seen(result: Result, name: str) -> Interval:
    if name == "latency":
        return result.latency.ratio
    value = values(result, (name,))[0]
    return Interval(value=value, low=value, high=value)


def _final(result: Result, name: str) -> Interval:
    if name == "latency":
        return result.judged_latency.ratio
    if name == "drop" and result.heldout is not None:
        return Interval(value=result.heldout.drop.value, low=result.heldout.drop.value, high=result.heldout.drop.value)
    return _seen(result, name)


def _places(runners: Sequence[_Runner]) -> dict[int, _Place]:
    finalists = sorted((r for r in runners if r.final), key=lambda r: _order(r.final or r.screened, r.number))
    others = sorted((r for r in runners if not r.final), key=lambda r: _order(r.screened, r.number))
    _, untested = _walk(others, [])
    aside = [runner for runner in finalists if _place(runner, untested) is not _FRONT]
    places, survivors = _walk([runner for runner in finalists if runner not in aside], [])
    walked, members = _walk(others, survivors)
    late = {runner.number: _place(runner, members) for runner in aside}
    return {**places, **walked, **late}


def _order(spot: _Spot, number: int) -> tuple[float, float, int]:
    return spot.exact, spot.timed.value, number


def _walk(runners: Sequence[_Runner], members: Sequence[_Runner]) -> tuple[dict[int, _Place], list[_Runner]]:
    places: dict[int, _Place] = {}
    grown = list(members)
    for runner in runners:
        places[runner.number] = _place(runner, grown)
        if places[runner.number] is _FRONT:
            grown.append(runner)
    return places, grown


def _place(runner: _Runner, members: Sequence[_Runner]) -> _Place:
    held: tuple[_Spot, _Spot, int] | None = None
    for member in members:
        mine, theirs = _pair(runner, member)
        judged = member.feasible or not runner.feasible
        before = _order(theirs, member.number) < _order(mine, runner.number)
        if judged and before and (held is None or theirs.timed.value < held[1].timed.value):
            held = mine, theirs, member.number
    if held is None or _clear(held[0].timed, held[1].timed, runner.margin):
        return _FRONT
    mine, theirs, number = held
    tied = runner.margin.tied(mine.timed, theirs.timed) if runner.margin else mine == theirs
    return _Place(1, number) if tied else _DOMINATED


def _pair(one: _Runner, other: _Runner) -> tuple[_Spot, _Spot]:
    if one.final is not None and other.final is not None:
        return one.final, other.final
    return one.screened, other.screened


def _clear(challenger: Interval, member: Interval, margin: Margin | None) -> bool:
    if margin is None:
        return challenger.high < member.low
    coarse = member.high - member.low > _COARSE * (challenger.high - challenger.low)
    return margin.clear(challenger.high, member.value if coarse else member.low)

"""Who is taken: chosen on the search split, judged again on the held-out split.

NOTE: the order of judgement. Feasible means kept by the point estimates of the search split (upper
bounds when `confident`). Among the feasible that are FASTER than fp32, the rule's order decides. Once
finals ran, only finalists and fp32 are candidates, by their final latency (a polluted one says nothing:
then the trial's own stands), and each is judged again: one whose held-out point estimate breaks a limit
is passed over, whether or not its interval would still allow it, and `tried` counts how many were
looked at. A finalist whose win the finals took back or left unclear is no candidate any more, but does
not make room for one that was never tested. Two exceptions, both marked by Proof.NONE: an untested
candidate whose screening was clearly faster than that of every feasible finalist, and so does not owe
its place to theirs (the limits asked now are others than those the finals were chosen for; when no
finalist keeps them at all, the finals say nothing and it is judged as before them); and, after finalists
were passed over, an untested one that keeps the limits even by its upper bounds. When nobody is left the
answer is fp32, which is always in reach unless its size, memory or time breaks a limit; then it is the
closest, marked infeasible.

Proof speaks of the held-out drop and its limit only: PROVED when the upper bound keeps the limit,
REFUTED when the lower bound breaks it, NOT REFUTED between. So a taken candidate is never REFUTED, and
one that was passed over may have been NOT REFUTED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsearch.contracts.front import Proof
from qsearch.contracts.job import Constraints, DropLimit
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.search.feasible import excess
from qsearch.search.margin import Margin
from qsearch.search.objectives import was_seated
from qsearch.search.rules import FASTEST, by_rule
from qsearch.search.space import is_fp32


@dataclass(frozen=True, slots=True)
class Ruling:
    """The result that is taken, and what became of the others."""

    taken: Result
    #: quantized results that keep the constraints on the search split
    feasible: tuple[Result, ...]
    #: finalists that were passed over on the held-out split, in the order they were looked at
    refused: tuple[Result, ...] = ()
    #: relative exceedance of what is taken; 0 = feasible
    exceeds: float = 0.0

    @property
    def tried(self) -> int:
        """Finalists whose held-out score was looked at, the taken one included."""
        return len(self.refused) + (self.taken.heldout is not None and self.taken not in self.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """What everything is judged by."""

    constraints: Constraints
    #: fp32's pooled median latency
    reference_ms: float
    #: fastest-feasible or knee
    rule: str
    #: judge drop and latency by their upper bounds
    confident: bool
    #: axes of the knee
    objectives: tuple[str, ...]

    def judge(self, results: Sequence[Result]) -> Ruling:
        """The ruling on usable results of one target; at least one."""
        fp32 = next((r for r in results if is_fp32(r.trial.candidate) and self.keeps(r)), None)
        feasible = tuple(r for r in results if not is_fp32(r.trial.candidate) and self.keeps(r))
        ordered = by_rule(self.rule, self._able(feasible, fp32), results, self.constraints, self.objectives)
        tested = [r for r in ordered if was_seated(r)]
        untested = [r for r in ordered if not was_seated(r)]
        taken = self._ahead(untested, [r for r in feasible if was_seated(r)])
        refused: list[Result] = []
        while taken is None and len(refused) < len(tested):
            looked_at = tested[len(refused)]
            if self.keeps_heldout(looked_at):
                taken = looked_at
            else:
                refused.append(looked_at)
        if taken is None and refused:
            taken = next((r for r in untested if self.keeps(r, confident=True)), None)
        taken = taken or fp32
        exceeded = 0.0
        if taken is None:
            taken = min(
                results,
                # of one that was stopped early nobody knows how close it is
                key=lambda r: (r.accuracy.truncated, self.exceeds(r), r.judged_latency.ratio.value, r.trial.number),
            )
            exceeded = self.exceeds(taken)
        return Ruling(taken, feasible=feasible, refused=tuple(refused), exceeds=exceeded)

    def keeps(self, result: Result, *, confident: bool = False) -> bool:
        """On the search split."""
        strict = self.confident or confident
        return excess(result, self.constraints, self.reference_ms, confident=strict) == 0

    def keeps_heldout(self, result: Result) -> bool:
        """On the held-out split, of a finalist."""
        return excess(result, self.constraints, self.reference_ms, heldout=True, confident=self.confident) == 0

    def exceeds(self, result: Result) -> float:
        """By how much, on whichever split is worse."""
        searched = excess(result, self.constraints, self.reference_ms, confident=self.confident)
        if result.heldout is None:
            return searched
        again = excess(result, self.constraints, self.reference_ms, heldout=True, confident=self.confident)
        return max(searched, again)

    def _able(self, feasible: Sequence[Result], fp32: Result | None) -> list[Result]:
        # Without fp32 to fall back on, or where speed is not what is asked, nobody needs to beat it.
        if fp32 is None or (self.rule != FASTEST and "latency" not in self.objectives):
            return list(feasible)
        return [r for r in feasible if r.judged_latency.verdict is Verdict.FASTER]

    def _ahead(self, untested: Sequence[Result], seated: Sequence[Result]) -> Result | None:
        if seated and self.rule != FASTEST:
            return None
        margin = Margin.of(self.reference_ms)
        return next((r for r in untested if all(_clearly_faster(r, other, margin) for other in seated)), None)


def proof_of(heldout: Accuracy | None, limit: DropLimit | None) -> Proof:
    """What the held-out drop's interval says of the limit: see the note above."""
    if heldout is None or limit is None:
        return Proof.NONE
    seen = heldout.drop if limit.relative else heldout.drop_points
    if seen.high <= limit.amount:
        return Proof.PROVED
    return Proof.REFUTED if seen.low > limit.amount else Proof.NOT_REFUTED


def _clearly_faster(one: Result, other: Result, margin: Margin) -> bool:
    # Both by their screening: a finalist's final time beside an untested one's lucky time favours the latter.
    mine, theirs = one.latency.ratio, other.latency.ratio
    return margin.clear(mine.high, theirs.low)

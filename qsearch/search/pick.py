"""The one answer of a job, with its numbers and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsearch.contracts.errors import NotFound
from qsearch.contracts.front import Best, DropSeen, Speedup, Versus
from qsearch.contracts.job import Constraints
from qsearch.contracts.measurement import Accuracy, Latency, Throughput
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.work import FinalResult
from qsearch.search import reasons
from qsearch.search.feasible import pooled_reference_ms
from qsearch.search.judging import Court, Ruling, proof_of
from qsearch.search.objectives import is_usable, must_be_comparable
from qsearch.search.rules import FASTEST, by_rule, rule_of
from qsearch.search.space import Space, is_fp32

_TURNED = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}


def pick(  # noqa: PLR0913 - what is asked and what is known of one job; a record would only hide it
    job: str,
    target: str,
    history: Sequence[Result],
    constraints: Constraints,
    space: Space,
    final: FinalResult | None,
    *,
    rule: str = "",
    confident: bool = False,
    objectives: Sequence[str] = ("latency", "drop"),
) -> Best:
    """The answer, with its reason. For the order of judgement see `qsearch.search.judging`.

    Args:
        job: what trials are called by: "JOB/42".
        target: results of other targets are ignored.
        history: finished trials; equal histories give equal answers.
        constraints: asked now; they may differ from the job's.
        space: knows the uniform candidates.
        final: the finals; None before they ran.
        rule: fastest-feasible or knee; empty = fastest-feasible with any constraint, else knee.
        confident: judge drop and latency by their upper bounds.
        objectives: axes of the knee.

    Raises:
        NotFound: no trial of the target has finished.
        Incomparable: the trials were taken on unlike machines or runtimes.
        UsageError: an unknown rule.
    """
    known = [r for r in _with_finals(history, final) if r.trial.target == target]
    results = [r for r in known if is_usable(r)]
    if not results:
        raise NotFound(f"{job} has no finished trial on {target} yet", f"See `qsearch status {job}`.")
    must_be_comparable(results)
    court = Court(
        constraints=constraints,
        reference_ms=pooled_reference_ms(results),
        rule=rule_of(rule, constraints),
        confident=confident,
        objectives=tuple(objectives),
    )
    ruling = court.judge(results)
    told = reasons.Told(
        job=job,
        constraints=constraints,
        rule=court.rule,
        ruling=ruling,
        judged=sum(not is_fp32(r.trial.candidate) for r in results),
        unusable=tuple(r for r in known if not is_usable(r) and not is_fp32(r.trial.candidate)),
    )
    best = _best(job, target, court, ruling, reasons.of(told), _versus(ruling, results, space, court, final))
    return replace(best, uniform=space.uniform_name(ruling.taken.trial.candidate), finals=final is not None)


def _with_finals(history: Sequence[Result], final: FinalResult | None) -> list[Result]:
    seated = {finalist.number: finalist for finalist in final.finalists} if final else {}
    return [
        replace(r, final_latency=seated[r.trial.number].latency, heldout=seated[r.trial.number].heldout)
        if r.trial.number in seated
        else r
        for r in history
    ]


def _best(job: str, target: str, court: Court, ruling: Ruling, reason: str, versus: Versus | None) -> Best:
    taken, latency = ruling.taken, ruling.taken.judged_latency
    faster = latency.ratio.inverse()
    return Best(
        job=job,
        target=target,
        trial=f"{job}/{taken.trial.number}",
        rule=court.rule,
        reason=reason,
        feasible=ruling.exceeds == 0,
        speedup=Speedup(
            value=faster.value, low=faster.low, high=faster.high, sessions=latency.sessions, verdict=latency.verdict
        ),
        latency_p50_ms=latency.ratio.value * court.reference_ms,
        drop=_drop(taken.heldout) if taken.heldout else None,
        drop_search=_drop(taken.accuracy),
        proof=proof_of(taken.heldout, court.constraints.drop),
        tried=ruling.tried,
        size_bytes=taken.size_bytes,
        peak_memory_bytes=taken.peak_memory_bytes,
        versus_uniform=versus,
        throughput=_throughput(latency, court.reference_ms),
        choices=dict(taken.trial.candidate.choices),
    )


def _throughput(latency: Latency, reference_ms: float) -> Throughput | None:
    """On the job's own scale, like a latency in milliseconds; what fp32's pooled time is uncertain by is not in it."""
    seen = latency.throughput
    if seen is None or not reference_ms > 0:
        return None
    fp32, gain = seen.batch * 1000 / reference_ms, latency.ratio.inverse()
    return Throughput(
        batch=seen.batch,
        arm=Interval(value=fp32 * gain.value, low=fp32 * gain.low, high=fp32 * gain.high, confidence=gain.confidence),
        reference=replace(
            seen.reference, value=fp32, low=min(fp32, seen.reference.low), high=max(fp32, seen.reference.high)
        ),
    )


def _drop(accuracy: Accuracy) -> DropSeen:
    seen = accuracy.drop
    return DropSeen(value=seen.value, low=seen.low, high=seen.high, n=accuracy.n)


def _versus(
    ruling: Ruling, results: Sequence[Result], space: Space, court: Court, final: FinalResult | None
) -> Versus | None:
    if final is None:
        return None
    seated = {finalist.number: finalist for finalist in final.finalists}
    uniform = [
        r
        for r in results
        if r.trial.number in seated
        and not is_fp32(r.trial.candidate)
        and space.uniform_name(r.trial.candidate)
        and court.exceeds(r) == 0
    ]
    if not uniform:
        return None
    other = by_rule(FASTEST, uniform, results, court.constraints, court.objectives)[0]
    mine, theirs = ruling.taken.trial.number, other.trial.number
    if mine == theirs:
        return None
    if mine in seated and theirs in seated[mine].versus:
        seen = seated[mine].versus[theirs]
        ratio, verdict = seen.ratio, seen.verdict
    elif is_fp32(ruling.taken.trial.candidate):
        # fp32 is the reference arm of the same sitting: turn the other's ratio over.
        seen = seated[theirs].latency
        ratio, verdict = seen.ratio.inverse(), _TURNED.get(seen.verdict, seen.verdict)
    else:
        return None
    return Versus(number=theirs, origin=space.uniform_name(other.trial.candidate), ratio=ratio, verdict=verdict)

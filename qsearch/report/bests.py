"""The one answer of a job for one target, with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qsearch.contracts.choices import Choice
from qsearch.contracts.codec import to_data
from qsearch.contracts.front import Best, DropSeen, Proof, Versus
from qsearch.contracts.job import JobState
from qsearch.contracts.verdict import COUNTS_AS_EQUAL, Verdict, rests_on_absolute
from qsearch.report.answer import Answer, Row, Table, facts
from qsearch.report.numbers import count, drop, milliseconds, rate, samples_per_s, size, speedup
from qsearch.report.speedups import speedup_cells, speedup_text

#: columns of the pick's gain over the best uniform candidate
_GAIN = "uniform_gain"
_GAIN_CELLS = (_GAIN, f"{_GAIN}_low", f"{_GAIN}_high")
_AGAINST = {
    Verdict.FASTER: "faster than",
    Verdict.SLOWER: "slower than",
    Verdict.EQUIVALENT: "as fast as",
    Verdict.UNRESOLVED: "not told apart from",
    Verdict.POLLUTED: "not comparable, for noise, with",
}
_PROOFS = {
    Proof.PROVED: "PROVED: the whole interval keeps the limit",
    Proof.NOT_REFUTED: "NOT REFUTED: the interval reaches over the limit, the estimate does not",
    Proof.REFUTED: "REFUTED: the held-out samples contradict the limit",
    Proof.NONE: "",
}


def best_document(best: Best) -> dict[str, object]:
    """The keys that `best --json` promises; `drop` is null before the finals.

    Where throughput is measured, `throughput` comes with them.
    """
    measured = {} if best.throughput is None else {"throughput": to_data(best.throughput)}
    return {
        "trial": best.trial,
        "target": best.target,
        "rule": best.rule,
        "reason": best.reason,
        "speedup": {
            "value": best.speedup.value,
            "low": best.speedup.low,
            "high": best.speedup.high,
            "sessions": best.speedup.sessions,
            "verdict": best.speedup.verdict.value,
        },
        "latency_p50_ms": best.latency_p50_ms,
        "drop": _seen(best.drop) if best.drop else None,
        "size_bytes": best.size_bytes,
        "choices": {layer: choice.value for layer, choice in best.choices.items()},
        **measured,
    }


def best_row(best: Best) -> Row:
    """Everything but the choices of the layers, flat."""
    return {
        "job": best.job,
        "target": best.target,
        "trial": best.trial,
        "rule": best.rule,
        "reason": best.reason,
        "feasible": best.feasible,
        "speedup": best.speedup.value,
        "speedup_low": best.speedup.low,
        "speedup_high": best.speedup.high,
        "sessions": best.speedup.sessions,
        "verdict": best.speedup.verdict.value,
        "latency_p50_ms": best.latency_p50_ms,
        **drop_cells("drop", best.drop),
        **drop_cells("drop_search", best.drop_search),
        "proof": best.proof.value,
        "finalists_tried": best.tried,
        "size_bytes": best.size_bytes,
        "peak_memory_bytes": best.peak_memory_bytes,
        **_versus_cells(best.versus_uniform),
        "choices": choice_counts(best.choices.values()),
    }


def best_answer(best: Best) -> Answer:
    """The answer of `best`."""
    return Answer(
        noun="best", row_noun="best", document=best_document(best), rows=(best_row(best),), tables=(best_table(best),)
    )


def best_table(best: Best) -> Table:
    """The pick, its numbers and its reason."""
    heldout = best.drop
    pairs = [
        ("pick", best.trial if best.feasible else f"{best.trial} (nothing meets the constraints; this is the closest)"),
        ("reason", best.reason),
        ("rule", best.rule),
        ("speed-up", f"{_speed(best)}, {_verdict(best)}, {count(best.speedup.sessions, 'session')}"),
        ("throughput", _throughput(best)),
        ("latency p50", milliseconds(best.latency_p50_ms)),
        ("drop, held out", _drop(heldout) if heldout else _unscored(best)),
        ("drop, search", _drop(best.drop_search)),
        ("the drop limit", _PROOFS[best.proof]),
        ("finalists tried", str(best.tried) if best.tried > 1 else ""),
        ("size", size(best.size_bytes)),
        ("peak memory", size(best.peak_memory_bytes)),
        ("against uniform", versus_text(best)),
        ("layers", choice_counts(best.choices.values())),
    ]
    return facts(f"the pick for {best.target}", pairs)


def _throughput(best: Best) -> str:
    seen = best.throughput
    if seen is None:
        return ""
    return f"{rate(seen.arm)} at batch {seen.batch}; fp32 {samples_per_s(seen.reference.value)}"


def _unscored(best: Best) -> str:
    if best.choices and set(best.choices.values()) == {Choice.FP32}:
        return "none: fp32 is what the others are compared with"
    return "not scored: it was in no finals"


def versus_text(best: Best) -> str:
    """Whether the pick beats the best uniform candidate of the same finals, in words."""
    other = best.versus_uniform
    if other is None:
        return _alone(best)
    word = _AGAINST[other.verdict]
    # the other's time is the reference of the two
    equal = _equal(other.verdict, best.latency_p50_ms / other.ratio.value)
    told = speedup_text(other.ratio, other.verdict)
    return f"{word} {other.origin} (trial {other.number}){equal}: {told} head to head"


def choice_counts(choices: Iterable[Choice]) -> str:
    """`fp32 3, int8-dynamic 12`, in the order of `Choice`."""
    got = list(choices)
    return ", ".join(f"{choice.value} {got.count(choice)}" for choice in Choice if choice in got)


def drop_cells(name: str, seen: DropSeen | None) -> Row:
    """Four columns of a drop; all None when it was not scored."""
    values = (seen.value, seen.low, seen.high, seen.n) if seen else (None, None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_n"), values, strict=True))


def _seen(seen: DropSeen) -> Mapping[str, object]:
    return {"value": seen.value, "low": seen.low, "high": seen.high, "n": seen.n}


def _alone(best: Best) -> str:
    """Why there is nothing to compare with. Only what was in the finals has a held-out drop, but for fp32."""
    seated = best.drop is not None or all(choice is Choice.FP32 for choice in best.choices.values())
    if best.uniform and best.uniform != "uniform fp32":
        proved = ", the best uniform candidate" if seated and best.feasible else ""
        return f"the pick is {best.uniform} itself{proved}"
    if without := _without_finals(best):
        return without
    if not seated:
        return "not compared head to head: the pick was in no finals"
    return "no uniform candidate that keeps the limits was in the finals"


def _without_finals(best: Best) -> str:
    """Why there were none; empty where there were."""
    ended = best.state in (None, JobState.DONE)
    # where it was not kept, a held-out drop tells that they ran
    if best.finals or (best.finals is None and (ended or best.drop is not None)):
        return ""
    if best.state is JobState.CANCELLED:
        return "no finals: the job was cancelled"
    if best.state is JobState.FAILED:
        return "no finals: the job failed"
    if best.state is JobState.DONE:
        return "no finals: there was no candidate for them beside fp32"
    return "no finals yet"


def _verdict(best: Best) -> str:
    fp32 = best.uniform == "uniform fp32"
    equal = "" if fp32 else _equal(best.speedup.verdict, best.latency_p50_ms * best.speedup.value)
    return f"{best.speedup.verdict.value}{equal}"


def _equal(verdict: Verdict, reference_ms: float) -> str:
    return f" ({COUNTS_AS_EQUAL})" if rests_on_absolute(verdict, reference_ms) else ""


def _speed(best: Best) -> str:
    return speedup(best.speedup.value, best.speedup.low, best.speedup.high)


def _drop(seen: DropSeen) -> str:
    return drop(seen.value, seen.low, seen.high, seen.n)


def _versus_cells(versus: Versus | None) -> Row:
    return {
        "uniform_trial": versus.number if versus else None,
        "uniform_origin": versus.origin if versus else None,
        **(speedup_cells(versus.ratio, versus.verdict, _GAIN) if versus else dict.fromkeys(_GAIN_CELLS)),
        "uniform_verdict": versus.verdict.value if versus else None,
    }

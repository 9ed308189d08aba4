"""One trial in full: per-layer choices, latency with its raw samples' counts, accuracy, circumstances."""

from __future__ import annotations

from collections import Counter

from qsearch.contracts.codec import to_data
from qsearch.contracts.measurement import Accuracy, Latency, Measurement, Sitting
from qsearch.contracts.noise import Wander
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import TrialView
from qsearch.report.answer import Answer, Line, Row, Table, facts
from qsearch.report.bests import choice_counts
from qsearch.report.numbers import (
    count,
    drop_of,
    durations,
    milliseconds,
    moment,
    percent,
    rate,
    size,
)
from qsearch.report.remarks import equal_remark
from qsearch.report.speedups import latency_speedup, usable
from qsearch.report.surroundings import surroundings_document, surroundings_facts
from qsearch.report.trial_rows import reference

#: instead of tails, which are those of single inferences
IN_GROUPS = "not told: inferences this short are timed in groups"


def trial_answer(view: TrialView) -> Answer:
    """The answer of `show`; its rows are the layers."""
    rows: tuple[Row, ...] = tuple(
        {"trial": reference(view.trial), "layer": layer, "choice": choice.value}
        for layer, choice in view.trial.candidate.choices.items()
    )
    tables = [_trial_table(view)]
    if view.measurement:
        tables.append(_circumstances_table(view.measurement))
    lines = tuple(Line(cells=(str(row["layer"]), str(row["choice"]))) for row in rows)
    tables.append(Table(columns=("layer", "choice"), lines=lines, title="what each layer gets"))
    return Answer(noun="trial", row_noun="layer-choice", document=_document(view), rows=rows, tables=tuple(tables))


def sample_counts(sitting: Sitting) -> dict[str, dict[str, int]]:
    """By arm: raw samples, blocks, and blocks that telemetry rejected."""
    arms: dict[str, dict[str, int]] = {}
    for block in sitting.blocks:
        arm = arms.setdefault(block.arm, {"samples": 0, "blocks": 0, "rejected_blocks": 0})
        arm["samples"] += len(block.samples_ns)
        arm["blocks"] += 1
        arm["rejected_blocks"] += bool(block.rejected)
    return arms


def latency_document(latency: Latency) -> dict[str, object]:
    """A latency as a ratio and as a speed-up, with the sitting's own medians."""
    return {
        "speedup": usable(latency.ratio.inverse(), latency.verdict),
        "ratio": {**to_data(latency.ratio), **usable(latency.ratio, latency.verdict)},
        "verdict": latency.verdict.value,
        "remark": equal_remark(latency) or None,
        "detectable": latency.detectable,
        "pairs": latency.pairs,
        "sessions": latency.sessions,
        "sitting_p50_ms": latency.median_ms,
        "sitting_reference_p50_ms": latency.reference_ms,
        "tails_ms": dict(latency.tails),
        "tails_need_samples": dict(latency.tails_need),
        "flags": list(latency.flags),
        "luck": None if latency.luck is None else to_data(latency.luck),
        "wander": None if latency.wander is None else to_data(latency.wander),
        "scenario": latency.scenario.value,
        "throughput": throughput_document(latency),
    }


def accuracy_document(accuracy: Accuracy) -> dict[str, object]:
    """An accuracy with what its drop rests on."""
    return {
        "metric": accuracy.metric,
        "higher_is_better": accuracy.higher_is_better,
        "split": accuracy.split,
        "n": accuracy.n,
        "of": accuracy.of or accuracy.n,
        "looks": list(accuracy.looks),
        "truncated": accuracy.truncated,
        "score": accuracy.score,
        "reference_score": accuracy.reference_score,
        "drop": to_data(accuracy.drop),
        "drop_points": to_data(accuracy.drop_points),
        "detectable": accuracy.detectable,
    }


def throughput_document(latency: Latency) -> dict[str, object] | None:
    """Samples per second of the arm and of the reference; None where the scenario is not `offline`."""
    seen = latency.throughput
    if seen is None:
        return None
    return {
        "batch": seen.batch,
        "samples_per_s": to_data(seen.arm),
        "reference_samples_per_s": to_data(seen.reference),
    }


def throughput_text(latency: Latency) -> str:
    """`1240 samples/s [1210, 1270] at batch 8; fp32 810 samples/s [800, 822]`; empty where it is not `offline`."""
    seen = latency.throughput
    return f"{rate(seen.arm)} at batch {seen.batch}; fp32 {rate(seen.reference)}" if seen else ""


def latency_text(latency: Latency) -> str:
    """`1.52× [1.49, 1.55], FASTER, 2 sessions, 8 pairs, smallest visible difference 1.5 %`, what it rests on, flags."""
    equal = equal_remark(latency)
    parts = [
        latency_speedup(latency),
        f"{latency.verdict.value} ({equal})" if equal else latency.verdict.value,
        count(latency.sessions, "session"),
        count(latency.pairs, "pair"),
        *(
            [f"smallest visible difference {percent(latency.detectable)}"]
            if latency.verdict is not Verdict.POLLUTED
            else []
        ),
        *([f"luck of {count(latency.luck.sessions, 'A/A session')}"] if latency.luck else []),
        *([_wander_text(latency.wander)] if latency.wander else []),
        *latency.flags,
    ]
    return ", ".join(parts)


def _wander_text(wander: Wander) -> str:
    known = f"from {wander.repeats} repeats" if wander.repeats else "assumed"
    return f"sittings differ by {percent(wander.between_sd)} ({known})"


def grouped(sitting: Sitting, arm: str) -> bool:
    """Whether an arm's inferences were so short that they were timed in groups, never one alone."""
    mine = [block.group for block in sitting.blocks if block.arm == arm]
    return bool(mine) and min(mine) > 1


def tails_text(latency: Latency, *, in_groups: bool = False) -> str:
    """`p50 ≤ 4.21 ms, p90 ≤ 4.6 ms, p99 – (needs 662 samples)`: upper bounds at 99 % confidence; "" without any."""
    if in_groups and latency.tails and all(value is None for value in latency.tails.values()):
        return IN_GROUPS
    parts = [
        f"{name} – (needs {latency.tails_need.get(name, 0)} samples)"
        if value is None
        else f"{name} ≤ {milliseconds(value)}"
        for name, value in latency.tails.items()
    ]
    return ", ".join(parts)


def _document(view: TrialView) -> dict[str, object]:
    trial, got = view.trial, view.measurement
    document: dict[str, object] = {
        "trial": reference(trial),
        "job": trial.job,
        "number": trial.number,
        "target": trial.target,
        "state": trial.state.value,
        "origin": trial.origin,
        "why": view.why,
        "candidate": trial.candidate.digest,
        "choices": to_data(trial.candidate.choices),
        "created": moment(trial.created),
        "ended": moment(trial.ended),
        "failures": to_data(trial.failures),
        "cause": trial.cause.value if trial.cause else None,
        "message": trial.message,
        "latency": latency_document(got.latency) if got else None,
        "final_latency": latency_document(view.final_latency) if view.final_latency else None,
        "accuracy_search": accuracy_document(got.accuracy) if got else None,
        "accuracy_heldout": accuracy_document(view.heldout) if view.heldout else None,
        "export": _export_line(view),
    }
    return {**document, **(_measured(got) if got else {})}


def _measured(got: Measurement) -> dict[str, object]:
    return {
        "tier": got.tier.value,
        "size_bytes": got.size_bytes,
        "peak_memory_bytes": got.peak_memory_bytes,
        "artifact_sha256": got.artifact_sha256,
        "samples": sample_counts(got.sitting),
        "surroundings": surroundings_document(got.sitting),
        "optimised_ops": dict(got.optimised_ops),
        "seconds": dict(got.seconds),
        "circumstances": to_data(got.circumstances),
    }


def _trial_table(view: TrialView) -> Table:
    trial, got = view.trial, view.measurement
    cause = f"{trial.cause.value}: {trial.message}" if trial.cause else trial.message
    failures = ", ".join(f"{kind.value} {number}" for kind, number in trial.failures.items())
    pairs = [
        ("state", trial.state.value),
        ("cause", cause),
        ("failed attempts", failures),
        ("target", trial.target),
        ("proposed by", _proposed(view)),
        ("layers", choice_counts(trial.candidate.choices.values())),
        *(_numbers(view, got) if got else []),
        ("export it", _export_line(view) or ""),
    ]
    return facts(f"trial {reference(trial)}", pairs)


def _proposed(view: TrialView) -> str:
    """The origin and why; once where the reason begins with the origin."""
    origin = view.trial.origin
    if not view.why or view.why.startswith(origin):
        return view.why or origin
    return f"{origin}: {view.why}"


def _numbers(view: TrialView, got: Measurement) -> list[tuple[str, str]]:
    sitting = (
        f"{milliseconds(got.latency.median_ms)}, fp32 {milliseconds(got.latency.reference_ms)} in the same sitting"
    )
    in_groups = any(grouped(got.sitting, arm) for arm in sample_counts(got.sitting) if arm != got.sitting.reference)
    return [
        ("speed-up", latency_text(got.latency)),
        ("speed-up, finals", latency_text(view.final_latency) if view.final_latency else ""),
        ("throughput", throughput_text(got.latency)),
        ("throughput, finals", throughput_text(view.final_latency) if view.final_latency else ""),
        ("latency p50", sitting),
        ("latency tails", tails_text(got.latency, in_groups=in_groups)),
        ("latency tails, finals", tails_text(view.final_latency, in_groups=in_groups) if view.final_latency else ""),
        ("raw samples", _samples_text(got.sitting)),
        *surroundings_facts(got.sitting),
        ("accuracy, search", _accuracy_text(got.accuracy)),
        ("accuracy, held out", _accuracy_text(view.heldout) if view.heldout else ""),
        ("size", size(got.size_bytes)),
        ("peak memory", size(got.peak_memory_bytes)),
        ("operators as run", ", ".join(f"{op} {number}" for op, number in Counter(got.optimised_ops).most_common())),
        ("time went to", durations(got.seconds)),
    ]


def _samples_text(sitting: Sitting) -> str:
    parts = [
        f"{arm}: {count(seen['samples'], 'sample')} in {count(seen['blocks'], 'block')}, "
        f"{seen['rejected_blocks']} rejected"
        for arm, seen in sample_counts(sitting).items()
    ]
    return f"{'; '.join(parts)} (tier {sitting.tier.value})" if parts else ""


def _accuracy_text(accuracy: Accuracy) -> str:
    scores = f"{accuracy.metric} {accuracy.score:.4g}, fp32 {accuracy.reference_score:.4g}"
    text = f"drop {drop_of(accuracy)}; {scores}; smallest visible drop {percent(accuracy.detectable)}"
    if not accuracy.truncated:
        return text
    return f"{text}; truncated after {count(len(accuracy.looks), 'look')}: it surely breaks the drop limit"


def _circumstances_table(got: Measurement) -> Table:
    seen = got.circumstances
    pairs = [
        ("machine class", seen.machine_key),
        ("host", seen.host),
        ("runtime", f"{seen.runtime} ({seen.runtime_key})"),
        ("artifact", got.artifact_sha256),
        *sorted(seen.details.items()),
    ]
    return facts("measured under", pairs)


def _export_line(view: TrialView) -> str | None:
    return f"qsearch export {reference(view.trial)} -o DIR --verify" if view.measurement else None

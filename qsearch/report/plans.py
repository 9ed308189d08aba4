"""What a spec says, and what `plan` says of it before anything is started."""

from __future__ import annotations

from collections import Counter

from qsearch.contracts.codec import to_data
from qsearch.contracts.job import Constraints, JobSpec
from qsearch.contracts.scenario import Scenario
from qsearch.contracts.target import Target
from qsearch.contracts.views import Plan
from qsearch.report.answer import Answer, Line, Mark, Row, Table, facts
from qsearch.report.jobs import model_text
from qsearch.report.numbers import count, duration, large, size
from qsearch.report.thresholds import limits_text

#: how a remark begins that makes the job impossible
IMPOSSIBLE = "impossible: "


def spec_answer(spec: JobSpec) -> Answer:
    """The answer of `validate`: the spec, resolved."""
    row: Row = {
        "name": spec.name,
        "model": model_text(spec.model),
        "task": spec.task or None,
        "data": spec.data.path if spec.data else None,
        "metric": spec.metric or None,
        "targets": ",".join(target.name for target in spec.targets),
        "choices": ",".join(choice.value for choice in spec.space.choices),
        "trials": spec.search.trials,
        "time_s": spec.search.time_s,
        "seed": spec.search.seed,
        "sampler": spec.search.sampler,
        "racing": spec.search.racing,
        "precision": spec.precision.value,
    }
    tables = (facts(f"spec {spec.name} is valid", spec_facts(spec)),)
    return Answer(noun="spec", row_noun="spec", document=to_data(spec), rows=(row,), tables=tables)


def plan_answer(plan: Plan) -> Answer:
    """The answer of `plan`; its rows are the targets."""
    rows: tuple[Row, ...] = tuple(
        {"target": match.target, "hosts": ",".join(match.hosts), "reasons": "; ".join(match.reasons)}
        for match in plan.matches
    )
    tables = (_plan_table(plan), _targets_table(plan), _choices_table(plan))
    document = {**to_data(plan), "possible": possible(plan)}
    return Answer(noun="plan", row_noun="target-match", document=document, rows=rows, tables=tables)


def possible(plan: Plan) -> bool:
    """Whether nothing in the plan makes the job impossible."""
    return not any(remark.startswith(IMPOSSIBLE) for remark in plan.remarks)


def spec_facts(spec: JobSpec) -> list[tuple[str, str]]:
    """The lines of a spec that people ask for first."""
    search = spec.search
    pins = ", ".join(f"{pattern} → {choice.value}" for pattern, choice in spec.space.pin.items())
    shapes = ", ".join(f"{axis}={'|'.join(map(str, sizes))}" for axis, sizes in spec.shapes.items())
    budget = count(search.trials, "trial") + (f" or {duration(search.time_s)}" if search.time_s else "")
    return [
        ("model", model_text(spec.model)),
        ("task", spec.task),
        ("data", spec.data.path if spec.data else ""),
        ("metric", spec.metric),
        ("objectives", ", ".join(spec.objectives)),
        ("constraints", constraints_text(spec.constraints)),
        ("targets", ", ".join(map(target_text, spec.targets))),
        ("shapes", shapes),
        ("choices", ", ".join(choice.value for choice in spec.space.choices)),
        ("pinned", pins),
        ("budget", f"{budget}, sampler {search.sampler}, seed {search.seed}, {count(search.finalists, 'finalist')}"),
        ("precision", spec.precision.value),
        ("limits", limits_text(spec.limits)),
    ]


def target_text(target: Target) -> str:
    """The name, and what of it is not usual: the scenario, the provider, the interpreter."""
    told = [
        f"offline at batch {target.batch}" if target.measured_as is Scenario.OFFLINE else "",
        target.provider if target.provider.upper() != "CPU" else "",
        f"by {target.python}" if target.python else "",
    ]
    words = ", ".join(word for word in told if word)
    return f"{target.name} ({words})" if words else target.name


def constraints_text(asked: Constraints) -> str:
    """`drop ≤ 1%, size ≤ 60.0 MiB`; nothing asked is said so."""
    parts = [
        f"drop ≤ {asked.drop}" if asked.drop else "",
        f"size ≤ {size(asked.size_bytes)}" if asked.size_bytes is not None else "",
        f"memory ≤ {size(asked.memory_bytes)}" if asked.memory_bytes is not None else "",
        f"latency ≤ {asked.latency_ms:g} ms" if asked.latency_ms is not None else "",
    ]
    return ", ".join(part for part in parts if part) or "none"


def _plan_table(plan: Plan) -> Table:
    seen = plan.inspection
    pairs = [
        *spec_facts(plan.spec),
        ("layers", f"{len(seen.layers)} with {large(sum(layer.parameters for layer in seen.layers))} parameters"),
        ("size", f"{size(seen.size_bytes)} in fp32, smallest reachable {size(seen.smallest_bytes)}"),
        ("space", _space(plan.space_log10)),
        ("estimated", ", ".join(f"{part} {duration(value)}" for part, value in plan.estimate_s.items())),
    ]
    return facts(f"plan of {plan.spec.name}; nothing was started", pairs, notes=plan.remarks)


def _space(log10: float) -> str:
    """`64 candidates`; from a million on `about 10^7.2 candidates`."""
    return count(round(10**log10), "candidate") if log10 < 6 else f"about 10^{log10:.1f} candidates"


def _targets_table(plan: Plan) -> Table:
    lines = tuple(
        Line(
            cells=(match.target, ", ".join(match.hosts) or "nobody", "; ".join(match.reasons)),
            mark=Mark.NONE if match.hosts else Mark.PROBLEM,
        )
        for match in plan.matches
    )
    return Table(columns=("target", "served by", "why others cannot"), lines=lines, title="targets")


def _choices_table(plan: Plan) -> Table:
    """Layers that have the same op and choices share a line."""
    groups = Counter((layer.op, layer.choices) for layer in plan.inspection.layers)
    lines = tuple(
        Line(cells=(str(number), op, ", ".join(choice.value for choice in choices)))
        for (op, choices), number in groups.most_common()
    )
    return Table(columns=("layers", "op", "choices"), lines=lines, title="choices", right=frozenset({"layers"}))

"""Which jobs are raced, and what is said of those that are not."""

from __future__ import annotations

from dataclasses import replace

from qsearch.contracts.job import Constraints, DropLimit, JobSpec, ModelRef, SearchSpec
from qsearch.contracts.work import Materialized
from qsearch.service.racing import racing_note, racing_of

SPEC = JobSpec(
    name="j",
    model=ModelRef(path="/m.onnx"),
    metric="top1",
    constraints=Constraints(drop=DropLimit(amount=0.01, relative=True)),
    search=SearchSpec(seed=4),
)
SCORED = Materialized(
    digest="0", metric="top1", higher_is_better=True, score="top1", samples={"search": 100}, per_sample=True
)


def test_the_terms_follow_from_the_spec_alone() -> None:
    found = racing_of(SPEC)
    assert found is not None
    assert found.limit == SPEC.constraints.drop
    assert found == racing_of(replace(SPEC, name="another"))
    other = racing_of(replace(SPEC, search=SearchSpec(seed=5)))
    assert other is not None
    assert other.seed != found.seed
    assert racing_note(SPEC, SCORED) == ""


def test_without_a_drop_limit_or_with_racing_off_nobody_is_raced_and_nothing_is_said() -> None:
    ranked = replace(SCORED, metric="mrr", score="mrr", per_sample=False)
    for spec in (replace(SPEC, constraints=Constraints()), replace(SPEC, search=SearchSpec(racing=False))):
        assert racing_of(spec) is None
        assert racing_note(spec, ranked) == ""


def test_what_cannot_be_raced_is_told_by_name() -> None:
    ranked = replace(SCORED, metric="mrr", score="mrr", per_sample=False)
    assert "mrr is not raced, because its score over some of the samples" in racing_note(SPEC, ranked)
    mine = replace(SCORED, metric="mine", score="task:score", per_sample=False)
    assert "task:score scores each sample by itself (per_sample=True)" in racing_note(SPEC, mine)

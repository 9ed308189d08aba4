"""Trials compared from the ledger, a job over two targets, and what a smaller space does to the search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from driver_world import LAYERS, TARGET, World

from qsearch.cluster.memory import IMAGINED, MemoryPool
from qsearch.contracts.bench import BenchOrder, BenchResult
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.comparison import Basis, PairedTest
from qsearch.contracts.errors import NotFound, UsageError
from qsearch.contracts.job import Job, SpaceSpec
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Accuracy, Block, Measurement, Sitting, Tier
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.work import (
    EvalOrder,
    EvalResult,
    Evaluated,
    FinalOrder,
    FinalResult,
    Materialized,
    Outcome,
    PrepareOrder,
    TrialOrder,
    Verification,
    VerifyOrder,
    Work,
)
from qsearch.service.comparing import compare, compare_now
from qsearch.service.driver import Driver
from qsearch.service.targeting import across_targets
from qsearch.service.workplace import Workplace
from qsearch.store.artifacts import ArtifactStore
from tests.factories import make_accuracy, make_inspection, make_latency

OTHER = Target(name="other", runtime="openvino")
#: what the other runtime has kernels for
THERE = (Choice.FP32, Choice.INT8_STATIC)


class TwoRuntimes(World):
    """A world of two runtimes, of which the second has fewer kernels; every sample has its outcome."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.orders: list[EvalOrder | BenchOrder] = []
        self._target = TARGET
        #: name of the scoring code
        self.score = "mine:score"
        #: whether scoring ends after 12 of 100 samples
        self.stopped = False

    @contextmanager
    def place(self) -> Iterator[Workplace]:
        slot = replace(IMAGINED, runtimes={"onnxruntime": self.runtime, "openvino": "7"})
        pool = MemoryPool(self._answer, [slot])
        scratch = self.folder / f"scratch-{next(self._numbers)}"
        store = ArtifactStore(self.folder / "artifacts", self.ledger)
        yield Workplace(ledger=self.ledger, artifacts=store, pool=pool, scratch=scratch)
        pool.close()

    def _answer(self, work: Work) -> Outcome:
        order = work.order
        if isinstance(order, PrepareOrder | TrialOrder | FinalOrder | EvalOrder | BenchOrder):
            self._target = order.target
        if isinstance(order, VerifyOrder):
            export = Path(work.scratch) / "export"
            export.mkdir(parents=True)
            (export / "model.onnx").write_text(work.key)
            return self._done(work, Verification(sha256="0", size_bytes=1, measured=None, disagreements=()))
        if isinstance(order, EvalOrder | BenchOrder):
            self.orders.append(order)
            assert all(Path(model).is_file() for model in order.models)
            return self._done(work, self._evaluated(order) if isinstance(order, EvalOrder) else self._benched(order))
        outcome = super()._answer(work)
        if isinstance(outcome.result, Materialized):
            return replace(outcome, result=replace(outcome.result, score=self.score))
        if isinstance(order, PrepareOrder):
            prepared = replace(self._prepared(), digest=f"prepared-{order.target.runtime}")
            if order.target.runtime == "openvino":
                layers = [replace(layer, choices=tuple(c for c in layer.choices if c in THERE)) for layer in LAYERS]
                prepared = replace(prepared, inspection=replace(make_inspection(layers), digest=self.model))
            return replace(outcome, result=prepared)
        return outcome

    def _circumstances(self) -> Circumstances:
        target = self._target
        return replace(super()._circumstances(), runtime=f"{target.runtime} 1", runtime_key=f"key-{target.name}")

    def _measurement(self, candidate: Candidate, tier: Tier) -> Measurement:
        made = super()._measurement(candidate, tier)
        accuracy = _scored(made.accuracy)
        if self.stopped:
            seen = tuple(range(0, 96, 8))
            outcomes = tuple(accuracy.outcomes[i] for i in seen)
            accuracy = replace(accuracy, n=12, of=100, samples=seen, looks=(12,), outcomes=outcomes)
        return replace(made, accuracy=accuracy)

    def _final(self, order: FinalOrder) -> FinalResult:
        made = super()._final(order)
        return replace(made, finalists=tuple(replace(f, heldout=_scored(f.heldout)) for f in made.finalists))

    def _sitting(self, arms: tuple[str, ...], tier: Tier) -> Sitting:
        """The first arm takes 1 ms, the second 2 ms..."""
        blocks = tuple(
            Block(arm=arm, session=0, round=number, order=number * len(arms) + at, samples_ns=(1_000_000 * (at + 1),))
            for number in range(6)
            for at, arm in enumerate(arms)
        )
        return Sitting(tier=tier, reference=arms[0], runs=self._runs(arms), blocks=blocks, seconds=1.0)

    def _evaluated(self, order: EvalOrder) -> EvalResult:
        fp32 = Evaluated(
            latency=None,
            heldout=_scored(make_accuracy(split="heldout")),
            sha256="0",
            size_bytes=7,
            peak_memory_bytes=8,
            optimised_ops={},
        )
        return EvalResult(
            reference=fp32,
            models={at: replace(fp32, latency=make_latency(0.5)) for at, _ in enumerate(order.models)},
            failures={},
            sitting=self._sitting(("fp32", "0", "1"), order.tier),
            circumstances=self._circumstances(),
        )

    def _benched(self, order: BenchOrder) -> BenchResult:
        return BenchResult(
            latencies={1: make_latency(0.8)},
            sitting=self._sitting(("0", "1"), order.tier),
            circumstances=self._circumstances(),
        )


def _scored(accuracy: Accuracy) -> Accuracy:
    right = round(100 * accuracy.score)
    return replace(accuracy, outcomes=(1.0,) * right + (0.0,) * (100 - right))


def _searched(world: World, trials: int, *targets: Target, **changes: object) -> Job:
    job = world.job(trials, targets or (TARGET,), finalists=2)
    if changes:
        job = world.ledger.create_job(replace(job.spec, **changes), "text", "me")  # type: ignore[arg-type]
    with world.place() as place:
        return Driver(place, lambda progress: None).drive(job)


@pytest.fixture
def world(tmp_path: Path) -> TwoRuntimes:
    return TwoRuntimes(tmp_path)


def test_two_finalists_are_compared_head_to_head(world: TwoRuntimes) -> None:
    job = _searched(world, 8)
    final = world.ledger.final(job.id, TARGET.name)
    assert final is not None
    one, two = (f.number for f in final.finalists[:2])
    found = compare(world.ledger, f"@last/{one}", f"@last/{two}", "me")
    assert found.time is not None
    assert found.time.basis is Basis.FINALS
    assert found.time.ratio == final.finalists[1].versus[one].ratio
    assert [told.split for told in found.accuracies] == ["heldout", "search"]
    assert found.accuracies[0].test is PairedTest.MCNEMAR
    back = compare(world.ledger, f"@last/{two}", f"@last/{one}", "me")
    assert back.time is not None
    assert back.time.ratio.value == pytest.approx(1 / found.time.ratio.value)


def test_trials_that_never_met_are_compared_through_fp32_and_it_is_said(world: TwoRuntimes) -> None:
    job = _searched(world, 8)
    final = world.ledger.final(job.id, TARGET.name)
    assert final is not None
    seated = {f.number for f in final.finalists}
    other = next(n for n in range(8) if n not in seated)
    found = compare(world.ledger, f"@last/{min(seated)}", f"@last/{other}", "me")
    assert found.time is not None
    assert found.time.basis is Basis.INDIRECT
    assert [told.split for told in found.accuracies] == ["search"]
    assert "only the first has a held-out score; it was a finalist" in found.notes
    differing = [layer.layer for layer in found.layers]
    assert differing == [layer.id for layer in LAYERS if layer.id in differing], "in graph order"
    assert len(differing) + found.same_layers == len(LAYERS)


def test_of_two_jobs_as_well_where_model_and_data_agree(world: TwoRuntimes) -> None:
    first, second = _searched(world, 4), _searched(world, 4)
    found = compare(world.ledger, f"{first.id}/0", f"{second.id}/2", "me")
    assert found.time is not None
    assert found.time.basis is Basis.INDIRECT
    world.model = "m2"
    third = _searched(world, 4)
    found = compare(world.ledger, f"{first.id}/0", f"{third.id}/2", "me")
    assert found.time is None
    assert found.incomparable.startswith("cannot compare: the model is m1 here and m2 there")
    assert "of two models" in found.notes[0]
    assert found.accuracies, "the samples are the same, so that the scores can be paired"


def test_two_targets_have_no_common_time_and_everything_else(world: TwoRuntimes) -> None:
    job = _searched(world, 8, TARGET, OTHER)
    found = compare(world.ledger, f"{job.id}/best:here", f"{job.id}/best:other", "me")
    assert found.time is None
    assert "runtime_key is key-here (onnxruntime 1) here and key-other (openvino 1) there" in found.incomparable
    assert "--measure" in found.incomparable
    assert found.accuracies
    assert found.notes[0] == "the trials are of two targets: here and other"


def _scored_elsewhere(world: TwoRuntimes, numerics: str) -> None:
    """From now on another class of machines scores."""
    usual = world._circumstances

    def elsewhere() -> Circumstances:
        return replace(usual(), machine_key="elsewhere", numerics=numerics)

    world._circumstances = elsewhere  # type: ignore[method-assign]


def test_scores_of_two_classes_of_machines_are_paired_where_they_compute_alike(world: TwoRuntimes) -> None:
    first = _searched(world, 4)
    _scored_elsewhere(world, "n2")
    second = _searched(world, 4)
    found = compare(world.ledger, f"{first.id}/0", f"{second.id}/2", "me")
    assert not found.accuracies
    key = IMAGINED.machine.key
    for note in (n for n in found.notes if n.startswith(("search: ", "held-out: "))):
        assert f"machine class {key} computes in numerics class unknown here, elsewhere in n2 there" in note
    assert any(note.startswith("search: cannot compare the scores") for note in found.notes)
    alike = _searched(world, 4)
    assert compare(world.ledger, f"{second.id}/0", f"{alike.id}/2", "me").accuracies


def test_scores_of_two_scoring_codes_are_not_paired(world: TwoRuntimes) -> None:
    first = _searched(world, 4)
    world.score = "mine:other"
    second = _searched(world, 4)
    found = compare(world.ledger, f"{first.id}/0", f"{second.id}/2", "me")
    assert not found.accuracies
    assert "scores are not paired: the scoring is mine:score here and mine:other there" in found.notes
    assert found.time is not None, "times have nothing to do with it"


def test_a_score_that_was_stopped_early_is_compared_on_what_it_saw(world: TwoRuntimes) -> None:
    job = _searched(world, 4)
    world.stopped = True
    raced = _searched(world, 4)
    found = compare(world.ledger, f"{job.id}/1", f"{raced.id}/2", "me")
    (told,) = [told for told in found.accuracies if told.split == "search"]
    assert (told.n, told.of) == (12, 100)


def test_what_cannot_be_compared_at_all_is_refused(world: TwoRuntimes) -> None:
    job = _searched(world, 4, TARGET, OTHER)
    with pytest.raises(UsageError, match="are one trial"):
        compare(world.ledger, f"{job.id}/0", "@last/0", "me")
    with pytest.raises(NotFound):
        compare(world.ledger, f"{job.id}/0", f"{job.id}/99", "me")
    with pytest.raises(UsageError, match="each with its own best") as caught:
        compare(world.ledger, f"{job.id}/best", f"{job.id}/0", "me")
    assert caught.value.hint == f"Write {job.id}/best:here or {job.id}/best:other."


def test_measured_now_trials_of_one_target_are_evaluated_together(world: TwoRuntimes) -> None:
    job = _searched(world, 4)
    with world.place() as place:
        found = compare_now(place, f"{job.id}/1", f"{job.id}/2", "me", quick=True)
    (order,) = world.orders
    assert isinstance(order, EvalOrder)
    assert (len(order.models), order.tier) == (2, Tier.QUICK)
    assert found.time is not None
    assert found.time.basis is Basis.NOW
    # fp32 takes 1 ms, the first 2 ms, the second 3 ms
    assert found.time.ratio.value == pytest.approx(1.5, abs=0.001)
    assert found.time.verdict is Verdict.SLOWER
    assert (found.first.size_bytes, found.second.peak_memory_bytes) == (7, 8)
    assert found.accuracies[0].split == "heldout"


def test_measured_now_trials_of_two_targets_sit_under_their_own(world: TwoRuntimes) -> None:
    job = _searched(world, 4, TARGET, OTHER)
    with world.place() as place:
        found = compare_now(place, f"{job.id}/0", f"{job.id}/1", "me", quick=False)
    (order,) = world.orders
    assert isinstance(order, BenchOrder)
    assert order.targets == (TARGET, OTHER)
    assert order.samples.endswith("search.b1.npz")
    assert found.time is not None
    assert found.time.ratio.value == pytest.approx(0.8)
    assert found.incomparable == ""


def test_a_target_is_searched_only_among_what_it_runs_and_each_has_its_front(world: TwoRuntimes) -> None:
    job = _searched(world, 16, TARGET, OTHER)
    history = world.ledger.history(job.id, OTHER.name)
    assert len(history) == len(world.ledger.history(job.id, TARGET.name)) == 8
    given = {choice for result in history for choice in result.trial.candidate.choices.values()}
    assert given <= set(THERE)
    assert {c for r in world.ledger.history(job.id, TARGET.name) for c in r.trial.candidate.choices.values()} > given
    for target in (TARGET, OTHER):
        assert world.ledger.front(job.id, target.name)
        assert world.ledger.best(job.id, target.name) is not None
        assert world.ledger.final(job.id, target.name) is not None


def test_a_target_whose_space_is_exhausted_leaves_its_turns_to_the_others(world: TwoRuntimes) -> None:
    pins = {layer.id: Choice.FP32 for layer in LAYERS[1:]}
    space = SpaceSpec(choices=(Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY), pin=pins)
    job = _searched(world, 20, TARGET, OTHER, space=space)
    # one free layer: two candidates there, four here, and no more
    assert len(world.ledger.history(job.id, OTHER.name)) == 2
    assert len(world.ledger.history(job.id, TARGET.name)) == 4


def test_a_job_over_its_targets_tells_uniforms_side_by_side_and_what_lacks_a_kernel(world: TwoRuntimes) -> None:
    job = _searched(world, 16, TARGET, OTHER)
    found = across_targets(world.ledger, job)
    assert list(found.targets.values()) == ["onnxruntime 1", "openvino 1"]
    rows = {row.uniform: row for row in found.rows if row.uniform}
    assert set(rows["uniform int8-static"].cells) == {"here", "other"}
    assert set(rows["uniform int8-dynamic"].cells) == {"here"}
    assert rows["uniform int8-dynamic"].absent == {"other": "no kernel for int8-dynamic"}
    picks = {name: cell.trial for row in found.rows for name, cell in row.cells.items() if cell.pick}
    assert set(picks) == {"here", "other"}
    assert found.notes[0].startswith("there is no kernel for int8-dynamic, ternary on other: it was searched without")
    for layer in found.layers:
        assert len(set(layer.choices.values())) == 2


def test_a_job_of_one_target_or_without_trials_has_nothing_to_lay_side_by_side(world: TwoRuntimes) -> None:
    with pytest.raises(UsageError, match="one target, here"):
        across_targets(world.ledger, world.job(4))
    with pytest.raises(NotFound, match="no finished trial"):
        across_targets(world.ledger, world.job(4, (TARGET, OTHER)))

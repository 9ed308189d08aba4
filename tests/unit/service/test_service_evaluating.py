"""What `eval` understands before anything is started: names, targets, whose samples, how long."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from driver_world import TARGET, World

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import ModelError, NotFound, SpecError, UsageError
from qsearch.contracts.job import DataRef, DropLimit, Job
from qsearch.contracts.measurement import Sitting, Tier
from qsearch.contracts.verdict import Interval
from qsearch.contracts.views import EvalView
from qsearch.contracts.work import (
    EvalOrder,
    EvalResult,
    Evaluated,
    Materialized,
    Outcome,
    PrepareOrder,
    Verification,
    Work,
    WorkKind,
)
from qsearch.service import evaluating
from qsearch.service.driver import Driver
from qsearch.service.evaluating import SLOWER, Asked, changed_since, deadline_s, evaluate, keeps, ready_for, resolve
from tests.factories import make_accuracy, make_latency
from workers.slot_lock import LOCK_WAIT_S

SPEC = "name: mine\nmodel: {path: model.onnx}\ndata: {path: samples.npz}\nmetric: top1\nconstraints: {drop: 1%}\n"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    for name in ("model.onnx", "samples.npz"):
        (tmp_path / name).write_bytes(b"not looked at")
    (tmp_path / "mine.yaml").write_text(SPEC + "targets: [this-machine, cpu-2threads]\n")
    return tmp_path / "mine.yaml"


def test_a_target_is_named_where_the_spec_has_several(spec: Path) -> None:
    with pytest.raises(UsageError, match="spec mine has 2 targets: this-machine, cpu-2threads"):
        resolve(spec, ["a.onnx"], target="", quick=False)
    asked = resolve(spec, ["a.onnx"], target="cpu-2threads", quick=False)
    assert (asked.target.name, asked.target.threads, asked.tier) == ("cpu-2threads", 2, Tier.FINAL)
    assert resolve(spec, ["a.onnx"], target="this-machine", quick=True).tier is Tier.QUICK


def test_another_target_takes_the_place_of_the_specs(spec: Path) -> None:
    asked = resolve(spec, ["a.onnx"], target="cpu-4threads", quick=False)
    assert [t.name for t in asked.spec.targets] == ["cpu-4threads"] == [asked.target.name]
    with pytest.raises(UsageError, match=r"--target: .*cpu-5threads"):
        resolve(spec, ["a.onnx"], target="cpu-5threads", quick=False)


def test_nothing_to_evaluate_or_no_spec_is_refused(spec: Path) -> None:
    with pytest.raises(UsageError, match="at least one model"):
        resolve(spec, [], target="this-machine", quick=False)
    with pytest.raises(SpecError):
        resolve(spec.with_name("gone.yaml"), ["a.onnx"], target="", quick=False)


@pytest.mark.parametrize("name", ["@last/best", "j1/42", "j1/best:cpu-2threads", "j1/front[2]", "a b/front[0]:t"])
def test_a_trial_is_told_from_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert evaluating._is_trial(name)
    Path(name).parent.mkdir()
    Path(name).write_bytes(b"a file of that name")
    assert not evaluating._is_trial(name)


@pytest.mark.parametrize("name", ["model.onnx", "out/model.onnx", "j1", "j1/", "j1/bestest", "/42"])
def test_what_is_no_trial_must_be_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not evaluating._is_trial(name)
    with pytest.raises(ModelError, match="no file"):
        evaluating._file(name)


def test_the_samples_are_a_jobs_own_when_it_was_asked_the_same(spec: Path) -> None:
    asked = resolve(spec, ["j1/1"], target="cpu-2threads", quick=False)
    job = asked.spec
    assert evaluating.same_preparation(replace(job, name="other", search=replace(job.search, trials=1)), asked)
    assert not evaluating.same_preparation(replace(job, metric="top5"), asked)
    assert not evaluating.same_preparation(replace(job, search=replace(job.search, seed=1)), asked)
    assert not evaluating.same_preparation(replace(job, shapes={"batch": (1,)}), asked)
    assert not evaluating.same_preparation(replace(job, targets=job.targets[:1]), asked)


@pytest.mark.parametrize(("value", "kept"), [(0.01, True), (0.01 + 1e-12, True), (0.0101, False), (-0.2, True)])
def test_the_limit_is_judged_by_the_point_estimate(value: float, kept: bool) -> None:
    seen = Interval(value=value, low=-1.0, high=1.0)
    other = Interval(value=9.0, low=9.0, high=9.0)
    accuracy = make_accuracy()
    relative, points = DropLimit(amount=0.01, relative=True), DropLimit(amount=0.01, relative=False)
    assert keeps(replace(accuracy, drop=seen, drop_points=other), relative) is kept
    assert keeps(replace(accuracy, drop=other, drop_points=seen), points) is kept


class Evaluator(World):
    """The world in which trials can be exported and files evaluated; remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kinds = Counter[WorkKind]()
        self.orders: list[EvalOrder] = []
        self.prepares: list[PrepareOrder] = []
        self.data = "d1"

    def _answer(self, work: Work) -> Outcome:
        self.kinds[work.kind] += 1
        if work.kind is WorkKind.VERIFY:
            export = Path(work.scratch) / "export"
            export.mkdir(parents=True)
            (export / "model.onnx").write_text(work.key)
            found = Verification(sha256="0", size_bytes=1, measured=None, disagreements=())
            return self._done(work, found)
        if isinstance(work.order, EvalOrder):
            self.orders.append(work.order)
            return self._done(work, self._evaluated(work.order))
        if isinstance(work.order, PrepareOrder):
            self.prepares.append(work.order)
        outcome = super()._answer(work)
        if isinstance(outcome.result, Materialized):
            return replace(outcome, result=replace(outcome.result, digest=self.data))
        return outcome

    def _evaluated(self, order: EvalOrder) -> EvalResult:
        assert all(Path(model).is_file() for model in order.models)
        accuracy = make_accuracy(split="heldout")
        fp32 = Evaluated(
            latency=None, heldout=accuracy, sha256="0", size_bytes=1, peak_memory_bytes=1, optimised_ops={}
        )
        models = {at: replace(fp32, latency=make_latency(0.5)) for at, _ in enumerate(order.models)}
        sitting = Sitting(tier=order.tier, reference="fp32", runs=(), blocks=(), seconds=1.0)
        return EvalResult(
            reference=fp32, models=models, failures={}, sitting=sitting, circumstances=self._circumstances()
        )


@pytest.fixture
def searched(tmp_path: Path) -> tuple[Evaluator, Job]:
    """A world in which a job of four trials is done, and a file of somebody else's."""
    world = Evaluator(tmp_path)
    job = world.job(4)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(job)
    (tmp_path / "vendor.onnx").touch()
    return world, job


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _evaluate(world: Evaluator, job: Job, *models: str, **changes: object) -> EvalView:
    spec = replace(job.spec, **changes)  # type: ignore[arg-type]
    with world.place() as place:
        return evaluate(place, Asked(spec=spec, target=TARGET, models=models, tier=Tier.QUICK), "me")


def test_files_and_trials_are_evaluated_together_on_the_jobs_own_samples(searched: tuple[Evaluator, Job]) -> None:
    world, job = searched
    vendor = str(world.folder / "vendor.onnx")
    view = _evaluate(world, job, vendor, "@last/1", f"{job.id}/1", "demo/2", "@last/best")
    assert world.kinds[WorkKind.MATERIALIZE] == world.kinds[WorkKind.PREPARE] == 1
    best = world.ledger.best(job.id, TARGET.name)
    assert best is not None
    assert view.models == (vendor, f"{job.id}/1", f"{job.id}/1", f"{job.id}/2", best.trial)
    assert world.kinds[WorkKind.VERIFY] == len({*view.models[1:]}), "a trial is exported once"
    (order,) = world.orders
    assert set(order.reference.choices.values()) == {Choice.FP32}
    assert (order.models[0], order.models[1]) == (vendor, order.models[2])
    assert view.keeps == dict.fromkeys(range(5), True)
    assert view.notes == (f"the samples and fp32 are those of job {job.id}",)


def test_samples_that_are_gone_and_come_back_otherwise_are_not_called_the_jobs(
    searched: tuple[Evaluator, Job],
) -> None:
    world, job = searched
    shutil.rmtree(world.folder / "artifacts")
    world.data = "d2"
    view = _evaluate(world, job, "@last/1")
    assert view.notes == (f"the samples of job {job.id} are not stored any more; they were made anew, and are others",)


def test_an_fp32_that_was_prepared_otherwise_is_not_called_the_jobs(searched: tuple[Evaluator, Job]) -> None:
    world, job = searched
    world.runtime = "2"
    model, world._prepared = world._prepared(), lambda: replace(model, digest="other ranges")  # type: ignore[method-assign]
    view = _evaluate(world, job, "@last/1")
    assert view.notes == (
        f"the samples are those of job {job.id}; fp32 is the same model, prepared anew and otherwise",
    )


def test_a_trial_of_a_model_that_has_changed_is_refused_before_anything_is_prepared(
    searched: tuple[Evaluator, Job],
) -> None:
    world, job = searched
    vendor = str(world.folder / "vendor.onnx")
    world.model = "m2"
    before = _files(world.folder / "artifacts")
    with pytest.raises(ModelError, match=rf"is not the model that job {job.id} was searched with.* m1…, found m2…"):
        _evaluate(world, job, vendor, "@last/best")
    assert world.kinds[WorkKind.MATERIALIZE] == world.kinds[WorkKind.PREPARE] == 1
    assert _files(world.folder / "artifacts") == before
    assert _evaluate(world, job, vendor).notes == ("the samples were made anew from spec demo",)
    newer = world.job(4)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(newer)
    assert _evaluate(world, newer, f"{newer.id}/1").notes == (f"the samples and fp32 are those of job {newer.id}",)
    with pytest.raises(ModelError, match=f"job {job.id} was searched with"):
        _evaluate(world, newer, f"{newer.id}/1", f"{job.id}/1")


def test_what_is_made_for_one_evaluation_is_fp32_only_and_nothing_of_it_stays(
    searched: tuple[Evaluator, Job],
) -> None:
    world, job = searched
    before = _files(world.folder / "artifacts")
    for _ in range(2):
        _evaluate(world, job, str(world.folder / "vendor.onnx"))
    assert _files(world.folder / "artifacts") == before
    assert [order.choices for order in world.prepares[1:]] == [(Choice.FP32,)] * 2


def test_what_limits_a_search_limits_no_evaluation(searched: tuple[Evaluator, Job]) -> None:
    world, job = searched
    limits = replace(job.spec.constraints, size_bytes=1)
    pins = replace(job.spec.space, pin={"no-such-layer": Choice.TERNARY})
    view = _evaluate(world, job, str(world.folder / "vendor.onnx"), constraints=limits, space=pins)
    assert (view.limit, view.keeps) == (limits.drop, {0: True})


def test_without_a_job_that_was_asked_the_same_the_samples_are_made_anew(searched: tuple[Evaluator, Job]) -> None:
    world, job = searched
    view = _evaluate(world, job, str(world.folder / "vendor.onnx"))
    assert world.kinds[WorkKind.MATERIALIZE] == world.kinds[WorkKind.PREPARE] == 2
    assert view.notes == ("the samples were made anew from spec demo",)
    view = _evaluate(world, job, "@last/1", task="mine:other")
    assert world.kinds[WorkKind.MATERIALIZE] == 3
    assert view.notes[1] == f"job {job.id} was searched with another model, other data or another target"
    assert len(world.ledger.jobs()) == 1, "an evaluation is no job"


def test_samples_of_a_job_are_not_taken_when_the_data_was_written_after_it(searched: tuple[Evaluator, Job]) -> None:
    world, job = searched
    data = world.folder / "data.npz"
    data.touch()
    before = job.created.timestamp() - 60
    os.utime(data, (before, before))
    own = replace(job, spec=replace(job.spec, data=DataRef(path=str(data))))
    asked = Asked(spec=own.spec, target=TARGET, models=("x",), tier=Tier.QUICK)
    assert changed_since([own], asked) == ()
    os.utime(data)
    assert changed_since([own, own], asked) == (job.id,)


def test_what_is_not_there_is_refused_before_anything_is_started(searched: tuple[Evaluator, Job]) -> None:
    world, job = searched
    before = Counter(world.kinds)
    with pytest.raises(NotFound):
        _evaluate(world, job, "@last/1", "@last/77")
    with pytest.raises(ModelError, match=r"no file .*gone\.onnx"):
        _evaluate(world, job, "@last/1", str(world.folder / "gone.onnx"))
    assert world.kinds == before


def test_more_files_and_a_slower_fp32_are_waited_for_longer(searched: tuple[Evaluator, Job]) -> None:
    world, job = searched
    with world.place() as place:
        ready = ready_for(place, job, TARGET)
    two, fourteen = deadline_s(ready, 1, Tier.FINAL), deadline_s(ready, 13, Tier.FINAL)
    assert fourteen > 5 * (two - LOCK_WAIT_S)
    assert deadline_s(ready, 1, Tier.QUICK) < two
    slow = replace(ready, prepared=replace(ready.prepared, seconds={"reference": 100.0}))
    assert deadline_s(slow, 1, Tier.FINAL) > two + 2 * SLOWER * 99

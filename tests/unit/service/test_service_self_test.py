"""The self-test on imagined machines, and a job that learns from its own fp32 against fp32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from driver_world import TARGET, World

from qsearch.cluster.memory import IMAGINED, MemoryPool
from qsearch.contracts.bench import BenchOrder, BenchResult
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import ModelError
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import ArmRun, Block, Sitting, Tier
from qsearch.contracts.work import FinalOrder, Outcome, TrialOrder, Work
from qsearch.measure.latency import summarise
from qsearch.service.driver import Driver
from qsearch.service.noise import keep_noise, known_luck
from qsearch.service.self_test import STALE, SelfTest, known_noise, self_test
from qsearch.service.workplace import Workplace
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.memory import MemoryLedger
from tests.factories import make_latency

KEY = IMAGINED.machine.key


def equal(seed: int, *, luck: float = 0.004, rejected: str = "", runtime_key: str = "1") -> Sitting:
    """A screen of one file against itself on the imagined machine."""
    rng = np.random.default_rng(seed)
    place = replace(World(Path())._circumstances(), runtime_key=runtime_key)
    blocks = []
    for session in range(2):
        fate = dict(zip(("0", "1"), np.exp(rng.normal(0, luck, 2)), strict=True))
        for number in range(4):
            for order, arm in enumerate(("0", "1")):
                sample = int(5e6 * fate[arm] * np.exp(rng.normal(0, 0.003)))
                where = {"session": session, "round": number, "order": 2 * number + order}
                blocks.append(Block(arm=arm, samples_ns=(sample,) * 3, rejected=rejected, **where))
    runs = tuple(
        ArmRun(
            arm=arm,
            session=session,
            model_sha256="ab" * 32,
            load_ms=1,
            first_ms=1,
            warmup_s=1,
            steady=True,
            peak_rss_bytes=1,
            circumstances=place,
        )
        for session in range(2)
        for arm in ("0", "1")
    )
    return Sitting(tier=Tier.SCREEN, reference="0", runs=runs, blocks=tuple(blocks), seconds=1)


@contextmanager
def workplace(
    folder: Path, ledger: Ledger, asked: list[BenchOrder], fails: str = "", **machine: object
) -> Iterator[Workplace]:
    def answer(work: Work) -> Outcome:
        assert isinstance(work.order, BenchOrder)
        asked.append(work.order)
        if work.order.target.name == fails:
            return Outcome(
                kind=work.kind,
                key=work.key,
                token=work.token,
                result=None,
                cause=Cause.BAD_MODEL,
                message="no runtime there",
            )
        sitting = equal(work.order.seed, **machine)  # type: ignore[arg-type]
        found = BenchResult(
            latencies={1: summarise(sitting, "1")}, sitting=sitting, circumstances=sitting.runs[0].circumstances
        )
        return Outcome(kind=work.kind, key=work.key, token=work.token, result=found)

    pool = MemoryPool(answer, [replace(IMAGINED, runtimes={"onnxruntime": "1"})])
    yield Workplace(ledger=ledger, artifacts=ArtifactStore(folder, ledger), pool=pool, scratch=folder)
    pool.close()


def test_a_quiet_machine_is_told_its_floor_and_the_ledger_keeps_it(tmp_path: Path) -> None:
    ledger, asked = MemoryLedger(), list[BenchOrder]()
    with workplace(tmp_path, ledger, asked) as place:
        (check,) = self_test(place, SelfTest(targets=(TARGET,), sittings=8))
    assert [order.seed for order in asked] == list(range(8))
    assert {order.models for order in asked} == {()}
    assert (check.name, check.status) == ("noise, here", "ok")
    assert "16 sessions in 8 sittings" in check.finding
    assert "cannot be seen in one screen here" in check.finding
    (floor,) = ledger.noise(KEY)
    assert (floor.source, floor.model, floor.sittings) == ("self-test:1", "built-in yardstick", 8)
    (luck,) = known_luck(ledger, KEY)
    assert (luck.sessions, luck.runtime_key) == (16, "1")
    assert known_luck(ledger, "another") == ()


def test_a_model_of_ones_own_is_another_series(tmp_path: Path) -> None:
    ledger, asked = MemoryLedger(), list[BenchOrder]()
    model = tmp_path / "mine.onnx"
    with workplace(tmp_path, ledger, asked) as place:
        with pytest.raises(ModelError, match=r"no file .*mine\.onnx"):
            self_test(place, SelfTest(targets=(TARGET,), model=str(model)))
        model.touch()
        self_test(place, SelfTest(targets=(TARGET,), sittings=2))
    with workplace(tmp_path, ledger, asked) as place:
        self_test(place, SelfTest(targets=(TARGET,), model=str(model), sittings=2))
    assert asked[-1].models == (str(model),) * 2
    assert {floor.source: floor.model for floor in ledger.noise(KEY)} == {
        "self-test:1": "built-in yardstick",
        "self-test:2": "mine.onnx",
    }
    assert known_luck(ledger, KEY)[0].sessions == 8


def test_a_target_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    lost = replace(TARGET, name="elsewhere")
    targets = (TARGET, lost, replace(TARGET, name="again"))
    with workplace(tmp_path, MemoryLedger(), [], fails="elsewhere") as place:
        first, second, third = self_test(place, SelfTest(targets=targets, sittings=2))
    assert [check.name for check in (first, second, third)] == ["noise, here", "noise, elsewhere", "noise, again"]
    assert [check.status for check in (first, second, third)] == ["ok", "problem", "ok"]
    assert "no runtime there" in second.finding


def test_a_restless_machine_is_warned_of(tmp_path: Path) -> None:
    with workplace(tmp_path, MemoryLedger(), [], luck=0.06) as place:
        (check,) = self_test(place, SelfTest(targets=(TARGET,), sittings=6))
    assert check.status == "warning"
    assert check.advice


def test_a_polluted_machine_shows_nothing_and_nothing_is_kept(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    with workplace(tmp_path, ledger, [], rejected="steal") as place:
        (check,) = self_test(place, SelfTest(targets=(TARGET,), sittings=2))
    assert check.status == "problem", "it was asked to learn, and did not"
    assert "rejected" in check.finding
    assert list(ledger.noise(KEY)) == []


def test_doctor_says_when_nothing_is_known_and_when_it_is_old() -> None:
    ledger = MemoryLedger()
    unknown = known_noise(ledger, KEY)
    assert (unknown.status, "self-test" in unknown.advice) == ("warning", True)
    keep_noise(ledger, [equal(n) for n in range(6)], "self-test", "yardstick")
    keep_noise(ledger, [equal(n, runtime_key="2") for n in range(2)], "self-test", "yardstick")
    known = known_noise(ledger, KEY)
    assert (known.status, known.advice) == ("ok", "")
    assert "from 12 A/A sessions" in known.finding
    assert "from 4 A/A sessions" in known.finding
    later = datetime.now(UTC) + STALE + timedelta(days=1)
    assert known_noise(ledger, KEY, later).status == "warning"


class LearningWorld(World):
    """Trial 0 is fp32 against fp32, and sits as that."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.told: dict[str, tuple[int, ...]] = {}

    def _answer(self, work: Work) -> Outcome:
        outcome = super()._answer(work)
        if isinstance(work.order, TrialOrder | FinalOrder):
            self.told[work.key.partition("/")[2]] = tuple(luck.sessions for luck in work.order.luck)
        if isinstance(work.order, TrialOrder):
            same = set(work.order.candidate.choices.values()) == {"fp32"}
            sitting = equal(1) if same else replace(equal(1), runs=())
            latency = make_latency() if same else outcome.result.latency  # type: ignore[union-attr]
            return replace(outcome, result=replace(outcome.result, sitting=sitting, latency=latency))  # type: ignore[arg-type,type-var]
        return outcome


def test_a_job_learns_from_its_own_reference_and_from_earlier_jobs(tmp_path: Path) -> None:
    world = LearningWorld(tmp_path)
    first = world.job(trials=4)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(first)
    assert [floor.source for floor in world.ledger.noise(KEY)] == [f"{first.id}/0"]
    assert world.told["0"] == ()
    assert world.told["1"] == world.told["final:here"] == (2,)
    second = world.job(trials=2)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(second)
    assert world.told["0"] == (2,)
    assert known_luck(world.ledger, KEY)[0].sessions == 4

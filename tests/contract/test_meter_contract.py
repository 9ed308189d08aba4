"""What every `Meter` promises, on real children."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.codec import from_data, to_data
from qsearch.contracts.errors import UsageError
from qsearch.contracts.measurement import Sitting, Tier
from qsearch.contracts.meter import Arm, Meter
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Verdict
from qsearch.measure.latency import summarise
from workers.sitting import ChildMeter

pytestmark = pytest.mark.noisy

SIZE = 256


@pytest.fixture(scope="module")
def make_arm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Arm]:
    from qsearch.measure.samples import write_samples

    folder = tmp_path_factory.mktemp("arms")
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.standard_normal((64, SIZE)).astype(np.float32)} for _ in range(6)]
    write_samples(folder / "s.npz", feeds, {}, [64] * 6)

    def make(name: str, layers: int) -> Arm:
        weights = [(rng.standard_normal((SIZE, SIZE)) / 16).astype(np.float32) for _ in range(layers)]
        names = ["x", *(f"t{i}" for i in range(1, layers)), "y"]
        graph = helper.make_graph(
            [helper.make_node("MatMul", [names[i], f"W{i}"], [names[i + 1]]) for i in range(layers)],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", SIZE])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", SIZE])],
            [numpy_helper.from_array(w, f"W{i}") for i, w in enumerate(weights)],
        )
        model = folder / f"{name}.onnx"
        save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), model)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        return Arm(name=name, model=model, sha256=digest, target=Target(name="t"), samples=folder / "s.npz")

    return make


@pytest.fixture(scope="module", params=[ChildMeter])
def meter(request: pytest.FixtureRequest) -> Meter:
    made: Meter = request.param()
    return made


@pytest.fixture(scope="module")
def sitting(meter: Meter, make_arm: Callable[[str, int], Arm]) -> Sitting:
    return meter.sit([make_arm("R", 4), make_arm("C", 12)], Tier.SCREEN, seed=1)


def test_every_arm_of_a_session_is_reported_with_what_it_loaded(
    sitting: Sitting, make_arm: Callable[[str, int], Arm]
) -> None:
    assert [(run.arm, run.session) for run in sitting.runs] == [("R", 0), ("C", 0), ("R", 1), ("C", 1)]
    assert len({run.model_sha256 for run in sitting.runs}) == 2
    assert all(min(run.load_ms, run.first_ms, run.warmup_s, run.peak_rss_bytes) > 0 for run in sitting.runs)
    assert len({run.circumstances.machine_key for run in sitting.runs}) == 1
    assert {run.circumstances.details["omp_num_threads"] for run in sitting.runs} == {"1"}
    assert all("nice" in run.circumstances.details for run in sitting.runs)
    assert sitting.reference == "R"
    assert sitting.tier is Tier.SCREEN


def test_rounds_hold_every_arm_once_with_equal_work_and_come_as_abba(sitting: Sitting) -> None:
    for session in (0, 1):
        blocks = [b for b in sitting.blocks if b.session == session]
        assert [b.order for b in blocks] == list(range(len(blocks)))
        orders = [[b.arm for b in blocks[i : i + 2]] for i in range(0, len(blocks), 2)]
        assert len(orders) % 2 == 0
        assert all(first == second[::-1] for first, second in list(pairwise(orders))[::2])
        assert all(len({len(b.samples_ns) for b in blocks[i : i + 4]}) == 1 for i in range(0, len(blocks), 4))
        assert min(len(b.samples_ns) for b in blocks) >= 3
        assert all(b.cycle == 1 and b.group >= 1 for b in blocks)
    first = [b.arm for b in sitting.blocks if b.order == 0]
    assert sorted(first) == ["C", "R"]


def test_three_times_the_work_is_slower_or_the_machine_was_polluted(sitting: Sitting) -> None:
    found = summarise(sitting, "C")
    assert found.verdict in (Verdict.SLOWER, Verdict.POLLUTED)
    assert 1.5 < found.ratio.value < 6
    assert found.ratio.low <= found.ratio.value <= found.ratio.high
    assert "session_effect_assumed" in found.flags


def test_a_sitting_crosses_a_wire_whole(sitting: Sitting) -> None:
    again = from_data(Sitting, to_data(sitting))
    assert again == sitting
    assert summarise(again, "C") == summarise(sitting, "C")


def test_several_arms_are_measured_in_one_sitting(meter: Meter, make_arm: Callable[[str, int], Arm]) -> None:
    found = meter.sit([make_arm("R", 3), make_arm("A", 6), make_arm("B", 12)], Tier.QUICK, seed=0)
    assert {run.arm for run in found.runs} == {"R", "A", "B"}
    assert all(
        {b.arm for b in found.blocks if b.round == r} == {"R", "A", "B"} for r in {b.round for b in found.blocks}
    )
    assert summarise(found, "B", against="A").ratio.value > 1.2


def test_names_must_differ(meter: Meter, make_arm: Callable[[str, int], Arm]) -> None:
    with pytest.raises(UsageError):
        meter.sit([make_arm("R", 1), make_arm("R", 1)], Tier.QUICK, seed=0)

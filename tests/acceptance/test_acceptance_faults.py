"""Every fault, wherever it strikes: a failure with its cause, in time; the same worker goes on; nothing is left."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.work import WorkKind
from tests.acceptance.fault_models import GREED, LOOP, write_endless, write_greedy
from tests.acceptance.faults import Shop, Shot, wrong

pytestmark = pytest.mark.noisy

CRASHES = ("SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE", "SIGBUS")
#: what the unit tests show too is tried in a real worker by the slow runs
UNUSUAL = ("SIGFPE", "SIGBUS", "exit", "objects", "nothing", "text")
#: fault of the user's task → cause, and words of the message
TASKS = {
    "hang": (Cause.TIMEOUT, "faulty:task did not answer"),
    "raise": (Cause.USER_ERROR, "KeyError: 'boom' at faulty.py:"),
    "flood": (Cause.USER_ERROR, "said enough at faulty.py:"),
    "exit": (Cause.USER_ERROR, "SystemExit: 3 at faulty.py:"),
    "vanish": (Cause.USER_ERROR, "exited with 3"),
    "segfault": (Cause.NATIVE_CRASH, "SIGSEGV"),
    "allocate": (Cause.OUT_OF_MEMORY, "MemoryError"),
    "stray": (Cause.USER_ERROR, "gone astray"),
    "unmade": (Cause.USER_ERROR, "all is changed"),
    "nan": (Cause.USER_ERROR, "holds NaN or infinity"),
    "objects": (Cause.USER_ERROR, "dtype object"),
    "nothing": (Cause.USER_ERROR, "has no samples"),
    "text": (Cause.USER_ERROR, "returned str; expected"),
}
SCORES = {
    "hang": (Cause.TIMEOUT, "faulty:score did not answer"),
    "raise": (Cause.USER_ERROR, "faulty:score failed: KeyError: 'boom' at faulty.py:"),
    "nan": (Cause.USER_ERROR, "faulty:score returned outcomes that are not finite"),
    "flood": (Cause.USER_ERROR, "said enough at faulty.py:"),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop(tmp_path_factory.mktemp("faults") / "shop") as open_shop:
        yield open_shop
        # the last word of every run: the worker that has seen all of it measures
        open_shop.fault("")
        good = open_shop.do(WorkKind.TRIAL, open_shop.trial())
        assert good.result is not None, wrong(good)


def each(kinds: Iterable[str]) -> list[object]:
    return [pytest.param(k, marks=pytest.mark.slow) if k in UNUSUAL else k for k in kinds]


@pytest.fixture(params=[1, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def times(request: pytest.FixtureRequest) -> int:
    """How often a fault is tried in a row."""
    return 50 if request.param > 1 and request.config.getoption("--full") else int(request.param)


@pytest.mark.parametrize("name", each(CRASHES))
def test_a_measuring_child_that_crashes(shop: Shop, times: int, name: str) -> None:
    before = shop.left()
    with shop.poisoned(LOOP):
        for _ in range(times):
            shot = Shot(shop, signal.Signals[name])
            found = shop.do(WorkKind.TRIAL, shop.trial(), meanwhile=shot)
            assert found.cause is Cause.NATIVE_CRASH, wrong(found)
            assert f"died by {name}" in found.message
            assert "Fatal Python error" in found.tail
    shop.must_be(before)


def test_a_candidate_that_loops_for_ever(shop: Shop, times: int) -> None:
    before = shop.left()
    with shop.poisoned(LOOP):
        for _ in range(times):
            found = shop.do(WorkKind.TRIAL, shop.trial(), deadline_s=3.0)
            assert found.cause is Cause.TIMEOUT, wrong(found)
            assert "gave no answer" in found.message
    shop.must_be(before)


def test_a_candidate_that_asks_for_256_gib(shop: Shop, times: int) -> None:
    before = shop.left()
    with shop.poisoned(GREED):
        for _ in range(times):
            found = shop.do(WorkKind.TRIAL, shop.trial())
            assert found.cause is Cause.OUT_OF_MEMORY, wrong(found)
    shop.must_be(before)


@pytest.mark.parametrize(("poison", "cause"), [(LOOP, Cause.TIMEOUT), (GREED, Cause.OUT_OF_MEMORY)])
def test_a_predicting_child(shop: Shop, times: int, poison: float, cause: Cause) -> None:
    before = shop.left()
    with shop.poisoned(poison):
        for _ in range(times):
            # eval runs the samples in a child before it times them
            order = shop.evaluate(shop.folder / "model.onnx")
            found = shop.do(WorkKind.EVAL, order, deadline_s=3.0 if cause is Cause.TIMEOUT else 60.0)
            assert found.cause is cause, wrong(found)
    shop.must_be(before)


def test_the_smallest_files_that_never_end_or_want_everything(shop: Shop, times: int, tmp_path: Path) -> None:
    assert write_endless(tmp_path / "endless.onnx") <= 248
    assert write_greedy(tmp_path / "greedy.onnx") <= 68
    endless = shop.bench(tmp_path / "endless.onnx", np.ones(16, np.float32))
    before = shop.left()
    for _ in range(times):
        found = shop.do(WorkKind.BENCH, endless, deadline_s=3.0)
        assert found.cause is Cause.TIMEOUT, wrong(found)
    greedy = shop.bench(tmp_path / "greedy.onnx", np.full(16, 2**36))
    for _ in range(times):
        found = shop.do(WorkKind.BENCH, greedy)
        assert found.cause is Cause.OUT_OF_MEMORY, wrong(found)
    shop.must_be(before)


@pytest.mark.parametrize("kind", each(TASKS))
def test_task_code(shop: Shop, times: int, kind: str) -> None:
    before = shop.left()
    shop.fault(kind)
    for _ in range(times):
        found = shop.do(WorkKind.MATERIALIZE, shop.materialize(), deadline_s=2.0 if kind == "hang" else 60.0)
        assert (found.cause, TASKS[kind][1] in found.message) == (TASKS[kind][0], True), wrong(found)
        assert len(found.tail) < 20_000
    shop.fault("")
    shop.must_be(before)


@pytest.mark.parametrize("kind", SCORES)
def test_scoring_code(shop: Shop, times: int, kind: str) -> None:
    before = shop.left()
    shop.fault(kind)
    for _ in range(times):
        found = shop.do(WorkKind.PREPARE, shop.prepare(), deadline_s=4.0 if kind == "hang" else 60.0)
        assert (found.cause, SCORES[kind][1] in found.message) == (SCORES[kind][0], True), wrong(found)
    shop.fault("")
    shop.must_be(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "cause"), [("raise", Cause.USER_ERROR), ("length", Cause.USER_ERROR), ("text", Cause.USER_ERROR)]
)
def test_scoring_code_that_fails_for_a_candidate(shop: Shop, times: int, kind: str, cause: Cause) -> None:
    before = shop.left()
    shop.fault(kind)
    for _ in range(times):
        found = shop.do(WorkKind.TRIAL, shop.trial())
        assert found.cause is cause, wrong(found)
    shop.fault("")
    shop.must_be(before)

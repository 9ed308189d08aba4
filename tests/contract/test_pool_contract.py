"""One suite for the port `Pool`, run over every implementation with real processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from qsearch.cluster.local import LocalPool
from qsearch.cluster.memory import IMAGINED, MemoryPool
from qsearch.contracts.bench import BenchOrder, BenchResult
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import Unsupported, UsageError, WorkFailed
from qsearch.contracts.pool import Pool
from qsearch.contracts.target import Target
from qsearch.contracts.work import Outcome, Work
from workers.wire import WorkerOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "workers"))

from pool_performer import HERE, TARGET, piece, result

OPTIONS = WorkerOptions(performer="pool_performer:perform", environment={"PYTHONPATH": HERE})
#: an implementation, opened with two slots
Open = Callable[[Path], Pool]


def _local(scratch: Path) -> Pool:
    return LocalPool(2, scratch=scratch, options=OPTIONS)


def _memory(scratch: Path) -> Pool:
    return MemoryPool(_imitate, (IMAGINED, IMAGINED))


def _ray(scratch: Path) -> Pool:
    from qsearch.cluster.ray_pool import RayPool

    return RayPool(slots=2, scratch=scratch, options=OPTIONS)


#: a death and its cause: machine code's own crash, or somebody else's kill
DEATHS = {"die:SIGKILL": Cause.INFRA, "die:SIGSEGV": Cause.NATIVE_CRASH, "die:SIGABRT": Cause.NATIVE_CRASH}


def _imitate(work: Work) -> Outcome:
    """What `pool_performer` does, without a process; time is what the outcome says."""
    order = work.order
    assert isinstance(order, BenchOrder)
    deed, _, argument = order.data.partition(":")
    if deed == "die":
        raise WorkFailed(DEATHS[f"die:{argument}"], f"killed by {argument}", tail="about to die")
    if deed == "raise":
        raise WorkFailed(Cause.USER_ERROR, "the task raised")
    note, seconds = {"echo": (argument, 0.1), "flood": ("flooded", 1.0), "family": ("", 300.0)}[deed]
    return Outcome(kind=work.kind, key=work.key, token=work.token, result=result(note), host="memory", seconds=seconds)


@pytest.fixture(
    scope="module", params=["memory", "local", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.timeout(300)])]
)
def opened(request: pytest.FixtureRequest) -> Open:
    implementations: dict[str, Open] = {"memory": _memory, "local": _local, "ray": _ray}
    return implementations[request.param]


@pytest.fixture(scope="module")
def pool(opened: Open, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One pool for all tests: what one leaves behind, the next would find."""
    made = opened(tmp_path_factory.mktemp("pool"))
    yield made
    made.close()


def test_capacity_answers_at_once_who_is_there(pool: Pool) -> None:
    slots = pool.capacity()
    assert len(slots) == 2
    assert all(slot.runtimes["onnxruntime"] and slot.machine.cores >= 1 for slot in slots)


def test_every_piece_comes_back_exactly_once(pool: Pool, tmp_path: Path) -> None:
    works = [piece(f"echo:{n}", tmp_path, key=f"once/{n}", token=n) for n in range(12)]
    for work in works:
        pool.submit(work, TARGET)
    outcomes = collect(pool, len(works))
    assert sorted((o.key, o.token) for o in outcomes) == sorted((w.key, w.token) for w in works)
    for outcome in outcomes:
        assert outcome.cause is None
        assert isinstance(outcome.result, BenchResult)
        assert outcome.result == result(str(outcome.token))
        assert outcome.host
    assert pool.results(0.2) == []


def test_worker_that_is_killed_is_an_outcome_and_the_next_piece_runs(pool: Pool, tmp_path: Path) -> None:
    works = [(piece(d, tmp_path, key=f"kill/{d}"), cause) for d, cause in DEATHS.items()]
    for work, _ in works:
        pool.submit(work, TARGET)
    pool.submit(piece("echo:alive", tmp_path), TARGET)
    outcomes = {o.key: o for o in collect(pool, 4)}
    for work, cause in works:
        assert outcomes[work.key].cause is cause
        assert outcomes[work.key].result is None
        assert "SIG" in outcomes[work.key].message
        assert "about to die" in outcomes[work.key].tail
    assert outcomes["job/echo:alive"].cause is None


def test_work_that_raises_has_its_cause(pool: Pool, tmp_path: Path) -> None:
    pool.submit(piece("raise:task", tmp_path), TARGET)
    (outcome,) = collect(pool, 1)
    assert (outcome.cause, outcome.message) == (Cause.USER_ERROR, "the task raised")


def test_deadline_is_a_timeout_and_leaves_nobody(pool: Pool, tmp_path: Path) -> None:
    pool.submit(piece("family:hang", tmp_path, key="late", deadline_s=2.0), TARGET)
    pool.submit(piece("echo:meanwhile", tmp_path), TARGET)
    outcomes = {o.key: o for o in collect(pool, 2)}
    assert outcomes["late"].cause is Cause.TIMEOUT
    assert outcomes["job/echo:meanwhile"].cause is None
    assert nobody_of(tmp_path)


def test_cancel_reaches_what_runs_and_what_waits(pool: Pool, tmp_path: Path) -> None:
    for n in range(4):
        pool.submit(piece("family:hang", tmp_path / str(n), key=f"cancel/{n}"), TARGET)
    running(pool, tmp_path, 2)
    for n in range(4):
        pool.cancel(f"cancel/{n}")
    pool.cancel("nobody knows this one")
    outcomes = collect(pool, 4)
    assert sorted(o.key for o in outcomes) == [f"cancel/{n}" for n in range(4)]
    assert {o.cause for o in outcomes} == {Cause.CANCELLED}
    assert nobody_of(tmp_path)
    pool.submit(piece("echo:after", tmp_path), TARGET)
    assert collect(pool, 1)[0].cause is None


def test_cancelled_key_can_be_tried_again(pool: Pool, tmp_path: Path) -> None:
    pool.submit(piece("family:hang", tmp_path, key="again", token=1), TARGET)
    running(pool, tmp_path, 1)
    pool.cancel("again")
    pool.submit(piece("echo:second", tmp_path, key="again", token=2), TARGET)
    assert {(o.token, o.cause) for o in collect(pool, 2)} == {(1, Cause.CANCELLED), (2, None)}


def test_unmatched_target_is_refused_at_once_with_every_reason(pool: Pool, tmp_path: Path) -> None:
    for target, reason in [
        (Target(name="phone", runtime="tflite"), "no runtime tflite"),
        (Target(name="arm", labels={"isa": "sve9"}), "the target asks sve9"),
        (Target(name="wide", threads=4096), "asks 4096 threads"),
    ]:
        with pytest.raises(Unsupported, match=f"target {target.name}: .*{reason}"):
            pool.submit(piece("echo", tmp_path, key=target.name), target)
    assert pool.results(0.1) == []


def test_attempt_is_accepted_once(pool: Pool, tmp_path: Path) -> None:
    work = piece("echo:twice", tmp_path, key="twice")
    pool.submit(work, TARGET)
    with pytest.raises(UsageError, match="at most once"):
        pool.submit(work, TARGET)
    assert len(collect(pool, 1)) == 1
    with pytest.raises(UsageError, match="at most once"):
        pool.submit(work, TARGET)


def test_flood_of_output_does_not_break_the_protocol(pool: Pool, tmp_path: Path) -> None:
    pool.submit(piece("flood", tmp_path), TARGET)
    (outcome,) = collect(pool, 1)
    assert (outcome.key, outcome.result) == ("job/flood", result("flooded"))


def test_pools_do_not_see_each_others_work(pool: Pool, opened: Open, tmp_path: Path) -> None:
    if type(pool).__name__ == "RayPool":
        pytest.skip("two pools need four slots: tests/integration/test_ray_pool.py")
    other = opened(tmp_path / "other")
    try:
        pool.submit(piece("echo:mine", tmp_path, key="same key"), TARGET)
        other.submit(piece("echo:theirs", tmp_path, key="same key"), TARGET)
        assert [o.result for o in collect(pool, 1)] == [result("mine")]
        assert [o.result for o in collect(other, 1)] == [result("theirs")]
    finally:
        other.close()


def test_close_is_final_and_leaves_no_process(pool: Pool, tmp_path: Path) -> None:
    # the last test of the suite: the pool is used up
    # the tests' own PostgreSQL server, if there is one, lives on
    before = {p for p in psutil.Process().children(recursive=True) if p.name() != "postgres"}
    pool.submit(piece("family:hang", tmp_path), TARGET)
    running(pool, tmp_path, 1)
    pool.close()
    pool.close()
    assert nobody_of(tmp_path)
    assert eventually(lambda: not [p for p in before if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    with pytest.raises(UsageError, match="closed"):
        pool.results(0.0)


def collect(pool: Pool, count: int, patience_s: float = 60.0) -> Sequence[Outcome]:
    found: list[Outcome] = []
    until = time.monotonic() + patience_s
    while len(found) < count and time.monotonic() < until:
        found += pool.results(1.0)
    assert len(found) == count
    return found


def running(pool: Pool, folder: Path, count: int) -> None:
    """Wait until so many pieces have said that they run; in memory they run as soon as they are asked for."""
    if isinstance(pool, MemoryPool):
        return
    assert eventually(lambda: not pool.results(0.05) and len(list(folder.rglob("pids"))) >= count)


def nobody_of(folder: Path) -> bool:
    pids = [int(pid) for file in folder.rglob("pids") for pid in file.read_text().split()]
    return eventually(lambda: not any(_lives(pid) for pid in pids))


def eventually(holds: Callable[[], bool], patience_s: float = 60.0) -> bool:
    until = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""The Ray pool's own promises, on one real local Ray; what all pools promise is in tests/contract."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from qsearch.cluster.ray_pool import RayPool
from qsearch.contracts.bench import BenchResult
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import Unreachable
from qsearch.contracts.work import Outcome
from workers.wire import WorkerOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "workers"))

from pool_performer import HERE, TARGET, piece, result

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
OPTIONS = WorkerOptions(performer="pool_performer:perform", environment={"PYTHONPATH": HERE})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayPool]:
    """The pool that owns the local Ray; it has one slot."""
    pool = RayPool(scratch=tmp_path_factory.mktemp("ray"), options=OPTIONS, start_s=60.0)
    yield pool
    pool.close()
    assert not _ray_processes()


def test_rays_own_environment_and_niceness_do_not_reach_the_worker(cluster: RayPool, tmp_path: Path) -> None:
    for name in ("OMP_NUM_THREADS", "RAY_AUTH_TOKEN"):
        cluster.submit(piece(f"environment:{name}", tmp_path), TARGET)
    for outcome in collect(cluster, 2):
        assert isinstance(outcome.result, BenchResult)
        (seen,) = outcome.result.latencies[1].flags
        assert seen in ("OMP_NUM_THREADS= nice=0", "RAY_AUTH_TOKEN= nice=0")


def test_ray_listens_on_loopback_only_and_demands_a_token(cluster: RayPool) -> None:
    import ray

    cluster.capacity()
    ours = {process.pid for process in psutil.Process().children(recursive=True)} | {os.getpid()}
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in ours}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    assert os.environ["RAY_AUTH_MODE"] == "token"
    stranger = {n: v for n, v in os.environ.items() if not n.startswith("RAY_")}
    wrong = {**stranger, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    assert "InvalidAuthToken" in _join(ray.get_runtime_context().gcs_address, wrong)


def test_actor_that_is_killed_is_an_outcome_and_a_new_one_comes(cluster: RayPool, tmp_path: Path) -> None:
    cluster.submit(piece("family:hang", tmp_path), TARGET)
    assert eventually(lambda: not cluster.results(0.05) and (tmp_path / "pids").exists())
    worker, *_ = (int(pid) for pid in (tmp_path / "pids").read_text().split())
    actor = psutil.Process(worker).parent()
    assert actor is not None
    actor.kill()
    (outcome,) = collect(cluster, 1)
    assert outcome.cause is Cause.INFRA
    assert "died" in outcome.message
    assert eventually(lambda: not any(_lives(int(pid)) for pid in (tmp_path / "pids").read_text().split()))
    cluster.submit(piece("echo:reborn", tmp_path), TARGET)
    assert [o.result for o in collect(cluster, 1)] == [result("reborn")]


def test_second_pool_waits_for_a_slot_with_a_deadline(cluster: RayPool, tmp_path: Path) -> None:
    cluster.capacity()
    second = RayPool(scratch=tmp_path, options=OPTIONS, start_s=3.0)
    try:
        with pytest.raises(Unreachable, match="no node gave a free qsearch_slot"):
            second.capacity()
    finally:
        second.close()
    # closing a guest leaves the cluster to its owner
    cluster.submit(piece("echo:still here", tmp_path), TARGET)
    assert collect(cluster, 1)[0].cause is None


def test_cluster_that_does_not_answer_is_unreachable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        assert f"no Ray cluster at {address}" in _join(address, {**os.environ, "RAY_AUTH_MODE": "disabled"})


def test_process_that_used_ray_without_tokens_before_is_refused_at_once() -> None:
    script = (
        "import ray._raylet; ray._raylet.get_authentication_mode()\n"
        "from qsearch.cluster.ray_cluster import RayCluster; from qsearch.contracts.errors import Unsupported\n"
        "import sys\n"
        "try: RayCluster()\n"
        "except Unsupported as error: sys.exit(error.message)"
    )
    environment = {n: v for n, v in os.environ.items() if not n.startswith("RAY_")}
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False).stderr
    assert "without token authentication before; RAY_AUTH_MODE=token comes too late" in said


def test_driver_that_is_killed_leaves_no_worker(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from pool_performer import HERE, TARGET, piece\n"
        "from qsearch.cluster.ray_pool import RayPool; from workers.wire import WorkerOptions\n"
        "pool = RayPool(scratch=Path(sys.argv[1]), options=WorkerOptions(performer='pool_performer:perform',"
        " environment={'PYTHONPATH': HERE}))\n"
        "pool.submit(piece('family:hang', Path(sys.argv[1])), TARGET)\n"
        "while True: pool.results(1.0)"
    )
    # short, because Ray's sockets lie in it; the killed driver cannot clean up
    folder = tempfile.mkdtemp(prefix="q")
    environment = {**os.environ, "PYTHONPATH": HERE, "TMPDIR": folder}
    driver = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=environment)
    try:
        assert eventually((tmp_path / "pids").exists, 120.0)
        started = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.kill()
        driver.wait()
        shutil.rmtree(folder, ignore_errors=True)
    ours = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert eventually(lambda: not any(_lives(pid) for pid in ours))
    # two of Ray's own agents go by themselves, a minute later; nobody has to wait for them
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _join(address: str, environment: dict[str, str]) -> str:
    """What a process of its own is told when it tries to join; quickly, or the test fails."""
    script = (
        "import sys; from qsearch.cluster.ray_pool import RayPool\n"
        "from qsearch.contracts.errors import Unreachable\n"
        "try: RayPool(sys.argv[1])\n"
        "except Unreachable as error: sys.exit(error.message)"
    )
    command = [sys.executable, "-c", script, address]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False).stderr


def collect(pool: RayPool, count: int, patience_s: float = 90.0) -> Sequence[Outcome]:
    found: list[Outcome] = []
    until = time.monotonic() + patience_s
    while len(found) < count and time.monotonic() < until:
        found += pool.results(1.0)
    assert len(found) == count
    return found


def eventually(holds: Callable[[], bool], patience_s: float = 60.0) -> bool:
    until = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _ray_processes() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "ray" in p.name() and _lives(p.pid)]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

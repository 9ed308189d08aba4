"""Pools by name, and what importing the room costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qsearch.cluster.local import LocalPool
from qsearch.cluster.memory import MemoryPool
from qsearch.cluster.pools import open_pool
from qsearch.cluster.ray_cluster import RayCluster
from qsearch.cluster.seats import SeatedPool
from qsearch.contracts.errors import NotFound, Unreachable, Unsupported, UsageError
from qsearch.contracts.target import Target
from workers.wire import WorkerOptions


def test_local_is_one_worker_in_its_scratch_folder(tmp_path: Path) -> None:
    pool = open_pool("local", scratch=tmp_path / "made")
    try:
        assert isinstance(pool, LocalPool)
        (slot,) = pool.capacity()
        assert slot.lacks(Target(name="here")) == ""
        assert (tmp_path / "made").is_dir()
    finally:
        pool.close()


def test_replay_opens_its_file(tmp_path: Path) -> None:
    slots = '[{"machine":{"host":"h","cpu":"c","isa":[],"cores":1,"virtualisation":"none"},"labels":{},"runtimes":{}}]'
    (tmp_path / "r.jsonl").write_text(f'{{"recording":1,"qsearch":"x","slots":{slots}}}\n')
    pool = open_pool(f"replay:{tmp_path / 'r.jsonl'}", scratch=tmp_path)
    assert isinstance(pool, MemoryPool)
    assert pool.capacity()[0].machine.host == "h"
    with pytest.raises(NotFound):
        open_pool(f"replay:{tmp_path / 'none'}", scratch=tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("locl", "Did you mean local?"), ("rya", "Did you mean ray?"), ("reply:x", "Did you mean replay:FILE?"), ("", "")],
)
def test_other_names_are_refused_with_the_near_one(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(UsageError, match="expected one of local, ray, replay:FILE") as refused:
        open_pool(name, scratch=tmp_path)
    assert refused.value.hint == hint


def test_address_without_ray_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="means nothing to the pool 'local'"):
        open_pool("local", scratch=tmp_path, ray_address="h:1")


@pytest.mark.parametrize("address", ["192.0.2.7:6379", "head:6379", "192.0.2.7"])
def test_open_cluster_on_another_host_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(Unsupported, match="token authentication is off"):
        RayCluster(address)


def test_ray_client_addresses_are_refused() -> None:
    with pytest.raises(Unsupported, match="Ray client"):
        RayCluster("ray://127.0.0.1:10001")


def test_workers_that_cannot_start_make_the_pool_unreachable(tmp_path: Path) -> None:
    # the interpreter itself refuses to start
    broken = WorkerOptions(environment={"PYTHONHOME": str(tmp_path)})
    pool = LocalPool(scratch=tmp_path, options=broken)
    try:
        with pytest.raises(Unreachable, match="3 times in a row"):
            pool.capacity()
    finally:
        pool.close()


def test_the_room_imports_no_ray_and_no_model_library() -> None:
    script = (
        "import sys, qsearch.cluster.pools, qsearch.cluster.ray_pool, workers.worker\n"
        "heavy = {'ray', 'onnx', 'onnx_ir', 'onnxruntime', 'torch', 'optuna', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_pool_that_does_not_say_how_to_wait_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="_wait"):
        SeatedPool([])  # type: ignore[abstract]

"""What a child may take: the free memory less a reserve, in a container the container's."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from workers.bounds import LEAST_BYTES, RESERVE_BYTES, bound, limit_memory, spare_memory

GIB = 1 << 30


def _group(folder: Path, limit: str, used: int, inactive: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")


def test_without_a_container_it_is_what_is_free_less_a_reserve(tmp_path: Path) -> None:
    free = psutil.virtual_memory().available
    found = spare_memory(tmp_path, tmp_path / "none")
    assert found < free - RESERVE_BYTES + GIB
    assert found >= LEAST_BYTES


def test_a_container_above_bounds_what_is_below(tmp_path: Path) -> None:
    mine = tmp_path / "cgroup"
    mine.write_text("0::/box/job\n")
    _group(tmp_path / "box", str(2 * GIB), GIB + (GIB >> 1), inactive=GIB >> 1)
    _group(tmp_path / "box" / "job", "max", GIB)
    assert spare_memory(tmp_path, mine) == GIB - RESERVE_BYTES
    _group(tmp_path / "box", str(2 * GIB), 2 * GIB)
    assert spare_memory(tmp_path, mine) == LEAST_BYTES


def test_version_1_of_control_groups_is_read_too(tmp_path: Path) -> None:
    mine = tmp_path / "cgroup"
    mine.write_text("7:cpu:/x\n4:memory:/x\n")
    folder = tmp_path / "memory" / "x"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(str(GIB))
    (folder / "memory.usage_in_bytes").write_text("0")
    assert spare_memory(tmp_path, mine) == GIB - RESERVE_BYTES


def test_a_bound_child_is_refused_what_is_not_there_and_goes_first() -> None:
    code = (
        "import resource; input(); print(resource.getrlimit(resource.RLIMIT_CORE)[0]);"
        "print(open('/proc/self/oom_score_adj').read().strip())\n"
        "try:\n    bytearray(1 << 45)\nexcept MemoryError:\n    print('refused')\nprint(len(bytearray(1 << 24)))"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        bound(child.pid)
        soft, _ = resource.prlimit(child.pid, resource.RLIMIT_DATA)
        assert LEAST_BYTES <= soft < psutil.virtual_memory().total
        said, _ = child.communicate("\n")
    assert said.split() == ["0", "1000", "refused", str(1 << 24)]


def test_a_lower_hard_limit_stays() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        resource.prlimit(child.pid, resource.RLIMIT_DATA, (GIB >> 2, GIB >> 2))
        limit_memory(child.pid)
        assert resource.prlimit(child.pid, resource.RLIMIT_DATA) == (GIB >> 2, GIB >> 2)
        child.communicate(b"\n")
    bound(child.pid)  # who is gone needs no limit


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_pools_that_reserve_much_and_use_little_still_work(threads: int) -> None:
    """Arenas and stacks are address space; what counts is what can be written."""
    code = (
        "import threading, mmap, numpy as np\n"
        f"def work():\n    np.ones((600, 600)) @ np.ones((600, 600))\n"
        f"crew = [threading.Thread(target=work) for _ in range({threads} * 8)]\n"
        "[t.start() for t in crew]; [t.join() for t in crew]\n"
        "held = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)\n"
        "print('fine')"
    )
    limit = GIB
    done = subprocess.run(
        ["sh", "-c", f'ulimit -d {limit >> 10}; exec {sys.executable} -I -c "$0"', code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "fine\n", done.stderr

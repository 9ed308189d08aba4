"""What travels with a submitted job, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.contracts.errors import Unsupported
from qsearch.contracts.job import JobSpec, ModelRef
from qsearch.service import travelling
from qsearch.service.travelling import copy_code, has_own_code


def spec(folder: Path, **changes: str) -> JobSpec:
    return JobSpec(name="j", model=ModelRef(path="m.onnx"), folder=str(folder), **changes)  # type: ignore[arg-type]


def test_only_a_task_that_lies_beside_the_spec_has_to_travel(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    (tmp_path / "package").mkdir()
    assert has_own_code(spec(tmp_path, task="mine:task"))
    assert has_own_code(spec(tmp_path, task="package.inner:task"))
    assert has_own_code(spec(tmp_path, metric="mine:score"))
    assert not has_own_code(spec(tmp_path, task="installed.mine:task"))
    assert not has_own_code(spec(tmp_path, metric="top1"))


def test_code_travels_and_models_data_settings_and_what_is_hidden_stay(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name in (
        "mine.py",
        "lib/part.py",
        "words.txt",
        "model.onnx",
        "model.onnx.data",
        "samples.npz",
        "qsearch.toml",
        ".env",
        ".git/config",
        ".qsearch/qsearch.db",
        ".venv/pyvenv.cfg",
        "venv/pyvenv.cfg",
        "lib/__pycache__/part.pyc",
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    (here / "large.bin").write_bytes(b"0" * (travelling.FILE_BYTES + 1))
    (here / "link.py").symlink_to("/etc/passwd")
    stayed = copy_code(here, there)
    assert {str(f.relative_to(there)) for f in there.rglob("*") if f.is_file()} == {
        "mine.py",
        "lib/part.py",
        "words.txt",
    }
    assert set(stayed) == {"large.bin", "model.onnx", "model.onnx.data", "samples.npz"}


def test_a_whole_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travelling, "ALL_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.py").touch()
    with pytest.raises(Unsupported, match="more than 3 files"):
        copy_code(tmp_path, tmp_path / "to")

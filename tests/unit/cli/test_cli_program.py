"""What to type next begins with the program as it was called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qsearch.cli.program import typed
from qsearch.contracts.errors import NotFound


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed qsearch in a folder that is not on PATH; the working folder is beside it."""
    file = tmp_path / ".venv" / "bin" / "qsearch"
    file.parent.mkdir(parents=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [".venv/bin/qsearch", "run"])
    return file


def test_off_the_path_it_is_typed_as_it_was_called(program: Path) -> None:
    assert typed("  qsearch show j1/4") == "  .venv/bin/qsearch show j1/4"
    assert typed("qsearch") == ".venv/bin/qsearch"
    assert typed("Give one of them.") == "Give one of them."
    assert typed("qsearches everywhere") == "qsearches everywhere"


def test_on_the_path_its_name_is_enough(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/nowhere{os.pathsep}{program.parent}")
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert typed("qsearch query") == "qsearch query"


def test_another_one_on_the_path_is_not_meant(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other" / "qsearch"
    other.parent.mkdir()
    other.write_bytes(program.read_bytes())
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert typed("qsearch query") == ".venv/bin/qsearch query"


def test_a_path_with_a_space_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my programs" / "qsearch"
    file.parent.mkdir()
    file.touch()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(file)])
    assert typed("qsearch query") == f"'{file}' query"


def test_what_run_and_errors_say_can_be_typed(qsearch, desk, program: Path) -> None:
    assert "  .venv/bin/qsearch export j1/best -o out --verify" in qsearch("run", "s.yaml").err
    desk.error = NotFound("no job j2", "qsearch jobs")
    assert qsearch("status", "j2").err.splitlines() == ["error: no job j2", ".venv/bin/qsearch jobs"]


def test_the_module_is_typed_as_a_module(tmp_path: Path) -> None:
    script = "import runpy, sys; from qsearch.cli.program import typed; print(typed('qsearch jobs'))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "qsearch jobs"
    (tmp_path / "qsearch.toml").touch()
    told = subprocess.run(
        [sys.executable, "-m", "qsearch", "init", "--example", "minilm"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PATH": "/nowhere"},
    )
    assert told.stderr.strip() == f"Next: {sys.executable} -m qsearch plan minilm.yaml"

"""Where no disk can be mounted the tests that need one say so; none of them hangs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance import small_disk

Unshare = Callable[[str], None]


@pytest.fixture
def unshare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unshare:
    """Make a program of this name that does what the words of a shell say."""

    def make(words: str) -> None:
        program = tmp_path / "bin" / "unshare"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{words}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)

    return make


def test_where_mounting_is_forbidden_the_way_around_is_named(
    request: pytest.FixtureRequest, unshare: Unshare, monkeypatch: pytest.MonkeyPatch
) -> None:
    unshare("echo 'unshare: Operation not permitted' >&2; exit 1")
    monkeypatch.delenv(small_disk.WITHOUT, raising=False)
    with pytest.raises(pytest.fail.Exception, match="not permitted; or set QSEARCH_TEST_WITHOUT_MOUNTS=1"):
        small_disk.run_inside(request.node)
    monkeypatch.setenv(small_disk.WITHOUT, "1")
    with pytest.raises(pytest.skip.Exception, match="not permitted"):
        small_disk.run_inside(request.node)


def test_where_there_is_no_unshare_too(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(small_disk.WITHOUT, "1")
    with pytest.raises(pytest.skip.Exception, match="No such file"):
        small_disk.run_inside(request.node)


def test_what_could_be_mounted_is_not_skipped(
    request: pytest.FixtureRequest, unshare: Unshare, monkeypatch: pytest.MonkeyPatch
) -> None:
    unshare('case "$*" in *tmpfs*) exit 0;; esac; echo it broke; exit 1')
    monkeypatch.setenv(small_disk.WITHOUT, "1")
    with pytest.raises(pytest.fail.Exception, match="it broke"):
        small_disk.run_inside(request.node)


def test_a_test_that_does_not_end_is_ended(
    request: pytest.FixtureRequest, unshare: Unshare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # what is ignored here stays ignored in the program that follows
    unshare(f"case \"$*\" in *tmpfs*) exit 0;; esac; trap '' INT; echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.setattr(small_disk, "LIMIT_S", 1.0)
    monkeypatch.setattr(small_disk, "GRACE_S", 0.3)
    with pytest.raises(subprocess.TimeoutExpired):
        small_disk.run_inside(request.node)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_submission_checks_may_not_skip_them(request: pytest.FixtureRequest) -> None:
    script = (request.config.rootpath / ".ci" / "run").read_text()
    (unset,) = [line for line in script.splitlines() if line.startswith("unset ")]
    assert small_disk.WITHOUT in unset.split()

"""A desk in memory behind the documented seam `main(desk_factory=...)`, and the command line run on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from cli_desk import MemoryDesk

from qsearch.cli.main import main


@dataclass(frozen=True)
class Ran:
    """What one command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryDesk]:
    """A desk that answers the records of `report_records`, in an empty folder and environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("NO_COLOR", "FORCE_COLOR", "QSEARCH_COLOR"):
        monkeypatch.delenv(name, raising=False)
    made = MemoryDesk()
    yield made
    assert made.opened == made.closed, "a desk was left open"


@pytest.fixture
def qsearch(desk: MemoryDesk, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line in this process."""

    def open_desk(flags: Mapping[str, str | None]) -> MemoryDesk:
        desk.flags = flags
        desk.opened += 1
        return desk

    def run(*argv: str) -> Ran:
        capsys.readouterr()
        code = main(argv, desk_factory=open_desk)
        seen = capsys.readouterr()
        return Ran(code, seen.out, seen.err)

    return run

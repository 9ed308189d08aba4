"""Fonts of the package matplotlib."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from qsearch.contracts.errors import TaskError
from qsearch.contracts.installing import install_hint
from qsearch.zoo.fonts import latin_fonts


def test_all_are_fonts_and_none_twice() -> None:
    files = latin_fonts()
    assert len(files) == len({file.read_bytes() for file in files}) == 16
    assert all(file.read_bytes()[:4] == b"\0\1\0\0" for file in files)


def test_matplotlib_is_not_imported() -> None:
    script = "import sys; from qsearch.zoo.fonts import latin_fonts; latin_fonts(); print('matplotlib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "False\n"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(TaskError, match="matplotlib, which is not installed") as refused:
        latin_fonts()
    assert refused.value.hint == install_hint("ocr")


def test_a_package_whose_fonts_were_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = latin_fonts()[0]
    folder = tmp_path / "matplotlib" / "mpl-data" / "fonts" / "ttf"
    folder.mkdir(parents=True)
    shutil.copy(kept, folder)
    info = tmp_path / "matplotlib-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: matplotlib\nVersion: 1\n")
    found = metadata.PathDistribution(info)
    monkeypatch.setattr(metadata, "distribution", lambda name: found)
    with pytest.raises(TaskError, match=r"expected 16 fonts in .*, DejaVuSans-Bold\.ttf, .*not found") as refused:
        latin_fonts()
    assert kept.name + "," not in refused.value.message

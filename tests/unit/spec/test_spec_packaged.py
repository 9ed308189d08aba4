"""Where configs are found: in a checkout, and in what a wheel unpacks to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import qsearch
from qsearch.spec.packaged import configs_folder

PROGRAM = """
from pathlib import Path
from qsearch.spec.packaged import configs_folder
from qsearch.spec.targets import list_targets
from qsearch.spec.template import write_example
print(configs_folder())
print(len(list_targets()))
print(write_example("minilm", Path("mine.yaml")).read_text().splitlines()[0])
"""


def test_a_checkout_has_them_beside_the_package() -> None:
    folder = configs_folder()
    assert (folder / "minilm.yaml").is_file()
    assert (folder / "schema" / "spec.json").is_file()


def test_an_installed_wheel_has_them_inside(tmp_path: Path) -> None:
    package = Path(qsearch.__file__).parent
    site = tmp_path / "site"
    for room in ("spec", "contracts"):
        shutil.copytree(package / room, site / "qsearch" / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(package / "__init__.py", site / "qsearch")
    shutil.copytree(configs_folder(), site / "qsearch" / "configs")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    inside = (site / "qsearch" / "configs").resolve()
    assert done.stdout.splitlines() == [
        str(inside),
        "7",
        f"# yaml-language-server: $schema={inside / 'schema' / 'spec.json'}",
    ]

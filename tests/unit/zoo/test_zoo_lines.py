"""Lines of text."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from qsearch.contracts.errors import TaskError
from qsearch.zoo.lines import LONGEST, SHORTEST, text_lines

SCRIPT = """
import sys
from pathlib import Path
from qsearch.zoo.lines import text_lines
print(text_lines(int(sys.argv[1]), 100, Path(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few modules: reading all of them takes seconds."""
    folder = tmp_path_factory.mktemp("library")
    for name in ("_pydecimal", "argparse", "datetime", "pathlib", "tarfile", "turtle"):
        shutil.copy(Path(sysconfig.get_path("stdlib"), f"{name}.py"), folder)
    return folder


def test_lines_are_distinct_and_of_the_lengths_told() -> None:
    lines = text_lines(1, 1500)
    assert len(lines) == len({"".join(line.split()).casefold() for line in lines}) == 1500
    assert {len(line) for line in lines} <= set(range(SHORTEST, LONGEST + 1))
    assert all(line.isascii() and line == line.strip() for line in lines)
    # prose, names and numbers are all there
    assert sum(" " in line for line in lines) > 300
    assert sum(any(c.isdigit() for c in line) and not any(c.islower() for c in line) for line in lines) > 150


def test_the_seed_alone_decides(library: Path) -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, seed, str(library)],
            env={"PYTHONHASHSEED": hashing},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed, hashing in [("1", "1"), ("1", "2"), ("2", "1")]
    ]
    assert outputs[0] == outputs[1] != outputs[2]


def test_fewer_lines_are_the_first_of_more(library: Path) -> None:
    assert text_lines(4, 20, library) == text_lines(4, 200, library)[:20]


def test_more_lines_than_there_is_text(library: Path) -> None:
    with pytest.raises(TaskError, match=r"expected 100000 lines .*, found \d{3}\n") as refused:
        text_lines(1, 100_000, library)
    assert "sources" in refused.value.hint

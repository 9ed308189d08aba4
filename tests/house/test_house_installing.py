"""Nothing sends anybody to the public index for `qsearch`, which is somebody else's package there."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path

from qsearch.contracts.installing import install_hint

ROOT = Path(__file__).parents[2]
PLACES = ("*.md", "Makefile", "configs/**/*.yaml", "configs/*.txt", "infra/**/*", "qsearch/**/*.py", "workers/**/*.py")
TEXTS = {file: file.read_text(encoding="utf-8") for place in PLACES for file in ROOT.glob(place) if file.is_file()}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def test_no_text_installs_the_strangers_package() -> None:
    assert len(TEXTS) > 100
    wrong = re.compile(r"\bqsearch\[(?![\"'])|pip3? install[^`\n]*\sqsearch\b", re.IGNORECASE)
    assert [(file.name, found[0]) for file, text in TEXTS.items() for found in wrong.finditer(text)] == []


def test_every_extra_that_is_named_exists() -> None:
    named = {name for text in TEXTS.values() for name in re.findall(r"install_hint\(\"(\w+)\"\)", text)}
    named |= {name for text in TEXTS.values() for name in re.findall(r"--editable [\"']\.\[(\w+)\]", text)}
    assert named >= {"ocr", "openvino", "plots", "postgres"}
    assert named <= set(EXTRAS)


def test_a_hint_names_this_interpreter_and_the_folder() -> None:
    said, _, line = install_hint("plots").partition(": ")
    assert said == "In the folder of QSearch"
    assert shlex.split(line) == [sys.executable, "-m", "pip", "install", "--editable", ".[plots]"]
    assert shlex.split(install_hint().partition(": ")[2])[-1] == "."

"""The rules of the house, executed: floors and doors, sizes of files, docstrings, forbidden words."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("qsearch", "workers")
SOURCES = sorted(f for package in PACKAGES for f in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def _ids(files: list[Path]) -> list[str]:
    return [str(f.relative_to(ROOT)) for f in files]


def test_floors_and_doors_hold() -> None:
    """Every import-linter contract of pyproject.toml is kept."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("file", SOURCES, ids=_ids(SOURCES))
def test_a_file_is_short_and_says_what_it_is(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    tree = ast.parse(text)
    if not text.strip():
        return
    assert ast.get_docstring(tree), "a module begins with what it is"
    for node in _public(tree):
        assert ast.get_docstring(node) or _is_protocol_stub(node), f"{node.name} is public and says nothing"


def test_no_room_is_a_drawer_for_everything() -> None:
    names = {f.stem for f in SOURCES}
    assert not names & {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


@pytest.mark.parametrize("file", SOURCES, ids=_ids(SOURCES))
def test_input_is_never_checked_by_assert_and_nothing_exits_below_the_command_line(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    if "cli" in file.parts:
        return
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in ("print", "exit")]


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports test modules by base name, and a reader finds them by it."""
    names = [f.name for f in TESTS if f.name.startswith("test_")]
    assert len(names) == len(set(names))


def test_nothing_of_the_workshop_is_left_in_the_product() -> None:
    """No absolute path of a developer's machine, and no unfinished work, in anything that ships."""
    marks = ("/" + "work/", "/" + "tmp/bg", "TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    shipped = [*SOURCES, *(ROOT / "configs").rglob("*.*"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    found = [(f.name, mark) for f in shipped for mark in marks if mark in f.read_text(encoding="utf-8")]
    assert not found


def _public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    m
                    for m in node.body
                    if isinstance(m, ast.FunctionDef) and not m.name.startswith("_") and m.name not in PROMISED
                )


def _promised() -> set[str]:
    """Methods of the ports: whoever implements one has its promises there."""
    ports = [ast.parse(f.read_text(encoding="utf-8")) for f in (ROOT / "qsearch" / "contracts").glob("*.py")]
    classes = [n for port in ports for n in port.body if isinstance(n, ast.ClassDef)]
    return {m.name for c in classes for m in c.body if isinstance(m, ast.FunctionDef)}


PROMISED = _promised()


def _is_protocol_stub(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return isinstance(node, ast.FunctionDef) and all(
        isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) and s.value.value is Ellipsis for s in node.body
    )

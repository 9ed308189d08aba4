"""What the documents promise can be typed, opened and installed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from qsearch.cli.app import build
from qsearch.spec.examples import example_names
from qsearch.spec.loading import load_spec
from qsearch.spec.packaged import configs_folder
from qsearch.spec.targets import find_target, list_targets

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(ROOT.glob("*.md"))
CONSOLE = [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
TYPED = [line.removeprefix("$ ") for line in CONSOLE if line.startswith("$ ")]
INLINE = re.findall(r"`(qsearch [^`]+)`", "".join(f.read_text(encoding="utf-8") for f in DOCUMENTS))
COMMANDS = [line for line in [*TYPED, *INLINE] if re.match(r"(\S*/)?qsearch ", line)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_a_console_block_shows_commands_only() -> None:
    assert all(line.startswith("$ ") for line in CONSOLE if line)
    assert len([line for line in TYPED if "qsearch" in line]) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_documents_can_be_parsed(line: str) -> None:
    """By the parser of the command itself: its name, its options and their values."""
    command: Any = typer.main.get_command(build())
    words = shlex.split(line)[1:]
    with command.make_context("qsearch", words[:1], resilient_parsing=True) as context:
        name, found, _ = command.resolve_command(context, words)
        assert found is not None, f"there is no command {name}"
        found.make_context(name, words[1:])


@pytest.mark.parametrize("line", [line for line in TYPED if line.startswith("make ")])
def test_a_target_of_the_documents_is_in_the_makefile(line: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(line.split()[1:]) <= set(targets)


@pytest.mark.parametrize("document", DOCUMENTS, ids=[f.name for f in DOCUMENTS])
def test_what_a_document_links_or_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    named = re.findall(r"`((?:qsearch|workers|configs|tests)/[\w./-]+)`", text)
    assert [name for name in (*linked, *named) if not (ROOT / name).exists()] == []


def test_the_table_of_commands_is_the_commands() -> None:
    command: Any = typer.main.get_command(build())
    text = command.make_context("qsearch", [], resilient_parsing=True).get_help()
    table = text[text.index("Describe a job:") : text.rindex("Example:")]
    told = re.findall(r"^  ([a-z]+) {2,}\S", table, re.MULTILINE)
    assert sorted(told) == sorted(name for name, one in command.commands.items() if not one.hidden)


@pytest.mark.parametrize("name", example_names())
def test_a_packaged_example_loads(name: str) -> None:
    spec, _ = load_spec(configs_folder() / f"{name}.yaml")
    assert spec.name == name
    assert spec.targets


@pytest.mark.parametrize("file", sorted((configs_folder() / "targets").glob("*.yaml")), ids=lambda f: f.stem)
def test_a_packaged_target_loads(file: Path) -> None:
    assert find_target(file.stem, None).name == file.stem


def test_every_packaged_config_is_looked_at() -> None:
    files = {f.relative_to(configs_folder()) for f in configs_folder().rglob("*") if f.is_file()}
    known = {Path(f"{name}.yaml") for name in example_names()}
    known |= {Path("targets", f"{target.name}.yaml") for target in list_targets()}
    known |= {Path("schema", "spec.json"), Path("schema", "target.json"), Path("models.txt")}
    assert files == known
    for file in (configs_folder() / "schema").glob("*.json"):
        assert json.loads(file.read_text(encoding="utf-8"))["$schema"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_demo_installs_what_it_needs_and_setup_the_rest(tmp_path: Path) -> None:
    def told(target: str) -> str:
        words = ["make", "--dry-run", target, f"VENV={tmp_path / 'venv'}"]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert re.findall(r'"\.\[(.*)\]"', told("demo")) == ["demo"]
    assert re.findall(r'"\.\[(.*)\]"', told("setup")) == ["demo", "demo,dev,openvino,plots,postgres"]
    assert 0 < told("test").index("dev,openvino") < told("test").index("-m pytest")
    extras = PROJECT["project"]["optional-dependencies"]
    assert {"demo", "dev", "openvino", "plots", "postgres"} <= set(extras)


def test_a_dependency_is_imported_or_says_that_it_is_not() -> None:
    """The comment beside a core dependency is true."""
    imported = {"pyyaml": "yaml", "scikit-learn": "sklearn"}
    sources = "".join(f.read_text(encoding="utf-8") for p in ("qsearch", "workers") for f in (ROOT / p).rglob("*.py"))
    comments = dict(re.findall(r'^    "([\w-]+)[^"]*",\s+# (.*)$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for dependency in PROJECT["project"]["dependencies"]:
        name = re.split(r"[^\w-]", dependency)[0]
        module = imported.get(name, name.replace("-", "_"))
        used = bool(re.search(rf"^\s*(?:import|from) {module}\b", sources, re.MULTILINE))
        assert used != comments[name].startswith("not imported yet"), f"{name}: {comments[name]}"


def test_the_source_archive_holds_every_document() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [f.name for f in DOCUMENTS if f.name not in included] == []


def test_the_program_has_the_name_that_documents_use() -> None:
    assert Path(sys.executable).with_name("qsearch").is_file()
    assert list(PROJECT["project"]["scripts"]) == ["qsearch"]

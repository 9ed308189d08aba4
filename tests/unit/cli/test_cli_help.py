"""Help: every command, every option, one example each, and what starting costs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from qsearch import __version__
from qsearch.cli.app import build
from qsearch.cli.journey import JOURNEY
from qsearch.spec.words import METRICS

HEAVY = ("ray", "torch", "optuna", "sqlalchemy", "onnx", "onnxruntime", "numpy", "pydantic", "rich", "scipy", "yaml")
COMMANDS = [
    "init",
    "validate",
    "plan",
    "run",
    "submit",
    "resume",
    "jobs",
    "status",
    "watch",
    "stop",
    "cancel",
    "trials",
    "pareto",
    "best",
    "show",
    "layers",
    "compare",
    "inspect",
    "bench",
    "eval",
    "export",
    "query",
    "doctor",
    "schema",
    "config",
    "head",
    "version",
]
#: print no records: a path, a JSON Schema, nothing to people
FORMLESS = {"init", "schema", "drive", "head keep"}
#: started by QSearch itself, inside Ray and beside it
HIDDEN = {"drive", "head keep"}


def commands() -> Iterator[tuple[str, Any]]:
    root = typer.main.get_command(build())
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            yield name, command
        for below, subcommand in (subcommands or {}).items():
            yield f"{name} {below}", subcommand


ALL = dict(commands())


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "100", **environment}
    return subprocess.run(
        [sys.executable, "-m", "qsearch", *argv], capture_output=True, text=True, env=env, timeout=60, check=False
    )


def test_the_commands_are_those_of_the_design_in_the_order_of_the_journey() -> None:
    assert {name.split()[0] for name in ALL if name not in HIDDEN} == set(COMMANDS)
    assert {name for name, command in ALL.items() if command.hidden} == HIDDEN
    told = [name for names in JOURNEY.values() for name in names]
    assert sorted(told) == sorted(COMMANDS)
    help_text = run("--help").stdout
    places = [help_text.index(f"\n  {name} ") for name in told]
    assert places == sorted(places)
    assert all(f"{heading}:" in help_text for heading in JOURNEY)
    assert "..." not in help_text.split("Describe a job")[1], "a command's line is cut"


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_help_and_the_help_ends_with_an_example(name: str) -> None:
    command = ALL[name]
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name}"
    example = command.epilog.strip().removeprefix("Example: ")
    assert example.startswith(f"qsearch {name}")
    assert "\n" not in example


def test_init_promises_the_metrics_that_it_takes() -> None:
    (metric,) = (parameter for parameter in ALL["init"].params if parameter.name == "metric")
    assert "module:function" not in metric.help
    named = metric.help.partition(": ")[2].partition(";")[0]
    assert [word for word in named.split(", ") if METRICS.objection(word)] == ["…"]


def test_plan_and_run_describe_their_common_options_alike() -> None:
    common = [{p.name: p.help for p in ALL[name].params} for name in ("plan", "run")]
    assert {n: h for n, h in common[1].items() if n in common[0]} == common[0]
    assert {"trials", "time", "sampler", "pool", "target", "choice", "fast"} <= set(common[0])


@pytest.mark.parametrize("name", ALL)
def test_the_examples_can_be_parsed(name: str) -> None:
    words = shlex.split(ALL[name].epilog.strip().removeprefix("Example: "))
    ALL[name].make_context(name, words[1 + len(name.split()) :])


@pytest.mark.parametrize("name", [name for name in ALL if name not in FORMLESS])
def test_every_command_that_prints_records_has_the_formats(name: str) -> None:
    options = {option for parameter in ALL[name].params for option in parameter.opts}
    assert {"-f", "--format", "--json"} <= options


def test_help_goes_to_stdout_and_ends_with_the_example() -> None:
    ran = run("config", "show", "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip().splitlines()[-1].strip() == "Example: qsearch config show --origin"


def test_starting_imports_nothing_heavy() -> None:
    probe = (
        "import sys\nfrom qsearch.cli.main import main\nassert main(['--help']) == 0\n"
        f"print(sorted(m for m in {HEAVY!r} if m in sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr.strip() == "[]"


@pytest.mark.noisy
def test_help_answers_within_a_fifth_of_a_second() -> None:
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        run("--help")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) <= 0.2, seconds


def test_version_in_a_process_of_its_own() -> None:
    ran = run("version", "-f", "csv")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"qsearch,{__version__}\n" in ran.stdout


def test_schema_in_a_process_of_its_own() -> None:
    ran = run("schema")
    assert (ran.returncode, "spec" in ran.stdout.split()) == (0, True)
    assert run("schema", "spec").stdout.startswith("{")
    unknown = run("schema", "spek")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "spec" in unknown.stderr


def test_config_in_a_process_of_its_own() -> None:
    ran = run("config", "show", "--origin", "-f", "csv", QSEARCH_RAY_ADDRESS="auto")
    assert ran.returncode == 0
    assert "ray_address,auto,QSEARCH_RAY_ADDRESS\n" in ran.stdout


def test_a_terminal_without_unicode_is_no_bug() -> None:
    ran = run("version", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")

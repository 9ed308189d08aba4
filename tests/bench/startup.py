"""How long `qsearch --help` takes, beside an interpreter that does nothing and one that imports typer."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.bench.harness import Found, Goal, bench, spread

COMMANDS = {
    "qsearch --help": [str(Path(sys.executable).with_name("qsearch")), "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import typer'": [sys.executable, "-c", "import typer"],
}


def measure(quick: bool) -> Found:
    """Wall seconds of whole processes, the commands in turn."""
    rounds = 5 if quick else 20
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
    rows = [{"command": name, "unit": "s", **spread(values[1:])} for name, values in seconds.items()]
    median = spread(seconds["qsearch --help"][1:])["median"]
    return Found(rows=rows, goals=[Goal(name="help answers at once", value=median, unit="s", goal="<= 0.2")])


if __name__ == "__main__":
    sys.exit(bench("startup", 0.3, 0.1, measure))
